//! What memory knows of transactions: where the newest landed, which are on their way, which were refused, and who waits
//! for one.
//!
//! # Limits
//!
//! [`RECORDS_MAX`] of the newest records, [`PENDING_MAX`] and [`REFUSED_MAX`] transactions; the oldest are forgotten. Who may
//! wait is bounded by those who let them wait. That a transaction is pending is believed for [`PENDING_AGE_MAX`].

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::mem;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::Decided;
use crate::app::{Refusal, TxResult};
use crate::types::TxHash;

/// How many of the newest records are kept whether or not the index has them; look-ups of those need no file.
const RECORDS_KEPT: usize = 16 << 10;
/// How many are kept at most, when the index lags behind. Each takes some 130 bytes.
const RECORDS_MAX: usize = 256 << 10;
/// How many transactions are remembered as pending, at least half of it at any time: as many as CometBFT's mempool and
/// cache hold on a local network. Each takes some 80 bytes.
const PENDING_MAX: usize = 200_000;
/// How long a transaction that was handed to the engine counts as pending. Even a network that is overloaded commits what its
/// mempools hold within a minute or so. What takes longer waits for a quorum, or the engine has lost it: its mempool was full
/// after all, or it was started again. From here the two look alike, so neither is claimed.
pub const PENDING_AGE_MAX: Duration = Duration::from_secs(120);
/// How many refused transactions are remembered, at least half of it at any time. Each takes up to 1 KiB, most of it the
/// plugin's message.
const REFUSED_MAX: usize = 8192;
/// How many of the oldest records are forgotten under one lock, so that nobody waits long for it.
const FORGOTTEN_AT_ONCE: usize = 512;

/// How far a pending transaction is known to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    /// It is being examined, or handed to the engine.
    Trying,
    /// The engine took it.
    Taken,
    /// One of the two, but longer ago than [`PENDING_AGE_MAX`].
    Overdue,
}

/// The bounded maps, and the waiting.
pub(super) struct Memory {
    /// Where the newest records' transactions landed: hash and index.
    places: BTreeSet<(TxHash, u64)>,
    /// The same records by index: the first of them is `first`.
    order: VecDeque<TxHash>,
    /// Index of the oldest record in `order`; without any, of the next one.
    first: u64,
    /// How far, and since when.
    pending: Generations<(Pending, Instant)>,
    refused: Generations<Refusal>,
    waiting: HashMap<TxHash, Vec<(u64, Waking)>>,
    /// Number of the next one who waits.
    next: u64,
}

pub(super) type Waking = oneshot::Sender<Decided>;

/// What became of a transaction, and who waits for it.
pub(super) struct Woken {
    pub(super) wakings: Vec<Waking>,
    /// Index of its record, or why it has none.
    pub(super) outcome: Result<u64, Refusal>,
}

impl Memory {
    /// Knows nothing of the `count` records that there are already.
    pub(super) fn new(count: u64) -> Self {
        Self {
            places: BTreeSet::new(),
            order: VecDeque::new(),
            first: count,
            pending: Generations::new(PENDING_MAX),
            refused: Generations::new(REFUSED_MAX),
            waiting: HashMap::new(),
            next: 0,
        }
    }

    /// Takes results of a block, in order; returns those that somebody waits for.
    pub(super) fn take(&mut self, results: &[TxResult]) -> Vec<Woken> {
        let mut woken = Vec::new();
        for TxResult { tx_hash, receipt, .. } in results {
            let outcome = match receipt {
                Ok(receipt) => {
                    self.insert(*tx_hash, receipt.index);
                    Ok(receipt.index)
                }
                // Refused by its size alone: no hash was made, and nobody who waits was told to.
                Err(_) if *tx_hash == TxHash::default() => continue,
                Err(refusal) => {
                    self.refused.insert(*tx_hash, refusal.clone());
                    Err(refusal.clone())
                }
            };
            if let Some(waiting) = self.waiting.remove(tx_hash) {
                let wakings = waiting.into_iter().map(|(_, waking)| waking).collect();
                woken.push(Woken { wakings, outcome });
            }
        }
        woken
    }

    fn insert(&mut self, hash: TxHash, index: u64) {
        if index != self.end() {
            // Only if a block was lost on its way here: what is kept has to be without gaps.
            self.places.clear();
            self.order.clear();
            self.first = index;
        }
        self.places.insert((hash, index));
        self.order.push_back(hash);
    }

