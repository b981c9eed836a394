//! The search for the rate that a network carries: open loops at rising rates until a bound breaks.

use std::time::Duration;

use super::report::{Latency, Report};

/// How much more each step offers than the one before.
const FACTOR: f64 = 1.5;
/// A step's achieved rate may be this share of the offered one.
pub const ACHIEVED_SHARE_MIN: f64 = 0.95;
/// How often the gap between the last rate that held and the first that broke is halved.
const REFINEMENTS: u32 = 2;

/// What broke first.
#[derive(Clone, Debug, PartialEq)]
pub enum Broken {
    /// The 99th percentile of latency.
    P99 {
        /// As measured, in milliseconds.
        found: f64,
        /// What was allowed, in milliseconds.
        max: f64,
    },
    /// The rate of commits.
    Rate {
        /// As measured, in transactions a second.
        achieved: f64,
        /// What was offered, in transactions a second.
        offered: f64,
    },
    /// Transactions were refused, or nobody knows what became of them.
    Outcomes {
        /// How many of each.
        rejected: u64,
        /// How many of each.
        failed: u64,
        /// How many of each.
        unknown: u64,
    },
    /// The generator could not offer so much: the network may carry more.
    Generator,
}

/// What a step broke, if anything.
#[must_use]
pub fn broken(report: &Report, p99_max: Duration) -> Option<Broken> {
    let counts = &report.counts;
    let offered = report.offered.rate.unwrap_or(0.0);
    if counts.rejected + counts.failed + counts.unknown > 0 {
        let (rejected, failed, unknown) = (counts.rejected, counts.failed, counts.unknown);
        return Some(Broken::Outcomes { rejected, failed, unknown });
    }
    let p99 = |latency: &Option<Latency>| latency.as_ref().map_or(0.0, |latency| latency.p99);
    let (found, max) = (p99(&report.latency), p99_max.as_secs_f64() * 1000.0);
    // The time to the first commit is latency, not a lower rate.
    let first = report.latency.as_ref().map_or(0.0, |latency| latency.min / 1000.0);
    let achieved = report.counts.committed as f64 / (report.seconds - first).max(1e-6);
    let broken = if found > max {
        Broken::P99 { found, max }
    } else if achieved < offered * ACHIEVED_SHARE_MIN {
        Broken::Rate { achieved, offered }
    } else {
        // A late generator makes latencies longer, so that what holds with one holds.
        return None;
    };
    let is_generators = !report.generator.valid && p99(&report.generator.lag) >= found / 2.0;
    Some(if is_generators { Broken::Generator } else { broken })
}

/// The rates to try, one after the other.
#[derive(Clone, Debug)]
pub struct Search {
    rate: f64,
    rate_max: f64,
    /// The highest rate that held.
    held: Option<f64>,
    /// The lowest that broke.
    broke: Option<f64>,
    refined: u32,
}

impl Search {
    /// From this rate on.
    #[must_use]
    pub fn from(rate: f64, rate_max: f64) -> Self {
        Self { rate, rate_max, held: None, broke: None, refined: 0 }
    }

    /// The rate to try now.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// The highest rate that held so far.
    #[must_use]
    pub fn held(&self) -> Option<f64> {
        self.held
    }

    /// Takes the outcome of the rate that was tried. Returns whether there is another to try.
    pub fn tried(&mut self, holds: bool) -> bool {
        if holds {
            self.held = Some(self.rate);
        } else {
            self.broke = Some(self.rate);
        }
        match (self.held, self.broke) {
            (Some(held), None) => {
                self.rate = round(held * FACTOR).min(self.rate_max);
                self.rate > held
            }
            (Some(held), Some(broke)) if self.refined < REFINEMENTS => {
                self.refined += 1;
                self.rate = round((held * broke).sqrt());
                self.rate > held && self.rate < broke
            }
            // Below the first rate there may be one that holds, but it was not asked for.
            _ => false,
        }
    }
}

/// Two digits, for people.
fn round(rate: f64) -> f64 {
    let unit = 10_f64.powf(rate.log10().floor() - 1.0);
    (rate / unit).round() * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(mut search: Search, carries: f64) -> (Vec<f64>, Option<f64>) {
        let mut tried = vec![search.rate()];
        while search.tried(search.rate() <= carries) {
            tried.push(search.rate());
        }
        (tried.into_iter().map(f64::round).collect(), search.held().map(f64::round))
    }

    #[test]
    fn rates_rise_until_one_breaks_and_the_gap_is_halved_twice() {
        let (tried, held) = rates(Search::from(100.0, 1e5), 400.0);
        assert_eq!(tried, [100.0, 150.0, 230.0, 350.0, 530.0, 430.0, 390.0]);
        assert_eq!(held, Some(390.0));
        assert_eq!(rates(Search::from(100.0, 1e5), 50.0), (vec![100.0], None));
        assert_eq!(rates(Search::from(100.0, 200.0), 1e9), (vec![100.0, 150.0, 200.0], Some(200.0)));
    }
}
