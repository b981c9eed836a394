//! What producers handed in at this node over HTTP, and what part of the decided weight that is.
//!
//! All are counts beside the way of a transaction, without a lock: the threads that serve HTTP yield to consensus, which must
//! never wait for one of them.

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
    /// Of all that the engine had and that does not wait any more.
    decided: AtomicU64,
}

impl Own {
    pub(super) fn on_way(&self) -> u64 {
        self.on_way.load(Ordering::Relaxed)
    }

    pub(super) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Counts a transaction; answers what was on its way, and what was waiting, before it.
    pub(super) fn count(self: &Arc<Self>, weight: u64) -> (Counted, u64, u64) {
        let on_way = self.on_way.fetch_add(weight, Ordering::Relaxed);
        let waiting = self.waiting.fetch_add(weight, Ordering::Relaxed);
        (Counted { own: Arc::clone(self), weight, is_taken: false }, on_way, waiting)
    }
}

/// A transaction that HTTP took. It counts as waiting until this is dropped.
#[derive(Debug)]
pub struct Counted {
    own: Arc<Own>,
    weight: u64,
    is_taken: bool,
}

impl Counted {
    /// The engine has it: from here on, it counts among what its check counted. It is dropped when it is decided, or after three seconds,
    /// which under the bounds here few take.
    pub fn taken(&mut self) {
        if !std::mem::replace(&mut self.is_taken, true) {
            self.own.on_way.fetch_sub(self.weight, Ordering::Relaxed);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.own.waiting.fetch_sub(self.weight, Ordering::Relaxed);
        if self.is_taken {
            self.own.decided.fetch_add(self.weight, Ordering::Relaxed);
        } else {
            self.own.on_way.fetch_sub(self.weight, Ordering::Relaxed);
        }
    }
}

/// What part of the weight that the last blocks decided was handed in at this node.
#[derive(Default)]
pub(super) struct Share {
    /// What had been decided when the last block was noted.
    decided: u64,
    own: f64,
    all: f64,
}

impl Share {
    /// Takes note of a block of this weight; answers the share, from 0 to 1.
    pub(super) fn note(&mut self, own: &Own, weight: u64) -> f64 {
        let decided = own.decided.load(Ordering::Relaxed);
        let more = decided.saturating_sub(std::mem::replace(&mut self.decided, decided));
        let kept = 1.0 - 1.0 / SHARE_BLOCKS;
        self.own = self.own.mul_add(kept, real(more));
        self.all = self.all.mul_add(kept, real(weight));
        // Producers hear of a block a little later than this does.
        if self.all > 0.0 { (self.own / self.all).min(1.0) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_taken_by_the_engine_was_never_decided() {
        let own = Arc::new(Own::default());
        let (first, ..) = own.count(5);
        let (mut second, on_way, waiting) = own.count(7);
        assert_eq!((on_way, waiting), (5, 5), "those before it");
        second.taken();
        second.taken();
        assert_eq!((own.on_way(), own.waiting()), (5, 12));
        drop(first);
        assert_eq!((own.on_way(), own.waiting(), own.decided.load(Ordering::Relaxed)), (0, 7, 0));
        drop(second);
        assert_eq!((own.on_way(), own.waiting(), own.decided.load(Ordering::Relaxed)), (0, 0, 7));
    }

    #[test]
    fn the_share_follows_the_last_blocks() {
        let (own, mut share) = (Arc::new(Own::default()), Share::default());
        assert!(share.note(&own, 0).abs() < 1e-9, "nothing was decided");
        let mut block = |of_own: u64| {
            let (mut counted, ..) = own.count(of_own);
            counted.taken();
            drop(counted);
            share.note(&own, 100)
        };
        let after = |shares: Vec<f64>| shares.last().copied().unwrap();
        let quarter = after((0..40).map(|_| block(25)).collect());
        assert!((quarter - 0.25).abs() < 0.01, "{quarter}");
        let half = after((0..40).map(|n| block(if n % 2 == 0 { 100 } else { 0 })).collect());
        assert!((0.4..0.6).contains(&half), "{half}");
        let (later, none) = (block(0), after((0..40).map(|_| block(0)).collect()));
        assert!(later > 0.3 && none < 0.01, "{later}, {none}");
        assert!(after((0..40).map(|_| block(1_000)).collect()) <= 1.0);
    }
}
