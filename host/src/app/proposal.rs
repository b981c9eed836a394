//! Proposals: which transactions this node would put in a block, and whether it votes for somebody else's.
//!
//! # Limits
//!
//! A block is bounded in transactions, in bytes of records and in fuel, whatever its own size: a plugin may turn a
//! few bytes into megabytes or burn much fuel on them, and every node has to hold the records and spend the fuel.
//! The first transaction always fits, so that none is left out for ever; each further one must keep all three sums
//! within their bounds. Preparing and voting use the same sums, so a correct node votes for what a correct one made.

use bytes::Bytes;

use super::examine::{Examined, examine_all};
use crate::limits;
use crate::plugin::{Fatal, Pipeline};

/// What the transactions of a block have used up so far.
#[derive(Debug, Default)]
struct Used {
    txs: u64,
    record_bytes: u64,
    fuel: u64,
}

impl Used {
    /// Adds an accepted transaction's record and fuel; `false` if the block is full without it.
    fn take(&mut self, record: &Bytes, fuel: u64) -> bool {
        let more = Self {
            txs: self.txs.saturating_add(1),
            record_bytes: self.record_bytes.saturating_add(record.len() as u64),
            fuel: self.fuel.saturating_add(fuel),
        };
        let fits = more.txs <= limits::BLOCK_TXS_MAX
            && more.record_bytes <= limits::BLOCK_RECORD_BYTES_MAX
            && more.fuel <= limits::BLOCK_FUEL_MAX;
        let taken = fits || self.txs == 0;
        if taken {
            *self = more;
        }
        taken
    }
}

/// Picks the transactions of a proposal: those the pipeline accepts, in order, until the block is full.
///
/// `size_of` says what a transaction takes of the proposal in the engine's encoding, and `bytes_max` how much there
/// is of it.
///
/// # Errors
///
/// [`Fatal`] when this host could not run the pipeline.
pub fn prepare(
    pipeline: &Pipeline,
    txs: &[Bytes],
    bytes_max: u64,
    size_of: impl Fn(&Bytes) -> u64,
) -> Result<Vec<Bytes>, Fatal> {
    let (mut used, mut bytes, mut picked) = (Used::default(), 0_u64, Vec::new());
    for slice in txs.chunks(slice_len(pipeline)) {
        for (tx, examined) in slice.iter().zip(examine_all(pipeline, slice)?) {
            let Examined { fuel, verdict: Ok(record), .. } = examined else { continue };
            bytes = bytes.saturating_add(size_of(tx));
            if bytes > bytes_max || !used.take(&record, fuel.0) {
                return Ok(picked);
            }
            picked.push(tx.clone());
        }
    }
    Ok(picked)
}

/// Whether to vote for a proposal: only if the pipeline accepts every transaction in it and the block is within its
/// bounds.
///
/// # Errors
///
/// [`Fatal`] when this host could not run the pipeline.
pub fn process(pipeline: &Pipeline, txs: &[Bytes]) -> Result<bool, Fatal> {
    let mut used = Used::default();
    for slice in txs.chunks(slice_len(pipeline)) {
        for examined in examine_all(pipeline, slice)? {
            let taken = examined.verdict.is_ok_and(|record| used.take(&record, examined.fuel.0));
            if !taken {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// How many transactions are examined before their sums are looked at: so few that even the worst of them together
/// burn no more fuel than a block may, and enough to keep all processors busy.
fn slice_len(pipeline: &Pipeline) -> usize {
    const SLICE_MIN: u64 = 16;
    const SLICE_MAX: u64 = 1024;
    let fuel_of_one = pipeline.limits().fuel_max.saturating_mul(pipeline.spec().plugins.len() as u64);
    let slice = limits::BLOCK_FUEL_MAX.checked_div(fuel_of_one).unwrap_or(SLICE_MAX);
    usize::try_from(slice.clamp(SLICE_MIN, SLICE_MAX)).unwrap_or(1)
}
