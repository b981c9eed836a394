//! A run in words, for the command line and the HTML report.

use std::fmt::Write as _;

use super::report::Report;
use super::verify::{ProblemKind, Verification};

/// A number with thousands apart.
pub(super) fn number_text(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, rest) =
        text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 && digit.is_ascii_digit() {
            out.push(',');
        }
        out.push(digit);
    }
    if let Some(rest) = rest {
        out.push('.');
        out.push_str(rest);
    }
    out
}

/// A count with thousands apart.
#[must_use]
pub fn count(value: u64) -> String {
    number_text(value as f64, 0)
}

/// Milliseconds with as many digits as anybody reads.
#[must_use]
pub fn ms(value: f64) -> String {
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    number_text(value, digits)
}

/// A rate with as many digits as anybody reads.
#[must_use]
pub fn rate(value: f64) -> String {
    let digits = if value < 1.0 { 3 } else { usize::from(value < 100.0) };
    number_text(value, digits)
}

/// What was offered, in one line.
#[must_use]
pub fn offered(report: &Report) -> String {
    let offered = &report.offered;
    let size = if offered.size.min == offered.size.max {
        format!("{} bytes", count(offered.size.min))
    } else {
        format!("{} to {} bytes", count(offered.size.min), count(offered.size.max))
    };
    let nodes = report.nodes.len();
    let s = if nodes == 1 { "" } else { "s" };
    let how = match (offered.rate, offered.arrival) {
        (Some(rate), Some(arrival)) => {
            let arrival = format!("{arrival:?}").to_lowercase();
            format!("open loop at {} tx/s ({arrival} arrivals)", number_text(rate, usize::from(rate < 10.0)))
        }
        _ => format!("closed loop, {} at once", count(offered.concurrency)),
    };
    format!("{} transactions of {size} to {nodes} node{s}, {how}", count(report.counts.offered))
}

/// What a good verification says.
#[must_use]
pub fn kept(verification: &Verification) -> String {
    let Verification { nodes, told_committed, replaced, resolved, .. } = verification;
    let nodes = match nodes.len() {
        1 => "the node".to_owned(),
        2 => "both nodes".to_owned(),
        count => format!("all {count} nodes"),
    };
    let each = format!(
        "Verified: each of the {} committed transactions is in the sequence of {nodes} exactly once, where its receipt says.",
        count(*told_committed)
    );
    let none =
        || format!("Verified: nothing of this run is in the sequence of {nodes}, and nothing was committed.");
    let mut text = if *told_committed == 0 && resolved.committed == 0 { none() } else { each };
    if *replaced > 0 {
        text.push_str(" The pipeline replaces bytes: records were recognised by their transactions' hashes, and compared between nodes.");
    }
    if resolved.committed + resolved.absent > 0 {
        let (committed, absent) = (count(resolved.committed), count(resolved.absent));
        let _ = write!(
            text,
            " Of the unknown ones, {committed} are committed and {absent} are not in the sequence."
        );
    }
    text
}

/// What a bad verification says, without the examples.
#[must_use]
pub fn broken(verification: &Verification) -> String {
    let name = |kind| match kind {
        ProblemKind::Lost => "lost",
        ProblemKind::Misplaced => "not where the receipt says",
        ProblemKind::Duplicate => "more than once in a sequence",
        ProblemKind::Unexpected => "in a sequence against the node's answer",
        ProblemKind::Disagreement => "node with other records than the first",
        ProblemKind::Unreadable => "node that could not be read",
    };
    let mut parts: Vec<String> = verification
        .problems
        .iter()
        .map(|(kind, number)| format!("{} {}", count(*number), name(*kind)))
        .collect();
    if verification.resolved.open > 0 {
        let open = count(verification.resolved.open);
        parts.push(format!("{open} unknown that a mempool may still hold"));
    }
    format!("Verification failed: {}.", parts.join(", "))
}
