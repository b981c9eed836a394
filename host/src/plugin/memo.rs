//! Remembers what the pipeline made of a transaction, so that a block costs nothing that CheckTx has paid.
//!
//! # Limits
//!
//! Bounded in entries and in bytes, accepted and refused transactions each by bounds of their own: refusals are free to
//! their producers, and must not evict what a block is about to need. The bounds are kept by generations: new results go
//! into the young one; when it is full it becomes the old one, and the old one is dropped. So the memo always holds at
//! least the latest half of its bound, with no bookkeeping on a hit.
//!
//! # Invariants
//!
//! Forgetting never changes a result, only its cost. No entry holds on to the transaction's own bytes, which
//! may be a slice of a much larger network buffer.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::verdict::Outcome;
use crate::limits;
use crate::types::TxHash;

/// Locks are held for the time of one map operation; this many keep two threads from waiting on each other.
const SHARDS: usize = 16;

/// Generations that share the bounds: two in each shard.
const GENERATIONS: u64 = 2 * SHARDS as u64;

/// A transaction beside its hash, which nothing but hashing it can make: results are remembered by it.
#[derive(Clone, Debug)]
pub struct HashedTx<'a> {
    hash: TxHash,
    tx: &'a Bytes,
}

impl<'a> HashedTx<'a> {
    /// Hashes a transaction.
    #[must_use]
    pub fn of(tx: &'a Bytes) -> Self {
        Self { hash: TxHash::of(tx), tx }
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> TxHash {
        self.hash
    }

    /// Its bytes.
    #[must_use]
    pub fn tx(&self) -> &'a Bytes {
        self.tx
    }
}

/// A bounded map from transaction hash to result.
pub(super) struct Memo {
    parts: [Part; SHARDS],
    accepted_max: Bound,
    refused_max: Bound,
}

