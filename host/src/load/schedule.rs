//! When the requests of an open loop are due.
//!
//! The schedule is fixed before anything is sent: how fast the network answers does not move it. That is what makes the
//! latency of a slow network visible (no coordinated omission).

use std::time::Duration;

use super::plan::Arrival;
use super::random::Random;

/// The moments, from the beginning of the run on, at which requests are due; endless.
#[derive(Debug)]
pub(super) struct Schedule {
    rate: f64,
    arrival: Arrival,
    random: Random,
    number: u64,
    seconds: f64,
}

/// The stream of random numbers that arrivals take.
const STREAM: u64 = u64::MAX;

/// Later than any run lasts; much later moments overflow clocks.
const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);

impl Schedule {
    /// So many requests a second.
    pub(super) fn new(rate: f64, arrival: Arrival, seed: u64) -> Self {
        Self { rate, arrival, random: Random::new(seed, STREAM), number: 0, seconds: 0.0 }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let due = match self.arrival {
            // By its number and not from the one before: rounding errors do not add up.
            Arrival::Constant => self.number as f64 / self.rate,
            Arrival::Poisson => {
                // The gaps of a Poisson process are exponentially distributed.
                self.seconds -= (1.0 - self.random.fraction()).ln() / self.rate;
                self.seconds
            }
        };
        self.number = self.number.saturating_add(1);
        Some(Duration::try_from_secs_f64(due).unwrap_or(FAR).min(FAR))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_arrivals_are_evenly_spaced_and_do_not_drift() {
        let mut schedule = Schedule::new(3.0, Arrival::Constant, 0);
        assert_eq!(schedule.next(), Some(Duration::ZERO));
        assert_eq!(schedule.nth(3 * 1_000_000 - 1), Some(Duration::from_secs(1_000_000)));
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread_of_a_poisson_process() {
        let due: Vec<f64> =
            Schedule::new(1000.0, Arrival::Poisson, 7).take(100_000).map(|due| due.as_secs_f64()).collect();
        assert!(due.is_sorted());
        let gaps: Vec<f64> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        // Of an exponential distribution, the standard deviation is the mean.
        assert!((mean * 1000.0 - 1.0).abs() < 0.02, "{mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "{variance}");
    }

    #[test]
    fn a_seed_decides_the_arrivals() {
        let due = |seed| Schedule::new(10.0, Arrival::Poisson, seed).take(5).collect::<Vec<_>>();
        assert_eq!(due(1), due(1));
        assert_ne!(due(1), due(2));
    }
}
