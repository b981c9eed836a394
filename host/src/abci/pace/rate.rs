//! How fast the network decides, measured from commit to commit: a block takes some time however light it is, and some for
//! each unit of weight.
//!
//! The two are kept apart because only the second can be changed: where votes alone take a second, small blocks would cost
//! throughput and gain nothing. A block tells something only if transactions were waiting for it, or its time is the
//! producers' pauses. The first comes from light blocks alone: on a busy machine a heavy block's work runs on into the time of the
//! next one, so that weights and times seem to have little to do with each other. For the same reason the second comes from pairs of
//! neighbours. It is their median, and no block counts for more than twice the usual time: some may have waited for a dead proposer,
//! or for a stopped process.

use std::collections::VecDeque;
use std::time::Instant;

/// Blocks that the figures come from. If every fourth is slow, half of their eight pairs are good.
const SAMPLES: usize = 9;

/// Weight of a block that tells what any block takes, at most. Nodes propose one now and then, to learn this.
pub(super) const LIGHT_MAX: u64 = 96 << 10;

/// Part of a block's time that is said to be the same however light it is, at most.
const LEAST_PART_MAX: f64 = 0.75;

/// The last measurements.
#[derive(Default)]
pub(super) struct Rate {
    /// The last commit, and whether anything waited after it.
    last: Option<(Instant, bool)>,
    /// Weight and seconds of the last blocks that transactions waited for.
    blocks: VecDeque<(f64, f64)>,
    /// The same of the last such blocks that were light.
    light: VecDeque<(f64, f64)>,
}

impl Rate {
    /// Takes note of a block that is durable now; answers the seconds it took if that tells anything.
    pub(super) fn note(&mut self, now: Instant, weight: u64, are_waiting: bool) -> Option<f64> {
        let (since, was_waiting) = self.last.replace((now, are_waiting))?;
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        if !was_waiting || weight == 0 || seconds <= 0.0 {
            return None;
        }
        let block = (real(weight), seconds);
        push(&mut self.blocks, block);
        if weight <= LIGHT_MAX {
            push(&mut self.light, block);
        }
        Some(seconds)
    }

    /// Whether it has all the blocks that it can have.
    pub(super) fn is_full(&self) -> bool {
        self.blocks.len() == SAMPLES
    }

    /// Seconds that a block takes however light it is, as far as light ones have told, and for each unit of weight.
    pub(super) fn measure(&self) -> (f64, f64) {
        let usual = median(self.blocks.iter().map(|(_, seconds)| *seconds).collect());
        let (light, of_light) = self.light_block();
        // A part is left for the weight, however little it seems to matter.
        let of_light = of_light.min(LEAST_PART_MAX * usual);
        // What a block takes beyond a light one comes from its weight beyond that one's.
        let of_weight = |(weight, seconds): (f64, f64)| (seconds - of_light) / (weight - light);
        let heavier = self.pairs(2.0 * usual).into_iter().filter(|(weight, _)| *weight >= 2.0 * light);
        let per_weight: Vec<f64> = heavier.map(of_weight).collect();
        if per_weight.is_empty() {
            let per_weight = self.blocks.iter().map(|(weight, seconds)| (seconds - of_light) / weight);
            return (of_light, median(per_weight.collect()).max(0.0));
        }
        let per_weight = median(per_weight).max(0.0);
        ((of_light - per_weight * light).max(0.0), per_weight)
    }

    /// Weight and seconds of a light block: the second quickest, since the quickest may be one that came right after another for once.
    fn light_block(&self) -> (f64, f64) {
        let mut light: Vec<(f64, f64)> = self.light.iter().copied().collect();
        light.sort_by(|one, other| one.1.total_cmp(&other.1));
        light.get(1).or(light.first()).copied().unwrap_or_default()
    }

