//! Reading a range of the sequence, and following it.

use std::ops::{Bound, Range, RangeBounds};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt};
use tokio::time::{Instant, sleep};

use crate::client::{Backoff, Client, later};
use crate::error::Error;
use crate::pull::{Chunk, Notice, Puller, Until};

/// Where following begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FollowFrom {
    /// At the first byte.
    #[default]
    Start,
    /// At this offset, which need not be committed yet.
    Offset(u64),
    /// So many bytes before the end of what is committed now, or at the first byte.
    Last(u64),
    /// At the end of what is committed now.
    End,
}

/// The bytes of a range, as they come.
pub struct Reading {
    range: Range<u64>,
    committed: u64,
    bytes: BoxStream<'static, Result<Bytes, Error>>,
}

impl Reading {
    /// The range that is read: what was asked for, as far as it was committed when the first node answered.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// How many bytes the whole sequence had then.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.committed
    }
}

impl Stream for Reading {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.bytes.poll_next_unpin(context)
    }
}

/// How the sequence is followed.
#[derive(Default)]
pub struct FollowOptions {
    patience: Option<Duration>,
    on_notice: Option<Box<dyn FnMut(Notice) + Send + Sync>>,
}

impl FollowOptions {
    /// How long nodes may be out of reach, or behind, before it is an error. Default: for ever.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self }
    }

    /// Calls this when a node is lost, behind, or read from here on.
    #[must_use]
    pub fn on_notice(self, call: impl FnMut(Notice) + Send + Sync + 'static) -> Self {
        Self { on_notice: Some(Box::new(call)), ..self }
    }
}

impl Client {
    /// Reads a range of offsets: what is committed of it when the first node answers. When a node fails, another one goes on,
    /// after it was compared at the last 4096 bytes.
    ///
    /// # Errors
    ///
    /// When the range begins beyond the end on every node, or no node answers. The stream ends after an error.
    pub async fn read(&self, range: impl RangeBounds<u64>) -> Result<Reading, Error> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(to) => *to,
            Bound::Unbounded => u64::MAX,
        };
        let patience = Some(self.inner.options.retry_for);
        let mut puller = Puller::new(self.clone(), from, Until::Committed(to.max(from)), patience);
        puller.open().await?;
        let range = from..puller.end().unwrap_or(from);
        let committed = puller.committed.unwrap_or(from);
        Ok(Reading {
            range,
            committed,
            bytes: pieces(puller).map(|chunk| chunk.map(|chunk| chunk.bytes)).boxed(),
        })
    }

    /// Follows the sequence for ever: each byte once, in order, with its offset. Whoever keeps the offset after the last byte
    /// can go on there later, at any node.
    ///
    /// A node that does not answer or has not come as far is left for another one, after that was compared at the last 4096
    /// bytes; a node that brings nothing while another one has more, too.
    ///
    /// The stream ends after an error: nodes that disagree, a refusal, or the end of [`FollowOptions::patience`].
    pub fn follow(
        &self,
        from: FollowFrom,
        options: FollowOptions,
    ) -> impl Stream<Item = Result<Chunk, Error>> + Send + use<> {
        let client = self.clone();
        let begin = async move {
            let position = match from {
                FollowFrom::Start => 0,
                FollowFrom::Offset(offset) => offset,
                FollowFrom::Last(count) => length(&client, options.patience).await?.saturating_sub(count),
                FollowFrom::End => length(&client, options.patience).await?,
            };
            let mut puller = Puller::new(client, position, Until::Never, options.patience);
            puller.on_notice = options.on_notice;
            Ok(pieces(puller))
        };
        stream::once(begin).flat_map(|begun| match begun {
            Ok(pieces) => pieces.left_stream(),
            Err(err) => stream::iter([Err(err)]).right_stream(),
        })
    }
}

/// How many bytes are committed. Nodes that cannot be reached, or do not answer now, are waited for.
async fn length(client: &Client, patience: Option<Duration>) -> Result<u64, Error> {
    let deadline = patience.map(|patience| later(Instant::now(), patience));
    let mut backoff = Backoff::default();
    loop {
        let err = match client.status().await {
            Ok(status) => return Ok(status.length),
            Err(err) => err,
        };
        let may_change = match &err {
            Error::Unreachable { .. } => true,
            Error::Refused { problem, .. } => problem.retry,
            _ => false,
        };
        let pause = backoff.next(None);
        if !may_change || deadline.is_some_and(|deadline| Instant::now() + pause > deadline) {
            return Err(err);
        }
        sleep(pause).await;
    }
}

/// All chunks, up to the end or the first error.
fn pieces(puller: Puller) -> impl Stream<Item = Result<Chunk, Error>> + Send + 'static {
    stream::unfold(Some(puller), |puller| async {
        let mut puller = puller?;
        match puller.next().await {
            Ok(chunk) => Some((Ok(chunk?), Some(puller))),
            Err(err) => Some((Err(err), None)),
        }
    })
}
