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
