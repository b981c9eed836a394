//! A run as files for other tools: each request as CSV, the percentiles in HdrHistogram's text format.

use std::io::{self, Write};

use super::Finished;
use super::ledger::{Outcome, Slot};
use super::report::millis;

/// Points of the percentile curve in each half of the distance to 100 %.
const HGRM_STEPS: u32 = 5;

/// Writes each request as a row; `docs/load.md` says what the columns are.
///
/// # Errors
///
/// When it cannot be written.
pub fn write_csv(finished: &Finished, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "number,node,bytes,due_ms,sent_ms,answered_ms,committed_ms,outcome,reason,height,index,offset"
    )?;
    let nodes: Vec<&str> = finished.report.nodes.iter().map(|share| share.node.as_str()).collect();
    for (number, slot) in finished.closed.slots.iter().enumerate() {
        let optional =
            |micros: Option<u64>| micros.map(|micros| millis(micros).to_string()).unwrap_or_default();
        let Slot { due, size, node, .. } = *slot;
        write!(out, "{number},{},{size},{},", nodes[usize::from(node)], millis(due))?;
        let times = [slot.lag(), slot.answered(), slot.committed()].map(optional);
        write!(out, "{},{},", times.join(","), outcome(slot.outcome))?;
        let reason = match slot.outcome {
            Outcome::Rejected(reason) | Outcome::Failed(reason) | Outcome::Unknown(reason) => {
                finished.closed.reasons.get(usize::from(reason))
            }
            Outcome::Pending | Outcome::Committed { .. } => None,
        };
        match reason.map(|reason| (&reason.code, &reason.words)) {
            Some((Some((codespace, code)), _)) => write!(out, "{}", quoted(&format!("{codespace} {code}")))?,
            Some((None, words)) => write!(out, "{}", quoted(words))?,
            None => {}
        }
        match slot.outcome {
            Outcome::Committed { receipt, .. } => {
                writeln!(out, ",{},{},{}", receipt.height, receipt.index, receipt.offset)?;
            }
            _ => writeln!(out, ",,,")?,
        }
    }
    Ok(())
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pending => "pending",
        Outcome::Committed { late: false, .. } => "committed",
        Outcome::Committed { late: true, .. } => "unknown-then-committed",
        Outcome::Rejected(_) => "rejected",
        Outcome::Failed(_) => "failed",
        Outcome::Unknown(_) => "unknown",
    }
}

/// By RFC 4180.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// Writes the latencies to commit, in milliseconds, as HdrHistogram's tools print and plot them.
///
/// # Errors
///
/// When it cannot be written.
pub fn write_hgrm(finished: &Finished, out: &mut impl Write) -> io::Result<()> {
    let latencies = &finished.closed.latencies;
    writeln!(out, "{:>12} {:>14} {:>10} {:>16}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    let mut total = 0;
    for step in latencies.iter_quantiles(HGRM_STEPS) {
        total += step.count_since_last_iteration();
        let (value, quantile) = (millis(step.value_iterated_to()), step.quantile_iterated_to());
        write!(out, "{value:>12.3} {quantile:>14.12} {total:>10}")?;
        if quantile < 1.0 {
            writeln!(out, " {:>16.2}", 1.0 / (1.0 - quantile))?;
        } else {
            writeln!(out)?;
        }
    }
    let (mean, deviation) = (latencies.mean() / 1000.0, latencies.stdev() / 1000.0);
    writeln!(out, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]")?;
    writeln!(
        out,
        "#[Max     = {:>12.3}, Total count    = {:>12}]",
        millis(latencies.max()),
        latencies.len()
    )?;
    let buckets = latencies.buckets();
    writeln!(out, "#[Buckets = {buckets:>12}, SubBuckets     = {:>12}]", 2048)
}
