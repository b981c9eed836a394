//! `dseq plugin bench`: benchmarks a plugin against passthrough.
//!
//! The two run in turns, so that other load on the machine slows both. Compare ratios between machines, not times.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use serde_json::{Value, json};

use super::super::transactions::Transactions;
use super::render::trace;
use super::run::Counts;
use super::subject::SubjectArgs;
use super::{pipeline, read, say, table};
use crate::node::genesis::rules::PASSTHROUGH;
use crate::plugin::{CanonicalJson, Limits, Pipeline, on_large_stack};

/// Transactions of one turn.
const TURN: usize = 64;

/// Maximum size of all transactions in memory, in bytes.
const TXS_BYTES_MAX: u64 = 256 << 20;

/// Length of the transaction that is used if none is given, in bytes.
const MADE_UP_BYTES: usize = 256;

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:
  dseq plugin bench notes.wasm
  dseq plugin bench notes.wasm --lines notes.txt --against old-notes.wasm")]
#[command(override_usage = "dseq plugin bench [OPTIONS] <FILE|--plugin <NAME=FILE>...> \
    [TEXT|--hex <DIGITS>|--input <FILE>|--lines <FILE>|--length-prefixed <FILE>]")]
pub(in crate::cli) struct Args {
    /// The plugin to compare with [default: the built-in passthrough]
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Maximum number of transactions to run
    #[arg(long, value_name = "COUNT", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    count: u64,
    /// Maximum time to run, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    subject: SubjectArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (pipeline, transactions) = args.subject.open()?;
    let txs = collect(transactions)?;
    let against = against(args.against.as_deref(), args.subject.pipeline.over(Limits::default()))?;
    let bounds = (args.count, Duration::from_secs(args.seconds));
    let measured =
        on_large_stack(|| measure(&pipeline, &against, &txs, bounds)).context("cannot start a thread")??;
    say(if args.json { serde_json::to_string_pretty(&measured.json())? } else { measured.text() })?;
    Ok(ExitCode::SUCCESS)
}

fn collect(transactions: Option<Transactions>) -> anyhow::Result<Vec<Bytes>> {
    match transactions {
        None => Ok(vec![(b'a'..=b'z').cycle().take(MADE_UP_BYTES).collect()]),
        Some(Transactions::One(tx)) => Ok(vec![tx]),
        Some(Transactions::Many(many)) => {
            let (mut txs, mut bytes) = (Vec::new(), 0_u64);
            for tx in many {
                let tx = tx?;
                // An empty one takes room too.
                bytes = bytes.saturating_add(tx.len() as u64).saturating_add(64);
                if bytes > TXS_BYTES_MAX {
                    bail!(
                        "the transactions take more than {TXS_BYTES_MAX} bytes of memory, the maximum; give fewer"
                    );
                }
                txs.push(tx);
            }
            if txs.is_empty() {
                bail!("the input has no transactions; give it at least one, or leave it out");
            }
            Ok(txs)
        }
    }
}

fn against(file: Option<&Path>, limits: Limits) -> anyhow::Result<Pipeline> {
    let (file, wasm) = match file {
        Some(file) => {
            let wasm = read(file).context("no plugin to compare with; give one with --against FILE")?;
            (file, wasm)
        }
        None => (Path::new("passthrough"), PASSTHROUGH.to_vec()),
    };
    let plugin = pipeline::alone(file, CanonicalJson::default())?;
    pipeline::admit(&[plugin], &[wasm], limits)
}

/// Time and fuel of one of the two, for each transaction.
#[derive(Default)]
struct Samples {
    name: String,
    nanoseconds: Vec<u64>,
    fuel: Vec<u64>,
}

struct Measured {
    subject: Samples,
    against: Samples,
    counts: Counts,
    /// Median length of the transactions.
    bytes: u64,
}

