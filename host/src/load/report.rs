//! What a run comes to: `docs/load.md` says how each figure is computed.

use std::time::SystemTime;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::ledger::{Closed, Counts, LATE, Outcome, Reason, Slot, histogram};
use super::plan::{Arrival, Format, Pace, Plan, Sizes, Via};
use super::verify::Verification;
use crate::utc;

/// A run of an open loop is invalid when more than this share of its requests were late.
pub const LATE_SHARE_MAX: f64 = 0.01;

/// What a run comes to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Id of the run, in each of its transactions.
    pub run: String,
    /// When it began, by RFC 3339.
    pub started: String,
    /// What was offered, and how.
    pub offered: Offered,
    /// From when the first request was due to the last commit, in seconds.
    pub seconds: f64,
    /// Counts by outcome.
    pub counts: Counts,
    /// Committed transactions a second.
    pub tx_per_second: f64,
    /// Their bytes a second, in units of 1,000,000.
    pub mb_per_second: f64,
    /// From due to committed.
    pub latency: Option<Latency>,
    /// From due to the node's answer that it took the transaction.
    pub answer: Option<Latency>,
    /// Each code with which transactions were rejected.
    pub rejected: Vec<Because>,
    /// Why requests failed.
    pub failed: Vec<Because>,
    /// Why requests were unknown when their time was over.
    pub unknown: Vec<Because>,
    /// How well the generator kept to the plan.
    pub generator: Generator,
    /// Shares of each node.
    pub nodes: Vec<NodeShare>,
    /// Whether somebody ended the run before its end.
    pub stopped_early: bool,
    /// What was found in the sequences; none: it was not done.
    pub verification: Option<Verification>,
}

/// What was offered, and how.
#[derive(Clone, Debug, Serialize)]
pub struct Offered {
    /// `closed` or `open`.
    #[serde(rename = "loop")]
    pub kind: &'static str,
    /// Of an open loop, transactions a second.
    pub rate: Option<f64>,
    /// Of an open loop, how they are spread.
    pub arrival: Option<Arrival>,
    /// Maximum number of transactions offered and not decided.
    pub concurrency: u64,
    /// Sizes of transactions in bytes.
    pub size: Sizes,
    /// What they look like.
    pub format: Format,
    /// How long to wait for one, in seconds.
    pub timeout: f64,
    /// Seed of sizes, filler and arrivals.
    pub seed: u64,
    /// How they got to the nodes.
    pub via: &'static str,
}

/// Percentiles of latencies, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// The smallest.
    pub min: f64,
    /// The average.
    pub mean: f64,
    /// The median.
    pub p50: f64,
    /// The 90th percentile.
    pub p90: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The 99.9th percentile.
    #[serde(rename = "p99.9")]
    pub p999: f64,
    /// The largest.
    pub max: f64,
}

/// A reason, and how many requests it is the reason for.
#[derive(Clone, Debug, Serialize)]
pub struct Because {
    /// The reason.
    #[serde(flatten)]
    pub reason: Reason,
    /// Number of requests.
    pub count: u64,
}

/// How well the generator kept to the plan.
#[derive(Clone, Debug, Serialize)]
pub struct Generator {
    /// Whether the figures are the network's, and not the generator's.
    pub valid: bool,
    /// Why not.
    pub invalid_because: Option<String>,
    /// Requests that were sent more than 10 ms after they were due.
    pub late: u64,
    /// From due to sent.
    pub lag: Option<Latency>,
}

/// A node's share.
#[derive(Clone, Debug, Serialize)]
pub struct NodeShare {
    /// Host and port.
    pub node: String,
    /// Requests to it.
    pub offered: u64,
    /// Committed of these.
    pub committed: u64,
    /// The same a second.
    pub tx_per_second: f64,
    /// Their latency.
    pub latency: Option<Latency>,
}

impl Latency {
    /// Of a histogram of microseconds; none if it is empty.
    #[must_use]
    pub fn of(micros: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| millis(micros.value_at_quantile(quantile));
        (!micros.is_empty()).then(|| Self {
            min: millis(micros.min()),
            mean: micros.mean() / 1000.0,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: millis(micros.max()),
        })
    }
}

pub(super) fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

fn histogram_of(slots: &[Slot], value: impl Fn(&Slot) -> Option<u64>) -> Histogram<u64> {
    let mut all = histogram();
    slots.iter().filter_map(value).for_each(|micros| all.saturating_record(micros.max(1)));
    all
}

