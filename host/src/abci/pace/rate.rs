//! How fast the network decides, measured from commit to commit: a block takes some time however light it is, and some for
//! each unit of weight.
//!
//! The two are kept apart because only the second can be changed: where votes alone take a second, small blocks would cost
//! throughput and gain nothing. A block tells something only if transactions were waiting for it, or its time is the
//! producers' pauses. Both figures come from medians over the last blocks: one block in four may have waited for a dead
//! proposer, or for a stopped process.

use std::collections::VecDeque;
use std::time::Instant;

/// Blocks that the figures come from.
const SAMPLES: usize = 8;

/// Weight of a block whose time is that of any block, if all are as light.
const LIGHT_MAX: u64 = 96 << 10;

/// Part of a block's time that is said to be the same however light it is, at most.
const LEAST_PART_MAX: f64 = 0.75;

/// Two blocks tell the time for weight from that of any block when one weighs this many times as much as the other.
const WEIGHTS_APART: f64 = 1.5;

/// The last measurements.
#[derive(Default)]
pub(super) struct Rate {
    /// The last commit, and whether anything waited after it.
    last: Option<(Instant, bool)>,
    /// Weight and seconds of the last blocks that transactions waited for.
    blocks: VecDeque<(f64, f64)>,
    /// Seconds that a block takes however light it is.
    least: f64,
}

impl Rate {
    /// Takes note of a block that is durable now; answers the seconds it took if that tells anything.
    pub(super) fn note(&mut self, now: Instant, weight: u64, are_waiting: bool) -> Option<f64> {
        let (since, was_waiting) = self.last.replace((now, are_waiting))?;
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        if !was_waiting || weight == 0 || seconds <= 0.0 {
            return None;
        }
        if self.blocks.len() == SAMPLES {
            self.blocks.pop_front();
        }
        self.blocks.push_back((real(weight), seconds));
        Some(seconds)
    }

    /// Seconds that a block takes however light it is, and for each unit of weight. Where all of the last blocks weigh about
    /// the same, the first is what was known before.
    pub(super) fn measure(&mut self) -> (f64, f64) {
        let blocks: Vec<_> = self.blocks.iter().copied().collect();
        let (slopes, usual) = (slopes(&blocks), median(blocks.iter().map(|(_, seconds)| *seconds).collect()));
        let light = blocks.iter().filter(|(weight, _)| *weight <= real(LIGHT_MAX)).count();
        if !slopes.is_empty() && slopes.len() >= blocks.len() / 2 {
            let slope = median(slopes).max(0.0);
            self.least = median(blocks.iter().map(|(weight, seconds)| seconds - slope * weight).collect());
        } else if light > blocks.len() / 2 {
            self.least = usual;
        }
        // A part is left for the weight, however little it seems to matter.
        self.least = self.least.clamp(0.0, LEAST_PART_MAX * usual);
        let per_weight =
            median(blocks.iter().map(|(weight, seconds)| (seconds - self.least) / weight).collect());
        (self.least, per_weight.max(0.0))
    }
}

/// Seconds for each unit of weight, from each two blocks whose weights are far enough apart (Theil and Sen).
fn slopes(blocks: &[(f64, f64)]) -> Vec<f64> {
    let mut slopes = Vec::new();
    for (at, (weight, seconds)) in blocks.iter().enumerate() {
        for (other, other_seconds) in blocks.iter().take(at) {
            if weight.max(*other) >= weight.min(*other) * WEIGHTS_APART {
                slopes.push((seconds - other_seconds) / (weight - other));
            }
        }
    }
    slopes
}

/// The smaller of the middle two where there is no middle; 0 of nothing.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

#[expect(clippy::cast_precision_loss, reason = "an estimate; weights are far below 2^52")]
pub(super) fn real(weight: u64) -> f64 {
    weight as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const KIB: u64 = 1 << 10;

    /// After blocks of this many KiB and milliseconds, for all of which transactions waited.
    fn after(blocks: &[(u64, u64)]) -> (f64, f64) {
        let (mut now, mut rate) = (Instant::now(), Rate::default());
        rate.note(now, 1, true);
        for (weight, millis) in blocks {
            now += Duration::from_millis(*millis);
            assert!(rate.note(now, weight * KIB, true).is_some());
            rate.measure();
        }
        rate.measure()
    }

    fn assert_measured((least, per_weight): (f64, f64), least_millis: f64, millis_per_kib: f64) {
        let found = (least * 1e3, per_weight * 1e3 * real(KIB));
        let near = |found: f64, expected: f64| (found - expected).abs() <= expected * 0.05 + 0.001;
        assert!(near(found.0, least_millis) && near(found.1, millis_per_kib), "{found:?}");
    }

    #[test]
    fn blocks_of_different_weights_tell_both_times() {
        assert_measured(after(&[(100, 150), (200, 250)]), 50.0, 1.0);
        assert_measured(after(&[(100, 150), (200, 250), (50, 100), (300, 350), (100, 152)]), 50.0, 1.0);
    }

    #[test]
    fn blocks_of_one_weight_tell_the_time_for_it_and_the_rest_is_remembered() {
        assert_measured(after(&[(200, 250); 8]), 0.0, 1.25);
        assert_measured(after(&[(50, 100); 8]), 75.0, 0.5);
        let mut blocks = vec![(100, 150), (200, 250)];
        blocks.extend([(200, 250); 40]);
        assert_measured(after(&blocks), 50.0, 1.0);
        // The rest cannot be longer than a whole block.
        let mut blocks = vec![(100, 1_050), (200, 1_100)];
        blocks.extend([(200, 250); 40]);
        assert!(after(&blocks).0 < 0.25);
    }

    #[test]
    fn a_block_in_four_that_was_held_up_changes_nothing() {
        let mut blocks = vec![(100, 150), (200, 250), (150, 200), (300, 350)];
        for round in 0..8 {
            blocks.extend([(100 + 10 * round, 3_000), (200, 250), (100, 150), (120, 170)]);
        }
        assert_measured(after(&blocks), 50.0, 1.0);
    }

    #[test]
    fn a_block_tells_nothing_if_nothing_had_waited_for_it() {
        let (mut now, mut rate) = (Instant::now(), Rate::default());
        let mut note = |weight, are_waiting| {
            now += Duration::from_millis(100);
            rate.note(now, weight, are_waiting).is_some()
        };
        assert!(!note(KIB, true), "the first");
        assert!(note(KIB, false));
        assert!(!note(KIB, true), "nothing had waited");
        assert!(!note(0, true), "nothing is in it");
        assert!(note(KIB, true));
    }
}
