//! The pauses between restarts.

use std::time::Duration;

const BACKOFF_FIRST: Duration = Duration::from_millis(250);

/// Pauses that double up to a bound, and start over when the node was healthy in between.
#[derive(Debug)]
pub(super) struct Backoff {
    pause: Duration,
    max: Duration,
    /// In a row.
    pub(super) failures: u32,
}

impl Backoff {
    pub(super) fn new(max: Duration) -> Self {
        Self { pause: BACKOFF_FIRST, max, failures: 0 }
    }

    pub(super) fn next(&mut self, lived: Duration, healthy: Duration) -> Duration {
        if lived >= healthy {
            *self = Self::new(self.max);
        }
        self.failures = self.failures.saturating_add(1);
        let pause = self.pause.min(self.max);
        self.pause = self.pause.saturating_mul(2).min(self.max);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::supervisor::{HEALTHY, HEALTHY_BEFORE_STUCK};

    #[test]
    fn pauses_double_up_to_the_bound_and_start_over_after_a_healthy_minute() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        let brief = Duration::from_secs(59);
        let pauses: Vec<_> = (0..4).map(|_| backoff.next(brief, HEALTHY).as_millis()).collect();
        assert_eq!((pauses.as_slice(), backoff.failures), ([250, 500, 1000, 1000].as_slice(), 4));
        assert_eq!(backoff.next(HEALTHY, HEALTHY_BEFORE_STUCK).as_millis(), 1000);
        assert_eq!((backoff.next(HEALTHY, HEALTHY).as_millis(), backoff.failures), (250, 1));
        assert_eq!(backoff.next(brief, HEALTHY).as_millis(), 500);
    }
}
