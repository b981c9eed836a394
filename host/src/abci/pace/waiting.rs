//! The transactions that checks accepted and no block has brought yet, as far as the app can know.
//!
//! # Limits
//!
//! What the engine loses (it was restarted, or its mempool was full after all) is never seen in a block. So transactions are
//! forgotten by generations, after [`FORGOTTEN_AFTER`] to twice that, or when [`GENERATION_LEN_MAX`] others came after them.
//! Transactions that really wait for so long, because no block is made, are forgotten too: then the engine's own bound on
//! its mempool is the one that is left.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::types::TxHash;

/// How long a transaction counts as waiting without being seen in a block, at least.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(30);

/// Transactions of a generation: the two together are as many as CometBFT's mempool holds (`mempool.size`), so what the engine cannot
/// have is not counted.
const GENERATION_LEN_MAX: usize = 25_000;

/// Waiting transactions, by the first bytes of their hashes, in two generations.
pub(super) struct Waiting {
    young: Generation,
    old: Generation,
    young_since: Instant,
}

#[derive(Default)]
struct Generation {
    txs: HashMap<u64, Tx>,
    /// The sum of their weights.
    weight: u64,
}

/// A waiting transaction.
struct Tx {
    weight: u32,
    since: Instant,
}

impl Generation {
    fn remove(&mut self, key: u64) -> Option<Instant> {
        let Tx { weight, since } = self.txs.remove(&key)?;
        self.weight = self.weight.saturating_sub(u64::from(weight));
        Some(since)
    }
}

impl Waiting {
    pub(super) fn new(now: Instant) -> Self {
        Self { young: Generation::default(), old: Generation::default(), young_since: now }
    }

    /// Weight of all that waits.
    pub(super) fn weight(&self) -> u64 {
        self.young.weight.saturating_add(self.old.weight)
    }

    /// Adds a transaction; once, however often it comes.
    pub(super) fn insert(&mut self, tx: &TxHash, weight: u64, now: Instant) {
        let key = key(tx);
        if self.young.txs.contains_key(&key) || self.old.txs.contains_key(&key) {
            return;
        }
        if self.young.txs.len() >= GENERATION_LEN_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        self.young.txs.insert(key, Tx { weight, since: now });
        self.young.weight = self.young.weight.saturating_add(u64::from(weight));
    }

    /// Takes a transaction out; answers since when it was waiting, if it was.
    pub(super) fn remove(&mut self, tx: &TxHash) -> Option<Instant> {
        let key = key(tx);
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    /// Forgets what has waited for too long.
    pub(super) fn forget_old(&mut self, now: Instant) {
        if now.saturating_duration_since(self.young_since) >= FORGOTTEN_AFTER {
            self.old = std::mem::take(&mut self.young);
            self.young_since = now;
        }
    }
}

/// Eight bytes of a hash tell the transactions of a mempool apart.
pub(super) fn key(tx: &TxHash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = tx.0;
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tx(n: usize) -> TxHash {
        TxHash::of(&n.to_le_bytes())
    }

    #[test]
    fn a_transaction_counts_once_until_it_is_taken_out() {
        let start = Instant::now();
        let later = start + Duration::from_secs(1);
        let mut waiting = Waiting::new(start);
        waiting.insert(&tx(1), 10, start);
        waiting.insert(&tx(1), 10, later);
        waiting.insert(&tx(2), 5, later);
        assert_eq!(waiting.weight(), 15);
        assert_eq!([1, 1, 3].map(|n| waiting.remove(&tx(n))), [Some(start), None, None]);
        assert_eq!(waiting.weight(), 5);
    }

    #[test]
    fn what_no_block_brings_is_forgotten_after_a_while() {
        let start = Instant::now();
        let mut waiting = Waiting::new(start);
        waiting.insert(&tx(1), 10, start);
        waiting.forget_old(start + FORGOTTEN_AFTER / 2);
        assert_eq!(waiting.weight(), 10);
        waiting.forget_old(start + FORGOTTEN_AFTER);
        waiting.insert(&tx(1), 10, start);
        waiting.insert(&tx(2), 5, start);
        assert_eq!(waiting.weight(), 15, "old ones count, and once");
        assert_eq!(waiting.remove(&tx(1)), Some(start), "and can be taken out");
        waiting.insert(&tx(1), 10, start);
        waiting.forget_old(start + 2 * FORGOTTEN_AFTER);
        waiting.forget_old(start + 3 * FORGOTTEN_AFTER);
        assert_eq!(waiting.weight(), 0);
    }

    #[test]
    fn memory_is_bounded_whatever_is_never_decided() {
        let mut waiting = Waiting::new(Instant::now());
        for n in 0..5 * GENERATION_LEN_MAX {
            waiting.insert(&tx(n), 1, Instant::now());
        }
        let count = waiting.young.txs.len() + waiting.old.txs.len();
        assert!((GENERATION_LEN_MAX..=2 * GENERATION_LEN_MAX).contains(&count), "{count}");
        assert_eq!(waiting.weight(), count as u64);
    }
}
