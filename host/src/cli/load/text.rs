//! What a run comes to, as text.

use crate::load::max::Broken;
use crate::load::plan::Sizes;
use crate::load::report::{Because, Latency, Report};
use crate::load::verify::Verification;
use crate::load::words::{broken, count, kept, ms, offered, rate};

/// Width of the first column.
const NAME: usize = 16;

/// The end of a run.
pub(super) fn summary(report: &Report) -> String {
    let counts = &report.counts;
    let mut lines = vec![offered(report), String::new()];
    let mb = rate(report.mb_per_second);
    lines.push(format!(
        "{:<NAME$}{:>10}   {} tx/s, {mb} MB/s over {:.1} s",
        "committed",
        count(counts.committed),
        rate(report.tx_per_second),
        report.seconds
    ));
    let mut group = |name: &str, total: u64, why: &[Because]| {
        lines.push(format!("{name:<NAME$}{:>10}", count(total)));
        for Because { reason, count: number } in why {
            let name = match &reason.code {
                Some((codespace, code)) => format!("{codespace} code {code}: {}", reason.words),
                None => reason.words.clone(),
            };
            lines.push(format!("  {:>24}   {name}", count(*number)));
        }
    };
    group("rejected", counts.rejected, &report.rejected);
    group("failed", counts.failed, &report.failed);
    group("unknown", counts.unknown, &report.unknown);
    lines.push(String::new());
    let rows = [
        ("latency", &report.latency),
        ("  node's answer", &report.answer),
        ("  sent after due", &report.generator.lag),
    ];
    lines.push(format!(
        "{:<NAME$}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "milliseconds", "p50", "p90", "p99", "p99.9", "max"
    ));
    for (name, latency) in rows {
        if let Some(Latency { p50, p90, p99, p999, max, .. }) = latency {
            let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(|value| ms(*value));
            lines.push(format!("{name:<NAME$}{p50:>10}{p90:>10}{p99:>10}{p999:>10}{max:>10}"));
        }
    }
    lines.push(String::new());
    if report.stopped_early {
        lines.push("The run was stopped before its end.".to_owned());
    }
    if let Some(why) = &report.generator.invalid_because {
        lines.push(format!("INVALID RUN: {why}."));
    }
    match &report.verification {
        None => lines.push("Not verified: the run was ended before.".to_owned()),
        Some(found) if found.is_good() => lines.push(kept(found)),
        Some(found) => {
            lines.push(broken(found));
            lines
                .extend(found.examples.iter().map(|problem| format!("  {}: {}", problem.node, problem.what)));
        }
    }
    lines.join("\n")
}

/// The heading of the steps of a search.
pub(super) fn step_heading() -> String {
    format!("{:>10}{:>12}{:>12}{:>12}   verified", "offered/s", "committed/s", "p50, ms", "p99, ms")
}

/// A step of a search.
pub(super) fn step(report: &Report, broke: Option<&Broken>) -> String {
    let of = |value: fn(&Latency) -> f64| {
        report.latency.as_ref().map_or("-".to_owned(), |latency| ms(value(latency)))
    };
    let verified = report.verification.as_ref().is_some_and(Verification::is_good);
    let broke = broke.map(|broke| format!("   {}", self::broke(broke))).unwrap_or_default();
    format!(
        "{:>10}{:>12}{:>12}{:>12}   {}{broke}",
        rate(report.offered.rate.unwrap_or_default()),
        rate(report.tx_per_second),
        of(|latency| latency.p50),
        of(|latency| latency.p99),
        if verified { "yes" } else { "NO" }
    )
}

/// What broke, in words.
pub(super) fn broke(broken: &Broken) -> String {
    match broken {
        Broken::P99 { found, max } => format!("p99 is {} ms, above {} ms", ms(*found), ms(*max)),
        Broken::Rate { achieved, offered } => {
            format!("only {} of {} tx/s are committed", rate(*achieved), rate(*offered))
        }
        Broken::Outcomes { rejected, failed, unknown } => {
            format!("{} rejected, {} failed, {} unknown", count(*rejected), count(*failed), count(*unknown))
        }
        Broken::Generator => "the generator could not send so many".to_owned(),
    }
}

