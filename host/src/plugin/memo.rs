//! Remembers what the pipeline made of a transaction, so that a block costs nothing that CheckTx has paid.
//!
//! # Limits
//!
//! Bounded in entries and in bytes, by generations: new results go into the young one; when it is full it
//! becomes the old one, and the old one is forgotten. So the memo always knows at least the latest half of
//! its bound, with no bookkeeping on a hit.
//!
//! # Invariants
//!
//! Forgetting never changes a result, only its cost. No entry holds on to the transaction's own bytes, which
//! may be a slice of a much larger network buffer.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use super::instance::Ruling;
use crate::limits;
use crate::types::{Fuel, TxHash};

/// Locks are held for the time of one map operation; this many keep two threads from waiting on each other.
const SHARDS: usize = 16;

/// Generations that share the bounds: two in each shard.
const GENERATIONS: u64 = 2 * SHARDS as u64;

/// What the pipeline made of a transaction: the fuel of all plugins that ran, and what the last one ruled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judged {
    pub(super) fuel: Fuel,
    pub(super) ruling: Ruling,
    /// Position of the plugin that rejected or faulted; of no meaning otherwise.
    pub(super) plugin: usize,
}

/// A result as it is kept: short, because a look-up costs what it misses in the processor's caches, and most plugins
/// leave most transactions as they are.
struct Kept {
    fuel: Fuel,
    /// `None` if the transaction goes on unchanged.
    changed: Option<Box<Changed>>,
}

#[derive(Clone)]
struct Changed {
    ruling: Ruling,
    plugin: usize,
}

impl Kept {
    fn of(judged: &Judged) -> Self {
        let Judged { fuel, ruling, plugin } = judged;
        let changed = Changed { ruling: ruling.clone(), plugin: *plugin };
        Self { fuel: *fuel, changed: (*ruling != Ruling::Unchanged).then(|| Box::new(changed)) }
    }

    fn judged(&self) -> Judged {
        let unchanged = Changed { ruling: Ruling::Unchanged, plugin: 0 };
        let Changed { ruling, plugin } = self.changed.as_deref().cloned().unwrap_or(unchanged);
        Judged { fuel: self.fuel, ruling, plugin }
    }

    /// Bytes on the heap beyond the entry itself.
    fn bytes(&self) -> u64 {
        let Some(changed) = &self.changed else { return 0 };
        let more = match &changed.ruling {
            Ruling::Replaced(record) => record.len() as u64,
            Ruling::Rejected { message, .. } | Ruling::Faulted { message, .. } => message.len() as u64,
            Ruling::Unchanged => 0,
        };
        more.saturating_add(size_of::<Changed>() as u64)
    }
}

/// A bounded map from transaction hash to result.
pub(super) struct Memo {
    shards: [Mutex<Generations>; SHARDS],
    /// Bounds of one generation of one shard.
    entries_max: u64,
    bytes_max: u64,
}

#[derive(Default)]
struct Generations {
    young: HashMap<TxHash, Kept>,
    old: HashMap<TxHash, Kept>,
    young_bytes: u64,
}

impl Memo {
    /// A memo with the process's bounds.
    pub(super) fn new() -> Self {
        Self::bounded(limits::MEMO_ENTRIES_MAX, limits::MEMO_BYTES_MAX)
    }

    fn bounded(entries_max: u64, bytes_max: u64) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            entries_max: entries_max / GENERATIONS,
            bytes_max: bytes_max / GENERATIONS,
        }
    }

    /// What is remembered about a transaction.
    pub(super) fn get(&self, hash: &TxHash) -> Option<Judged> {
        let shard = self.shard(hash).lock().unwrap_or_else(PoisonError::into_inner);
        shard.young.get(hash).or_else(|| shard.old.get(hash)).map(Kept::judged)
    }

    /// Remembers a result, unless it alone would fill a generation.
    pub(super) fn insert(&self, hash: TxHash, judged: &Judged) {
        let kept = Kept::of(judged);
        let bytes = kept.bytes();
        if bytes > self.bytes_max {
            return;
        }
        let mut shard = self.shard(&hash).lock().unwrap_or_else(PoisonError::into_inner);
        let full = shard.young.len() as u64 >= self.entries_max
            || shard.young_bytes.saturating_add(bytes) > self.bytes_max;
        if full {
            shard.old = mem::take(&mut shard.young);
            shard.young_bytes = 0;
        }
        if shard.young.insert(hash, kept).is_none() {
            shard.young_bytes = shard.young_bytes.saturating_add(bytes);
        }
    }

    fn shard(&self, hash: &TxHash) -> &Mutex<Generations> {
        &self.shards[usize::from(hash.0[0]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn judged(ruling: Ruling) -> Judged {
        Judged { fuel: Fuel(7), ruling, plugin: 0 }
    }

    fn entries(memo: &Memo) -> u64 {
        let count = |shard: &Mutex<Generations>| {
            let shard = shard.lock().unwrap();
            (shard.young.len() + shard.old.len()) as u64
        };
        memo.shards.iter().map(count).sum()
    }

    #[test]
    fn a_result_is_remembered_by_its_hash() {
        let memo = Memo::new();
        let one = judged(Ruling::Replaced(Bytes::from_static(b"one")));
        memo.insert(TxHash::of(b"1"), &one);
        assert_eq!(memo.get(&TxHash::of(b"1")), Some(one));
        assert_eq!(memo.get(&TxHash::of(b"2")), None);
    }

    #[test]
    fn entries_stay_within_their_bound_and_the_latest_are_kept() {
        let memo = Memo::bounded(640, 1 << 20);
        let hashes: Vec<TxHash> = (0..10_000_u32).map(|n| TxHash::of(&n.to_le_bytes())).collect();
        for hash in &hashes {
            memo.insert(*hash, &judged(Ruling::Unchanged));
            assert!(memo.get(hash).is_some());
        }
        let kept = entries(&memo);
        assert!((320..=640).contains(&kept), "{kept}");
        assert!(hashes[9_900..].iter().all(|hash| memo.get(hash).is_some()), "the latest are forgotten");
        assert!(hashes[..9_000].iter().all(|hash| memo.get(hash).is_none()), "the oldest are kept");
    }

    #[test]
    fn bytes_stay_within_their_bound() {
        let memo = Memo::bounded(1 << 20, 32 * 1000);
        let record = judged(Ruling::Replaced(Bytes::from(vec![0; 400])));
        for n in 0..1_000_u32 {
            memo.insert(TxHash::of(&n.to_le_bytes()), &record);
        }
        let kept = entries(&memo);
        assert!(kept > 0 && kept * 400 <= 32 * 1000, "{kept} entries of 400 bytes");

        let huge = judged(Ruling::Replaced(Bytes::from(vec![0; 1001])));
        memo.insert(TxHash::of(b"huge"), &huge);
        assert_eq!(memo.get(&TxHash::of(b"huge")), None);
        assert_eq!(entries(&memo), kept, "what cannot be kept pushes nothing out");
    }
}
