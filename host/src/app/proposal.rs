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

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use super::examine::{Examined, Refusal, examine_all, look, run};
use crate::limits;
use crate::plugin::{Fatal, Found, Pipeline, in_parallel};
use crate::types::TxHash;

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

/// Why a node votes against a proposal. Of several reasons it is the one that was found first: for messages, not for hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// It holds a transaction that the pipeline rejects.
    Rejected {
        /// The transaction.
        tx_hash: TxHash,
        /// Why.
        refusal: Refusal,
    },
    /// Its transactions come to more than a block may have.
    TooLarge,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected { tx_hash, refusal: Refusal { code, codespace, message } } => {
                write!(f, "transaction {tx_hash} is rejected (code {code} of {codespace}: {message})")
            }
            Self::TooLarge => f.write_str("its records or their fuel come to more than a block may have"),
        }
    }
}

/// Why to vote against a proposal; `None`: the pipeline accepts every transaction in it, and the block is within its bounds.
///
/// The sums do not depend on the order in which transactions are done, so nothing is run any more once the vote is no:
/// a proposal costs no more fuel than a block may, and one transaction for each processor.
///
/// # Errors
///
/// [`Fatal`] when this host could not run the pipeline.
pub fn process(pipeline: &Pipeline, txs: &[Bytes]) -> Result<Option<Objection>, Fatal> {
    let (used, found) = (Mutex::new(Used::default()), OnceLock::new());
    let is_refused = || found.get().is_some();
    let count = |examined: &Examined| {
        if let Some(objection) = object(examined, &used) {
            // Another thread may have found one too.
            let _ = found.set(objection);
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
    Ok(found.into_inner())
}

/// Adds a transaction to what a proposal has used up; why not, if it may not be in it.
fn object(examined: &Examined, used: &Mutex<Used>) -> Option<Objection> {
    match &examined.record {
        Err(refusal) => Some(Objection::Rejected { tx_hash: examined.tx_hash, refusal: refusal.clone() }),
        Ok(record) => {
            let tx = Measured { record_bytes: record.len() as u64, fuel: examined.fuel.0 };
            let fits = used.lock().unwrap_or_else(PoisonError::into_inner).take(tx);
            (!fits).then_some(Objection::TooLarge)
        }
    }
}

/// What a transaction takes of a block; `None` if the pipeline rejects it.
fn measured(examined: &Examined) -> Option<Measured> {
    let record_bytes = examined.record.as_ref().ok()?.len() as u64;
    Some(Measured { record_bytes, fuel: examined.fuel.0 })
}
