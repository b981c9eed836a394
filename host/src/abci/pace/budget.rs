//! The weight of a block: what fits in the target time, by what the last blocks took.
//!
//! It grows to twice its size with each block that was full and quick, so a node whose blocks are quick soon proposes
//! all that a block may hold. Only a block that took longer than the target time, or than its weight should take if it is heavier,
//! makes it smaller, by half at most.

use std::time::{Duration, Instant};

use super::rate::{Rate, real};

/// What a block should take from commit to commit while transactions are waiting. Shorter ones spend more of the time on
/// votes; longer ones make everybody wait.
const BLOCK_TIME: Duration = Duration::from_millis(150);

/// Where even a light block takes long, a full one may take this many times as long: two thirds of it go to transactions.
const BLOCK_TIME_IN_LEASTS: f64 = 3.0;

/// The first budget: about 800 transactions of 256 bytes, less than half a second of four nodes on two processors.
const START: u64 = 1 << 20;

/// The least budget, whatever was measured.
const MIN: u64 = 64 << 10;

/// The largest: more than a block can hold. It only keeps sums small.
const MAX: u64 = 1 << 40;

/// Adapts the weight of blocks.
pub(super) struct Budget {
    weight: u64,
    rate: Rate,
    /// The target time, in seconds.
    block_time: f64,
    /// Whether a block has been as full as it says.
    is_proven: bool,
}

impl Default for Budget {
    fn default() -> Self {
        Self { weight: START, rate: Rate::default(), block_time: BLOCK_TIME.as_secs_f64(), is_proven: false }
    }
}

impl Budget {
    /// What a block may weigh.
    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// How long a block of this weight takes; none before a block has shown it.
    pub(super) fn proven(&self) -> Option<Duration> {
        self.is_proven.then(|| Duration::from_secs_f64(self.block_time))
    }

    /// Whether it comes from as many blocks as it can.
    pub(super) fn is_settled(&self) -> bool {
        self.rate.is_full()
    }

    /// Takes note of a block that is durable now, and whether transactions wait for the next one.
    pub(super) fn note(&mut self, now: Instant, weight: u64, are_waiting: bool) {
        let Some(took) = self.rate.note(now, weight, are_waiting) else { return };
        let (least, per_weight) = self.rate.measure();
        self.block_time = BLOCK_TIME.as_secs_f64().max(least * BLOCK_TIME_IN_LEASTS);
        let fits = whole((self.block_time - least) / per_weight);
        // Others' budgets may be larger, and so are proposals while the queue is long.
        if took > self.block_time * (real(weight) / real(self.weight)).max(1.0) {
            self.weight = fits.clamp(self.weight / 2, self.weight).max(MIN);
        } else if weight >= self.weight / 2 {
            self.is_proven |= took <= self.block_time;
            self.weight = fits.clamp(self.weight, self.weight.saturating_mul(2)).min(MAX);
        }
        tracing::trace!(
            weight,
            took,
            least,
            block_time = self.block_time,
            fits,
            budget = self.weight,
            "pace"
        );
    }
}

/// A weight; the largest there is where blocks take no time that could be measured.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never negative, and saturates")]
pub(super) fn whole(weight: f64) -> u64 {
    weight.min(real(u64::MAX)).max(0.0) as u64
}
