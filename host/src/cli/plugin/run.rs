//! `dseq plugin run`: runs transactions through a plugin, or a pipeline of several, as a node does.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context;

use super::super::transactions::Transactions;
use super::render::{Trace, is_failure, trace, word};
use super::subject::SubjectArgs;
use super::{EXIT_FAILED, say, usage};
use crate::plugin::on_large_stack;

#[derive(Debug, clap::Args)]
#[command(before_help = r#"Examples:
  dseq plugin run notes.wasm 'rain at noon'
  dseq plugin run lines.wasm --params '{"line_bytes_max":80}' --lines notes.txt
  dseq plugin run --plugin hex=hex.wasm --plugin notes=notes.wasm 0x48656c6c6f"#)]
#[command(override_usage = "dseq plugin run [OPTIONS] <FILE|--plugin <NAME=FILE>...> \
    <TEXT|--hex <DIGITS>|--input <FILE>|--lines <FILE>|--length-prefixed <FILE>>")]
pub(in crate::cli) struct Args {
    /// Print JSON, one object on a line for each transaction
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    subject: SubjectArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (pipeline, transactions) = args.subject.open()?;
    let run_all = || match transactions {
        None => usage("a transaction is required: TEXT, --hex, --input, --lines or --length-prefixed"),
        Some(Transactions::One(tx)) => {
            let trace = trace(&pipeline, &tx)?;
            say(if args.json { trace.json(&tx).to_string() } else { trace.text() })?;
            Ok(is_failure(&trace.outcome))
        }
        Some(Transactions::Many(txs)) => {
            let mut counts = Counts::default();
            for tx in txs {
                let tx = tx?;
                let trace = trace(&pipeline, &tx)?;
                let position = counts.add(&trace);
                if args.json {
                    let mut report = trace.json(&tx);
                    report["transaction"] = position.into();
                    say(report.to_string())?;
                } else {
                    say(format!("{position:>6}  {}; fuel {}", trace.line(), trace.fuel()))?;
                }
            }
            if !args.json {
                say(format!("\n{}", counts.text()))?;
            }
            Ok(counts.failures > 0)
        }
    };
    let failed = on_large_stack(run_all).context("cannot start a thread")??;
    Ok(if failed { ExitCode::from(EXIT_FAILED) } else { ExitCode::SUCCESS })
}

/// Counts of the outcomes of many transactions.
#[derive(Default)]
pub(super) struct Counts {
    verdicts: BTreeMap<&'static str, u64>,
    transactions: u64,
    failures: u64,
    fuel: u64,
    fuel_most: u64,
}

impl Counts {
    /// Adds one, and returns its number, from 1.
    pub(super) fn add(&mut self, trace: &Trace<'_>) -> u64 {
        let fuel = trace.fuel();
        self.transactions += 1;
        *self.verdicts.entry(word(&trace.outcome)).or_default() += 1;
        self.failures += u64::from(is_failure(&trace.outcome));
        self.fuel = self.fuel.saturating_add(fuel);
        self.fuel_most = self.fuel_most.max(fuel);
        self.transactions
    }

    /// The counts in one line.
    pub(super) fn verdicts(&self) -> String {
        let counts: Vec<String> =
            self.verdicts.iter().map(|(verdict, count)| format!("{count} {verdict}")).collect();
        if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
    }

    /// How many transactions ended in each outcome, by its word.
    pub(super) fn by_verdict(&self) -> &BTreeMap<&'static str, u64> {
        &self.verdicts
    }

    fn text(&self) -> String {
        format!(
            "{} transactions: {}\nfuel       {} total, {} maximum",
            self.transactions,
            self.verdicts(),
            self.fuel,
            self.fuel_most
        )
    }
}
