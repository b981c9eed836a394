//! What a rate came to, and the goals.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::load::{Answer, Load, Pace};

/// p99 latency under overload, in times that at half the sustained rate.
const LATENCY_FACTOR_MAX: f64 = 4.0;
/// At half the sustained rate one transaction in so many may be refused: a machine that is held up for half a second is no failure.
const REFUSED_ONE_IN: usize = 1_000;
/// Longest time without a block under overload, in milliseconds.
const GAP_MILLIS_MAX: f64 = 1_000.0;
/// Memory of all processes in the last third of the overload, in times that in the first.
const MEMORY_FACTOR_MAX: f64 = 1.15;
/// Share of a run's requests that may be answered so late that the generator was the limit.
const LATE_SHARE_MAX: f64 = 0.01;

/// What one rate came to. Times are in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) name: String,
    pub(crate) offered: usize,
    pub(crate) accepted: usize,
    pub(crate) refused: BTreeMap<String, usize>,
    pub(crate) unknown: usize,
    pub(crate) committed: usize,
    pub(crate) accepted_and_not_committed: usize,
    pub(crate) refused_and_committed: usize,
    pub(crate) committed_twice: usize,
    pub(crate) committed_per_second: f64,
    pub(crate) latency_p50: f64,
    pub(crate) latency_p99: f64,
    /// The same from when it was sent, which is late where all connections wait for answers.
    pub(crate) latency_p99_from_sent: f64,
    pub(crate) sent_after_due_p99: f64,
    pub(crate) refusal_p99: f64,
    pub(crate) longest_gap: f64,
    pub(crate) gap_p50: f64,
    pub(crate) memory_mib_first_third: f64,
    pub(crate) memory_mib_last_third: f64,
}

impl Figures {
    pub(crate) fn of(load: &Load, pace: Pace, duration: Duration, memory: &[u64]) -> Self {
        let name = match pace {
            Pace::Rate(rate) => format!("{rate:.0} transactions a second"),
            Pace::Window(window) => format!("{window} transactions accepted and not committed"),
        };
        let seen = |number: usize| load.seen.get(number).copied().unwrap_or((None, 0));
        let count = |is_it: &dyn Fn(&Answer, Option<Duration>) -> bool| {
            load.sent.iter().filter(|sent| is_it(&sent.answer, seen(sent.number).0)).count()
        };
        let mut refused = BTreeMap::new();
        for sent in &load.sent {
            if let Answer::Refused(status, name) = &sent.answer {
                *refused.entry(format!("{status} {name}")).or_default() += 1;
            }
        }
        let is_accepted = |answer: &Answer| *answer == Answer::Accepted;
        let accepted = load.sent.iter().filter(|sent| is_accepted(&sent.answer));
        let latencies = sorted(accepted.filter_map(|sent| Some(millis(seen(sent.number).0? - sent.due))));
        let refusals = load.sent.iter().filter(|sent| matches!(sent.answer, Answer::Refused(..)));
        let refusals = sorted(refusals.map(|sent| millis(sent.answered - sent.sent)));
        let lags = sorted(load.sent.iter().map(|sent| millis(sent.sent.saturating_sub(sent.due))));
        let accepted = load.sent.iter().filter(|sent| is_accepted(&sent.answer));
        let from_sent =
            accepted.filter_map(|sent| Some(millis(seen(sent.number).0?.saturating_sub(sent.sent))));
        let from_sent = sorted(from_sent);
        let blocks: Vec<f64> =
            load.blocks.iter().filter(|block| **block <= duration).map(|block| millis(*block)).collect();
        let last = blocks.last().copied().unwrap_or_default();
        let tail = (millis(duration) - last).max(0.0);
        let gaps = sorted(blocks.windows(2).map(|pair| pair[1] - pair[0]).chain([tail]));
        let in_time = load.seen.iter().filter(|(first, _)| first.is_some_and(|first| first <= duration));
        let third = memory.len() / 3;
        let mib = |samples: &[u64]| {
            samples.iter().sum::<u64>() as f64 / samples.len().max(1) as f64 / f64::from(1 << 20)
        };
        Self {
            name,
            offered: load.sent.len(),
            accepted: count(&|answer, _| is_accepted(answer)),
            refused,
            unknown: count(&|answer, _| *answer == Answer::Unknown),
            committed: load.seen.iter().filter(|(first, _)| first.is_some()).count(),
            accepted_and_not_committed: count(&|answer, seen| is_accepted(answer) && seen.is_none()),
            refused_and_committed: count(&|answer, seen| {
                matches!(answer, Answer::Refused(..)) && seen.is_some()
            }),
            committed_twice: load.seen.iter().filter(|(_, times)| *times > 1).count(),
            committed_per_second: in_time.count() as f64 / duration.as_secs_f64(),
            latency_p50: quantile(&latencies, 0.5),
            latency_p99: quantile(&latencies, 0.99),
            latency_p99_from_sent: quantile(&from_sent, 0.99),
            sent_after_due_p99: quantile(&lags, 0.99),
            refusal_p99: quantile(&refusals, 0.99),
            longest_gap: quantile(&gaps, 1.0),
            gap_p50: quantile(&gaps, 0.5),
            memory_mib_first_third: mib(&memory[..third]),
            memory_mib_last_third: mib(&memory[memory.len() - third..]),
        }
    }