fn measure(
    pipeline: &Pipeline,
    against: &Pipeline,
    txs: &[Bytes],
    (count, time): (u64, Duration),
) -> anyhow::Result<Measured> {
    let name = |pipeline: &Pipeline| {
        let names = pipeline.spec().plugins.iter().map(|plugin| plugin.name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let mut counts = Counts::default();
    let mut subject = Samples { name: name(pipeline), ..Samples::default() };
    let mut other = Samples { name: name(against), ..Samples::default() };
    // A warm-up: the first calls of a plugin wait for memory.
    turn(pipeline, txs.iter().take(TURN), &mut Samples::default(), &mut Counts::default())?;
    turn(against, txs.iter().take(TURN), &mut Samples::default(), &mut Counts::default())?;
    let started = Instant::now();
    let mut position = 0_usize;
    while (subject.fuel.len() as u64) < count && (position == 0 || started.elapsed() < time) {
        let left = count.saturating_sub(subject.fuel.len() as u64).min(TURN as u64);
        let left = usize::try_from(left).unwrap_or(TURN);
        let these = || (0..left).map(|n| &txs[position.wrapping_add(n) % txs.len()]);
        turn(pipeline, these(), &mut subject, &mut counts)?;
        turn(against, these(), &mut other, &mut Counts::default())?;
        position = position.saturating_add(left);
    }
    let mut lengths: Vec<u64> = txs.iter().map(|tx| tx.len() as u64).collect();
    lengths.sort_unstable();
    Ok(Measured { subject, against: other, counts, bytes: percentile(&lengths, 50) })
}

fn turn<'a>(
    pipeline: &Pipeline,
    txs: impl Iterator<Item = &'a Bytes>,
    samples: &mut Samples,
    counts: &mut Counts,
) -> anyhow::Result<()> {
    for tx in txs {
        let trace = trace(pipeline, tx)?;
        if let Err(refusal) = &trace.outcome {
            bail!("a transaction is refused: {}; give others, or raise --tx-bytes-max", refusal.message);
        }
        counts.add(&trace);
        samples.nanoseconds.push(u64::try_from(trace.took.as_nanos()).unwrap_or(u64::MAX));
        samples.fuel.push(trace.fuel());
    }
    Ok(())
}

/// The smallest value that so many percent do not exceed; 0 if there are no values.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

const PERCENTS: [(&str, usize); 4] = [("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)];

impl Samples {
    fn per_second(&self) -> f64 {
        let all: u64 = self.nanoseconds.iter().fold(0, |sum, one| sum.saturating_add(*one));
        as_f64(self.nanoseconds.len() as u64) * 1e9 / as_f64(all.max(1))
    }

    fn row(&self) -> Vec<String> {
        let (times, fuel) = (sorted(&self.nanoseconds), sorted(&self.fuel));
        let us = |percent| format!("{:.1}", as_f64(percentile(&times, percent)) / 1e3);
        let mut row = vec![self.name.clone(), format!("{:.0}", self.per_second())];
        row.extend(PERCENTS.map(|(_, percent)| us(percent)));
        row.extend(PERCENTS.map(|(_, percent)| percentile(&fuel, percent).to_string()));
        row
    }

    fn json(&self) -> Value {
        let (times, fuel) = (sorted(&self.nanoseconds), sorted(&self.fuel));
        let us = PERCENTS
            .map(|(name, percent)| (name.to_owned(), json!(as_f64(percentile(&times, percent)) / 1e3)));
        let fuel = PERCENTS.map(|(name, percent)| (name.to_owned(), json!(percentile(&fuel, percent))));
        json!({
            "plugins": self.name,
            "per_second": self.per_second(),
            "microseconds": Value::Object(us.into_iter().collect()),
            "fuel": Value::Object(fuel.into_iter().collect()),
        })
    }
}

impl Measured {
    fn ratio(&self) -> f64 {
        self.subject.per_second() / self.against.per_second().max(f64::MIN_POSITIVE)
    }

    fn text(&self) -> String {
        let head = ["", "tx/s", "us p50", "p90", "p99", "max", "fuel p50", "p90", "p99", "max"];
        let rows = [head.map(str::to_owned).to_vec(), self.subject.row(), self.against.row()];
        format!(
            "{} transactions of {} bytes (median): {}\n\n{}\n\nratio      {:.2} of the transactions a second of {}, in turns in this run",
            self.subject.fuel.len(),
            self.bytes,
            self.counts.verdicts(),
            table(&rows),
            self.ratio(),
            self.against.name
        )
    }

    fn json(&self) -> Value {
        json!({
            "transactions": self.subject.fuel.len(),
            "bytes": self.bytes,
            "verdicts": self.counts.by_verdict(),
            "subject": self.subject.json(),
            "against": self.against.json(),
            "ratio": self.ratio(),
        })
    }
}

fn sorted(values: &[u64]) -> Vec<u64> {
    let mut values = values.to_vec();
    values.sort_unstable();
    values
}

#[allow(clippy::cast_precision_loss, reason = "for people, to a few digits")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(PERCENTS.map(|(_, percent)| percentile(&hundred, percent)), [50, 90, 99, 100]);
        assert_eq!(PERCENTS.map(|(_, percent)| percentile(&[7], percent)), [7; 4]);
        assert_eq!(PERCENTS.map(|(_, percent)| percentile(&[1, 2, 9], percent)), [2, 9, 9, 9]);
        assert_eq!(percentile(&[], 50), 0);
    }
}
