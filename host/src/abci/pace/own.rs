//! What producers handed in at this node over HTTP, and what part of the decided weight that is.
//!
//! All are counts beside the way of a transaction, without a lock: the threads that serve HTTP yield to consensus, which must
//! never wait for one of them.

use std::mem::replace;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::rate::real;

/// What a block adds to the share is one part in so many of it: with four validators, two turns of each.
const SHARE_BLOCKS: f64 = 8.0;

/// Sums of weights.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Of what the engine has not answered for yet.
    on_way: AtomicU64,
    /// Of that, and of what the engine has and no block has brought yet.
    waiting: AtomicU64,
    /// Of all that blocks brought.
    decided: AtomicU64,
}

impl Own {
    pub(super) fn on_way(&self) -> u64 {
        self.on_way.load(Ordering::Relaxed)
    }

    pub(super) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn count(self: &Arc<Self>, weight: u64) -> Counted {
        self.on_way.fetch_add(weight, Ordering::Relaxed);
        self.waiting.fetch_add(weight, Ordering::Relaxed);
        Counted { own: Arc::clone(self), weight, with_engine: false }
    }
}

/// A transaction that HTTP took. It counts as waiting until this is dropped.
#[derive(Debug)]
pub struct Counted {
    own: Arc<Own>,
    weight: u64,
    with_engine: bool,
}

impl Counted {
    /// The engine has it: from here on, it counts among what its check counted.
    pub fn handed_over(&mut self) {
        if !replace(&mut self.with_engine, true) {
            self.own.on_way.fetch_sub(self.weight, Ordering::Relaxed);
        }
    }

    /// A block brought it.
    pub fn decided(self) {
        self.own.decided.fetch_add(self.weight, Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.handed_over();
        self.own.waiting.fetch_sub(self.weight, Ordering::Relaxed);
    }
}

/// What part of the weight that the last blocks decided was handed in at this node.
///
/// What producers wait for is noticed as decided after its block is noted, and before the next one: so a block's weight counts
/// with the next one, too.
#[derive(Default)]
pub(super) struct Share {
    /// What had been decided when the last block was noted.
    decided: u64,
    /// The last block's weight.
    weight: u64,
    own: f64,
    all: f64,
}

impl Share {
    /// Takes note of a block of this weight; answers the share up to the block before it, from 0 to 1.
    pub(super) fn note(&mut self, own: &Own, weight: u64) -> f64 {
        let decided = own.decided.load(Ordering::Relaxed);
        let more = decided.saturating_sub(replace(&mut self.decided, decided));
        let kept = 1.0 - 1.0 / SHARE_BLOCKS;
        self.own = self.own.mul_add(kept, real(more));
        self.all = self.all.mul_add(kept, real(replace(&mut self.weight, weight)));
        if self.all > 0.0 { (self.own / self.all).min(1.0) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_block_brought_is_decided() {
        let own = Arc::new(Own::default());
        let of = |own: &Own| (own.on_way(), own.waiting(), own.decided.load(Ordering::Relaxed));
        let (refused, mut forgotten, mut decided) = (own.count(5), own.count(7), own.count(9));
        assert_eq!(of(&own), (21, 21, 0));
        forgotten.handed_over();
        decided.handed_over();
        decided.handed_over();
        assert_eq!(of(&own), (5, 21, 0));
        drop(refused);
        assert_eq!(of(&own), (0, 16, 0));
        drop(forgotten);
        assert_eq!(of(&own), (0, 9, 0));
        decided.decided();
        assert_eq!(of(&own), (0, 0, 9));
    }

    #[test]
    fn the_share_follows_the_last_blocks() {
        let (own, mut share) = (Arc::new(Own::default()), Share::default());
        assert!(share.note(&own, 0).abs() < 1e-9, "nothing was decided");
        let mut blocks = |count: usize, weights: &dyn Fn(usize) -> (u64, u64)| {
            let shares = (0..count).map(|n| {
                let (of_own, all) = weights(n);
                let counted = own.count(of_own);
                let share = share.note(&own, all);
                counted.decided();
                share
            });
            shares.collect::<Vec<_>>()
        };
        let quarter = blocks(40, &|_| (25, 100))[39];
        assert!((quarter - 0.25).abs() < 1e-9, "{quarter}");
        // Blocks of all sizes, of which always the same part is this node's.
        let of_all_sizes = blocks(40, &|n| if n % 4 == 0 { (250, 1_000) } else { (1, 4) });
        assert!(of_all_sizes.iter().all(|share| (share - 0.25).abs() < 1e-9), "{of_all_sizes:?}");
        let half = blocks(40, &|n| (if n % 2 == 0 { 100 } else { 0 }, 100))[39];
        assert!((0.4..0.6).contains(&half), "{half}");
        let none = blocks(40, &|_| (0, 100));
        assert!(none[1] > 0.3 && none[39] < 0.01, "{none:?}");
        assert!(blocks(40, &|_| (1_000, 100))[39] <= 1.0);
    }
}
