//! Proposals: which transactions this node would put in a block, and whether it votes for somebody else's.
//!
//! # Limits
//!
//! A block is bounded in transactions, in bytes of records and in fuel, whatever its own size: a plugin may turn a
//! few bytes into megabytes or burn much fuel on them, and every node has to hold the records and spend the fuel.
//! The first transaction always fits, so that none is left out for ever; each further one must keep all three sums
//! within their bounds. Preparing and voting use the same sums, so a correct node votes for what a correct one made.
//!
//! A node may propose less than a block may have, by the weight that its caller allows. Voting knows nothing of that.
//!
//! Here records are measured and dropped: what a proposal costs in memory is a record for each processor.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use super::examine::{Examined, examine_all, look, run};
use crate::limits;
use crate::plugin::{Fatal, Found, Pipeline, in_parallel};

/// Transactions of a mempool that are measured together before the block is looked at. What is measured in vain is
/// bounded by it, and was checked before: its results are remembered.
const SLICE_LEN: usize = 256;

/// What an accepted transaction takes of a block.
#[derive(Clone, Copy, Debug)]
struct Measured {
    record_bytes: u64,
    fuel: u64,
}

/// What the transactions of a block have used up so far.
#[derive(Debug, Default)]
struct Used {
    txs: u64,
    record_bytes: u64,
    fuel: u64,
}

impl Used {
    /// Adds an accepted transaction; `false` if the block is full without it.
    fn take(&mut self, tx: Measured) -> bool {
        let more = Self {
            txs: self.txs.saturating_add(1),
            record_bytes: self.record_bytes.saturating_add(tx.record_bytes),
            fuel: self.fuel.saturating_add(tx.fuel),
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

/// Weight of a transaction beside its bytes: what a network does for each one takes about as long as a thousand bytes do.
/// (Measured on four nodes on two processors: 0.31 ms, and 0.35 us for a byte.)
const TX_WEIGHT: u64 = 1 << 10;

/// Weight of a transaction that takes so many bytes of a proposal.
#[must_use]
pub fn weight(proposal_bytes: u64) -> u64 {
    proposal_bytes.saturating_add(TX_WEIGHT)
}

/// What this node puts into a proposal at most.
#[derive(Clone, Copy, Debug)]
pub struct ProposalBounds {
    /// Bytes in the engine's encoding. No transaction is taken beyond it.
    pub bytes_max: u64,
    /// Sum of [`weight`]s. The first transaction is taken whatever it weighs.
    pub weight_max: u64,
}

/// Picks the transactions of a proposal: those the pipeline accepts, in order, until the block or the bounds are full.
///
/// `size_of` says what a transaction takes of the proposal in the engine's encoding.
///
/// # Errors
///
/// [`Fatal`] when this host could not run the pipeline.
pub fn prepare(
    pipeline: &Pipeline,
    txs: &[Bytes],
    bounds: ProposalBounds,
    size_of: impl Fn(&Bytes) -> u64,
) -> Result<Vec<Bytes>, Fatal> {
    let (mut used, mut bytes, mut weighed, mut picked) = (Used::default(), 0_u64, 0_u64, Vec::new());
    for slice in txs.chunks(SLICE_LEN) {
        let all = examine_all(pipeline, slice, |examined| measured(&examined))?;
        for (tx, measured) in slice.iter().zip(all) {
            let Some(measured) = measured else { continue };
            let size = size_of(tx);
            bytes = bytes.saturating_add(size);
            weighed = weighed.saturating_add(weight(size));
            let is_too_heavy = weighed > bounds.weight_max && !picked.is_empty();
            if bytes > bounds.bytes_max || is_too_heavy || !used.take(measured) {
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
/// The sums do not depend on the order in which transactions are done, so nothing is run any more once the vote is no:
/// a proposal costs no more fuel than a block may, and one transaction for each processor.
///
/// # Errors
///
/// [`Fatal`] when this host could not run the pipeline.
pub fn process(pipeline: &Pipeline, txs: &[Bytes]) -> Result<bool, Fatal> {
    let (used, refused) = (Mutex::new(Used::default()), AtomicBool::new(false));
    let is_refused = || refused.load(Ordering::Relaxed);
    let count = |examined: &Examined| {
        let take = |measured| used.lock().unwrap_or_else(PoisonError::into_inner).take(measured);
        if !measured(examined).is_some_and(take) {
            refused.store(true, Ordering::Relaxed);
        }
    };
    let look = |tx| {
        if is_refused() {
            return Found::Answer(());
        }
        match look(pipeline, tx) {
            Found::Answer(examined) => {
                count(&examined);
                Found::Answer(())
            }
            Found::Work(tx) => Found::Work(tx),
        }
    };
    in_parallel(txs, look, |tx| {
        if !is_refused() {
            count(&run(pipeline, &tx)?);
        }
        Ok(())
    })?;
    Ok(!is_refused())
}

/// What a transaction takes of a block; `None` if the pipeline rejects it.
fn measured(examined: &Examined) -> Option<Measured> {
    let record_bytes = examined.record.as_ref().ok()?.len() as u64;
    Some(Measured { record_bytes, fuel: examined.fuel.0 })
}
