//! `dseq plugin check`: validates a plugin as a node does, and shows how much of each limit it uses.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::{pipeline, read, say, table};
use crate::limits::WASM_PAGE_BYTES;
use crate::plugin::{Limits, Pipeline, Use, inspect, limits_used};
use crate::types::PluginHash;

#[derive(Debug, clap::Args)]
#[command(before_help = r#"Examples:
  dseq plugin check notes.wasm
  dseq plugin check lines.wasm --params '{"line_bytes_max":80}'"#)]
pub(in crate::cli) struct Args {
    /// The `.wasm` file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Plugin parameters, as JSON
    #[arg(long, value_name = "JSON", default_value = "{}")]
    params: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let wasm = read(&args.file)?;
    let plugin = pipeline::alone(&args.file, pipeline::params(&args.params)?)?;
    let admitted = pipeline::admit(&[plugin], std::slice::from_ref(&wasm), Limits::default())?;
    let (hash, init_fuel) = (PluginHash::of(&wasm), admitted.init_fuel().0);
    let mut used = limits_used(&wasm)?;
    used.extend(of_genesis(&admitted, &wasm));
    if args.json {
        let limits: Vec<Value> = used
            .iter()
            .map(|one| json!({ "what": one.what, "found": one.found, "max": one.max, "item": one.item.map(|item| item.to_string()) }))
            .collect();
        let report = json!({ "sha256": hash.to_string(), "bytes": wasm.len(), "init_fuel": init_fuel, "limits": limits });
        say(serde_json::to_string_pretty(&report)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["limit", "used", "maximum", "share"].map(str::to_owned).to_vec()];
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

/// How much of the limits in genesis it uses before its first transaction.
fn of_genesis(admitted: &Pipeline, wasm: &[u8]) -> [Use; 2] {
    let limits = admitted.limits();
    let pages = inspect(wasm).memories.iter().map(|memory| memory.initial).max().unwrap_or_default();
    let bytes = pages.saturating_mul(WASM_PAGE_BYTES);
    [
        ("bytes of memory at first (genesis)", bytes, limits.memory_bytes_max),
        ("fuel of init (genesis)", admitted.init_fuel().0, limits.fuel_max),
    ]
    .map(|(what, found, max)| Use { what, found, max, item: None })
}

#[allow(clippy::cast_precision_loss, reason = "for people, to a tenth of a percent")]
fn percent(found: u64, max: u64) -> f64 {
    100.0 * found as f64 / max.max(1) as f64
}
