//! Time from a node's CheckTx of a transaction until its record can be read there.
//!
//! # Limits
//!
//! Only sampled transactions are waited for, and a bounded number of them. One that never reaches a block makes room
//! after [`PATIENCE`]; nothing is observed for it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::cells::Histogram;

/// Transactions that are waited for at the same time: about 100 KiB.
const WAITING_MAX: usize = 4096;
/// One that waits longer was most likely dropped.
const PATIENCE: Duration = Duration::from_secs(120);

/// The transactions that are waited for, by the first eight bytes of their hashes.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    since: Mutex<HashMap<u64, Instant>>,
    /// How many there are, to be read without the lock.
    count: AtomicUsize,
}

impl Waiting {
    /// A transaction was checked at `now`. One that is waited for already keeps its time.
    pub(super) fn checked(&self, tx: u64, now: Instant) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.len() >= WAITING_MAX {
            since.retain(|_, since| now.saturating_duration_since(*since) < PATIENCE);
        }
        if since.len() < WAITING_MAX {
            since.entry(tx).or_insert(now);
        }
        self.count.store(since.len(), Ordering::Relaxed);
    }

    /// The records of these transactions can be read since `now`.
    pub(super) fn readable(&self, txs: impl Iterator<Item = u64>, now: Instant, latency: &Histogram) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        for tx in txs {
            if since.is_empty() {
                break;
            }
            if let Some(since) = since.remove(&tx) {
                latency.observe(now.saturating_duration_since(since));
            }
        }
        self.count.store(since.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_is_observed_once_when_its_record_can_be_read() {
        let (waiting, latency, now) = (Waiting::default(), Histogram::new(&[1.0]), Instant::now());
        waiting.checked(1, now);
        waiting.readable([2].into_iter(), now, &latency);
        assert_eq!(latency.count(), 0);
        waiting.readable([2, 1, 1].into_iter(), now, &latency);
        waiting.readable([1].into_iter(), now, &latency);
        assert_eq!(latency.count(), 1);
    }

    #[test]
    fn what_never_reaches_a_block_takes_bounded_space_and_makes_room() {
        let (waiting, now) = (Waiting::default(), Instant::now());
        (0..2 * WAITING_MAX as u64).for_each(|tx| waiting.checked(tx, now));
        assert_eq!(waiting.count.load(Ordering::Relaxed), WAITING_MAX);
        waiting.checked(u64::MAX, now + PATIENCE);
        assert_eq!(waiting.count.load(Ordering::Relaxed), 1);
    }
}
