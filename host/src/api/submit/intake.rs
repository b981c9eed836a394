//! The way of a transaction into the mempool, as the node gives it to HTTP.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::app::Refusal;

/// What examines transactions, and hands them to the consensus engine.
pub trait Intake: Send + Sync {
    /// The longest transaction that the network takes, in bytes; `None` before genesis.
    fn tx_bytes_max(&self) -> Option<u64>;

    /// Whether so much waits that further transactions had better come later. Asked for each request, so it takes no time.
    fn overload(&self) -> Option<Overload> {
        None
    }

    /// Counts a transaction among those that wait, unless so much waits already.
    ///
    /// # Errors
    ///
    /// As [`Self::overload`].
    fn count(&self, _tx: &Bytes) -> Result<Box<dyn Counted>, Overload> {
        self.overload().map_or_else(|| Ok(Box::new(()) as Box<dyn Counted>), Err)
    }

    /// Examines a transaction as CheckTx does. What was found is remembered, so that CheckTx need not do it again.
    fn check(&self, tx: Bytes) -> BoxFuture<'_, Checked>;

    /// Hands a transaction to the engine. May be called again with the same bytes.
    fn hand_over(&self, tx: Bytes) -> BoxFuture<'_, HandedOver>;
}

/// A transaction that counts among those that wait until this is dropped.
pub trait Counted: Send {
    /// The engine has it.
    fn handed_over(&mut self) {}

    /// A block brought it.
    fn decided(self: Box<Self>) {}
}

/// Where nothing is counted.
impl Counted for () {}

/// That new transactions would wait for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overload {
    /// How long what waits already takes.
    pub wait: Duration,
    /// Beyond which producers had better wait.
    pub wait_max: Duration,
}

/// The answer to [`Intake::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It may enter the mempool.
    Accepted,
    /// The network's rules refuse it.
    Refused(Refusal),
    /// The node takes no transaction now, whatever its bytes.
    NotReady(String),
    /// It could not be examined; the log has the reason.
    Failed,
}

/// The answer to [`Intake::hand_over`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandedOver {
    /// The engine took it, and promises nothing.
    Taken,
    /// The engine knows these bytes: they wait in its mempool, or have been committed.
    AlreadyKnown,
    /// The engine's mempool is full, and these bytes may or may not be in it.
    Full,
    /// The engine did not get it, or did not take it.
    NotTaken(String),
    /// The engine may have got it.
    NoAnswer(String),
}