/// What a search comes to.
pub(super) fn conclusion(
    held: Option<f64>,
    broke: Option<&(f64, Broken)>,
    sizes: Sizes,
    verified: bool,
) -> String {
    if !verified {
        return "A step was not verified: see above, and run it alone with --rate.".to_owned();
    }
    let size = if sizes.min == sizes.max {
        format!("{} bytes", count(sizes.min))
    } else {
        format!("{} to {} bytes", count(sizes.min), count(sizes.max))
    };
    let broke = broke.map(|(at, broken)| format!("at {} tx/s {}", rate(*at), self::broke(broken)));
    match (held, broke) {
        (Some(held), Some(broke)) => format!("Carries {} tx/s of {size}; {broke}.", rate(held)),
        (Some(held), None) => format!("Carries {} tx/s of {size}; nothing broke up to there.", rate(held)),
        (None, Some(broke)) => format!("Carries less than the first rate: {broke}. Begin lower with --rate."),
        (None, None) => "Stopped before the first step's end.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Counts;
    use crate::load::Reason;
    use crate::load::plan::{Arrival, Format};
    use crate::load::report::{Generator, NodeShare, Offered};
    use crate::load::verify::{Problem, ProblemKind, Resolved};

    fn latency(times: f64) -> Latency {
        let [p50, p90, p99, p999, max] = [2.345, 56.78, 912.3, 1_034.5, 29_876.4].map(|value| value * times);
        Latency { min: times, mean: times, p50, p90, p99, p999, max }
    }

    /// The report of an open loop to two nodes, in which all was committed.
    fn report() -> Report {
        let share = |node: &str| NodeShare {
            node: node.to_owned(),
            offered: 15_000,
            committed: 15_000,
            tx_per_second: 250.0,
            latency: None,
        };
        let nodes = vec![share("a:26657"), share("b:26657")];
        Report {
            run: "00000000000000ab".to_owned(),
            started: "2026-01-31T12:00:00Z".to_owned(),
            offered: Offered {
                kind: "open",
                rate: Some(500.0),
                arrival: Some(Arrival::Poisson),
                concurrency: 5000,
                size: Sizes { min: 100, max: 4096 },
                format: Format::Text,
                timeout: 30.0,
                seed: 1,
                via: "CometBFT RPC (broadcast_tx_sync)",
            },
            seconds: 60.04,
            counts: Counts { offered: 30_000, committed: 30_000, ..Counts::default() },
            tx_per_second: 499.7,
            mb_per_second: 1.04,
            latency: Some(latency(1.0)),
            answer: Some(latency(0.1)),
            rejected: Vec::new(),
            failed: Vec::new(),
            unknown: Vec::new(),
            generator: Generator { valid: true, invalid_because: None, late: 0, lag: Some(latency(0.001)) },
            stopped_early: false,
            verification: Some(Verification {
                nodes: nodes.iter().map(|share| share.node.clone()).collect(),
                told_committed: 30_000,
                records: 30_000,
                ..Verification::default()
            }),
            nodes,
        }
    }

    /// The same, in which much went wrong.
    fn bad_report() -> Report {
        let because = |code: Option<(&str, u32)>, words: &str, count| Because {
            reason: Reason {
                code: code.map(|(space, code)| (space.to_owned(), code)),
                words: words.to_owned(),
            },
            count,
        };
        let mut report = report();
        report.counts =
            Counts { offered: 30_000, committed: 12_345, rejected: 9_001, failed: 8_650, unknown: 4 };
        (report.tx_per_second, report.mb_per_second) = (205.6, 0.428);
        report.rejected = vec![
            because(Some(("plugin/json", 7)), "no object", 9_000),
            because(Some(("dseq", 2)), "too large", 1),
        ];
        report.failed = vec![because(None, "mempool is full", 8_650)];
        report.unknown = vec![because(None, "seen in a block after their time was over", 4)];
        (report.answer, report.stopped_early) = (None, true);
        report.generator.invalid_because = Some("the generator could not keep the rate".to_owned());
        let found = report.verification.as_mut().unwrap();
        found.problems = [(ProblemKind::Lost, 2), (ProblemKind::Disagreement, 1)].into();
        found.resolved = Resolved { committed: 3, absent: 0, open: 1 };
        let what = "transaction 7 is not there".to_owned();
        found.examples = vec![Problem { kind: ProblemKind::Lost, node: "b:26657".to_owned(), what }];
        report
    }

    fn assert_shows(found: &str, expected: &str) {
        assert_eq!(found, expected.trim_matches('\n'), "it shows:\n{found}");
    }

    #[test]
    fn a_good_run() {
        assert_shows(&summary(&report()), "
30,000 transactions of 100 to 4,096 bytes to 2 nodes, open loop at 500 tx/s (poisson arrivals)

committed           30,000   500 tx/s, 1.0 MB/s over 60.0 s
rejected                 0
failed                   0
unknown                  0

milliseconds           p50       p90       p99     p99.9       max
latency               2.35      56.8       912     1,034    29,876
  node's answer       0.23      5.68      91.2       103     2,988
  sent after due      0.00      0.06      0.91      1.03      29.9

Verified: each of the 30,000 committed transactions is in the sequence of both nodes exactly once, where its receipt says.
");
    }

    #[test]
    fn a_bad_run_says_what_went_wrong_and_why() {
        assert_shows(&summary(&bad_report()), "
30,000 transactions of 100 to 4,096 bytes to 2 nodes, open loop at 500 tx/s (poisson arrivals)

committed           12,345   206 tx/s, 0.428 MB/s over 60.0 s
rejected             9,001
                     9,000   plugin/json code 7: no object
                         1   dseq code 2: too large
failed               8,650
                     8,650   mempool is full
unknown                  4
                         4   seen in a block after their time was over

milliseconds           p50       p90       p99     p99.9       max
latency               2.35      56.8       912     1,034    29,876
  sent after due      0.00      0.06      0.91      1.03      29.9

The run was stopped before its end.
INVALID RUN: the generator could not keep the rate.
Verification failed: 2 lost, 1 node with other records than the first, 1 unknown that a mempool may still hold.
  b:26657: transaction 7 is not there
");
        let mut ended = bad_report();
        ended.verification = None;
        assert!(summary(&ended).ends_with("\nNot verified: the run was ended before."));
    }

    #[test]
    fn the_steps_of_a_search_stand_in_columns() {
        let mut first = report();
        first.latency = None;
        let broke = Broken::Outcomes { rejected: 9_001, failed: 8_650, unknown: 4 };
        let steps = [step_heading(), step(&first, None), step(&bad_report(), Some(&broke))];
        assert_shows(
            &steps.join("\n"),
            "
 offered/s committed/s     p50, ms     p99, ms   verified
       500         500           -           -   yes
       500         206        2.35         912   NO   9,001 rejected, 8,650 failed, 4 unknown
",
        );
    }

    #[test]
    fn a_search_ends_in_a_sentence() {
        let broken = [
            Broken::P99 { found: 1_234.5, max: 1_000.0 },
            Broken::Rate { achieved: 790.4, offered: 800.0 },
            Broken::Generator,
        ];
        let (one, several) = (Sizes { min: 256, max: 256 }, Sizes { min: 100, max: 4096 });
        let [p99, rate, generator] = broken.map(|broken| (800.0, broken));
        let ends = [
            conclusion(Some(400.0), Some(&p99), one, true),
            conclusion(Some(400.0), Some(&rate), several, true),
            conclusion(Some(400.0), Some(&generator), one, true),
            conclusion(Some(400.0), None, one, true),
            conclusion(None, Some(&p99), one, true),
            conclusion(None, None, one, true),
            conclusion(Some(400.0), Some(&p99), one, false),
        ];
        assert_shows(
            &ends.join("\n"),
            "
Carries 400 tx/s of 256 bytes; at 800 tx/s p99 is 1,234 ms, above 1,000 ms.
Carries 400 tx/s of 100 to 4,096 bytes; at 800 tx/s only 790 of 800 tx/s are committed.
Carries 400 tx/s of 256 bytes; at 800 tx/s the generator could not send so many.
Carries 400 tx/s of 256 bytes; nothing broke up to there.
Carries less than the first rate: at 800 tx/s p99 is 1,234 ms, above 1,000 ms. Begin lower with --rate.
Stopped before the first step's end.
A step was not verified: see above, and run it alone with --rate.
",
        );
    }
}