impl Report {
    pub(super) fn of(plan: &Plan, run: u64, began: SystemTime, closed: &Closed, stopped_early: bool) -> Self {
        let Closed { slots, counts, latencies, last_commit, .. } = closed;
        let first_due = slots.first().map_or(0, |slot| slot.due);
        let seconds = last_commit.saturating_sub(first_due) as f64 / 1e6;
        let per_second = |amount: f64| if seconds > 0.0 { amount / seconds } else { 0.0 };
        let committed = |slot: &&Slot| matches!(slot.outcome, Outcome::Committed { late: false, .. });
        let bytes: u64 = slots.iter().filter(committed).map(|slot| u64::from(slot.size)).sum();
        let share = |(node, address): (u16, &_)| {
            let of_node = || slots.iter().filter(move |slot| slot.node == node);
            let committed = of_node().filter(committed).count() as u64;
            let mut latencies = histogram();
            of_node()
                .filter_map(Slot::committed)
                .for_each(|micros| latencies.saturating_record(micros.max(1)));
            NodeShare {
                node: format!("{address}"),
                offered: of_node().count() as u64,
                committed,
                tx_per_second: per_second(committed as f64),
                latency: Latency::of(&latencies),
            }
        };
        let (kind, rate, arrival) = match plan.pace {
            Pace::Closed => ("closed", None, None),
            Pace::Open { rate, arrival } => ("open", Some(rate), Some(arrival)),
        };
        Self {
            run: format!("{run:016x}"),
            started: utc::text(began),
            offered: Offered {
                kind,
                rate,
                arrival,
                concurrency: plan.concurrency,
                size: plan.sizes,
                format: plan.format,
                timeout: plan.timeout.as_secs_f64(),
                seed: plan.seed,
                via: match plan.via {
                    Via::Rpc => "CometBFT RPC (broadcast_tx_sync)",
                    Via::Http => "HTTP (POST /v1/submit)",
                },
            },
            seconds,
            counts: *counts,
            tx_per_second: per_second(counts.committed as f64),
            mb_per_second: per_second(bytes as f64) / 1e6,
            latency: Latency::of(latencies),
            answer: Latency::of(&histogram_of(slots, Slot::answered)),
            rejected: because(closed, |outcome| match outcome {
                Outcome::Rejected(reason) => Some(reason),
                _ => None,
            }),
            failed: because(closed, |outcome| match outcome {
                Outcome::Failed(reason) => Some(reason),
                _ => None,
            }),
            unknown: unknown(closed),
            generator: Generator::of(slots, rate.is_some()),
            nodes: (0..).zip(&plan.nodes).map(share).collect(),
            stopped_early,
            verification: None,
        }
    }

    /// Whether the run is valid, something was committed, and every promise was kept.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.generator.valid
            && self.counts.committed > 0
            && self.verification.as_ref().is_some_and(Verification::is_good)
    }
}

impl Generator {
    fn of(slots: &[Slot], open: bool) -> Self {
        let lag = histogram_of(slots, Slot::lag);
        let late_after = u64::try_from(LATE.as_micros()).unwrap_or(u64::MAX);
        // One that never got a connection has no lag, and was certainly late.
        let is_late = |slot: &&Slot| match slot.lag() {
            Some(lag) => lag > late_after,
            None => matches!(slot.outcome, Outcome::Unknown(_)),
        };
        let late = slots.iter().filter(is_late).count() as u64;
        let share = late as f64 / (slots.len().max(1)) as f64;
        let invalid = open && share > LATE_SHARE_MAX;
        let why = || {
            format!(
                "the generator could not keep the rate: {:.1} % of the requests left more than {} ms after they were due \
                 (at most {} % may)",
                share * 100.0,
                LATE.as_millis(),
                LATE_SHARE_MAX * 100.0
            )
        };
        Self { valid: !invalid, invalid_because: invalid.then(why), late, lag: Latency::of(&lag) }
    }
}

fn because(closed: &Closed, of: impl Fn(Outcome) -> Option<u16>) -> Vec<Because> {
    let mut counts = vec![0_u64; closed.reasons.len()];
    for reason in closed.slots.iter().filter_map(|slot| of(slot.outcome)) {
        counts[usize::from(reason)] += 1;
    }
    let all = closed.reasons.iter().zip(counts).filter(|(_, count)| *count > 0);
    let mut all: Vec<Because> =
        all.map(|(reason, count)| Because { reason: reason.clone(), count }).collect();
    all.sort_by_key(|because| std::cmp::Reverse(because.count));
    all
}

/// Why requests were unknown. Of those that were committed after all, the reason is not kept.
fn unknown(closed: &Closed) -> Vec<Because> {
    let mut all = because(closed, |outcome| match outcome {
        Outcome::Unknown(reason) => Some(reason),
        _ => None,
    });
    let late = |slot: &&Slot| matches!(slot.outcome, Outcome::Committed { late: true, .. });
    let count = closed.slots.iter().filter(late).count() as u64;
    if count > 0 {
        let reason = Reason { code: None, words: "seen in a block after their time was over".to_owned() };
        all.push(Because { reason, count });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_values_within_a_tenth_of_a_percent() {
        let mut micros = histogram();
        assert!(Latency::of(&micros).is_none());
        (1..=10_000_u64).for_each(|value| micros.saturating_record(value * 100));
        let latency = Latency::of(&micros).unwrap();
        let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 0.001;
        assert!(
            near(latency.p50, 500.0) && near(latency.p90, 900.0) && near(latency.p99, 990.0),
            "{latency:?}"
        );
        assert!(
            near(latency.p999, 999.0) && near(latency.max, 1000.0) && near(latency.min, 0.1),
            "{latency:?}"
        );
    }
}
