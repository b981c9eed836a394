//! A decided block: its transactions' results and the records they become.

use bytes::Bytes;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::codes::Code;
use super::examine::{Examined, Refusal, examine_all};
use super::rules::Rules;
use crate::plugin::Fatal;
use crate::sequence::{HashedRecord, Receipt, Staging};
use crate::types::{Fuel, TxHash};

/// Fewer bytes of records than this are hashed on the calling thread: waking others would take longer.
const HASHED_ALONE_BYTES_MAX: u64 = 64 << 10;

/// What became of one transaction of a decided block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxResult {
    /// The transaction's hash; all zero if its size alone was refused, see [`Examined`].
    pub tx_hash: TxHash,
    /// Where its record landed, or why it has none.
    pub receipt: Result<Receipt, Refusal>,
    /// Fuel the pipeline spent on it: the `gas_used` of the result.
    pub fuel: Fuel,
}

/// A decided block whose transactions are examined and whose records are hashed: all that does not depend on the log, so
/// that it needs no lock.
pub struct ExaminedBlock {
    /// The rules it was examined under.
    pub(super) rules: Rules,
    txs: Vec<(TxHash, Fuel, Result<HashedRecord, Refusal>)>,
}

impl ExaminedBlock {
    /// Examines a block's transactions, and hashes the records of the accepted ones, on all processors.
    ///
    /// Hashes are not memoised with the outcomes: CheckTx would pay for each transaction what only a block needs.
    ///
    /// # Errors
    ///
    /// [`Fatal`] when this host could not run the pipeline.
    pub fn of(rules: Rules, txs: &[Bytes]) -> Result<Self, Fatal> {
        let examined = examine_all(&rules.pipeline, txs, |examined| examined)?;
        let bytes: u64 = examined.iter().flat_map(|one| &one.record).map(|record| record.len() as u64).sum();
        let hash = |Examined { tx_hash, fuel, record }| (tx_hash, fuel, record.map(HashedRecord::of));
        let txs = if bytes < HASHED_ALONE_BYTES_MAX {
            examined.into_iter().map(hash).collect()
        } else {
            examined.into_par_iter().map(hash).collect()
        };
        Ok(Self { rules, txs })
    }

    /// Stages the records, in order.
    pub(super) fn stage(self, staging: &mut Staging) -> Vec<TxResult> {
        let stage = |(tx_hash, fuel, record): (_, _, Result<HashedRecord, Refusal>)| {
            let receipt = record.and_then(|record| {
                let pushed = staging.push(tx_hash, &record);
                pushed.map_err(|full| Refusal::by_host(Code::SequenceFull, full.to_string()))
            });
            TxResult { tx_hash, receipt, fuel }
        };
        self.txs.into_iter().map(stage).collect()
    }
}
