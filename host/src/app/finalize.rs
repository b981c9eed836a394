//! A decided block: its transactions' results and the records they become.

use bytes::Bytes;

use super::codes::Code;
use super::examine::{Examined, Refusal, examine_all};
use crate::plugin::{Fatal, Pipeline};
use crate::sequence::{Receipt, Staging};
use crate::types::{Fuel, RecordHash, TxHash};

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

/// Runs a block's transactions and stages the records of the accepted ones, in order.
///
/// Records are hashed where their transactions are examined, on all processors; staging is sequential. The hashes are
/// not memoised with the outcomes: CheckTx would pay for each transaction what only a block needs.
pub(super) fn run_block(
    pipeline: &Pipeline,
    staging: &mut Staging,
    txs: &[Bytes],
) -> Result<Vec<TxResult>, Fatal> {
    let examined = examine_all(pipeline, txs, |examined| {
        let record_hash = examined.record.as_ref().map(|record| RecordHash::of(record)).unwrap_or_default();
        (examined, record_hash)
    })?;
    Ok(examined.into_iter().map(|(examined, record_hash)| stage(staging, examined, record_hash)).collect())
}

fn stage(staging: &mut Staging, examined: Examined, record_hash: RecordHash) -> TxResult {
    let Examined { tx_hash, fuel, record } = examined;
    let receipt = record.and_then(|record| {
        let pushed = staging.push(tx_hash, record_hash, &record);
        pushed.map_err(|full| Refusal::by_host(Code::SequenceFull, full.to_string()))
    });
    TxResult { tx_hash, receipt, fuel }
}