    /// Forgets some of the oldest records: those that the index has, beyond the ones that are kept, and any beyond the maximum.
    /// Returns whether there are more to forget.
    pub(super) fn forget(&mut self, indexed: u64) -> bool {
        for _ in 0..FORGOTTEN_AT_ONCE {
            if !self.is_to_forget(indexed) {
                return false;
            }
            let Some(hash) = self.order.pop_front() else { return false };
            self.places.remove(&(hash, self.first));
            self.first = self.first.saturating_add(1);
        }
        self.is_to_forget(indexed)
    }

    fn is_to_forget(&self, indexed: u64) -> bool {
        let kept = self.order.len();
        kept > RECORDS_MAX || (kept > RECORDS_KEPT && self.first < indexed)
    }

    /// Indexes of the transaction's records among the newest, in order, `max` at most.
    pub(super) fn indexes(&self, hash: TxHash, max: usize) -> Vec<u64> {
        self.places.range((hash, 0)..=(hash, u64::MAX)).take(max).map(|(_, index)| *index).collect()
    }

    /// Index of the oldest record that is known here.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Index of the next record.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(self.order.len() as u64)
    }

    pub(super) fn refusal(&self, hash: TxHash) -> Option<Refusal> {
        self.refused.get(&hash).cloned()
    }

    pub(super) fn pending(&self, hash: TxHash, now: Instant) -> Option<Pending> {
        let (pending, since) = *self.pending.get(&hash)?;
        let is_overdue = now.saturating_duration_since(since) > PENDING_AGE_MAX;
        Some(if is_overdue { Pending::Overdue } else { pending })
    }

    pub(super) fn set_pending(&mut self, hash: TxHash, pending: Pending, now: Instant) {
        self.pending.insert(hash, (pending, now));
    }

    pub(super) fn forget_pending(&mut self, hash: TxHash) {
        self.pending.remove(&hash);
    }

    /// Remembers a refusal; returns those who wait for the transaction.
    pub(super) fn refuse(&mut self, hash: TxHash, refusal: Refusal) -> Vec<Waking> {
        self.pending.remove(&hash);
        self.refused.insert(hash, refusal);
        let waiting = self.waiting.remove(&hash).unwrap_or_default();
        waiting.into_iter().map(|(_, waking)| waking).collect()
    }

    /// Lets somebody wait; the number is for [`Self::leave`].
    pub(super) fn wait(&mut self, hash: TxHash, waking: Waking) -> u64 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.waiting.entry(hash).or_default().push((number, waking));
        number
    }

    pub(super) fn leave(&mut self, hash: TxHash, number: u64) {
        let Some(waiting) = self.waiting.get_mut(&hash) else { return };
        waiting.retain(|(other, _)| *other != number);
        if waiting.is_empty() {
            self.waiting.remove(&hash);
        }
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.values().map(Vec::len).sum()
    }
}

/// A map of so many entries at most that always has at least the latest half of them.
struct Generations<V> {
    young: HashMap<TxHash, V>,
    old: HashMap<TxHash, V>,
    half: usize,
}

