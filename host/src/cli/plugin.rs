//! `dseq plugin`: for those who write plugins: what a module is, and what it makes of a transaction, without a network.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{say, table};
use crate::plugin::{
    CanonicalJson, Limits, Outcome, Pipeline, PipelineSpec, PluginName, PluginSpec, Verdict, engine_id,
    limits_used, with_room,
};
use crate::types::{PluginHash, TxHash};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print the SHA-256 of plugins, as genesis pins it
    Hash(HashArgs),
    /// Say whether a network would take a plugin, and how much of each limit it uses
    Check(ModuleArgs),
    /// Hand one transaction to a plugin, as a node would
    Run(RunArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct HashArgs {
    /// The `.wasm` files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ModuleArgs {
    /// The `.wasm` file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The params that genesis would give it, as JSON
    #[arg(long, value_name = "JSON", default_value = "{}")]
    params: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(override_usage = "dseq plugin run [OPTIONS] <FILE> <TEXT|--hex <DIGITS>|--input <FILE>>")]
#[command(group(clap::ArgGroup::new("transaction").required(true).args(["tx", "hex", "input"])))]
pub(super) struct RunArgs {
    #[command(flatten)]
    module: ModuleArgs,
    /// The transaction, as text
    #[arg(value_name = "TEXT")]
    tx: Option<String>,
    /// The transaction, as hexadecimal digits
    #[arg(long, value_name = "DIGITS")]
    hex: Option<String>,
    /// The transaction is this file's bytes; `-` is standard input
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Hash(args) => hash(&args),
        Command::Check(args) => check(&args),
        Command::Run(args) => run_one(&args),
    }
}

fn hash(args: &HashArgs) -> anyhow::Result<ExitCode> {
    for file in &args.files {
        say(format!("{}  {}", PluginHash::of(&read(file)?), file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// A pipeline of this one plugin, under the default limits.
fn admit(args: &ModuleArgs, wasm: &[u8]) -> anyhow::Result<Pipeline> {
    let params: Value = serde_json::from_str(&args.params)
        .with_context(|| format!("--params is no JSON: {}", args.params))?;
    let plugin = PluginSpec {
        name: PluginName::try_from("plugin".to_owned())?,
        sha256: PluginHash::of(wasm),
        params: CanonicalJson::new(&params)?,
    };
    let spec = PipelineSpec { engine: engine_id(), limits: Limits::default(), plugins: vec![plugin] };
    Pipeline::admit(spec, &[wasm.to_vec()])
        .with_context(|| format!("{} would not be admitted", args.file.display()))
}

fn check(args: &ModuleArgs) -> anyhow::Result<ExitCode> {
    let wasm = read(&args.file)?;
    let pipeline = admit(args, &wasm)?;
    let (hash, init_fuel, used) = (PluginHash::of(&wasm), pipeline.init_fuel().0, limits_used(&wasm)?);
    if args.json {
        let limits: Vec<Value> = used
            .iter()
            .map(|one| json!({ "what": one.what, "found": one.found, "max": one.max, "item": one.item.map(|item| item.to_string()) }))
            .collect();
        let report = json!({ "sha256": hash.to_string(), "bytes": wasm.len(), "init_fuel": init_fuel, "limits": limits });
        say(serde_json::to_string_pretty(&report)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["limit", "used", "allowed", "share"].map(str::to_owned).to_vec()];
    for one in used {
        let of = one.item.map_or_else(String::new, |item| format!(" (most: {item})"));
        let share = format!("{:.1} %", percent(one.found, one.max));
        rows.push(vec![format!("{}{of}", one.what), one.found.to_string(), one.max.to_string(), share]);
    }
    say(format!(
        "{} is admitted\n\nsha256     {hash}\nsize       {} bytes\ninit fuel  {init_fuel}\n\n{}",
        args.file.display(),
        wasm.len(),
        table(&rows)
    ))?;
    Ok(ExitCode::SUCCESS)
}

#[allow(clippy::cast_precision_loss, reason = "for people, to a tenth of a percent")]
fn percent(found: u64, max: u64) -> f64 {
    100.0 * found as f64 / max.max(1) as f64
}

fn run_one(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let tx = Bytes::from(transaction(args)?);
    let max = Limits::default().tx_bytes_max;
    if tx.is_empty() || tx.len() as u64 > max {
        bail!("the transaction has {} bytes; a network takes 1 to {max}", tx.len());
    }
    let pipeline = admit(&args.module, &read(&args.module.file)?)?;
    let (outcome, took) = with_room(|| {
        let started = Instant::now();
        (pipeline.apply(&TxHash::of(&tx), &tx), started.elapsed())
    })
    .context("cannot start a thread")?;
    let outcome = outcome?;
    let text = if args.module.json {
        serde_json::to_string_pretty(&as_json(&outcome, took))?
    } else {
        as_text(&outcome, &tx, took)
    };
    say(text)?;
    // A rejection is a plugin at work; a fault is one that broke its contract.
    let faulted = matches!(outcome.verdict, Verdict::Faulted { .. });
    Ok(if faulted { ExitCode::from(super::EXIT_FAILED) } else { ExitCode::SUCCESS })
}

fn transaction(args: &RunArgs) -> anyhow::Result<Vec<u8>> {
    if let Some(digits) = &args.hex {
        let digits = digits.trim_start_matches("0x");
        return data_encoding::HEXLOWER_PERMISSIVE
            .decode(digits.as_bytes())
            .with_context(|| format!("--hex {digits:?} is not made of pairs of hexadecimal digits"));
    }
    match &args.input {
        Some(file) if file.as_os_str() == "-" => {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes).context("cannot read standard input")?;
            Ok(bytes)
        }
        Some(file) => read(file),
        None => Ok(args.tx.clone().unwrap_or_default().into_bytes()),
    }
}

fn as_json(outcome: &Outcome, took: Duration) -> Value {
    let mut report = match &outcome.verdict {
        Verdict::Accepted { record } => {
            json!({ "verdict": "accepted", "record_hex": data_encoding::HEXLOWER.encode(record) })
        }
        Verdict::Rejected { code, message, .. } => {
            json!({ "verdict": "rejected", "code": code, "message": message })
        }
        Verdict::Faulted { fault, message, .. } => {
            json!({ "verdict": "faulted", "code": fault.code(), "message": fault.told(message) })
        }
    };
    report["fuel"] = outcome.fuel.0.into();
    report["microseconds"] = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).into();
    report
}

fn as_text(outcome: &Outcome, tx: &Bytes, took: Duration) -> String {
    let verdict = match &outcome.verdict {
        Verdict::Accepted { record } if record == tx => "accepted   unchanged".to_owned(),
        Verdict::Accepted { record } => format!("accepted   as {} bytes: {}", record.len(), shown(record)),
        Verdict::Rejected { code, message, .. } => format!("rejected   code {code}: {message}"),
        Verdict::Faulted { fault, message, .. } => {
            format!("faulted    code {}: {}", fault.code(), fault.told(message))
        }
    };
    let us = took.as_secs_f64() * 1e6;
    format!("{verdict}\nfuel       {}\ntime       {us:.1} us, the first call's", outcome.fuel.0)
}

/// The beginning of a record, so that every byte can be seen.
fn shown(record: &[u8]) -> String {
    const SHOWN_BYTES: usize = 256;
    let more = if record.len() > SHOWN_BYTES { " ..." } else { "" };
    format!("\"{}\"{more}", record[..record.len().min(SHOWN_BYTES)].escape_ascii())
}
