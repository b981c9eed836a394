//! A decided block: its transactions' results and the records they become.

use bytes::Bytes;

use super::codes::Code;
use super::examine::{Examined, Refusal, examine_all};
use crate::plugin::{Fatal, Pipeline};
use crate::sequence::{Receipt, Staging};
use crate::types::Fuel;

/// What became of one transaction of a decided block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxResult {
    /// Where its record landed, or why it has none.
    pub receipt: Result<Receipt, Refusal>,
    /// Fuel the pipeline spent on it: the `gas_used` of the result.
    pub fuel: Fuel,
}

/// Runs a block's transactions and stages the records of the accepted ones, in order.
pub(super) fn run_block(
    pipeline: &Pipeline,
    staging: &mut Staging,
    txs: &[Bytes],
) -> Result<Vec<TxResult>, Fatal> {
    let examined = examine_all(pipeline, txs)?;
    Ok(examined.into_iter().map(|examined| stage(staging, examined)).collect())
}

fn stage(staging: &mut Staging, examined: Examined) -> TxResult {
    let Examined { tx_hash, fuel, record } = examined;
    let receipt = record.and_then(|record| {
        staging.push(tx_hash, &record).map_err(|full| Refusal::by_host(Code::SequenceFull, full.to_string()))
    });
    TxResult { receipt, fuel }
}
