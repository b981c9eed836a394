//! Reading something that only grows, over HTTP: what is committed of it, and a wake-up when it grows.

mod body;
mod range;
pub(super) mod records;

use std::future::Future;
use std::ops::Range;

use bytes::Bytes;

pub(super) use body::Pieces;
pub(super) use range::{Asked, asked};

use super::{Tail, TailError};

/// Committed bytes. Those before an end that was once answered never change.
pub trait Source: Clone + Send + Sync + Unpin + 'static {
    /// Some bytes from the start of `range` on, which is within what is committed: at least one if it is not empty, and
    /// `bytes_max` at most.
    fn read(
        &self,
        range: Range<u64>,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Bytes, TailError>> + Send;
}

impl Source for Tail {
    async fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Bytes, TailError> {
        self.bytes(range, bytes_max).await
    }
}