/// A shard and what it was used for, which is counted under its lock and read without it.
#[derive(Default)]
struct Part {
    shard: Mutex<Shard>,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Part {
    fn lock(&self) -> MutexGuard<'_, Shard> {
        self.shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bounds of one generation of one shard.
#[derive(Clone, Copy)]
struct Bound {
    entries: u64,
    bytes: u64,
}

impl Bound {
    /// What one generation of one shard may have if all together may have so much.
    fn of_all(entries: u64, bytes: u64) -> Self {
        Self { entries: entries / GENERATIONS, bytes: bytes / GENERATIONS }
    }
}

#[derive(Default)]
struct Shard {
    accepted: Generations,
    refused: Generations,
}

#[derive(Default)]
struct Generations {
    young: HashMap<TxHash, Outcome>,
    old: HashMap<TxHash, Outcome>,
    young_bytes: u64,
}

impl Generations {
    fn get(&self, hash: &TxHash) -> Option<&Outcome> {
        self.young.get(hash).or_else(|| self.old.get(hash))
    }

    /// Remembers a result, unless it alone would fill a generation.
    fn insert(&mut self, hash: TxHash, outcome: Outcome, max: Bound) {
        let bytes = outcome.heap_bytes();
        if bytes > max.bytes {
            return;
        }
        let is_full =
            self.young.len() as u64 >= max.entries || self.young_bytes.saturating_add(bytes) > max.bytes;
        if is_full {
            self.old = mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(hash, outcome).is_none() {
            self.young_bytes = self.young_bytes.saturating_add(bytes);
        }
    }
}

impl Memo {
    /// A memo with the process's bounds.
    pub(super) fn new() -> Self {
        Self::bounded(
            [limits::MEMO_ENTRIES_MAX, limits::MEMO_REFUSED_ENTRIES_MAX],
            [limits::MEMO_BYTES_MAX, limits::MEMO_REFUSED_BYTES_MAX],
        )
    }

    /// With these bounds for accepted and for refused transactions.
    fn bounded(entries: [u64; 2], bytes: [u64; 2]) -> Self {
        let [accepted_max, refused_max] = [0, 1].map(|kind| Bound::of_all(entries[kind], bytes[kind]));
        Self { parts: std::array::from_fn(|_| Part::default()), accepted_max, refused_max }
    }

    /// What is remembered about a transaction.
    pub(super) fn get(&self, tx: &HashedTx<'_>) -> Option<Outcome> {
        let part = self.part(&tx.hash);
        let shard = part.lock();
        let outcome = shard.accepted.get(&tx.hash).or_else(|| shard.refused.get(&tx.hash)).cloned()?;
        part.hits.fetch_add(1, Ordering::Relaxed);
        Some(outcome)
    }

    /// Remembers the result of a transaction that was not remembered, unless it alone would fill a generation.
    pub(super) fn insert(&self, tx: &HashedTx<'_>, outcome: Outcome) {
        let part = self.part(&tx.hash);
        let mut shard = part.lock();
        part.misses.fetch_add(1, Ordering::Relaxed);
        if outcome.is_accepted() {
            shard.accepted.insert(tx.hash, outcome, self.accepted_max);
        } else {
            shard.refused.insert(tx.hash, outcome, self.refused_max);
        }
    }

    /// How many look-ups found something, and how many results were given to it because they did not. Takes no lock.
    pub(super) fn hits_and_misses(&self) -> (u64, u64) {
        let sum = |of: fn(&Part) -> &AtomicU64| {
            self.parts.iter().map(|part| of(part).load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
        };
        (sum(|part| &part.hits), sum(|part| &part.misses))
    }

    fn part(&self, hash: &TxHash) -> &Part {
        &self.parts[usize::from(hash.0[0]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fault::Fault;
    use super::super::verdict::{Step, Verdict};
    use super::*;
    use crate::rules::PluginName;
    use crate::types::Fuel;

    fn outcome(verdict: Verdict) -> Outcome {
        let plugin = Arc::new(PluginName::try_from("p".to_owned()).unwrap());
        let mut outcome = Outcome::unchanged();
        outcome.push(&plugin, Step { fuel: Fuel(7), memory_bytes: 0, verdict });
        outcome
    }

    fn rejected(message: &str) -> Outcome {
        outcome(Verdict::Rejected { code: 1, message: message.to_owned() })
    }

    fn insert(memo: &Memo, tx: &str, outcome: &Outcome) {
        memo.insert(&HashedTx::of(&Bytes::from(tx.to_owned())), outcome.clone());
    }

    fn get(memo: &Memo, tx: &str) -> Option<Outcome> {
        memo.get(&HashedTx::of(&Bytes::from(tx.to_owned())))
    }

    fn entries(memo: &Memo) -> u64 {
        let count = |part: &Part| {
            let shard = part.lock();
            let all = [&shard.accepted, &shard.refused];
            all.iter().map(|all| (all.young.len() + all.old.len()) as u64).sum::<u64>()
        };
        memo.parts.iter().map(count).sum()
    }

    #[test]
    fn a_result_is_remembered_by_its_transactions_hash() {
        let memo = Memo::new();
        let one = outcome(Verdict::Replaced(Bytes::from_static(b"one")));
        insert(&memo, "1", &one);
        insert(&memo, "2", &rejected("no"));
        assert_eq!(get(&memo, "1"), Some(one));
        assert_eq!(get(&memo, "2"), Some(rejected("no")));
        assert_eq!(get(&memo, "3"), None);
        assert_eq!(memo.hits_and_misses(), (2, 2));
    }

    #[test]
    fn entries_stay_within_their_bound_and_the_latest_are_kept() {
        for outcome in [outcome(Verdict::Unchanged), rejected("")] {
            let memo = Memo::bounded([640, 640], [1 << 20, 1 << 20]);
            let txs: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
            for tx in &txs {
                insert(&memo, tx, &outcome);
                assert!(get(&memo, tx).is_some());
            }
            let kept = entries(&memo);
            assert!((320..=640).contains(&kept), "{kept}");
            assert!(txs[9_900..].iter().all(|tx| get(&memo, tx).is_some()), "the latest are forgotten");
            assert!(txs[..9_000].iter().all(|tx| get(&memo, tx).is_none()), "the oldest are kept");
        }
    }

    #[test]
    fn bytes_stay_within_their_bound() {
        let memo = Memo::bounded([1 << 20, 0], [32 * 1000, 0]);
        let record = outcome(Verdict::Replaced(Bytes::from(vec![0; 400])));
        for n in 0..1_000 {
            insert(&memo, &n.to_string(), &record);
        }
        let kept = entries(&memo);
        assert!(kept > 0 && kept * 400 <= 32 * 1000, "{kept} entries of 400 bytes");

        let huge = outcome(Verdict::Replaced(Bytes::from(vec![0; 1001])));
        insert(&memo, "huge", &huge);
        assert_eq!(get(&memo, "huge"), None);
        assert_eq!(entries(&memo), kept, "what cannot be kept pushes nothing out");
    }

    /// Refusals cost their producers nothing.
    #[test]
    fn however_many_are_refused_what_was_accepted_is_remembered() {
        let memo = Memo::bounded([3200, 320], [1 << 20, 64 << 10]);
        let accepted: Vec<String> = (0..100).map(|n| format!("accepted {n}")).collect();
        accepted.iter().for_each(|tx| insert(&memo, tx, &outcome(Verdict::Unchanged)));
        let faulted = outcome(Verdict::Faulted { fault: Fault::OutOfFuel, message: String::new() });
        for n in 0..20_000 {
            insert(&memo, &n.to_string(), &rejected(&"x".repeat(200)));
            insert(&memo, &format!("fault {n}"), &faulted);
        }
        assert!(accepted.iter().all(|tx| get(&memo, tx).is_some()), "pushed out by refusals");
        assert!(entries(&memo) <= 100 + 320);
    }
}