impl<V> Generations<V> {
    fn new(max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: max / 2 }
    }

    fn insert(&mut self, hash: TxHash, value: V) {
        if self.young.len() >= self.half && !self.young.contains_key(&hash) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(hash, value);
    }

    fn get(&self, hash: &TxHash) -> Option<&V> {
        self.young.get(hash).or_else(|| self.old.get(hash))
    }

    fn remove(&mut self, hash: &TxHash) {
        self.young.remove(hash);
        self.old.remove(hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Code;
    use crate::sequence::Receipt;
    use crate::types::{Fuel, Height, Offset};

    fn hash(number: u64) -> TxHash {
        TxHash::of(&number.to_le_bytes())
    }

    fn accepted(tx_hash: TxHash, index: u64) -> TxResult {
        let receipt = Receipt { height: Height(1), index, offset: Offset(index), length: 1 };
        TxResult { tx_hash, receipt: Ok(receipt), fuel: Fuel(0) }
    }

    #[test]
    fn the_newest_records_are_kept_and_older_ones_once_the_index_has_them() {
        let mut memory = Memory::new(7);
        let count = RECORDS_KEPT as u64 + 10;
        let results: Vec<TxResult> = (0..count).map(|n| accepted(hash(n), 7 + n)).collect();
        memory.take(&results);
        assert!(!memory.forget(7));
        assert_eq!((memory.first(), memory.indexes(hash(0), 9)), (7, vec![7]), "the index has none of them");
        memory.forget(7 + count);
        assert_eq!((memory.first(), memory.indexes(hash(9), 9)), (17, vec![]));
        assert_eq!(memory.indexes(hash(10), 9), [17]);
    }

    #[test]
    fn no_more_than_a_few_are_forgotten_under_one_lock() {
        let mut memory = Memory::new(0);
        let count = RECORDS_KEPT + 2 * FORGOTTEN_AT_ONCE + 1;
        let results: Vec<TxResult> = (0..count as u64).map(|n| accepted(hash(n), n)).collect();
        memory.take(&results);
        let mut held = vec![count];
        while memory.forget(count as u64) {
            held.push(memory.order.len());
        }
        assert_eq!(held, [count, count - FORGOTTEN_AT_ONCE, count - 2 * FORGOTTEN_AT_ONCE]);
        assert_eq!(memory.order.len(), RECORDS_KEPT);
    }

    #[test]
    fn a_transaction_is_not_pending_for_ever_and_taken_again_it_is_pending_again() {
        let (mut memory, begin) = (Memory::new(0), Instant::now());
        let later = |seconds| begin + PENDING_AGE_MAX + Duration::from_secs(seconds);
        for pending in [Pending::Trying, Pending::Taken] {
            memory.set_pending(hash(1), pending, begin);
            assert_eq!(memory.pending(hash(1), later(0)), Some(pending));
            assert_eq!(memory.pending(hash(1), later(1)), Some(Pending::Overdue));
        }
        memory.set_pending(hash(1), Pending::Taken, later(1));
        assert_eq!(memory.pending(hash(1), later(2)), Some(Pending::Taken));
        memory.forget_pending(hash(1));
        assert_eq!(memory.pending(hash(1), later(2)), None);
    }

    #[test]
    fn no_more_than_the_maximum_is_kept_however_far_the_index_is_behind() {
        let mut memory = Memory::new(0);
        for n in 0..RECORDS_MAX as u64 + 5 {
            memory.take(&[accepted(hash(n), n)]);
            memory.forget(0);
        }
        assert_eq!((memory.first(), memory.order.len(), memory.places.len()), (5, RECORDS_MAX, RECORDS_MAX));
    }

    #[test]
    fn all_places_of_equal_bytes_are_found_in_order() {
        let mut memory = Memory::new(0);
        memory.take(&[accepted(hash(1), 0), accepted(hash(2), 1), accepted(hash(1), 2)]);
        assert_eq!(memory.indexes(hash(1), 9), [0, 2]);
        assert_eq!(memory.indexes(hash(1), 1), [0]);
    }

    #[test]
    fn generations_keep_the_latest_half_and_no_more_than_the_maximum() {
        let mut map = Generations::new(100);
        for n in 0..1_000 {
            map.insert(hash(n), n);
            assert!(map.young.len() + map.old.len() <= 100);
        }
        assert!((950..1_000).all(|n| map.get(&hash(n)) == Some(&n)) && map.get(&hash(800)).is_none());
        map.remove(&hash(999));
        assert_eq!(map.get(&hash(999)), None);
    }

    #[test]
    fn who_waits_is_woken_once_and_who_left_is_not() {
        let mut memory = Memory::new(0);
        let (stays, _woken) = oneshot::channel();
        let (leaves, _gone) = oneshot::channel();
        memory.wait(hash(1), stays);
        let number = memory.wait(hash(1), leaves);
        memory.leave(hash(1), number);
        assert_eq!(memory.waiting(), 1);
        let woken = memory.take(&[accepted(hash(1), 0)]);
        assert_eq!((woken.len(), woken[0].wakings.len(), memory.waiting()), (1, 1, 0));
        let refusal = Refusal::by_host(Code::SequenceFull, "full".to_owned());
        assert!(memory.refuse(hash(1), refusal.clone()).is_empty());
        assert_eq!(memory.refusal(hash(1)), Some(refusal));
    }
}