    fn memory_factor(&self) -> f64 {
        self.memory_mib_last_third / self.memory_mib_first_third
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, offered, accepted, unknown, committed, .. } = self;
        let refused: Vec<String> =
            self.refused.iter().map(|(name, count)| format!(", {count} x {name}")).collect();
        writeln!(f, "{name}:")?;
        writeln!(f, "  {offered} offered, {accepted} accepted, {unknown} unknown{}", refused.concat())?;
        writeln!(
            f,
            "  {committed} committed, {:.0} a second; {} accepted and not committed, {} refused and committed, {} twice",
            self.committed_per_second,
            self.accepted_and_not_committed,
            self.refused_and_committed,
            self.committed_twice
        )?;
        writeln!(
            f,
            "  latency p50 {:.0} ms, p99 {:.0} ms ({:.0} ms from when it was sent, up to {:.0} ms late); refusals p99 {:.0} ms; blocks every {:.0} ms, longest gap {:.0} ms",
            self.latency_p50,
            self.latency_p99,
            self.latency_p99_from_sent,
            self.sent_after_due_p99,
            self.refusal_p99,
            self.gap_p50,
            self.longest_gap
        )?;
        write!(
            f,
            "  memory {:.0} MiB, then {:.0} MiB ({:.2})",
            self.memory_mib_first_third,
            self.memory_mib_last_third,
            self.memory_factor()
        )
    }
}

/// The goals that were missed, with limit and figure.
pub(crate) fn missed(half: &Figures, over: &Figures) -> Vec<String> {
    let mut missed = Vec::new();
    let factor = over.latency_p99 / half.latency_p99;
    println!("p99 latency under overload is {factor:.1} times that at half the rate");
    let mut goal = |is_met: bool, what: String| {
        if !is_met {
            missed.push(what);
        }
    };
    let refused: usize = half.refused.values().sum();
    let refused_max = half.offered / REFUSED_ONE_IN;
    goal(
        refused <= refused_max,
        format!("{refused} refused at half the sustained rate, {refused_max} at most"),
    );
    goal(
        factor <= LATENCY_FACTOR_MAX,
        format!("p99 is {factor:.1} times as long, {LATENCY_FACTOR_MAX} at most"),
    );
    let gap = over.longest_gap;
    goal(gap <= GAP_MILLIS_MAX, format!("no block for {gap:.0} ms, {GAP_MILLIS_MAX:.0} ms at most"));
    let memory = over.memory_factor();
    goal(memory <= MEMORY_FACTOR_MAX, format!("memory grew by {memory:.2}, {MEMORY_FACTOR_MAX} at most"));
    for figures in [half, over] {
        let Figures { accepted_and_not_committed: lost, refused_and_committed, committed_twice, .. } =
            figures;
        let wrong = lost + refused_and_committed + committed_twice;
        goal(
            wrong == 0,
            format!("{}: {wrong} transactions lost, doubled or not refused after all", figures.name),
        );
        let unknown = figures.unknown as f64;
        let is_valid = unknown <= LATE_SHARE_MAX * figures.offered as f64;
        goal(is_valid, format!("{}: {unknown} without an answer", figures.name));
    }
    missed
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The smallest value that such a share does not exceed; 0 of nothing.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank in a list")]
    let index = (rank as usize).saturating_sub(1);
    sorted.get(index).copied().unwrap_or(0.0)
}