    /// Mean weight and seconds of each two neighbours, of which none counts for more than so many seconds.
    fn pairs(&self, seconds_max: f64) -> Vec<(f64, f64)> {
        let blocks: Vec<(f64, f64)> =
            self.blocks.iter().map(|(weight, seconds)| (*weight, seconds.min(seconds_max))).collect();
        if blocks.len() < 2 {
            return blocks;
        }
        blocks.windows(2).map(|two| ((two[0].0 + two[1].0) / 2.0, (two[0].1 + two[1].1) / 2.0)).collect()
    }
}

/// Adds a sample, of which so many are kept.
fn push<T>(samples: &mut VecDeque<T>, sample: T) {
    if samples.len() == SAMPLES {
        samples.pop_front();
    }
    samples.push_back(sample);
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
        }
        rate.measure()
    }

    fn assert_measured((least, per_weight): (f64, f64), least_millis: f64, millis_per_kib: f64) {
        let found = (least * 1e3, per_weight * 1e3 * real(KIB));
        let near = |found: f64, expected: f64| (found - expected).abs() <= expected * 0.05 + 0.001;
        assert!(near(found.0, least_millis) && near(found.1, millis_per_kib), "{found:?}");
    }

    #[test]
    fn light_blocks_tell_what_any_block_takes_and_heavy_ones_the_time_for_weight() {
        assert_measured(after(&[(1, 51), (200, 250), (200, 250)]), 50.0, 1.0);
        assert_measured(after(&[(64, 114), (200, 250), (200, 250), (200, 250)]), 50.0, 1.0);
        let mut blocks = vec![(1, 51), (2, 80), (1, 51)];
        blocks.extend([(200, 250); 40]);
        assert_measured(after(&blocks), 50.0, 1.0);
        assert_measured(after(&[(200, 250); 8]), 0.0, 1.25);
        // Any block takes no longer than these.
        let mut blocks = vec![(1, 1_050); 8];
        blocks.extend([(200, 250); 8]);
        assert_measured(after(&blocks), 187.5, 0.3125);
    }

    #[test]
    fn heavy_blocks_whose_work_runs_on_into_the_next_do_not_look_like_slow_votes() {
        let mut blocks = vec![(1, 40)];
        for _ in 0..5 {
            blocks.extend([(10_000, 900), (2_000, 1_300), (4_000, 950)]);
        }
        let (least, per_weight) = after(&blocks);
        assert!(least < 0.05 && per_weight > 0.0, "{least}, {per_weight}");
    }

    #[test]
    fn a_network_that_became_slower_or_faster_is_told_by_new_light_blocks() {
        let mut blocks = vec![(1, 40); 20];
        blocks.extend([(64, 1_264); SAMPLES]);
        assert_measured(after(&blocks), 948.0, 4.9375);
        // The second of two.
        blocks.extend([(64, 70), (64, 80)]);
        assert!((after(&blocks).0 - 0.08).abs() < 1e-9);
    }

    #[test]
    fn one_light_block_that_came_at_once_changes_nothing() {
        assert_measured(
            after(&[(1, 201), (1, 5), (1, 211), (300, 500), (300, 500), (300, 500), (300, 500)]),
            200.0,
            1.0,
        );
    }

    #[test]
    fn a_block_in_four_that_was_held_up_changes_nothing_at_any_time() {
        let mut blocks = vec![(1, 50), (1, 50)];
        for round in 0..8 {
            for block in [(100 + 10 * round, 3_000), (200, 250), (100, 150), (120, 170)] {
                blocks.push(block);
                if round > 2 {
                    assert_measured(after(&blocks), 50.0, 1.0);
                }
            }
        }
    }

    #[test]
    fn nearly_half_of_the_blocks_may_be_held_up_without_much_effect() {
        let mut blocks = vec![(1, 50), (1, 50)];
        for _ in 0..8 {
            blocks.extend([(200, 250), (200, 3_000), (200, 250), (200, 250), (200, 3_000)]);
        }
        let (_, per_weight) = after(&blocks);
        assert!((1.0..2.0).contains(&(per_weight * 1e3 * real(KIB))), "{per_weight}");
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
