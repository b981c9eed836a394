//! A response's body that is read piece by piece, while the client takes it.
//!
//! # Limits
//!
//! A body has two pieces in memory at most: the one that is being sent, and the next one. Pieces are smaller the more bodies
//! there are, so that all of them together stay within [`ALL_BYTES_MAX`], until there are more than a few thousand.

use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, MaybeDone, maybe_done};
use http_body::{Body, Frame, SizeHint};

use super::Source;
use crate::api::TailError;

/// What all bodies together may hold in memory, in bytes, as long as pieces need not be smaller than [`PIECE_BYTES_MIN`] for it.
const ALL_BYTES_MAX: usize = 64 << 20;
/// Size of a piece when there are few bodies, in bytes. Larger ones are not sent faster.
const PIECE_BYTES_MAX: usize = 256 << 10;
/// Size of a piece when there are very many. 16,384 connections then hold 512 MiB.
const PIECE_BYTES_MIN: usize = 16 << 10;

/// How many bodies there are.
static BODIES: AtomicUsize = AtomicUsize::new(0);

/// Counts as a body until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(());

impl Counted {
    pub(crate) fn new() -> Self {
        BODIES.fetch_add(1, Ordering::Relaxed);
        Self(())
    }

    /// How long a piece may be now.
    pub(crate) fn piece_bytes(&self) -> usize {
        let share = ALL_BYTES_MAX / BODIES.load(Ordering::Relaxed).max(1) / 2;
        share.clamp(PIECE_BYTES_MIN, PIECE_BYTES_MAX)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        BODIES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body that is a range of committed bytes.
pub(crate) struct Pieces<S> {
    source: S,
    /// What is still to be read.
    left: Range<u64>,
    /// The next piece.
    next: Option<Pin<Box<Reading>>>,
    counted: Counted,
}

type Reading = MaybeDone<BoxFuture<'static, Result<Bytes, TailError>>>;

impl<S: Source> Pieces<S> {
    /// The bytes in a range, which is within what is committed.
    pub(crate) fn new(source: S, range: Range<u64>) -> Self {
        Self { source, left: range, next: None, counted: Counted::new() }
    }

    /// Begins to read the next piece, if there is one.
    fn begin(&self) -> Option<Pin<Box<Reading>>> {
        if self.left.is_empty() {
            return None;
        }
        let (source, range, most) = (self.source.clone(), self.left.clone(), self.counted.piece_bytes());
        Some(Box::pin(maybe_done(async move { source.read(range, most).await }.boxed())))
    }
}

impl<S: Source> Body for Pieces<S> {
    type Data = Bytes;
    type Error = TailError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TailError>>> {
        if self.next.is_none() {
            self.next = self.begin();
        }
        let Some(mut reading) = self.next.take() else { return Poll::Ready(None) };
        if reading.as_mut().poll(cx).is_pending() {
            self.next = Some(reading);
            return Poll::Pending;
        }
        match reading.as_mut().take_output() {
            Some(Ok(bytes)) if !bytes.is_empty() => {
                self.left.start = self.left.start.saturating_add(bytes.len() as u64);
                // The next one is read while this one is sent.
                self.next = self.begin();
                if let Some(next) = &mut self.next {
                    let _ = next.as_mut().poll(cx);
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Some(Err(error)) => {
                tracing::warn!(%error, offset = self.left.start, "cut off a response: cannot read the sequence");
                self.left.start = self.left.end;
                Poll::Ready(Some(Err(error)))
            }
            // Nothing is no progress: a source answers it only where nothing is left.
            _ => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.end.saturating_sub(self.left.start))
    }
}
