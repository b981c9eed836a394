//! What one look cannot tell: for how long a node has had work and no block, or been behind its peers.

use std::time::{Duration, Instant};

/// A node's height over time.
#[derive(Debug)]
pub(super) struct Trends {
    height: u64,
    /// Since when there has been work all the time, and no block.
    stalled: Option<Instant>,
    /// Since when most peers have been ahead all the time, and no block came.
    behind: Option<Instant>,
    /// When the last block came; none: none came since this began.
    block: Option<Instant>,
}

impl Trends {
    /// Begins at a height.
    pub(super) fn at(height: u64) -> Self {
        Self { height, stalled: None, behind: None, block: None }
    }

    /// Takes what was seen now; `ahead`: by how many blocks most peers are, at least.
    ///
    /// Returns for how long work has waited, and by how many blocks and for how long peers have been ahead.
    pub(super) fn take(
        &mut self,
        height: u64,
        has_work: bool,
        ahead: u64,
        now: Instant,
    ) -> (Option<Duration>, Option<(u64, Duration)>) {
        if height != self.height {
            *self = Self { block: Some(now), ..Self::at(height) };
        }
        self.stalled = if has_work { self.stalled.or(Some(now)) } else { None };
        // A block that a peer has some milliseconds earlier ends it.
        self.behind = if ahead > 0 { self.behind.or(Some(now)) } else { None };
        let since = |then: Option<Instant>| then.map(|then| now.saturating_duration_since(then));
        (since(self.stalled), since(self.behind).map(|since| (ahead, since)))
    }

    /// How long ago the last block came, if one came.
    pub(super) fn block_age(&self, now: Instant) -> Option<Duration> {
        self.block.map(|then| now.saturating_duration_since(then))
    }
}

/// By how many blocks more than half of these heights are ahead of this one, at least.
pub(super) fn ahead_of(height: u64, mut others: Vec<u64>) -> u64 {
    others.sort_unstable_by(|a, b| b.cmp(a));
    // With this one, all before it, more than half, are at least as high.
    others.get(others.len() / 2).map_or(0, |other| other.saturating_sub(height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_age_of_the_last_block_is_known_once_one_came() {
        let (mut trends, begin) = (Trends::at(7), Instant::now());
        let mut at = |second, height| {
            let now = begin + Duration::from_secs(second);
            trends.take(height, false, 0, now);
            trends.block_age(now).map(|age| age.as_secs())
        };
        assert_eq!(
            [at(0, 7), at(5, 7), at(6, 8), at(9, 8), at(10, 9)],
            [None, None, Some(0), Some(3), Some(0)]
        );
    }

    #[test]
    fn work_that_waits_is_counted_from_its_start_and_a_block_ends_it() {
        let (mut trends, begin) = (Trends::at(7), Instant::now());
        let mut at = |second, height, has_work| {
            trends.take(height, has_work, 0, begin + Duration::from_secs(second)).0.map(|d| d.as_secs())
        };
        assert_eq!(at(0, 7, false), None);
        assert_eq!((at(5, 7, true), at(9, 7, true)), (Some(0), Some(4)));
        assert_eq!((at(10, 8, true), at(11, 8, true)), (Some(0), Some(1)), "a block came");
        assert_eq!((at(12, 8, false), at(13, 8, true)), (None, Some(0)), "no work in between");
    }

    #[test]
    fn a_node_is_behind_while_most_peers_are_ahead_and_it_gets_no_block() {
        let (mut trends, begin) = (Trends::at(7), Instant::now());
        let mut at = |second, height, ahead| {
            let (_, behind) = trends.take(height, false, ahead, begin + Duration::from_secs(second));
            behind.map(|(blocks, since)| (blocks, since.as_secs()))
        };
        assert_eq!((at(0, 7, 0), at(1, 7, 1), at(9, 7, 3)), (None, Some((1, 0)), Some((3, 8))));
        assert_eq!((at(10, 8, 5), at(11, 8, 0)), (Some((5, 0)), None));
    }

    #[test]
    fn a_minority_that_says_it_is_ahead_is_not_believed() {
        assert_eq!(ahead_of(7, vec![]), 0);
        assert_eq!(ahead_of(7, vec![9]), 2);
        assert_eq!(ahead_of(7, vec![u64::MAX, 7]), 0);
        assert_eq!(ahead_of(7, vec![7, u64::MAX, 7]), 0);
        assert_eq!(ahead_of(7, vec![9, 12, 7]), 2);
        assert_eq!(ahead_of(7, vec![9, 12, 7, 6]), 0);
        assert_eq!(ahead_of(7, vec![9, 12, 10, 6]), 2);
    }
}
