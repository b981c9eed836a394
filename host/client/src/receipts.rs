//! Asking where records are.

use std::time::Duration;

use dseq_format::types::TxHash;
use tokio::time::Instant;

use crate::answers::{Known, Receipt, ReceiptAnswer, ReceiptsAnswer};
use crate::client::{Client, Inner, later};
use crate::error::Error;

/// How much later than asked for nodes may answer that are to wait for a transaction.
const ANSWER_LATE: Duration = Duration::from_secs(1);
/// Receipts that a node gives at a time, at most.
const PAGE_RECEIPTS_MAX: u64 = 4096;

/// A place in the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The record with this index.
    Index(u64),
    /// The record that holds the byte at this offset.
    Offset(u64),
}

impl From<ReceiptAnswer> for Known {
    fn from(answer: ReceiptAnswer) -> Self {
        match answer {
            ReceiptAnswer::Committed { receipts } => Self::Committed { receipts },
            ReceiptAnswer::Pending => Self::Pending,
            ReceiptAnswer::Rejected(rejection) => Self::Rejected(rejection),
        }
    }
}

impl Client {
    /// What is known of a transaction, waiting for so long until it is committed or rejected. [`Known::Unknown`] means that no
    /// node which answers knows it.
    ///
    /// # Errors
    ///
    /// When no node answers.
    pub async fn receipt(&self, tx_hash: TxHash, wait: Duration) -> Result<Known, Error> {
        let answer = if wait.is_zero() { self.inner.options.answer_timeout } else { ANSWER_LATE };
        let until = later(Instant::now(), wait);
        self.inner.find_out(tx_hash, until, later(until, answer)).await
    }

    /// The receipt of the record at a place; `None`: no node that answers has come that far.
    ///
    /// # Errors
    ///
    /// When no node answers.
    pub async fn receipt_at(&self, at: At) -> Result<Option<Receipt>, Error> {
        let query = match at {
            At::Index(index) => format!("index={index}"),
            At::Offset(offset) => format!("offset={offset}"),
        };
        let found = self.inner.receipts(&query).await?;
        Ok(found.and_then(|found| found.receipts.first().copied()))
    }

    /// The receipts of a block's records, in their order; `None`: no node that answers has come that far.
    ///
    /// # Errors
    ///
    /// When no node answers.
    pub async fn receipts_of_block(&self, height: u64) -> Result<Option<Vec<Receipt>>, Error> {
        let query = format!("height={height}&limit={PAGE_RECEIPTS_MAX}");
        let Some(ReceiptsAnswer { mut receipts, mut next }) = self.inner.receipts(&query).await? else {
            return Ok(None);
        };
        while let Some(from) = next {
            // Another node may answer this time, and be behind.
            let found = self.inner.receipts(&format!("from={from}&limit={PAGE_RECEIPTS_MAX}")).await?;
            let page = found.filter(|page| page.receipts.first().is_some_and(|first| first.index == from));
            let Some(page) = page else { return Err(Error::NoSuchRecord { index: from, count: from }) };
            let of_block = page.receipts.iter().take_while(|receipt| receipt.height == height).count();
            receipts.extend_from_slice(&page.receipts[..of_block]);
            next = page.next.filter(|next| *next > from && of_block == page.receipts.len());
        }
        Ok(Some(receipts))
    }

    /// Receipts from an index on, at most so many (a node gives no more than 4,096), and the index with which to go on, if there
    /// are more.
    ///
    /// # Errors
    ///
    /// When no node answers.
    pub async fn receipts(&self, from: u64, limit: u64) -> Result<(Vec<Receipt>, Option<u64>), Error> {
        let limit = limit.clamp(1, PAGE_RECEIPTS_MAX);
        let found = self.inner.receipts(&format!("from={from}&limit={limit}")).await?;
        Ok(found.map_or_else(Default::default, |found| (found.receipts, found.next)))
    }
}

impl Inner {
    async fn receipts(&self, query: &str) -> Result<Option<ReceiptsAnswer>, Error> {
        match self.json(&format!("/v1/receipts?{query}")).await {
            Ok(found) => Ok(Some(found)),
            Err(err) if err.problem().is_some_and(|problem| problem.name() == "not-committed") => Ok(None),
            Err(err) => Err(err),
        }
    }
}
