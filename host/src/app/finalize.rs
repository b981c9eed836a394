//! A decided block: its transactions' results and the records they become.
//!
//! # Format
//!
//! A receipt is the `data` of an accepted transaction's result; it enters consensus through LastResultsHash.
//! Integers are little-endian.
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | height of the block |
//! | 8..16 | index of the record in the whole log, from 0 |
//! | 16..24 | offset of its first byte |
//! | 24..32 | its length in bytes |

use bytes::Bytes;

use super::codes::Code;
use super::examine::{Examined, Refusal, examine_all};
use crate::plugin::{Fatal, Pipeline};
use crate::sequence::{Receipt, Staging};
use crate::types::{Fuel, Height, Offset, RecordHash, TxHash};

/// Length of an encoded receipt in bytes, as an array length.
const RECEIPT_LEN: usize = 32;

/// What became of one transaction of a decided block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxResult {
    /// The transaction's hash; all zero if its size alone was refused, see [`Examined`].
    pub tx_hash: TxHash,
    /// Where its record landed, or why it has none.
    pub outcome: Result<Receipt, Refusal>,
    /// Fuel the pipeline spent on it: the `gas_used` of the result.
    pub fuel: Fuel,
}

/// Encodes a receipt as the table above says.
#[must_use]
pub fn encode_receipt(receipt: &Receipt) -> [u8; RECEIPT_LEN] {
    let mut out = [0; RECEIPT_LEN];
    let fields = [receipt.height.0, receipt.index, receipt.offset.0, receipt.length];
    for (place, field) in out.chunks_exact_mut(8).zip(fields) {
        place.copy_from_slice(&field.to_le_bytes());
    }
    out
}

/// Reads what [`encode_receipt`] wrote; `None` if it did not write this.
#[must_use]
pub fn decode_receipt(bytes: &[u8]) -> Option<Receipt> {
    let (fields, rest) = bytes.as_chunks();
    let [height, index, offset, length] = *fields else { return None };
    let [height, index, offset, length] = [height, index, offset, length].map(u64::from_le_bytes);
    rest.is_empty().then_some(Receipt { height: Height(height), index, offset: Offset(offset), length })
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
        let record_hash = examined.verdict.as_ref().map(|record| RecordHash::of(record)).unwrap_or_default();
        (examined, record_hash)
    })?;
    Ok(examined.into_iter().map(|(examined, record_hash)| stage(staging, examined, record_hash)).collect())
}

fn stage(staging: &mut Staging, examined: Examined, record_hash: RecordHash) -> TxResult {
    let Examined { tx_hash, fuel, verdict } = examined;
    let outcome = verdict.and_then(|record| {
        let pushed = staging.push(tx_hash, record_hash, &record);
        pushed.map_err(|full| Refusal::by_host(Code::SequenceFull, full.to_string()))
    });
    TxResult { tx_hash, outcome, fuel }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_read_as_it_was_written_and_nothing_else_is() {
        let receipt = Receipt { height: Height(1), index: 2, offset: Offset(3), length: u64::MAX };
        let bytes = encode_receipt(&receipt);
        assert_eq!(decode_receipt(&bytes), Some(receipt));
        assert_eq!(decode_receipt(&bytes[1..]), None);
        assert_eq!(decode_receipt(&[&bytes[..], b"x"].concat()), None);
    }
}
