//! The end of the server, announced to all that would otherwise go on for ever: bodies that follow the sequence, requests
//! that wait for a block.

use std::sync::Arc;

use tokio::sync::watch;

/// Whether the server stops; clones share one answer.
///
/// A body without an end has to select on [`wait`](Self::wait) and end when it returns. One that does not is cut off after
/// [`Limits::grace`](super::Limits::grace).
#[derive(Clone, Debug)]
pub struct Stopping(Arc<watch::Sender<bool>>);

impl Default for Stopping {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Stopping {
    /// Announces the end. It can't be taken back.
    pub(super) fn announce(&self) {
        self.0.send_replace(true);
    }

    /// Whether the end has been announced.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the announcement; returns at once after it.
    pub async fn wait(&self) {
        // The sender is ours, so it is not dropped while we wait.
        let _ = self.0.subscribe().wait_for(|announced| *announced).await;
    }
}
