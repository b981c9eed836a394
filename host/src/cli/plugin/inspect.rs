//! `dseq plugin inspect`: shows the contents of a module, valid plugin or not.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;

use super::{read, say, table};
use crate::limits::WASM_PAGE_BYTES;
use crate::plugin::{Inspection, SizeRange, inspect, limits_used};
use crate::printable;
use crate::types::PluginHash;

/// Maximum length of a name from the module that is shown whole, in characters.
const NAME_SHOWN_MAX: usize = 80;

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:
  dseq plugin inspect notes.wasm
  dseq plugin inspect --json notes.wasm")]
pub(in crate::cli) struct Args {
    /// The `.wasm` file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let wasm = read(&args.file)?;
    let found = inspect(&wasm);
    let refused = limits_used(&wasm).err().map(|error| error.to_string());
    let hash = PluginHash::of(&wasm).to_string();
    if args.json {
        let mut report = json!(found);
        report["sha256"] = hash.into();
        report["bytes"] = wasm.len().into();
        report["refused"] = refused.into();
        say(serde_json::to_string_pretty(&report)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut facts = vec![("sha256", hash), ("size", format!("{} bytes", wasm.len()))];
    facts.extend(of_itself(&found));
    facts.extend(of_its_parts(&found));
    let passes = "valid; see `dseq plugin check`".to_owned();
    facts.push(("validation", refused.map_or(passes, |reason| format!("refused: {reason}"))));
    if let Some(problem) = &found.problem {
        facts.push(("problem", printable::line(problem).into_owned()));
    }
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let facts: Vec<String> = facts.iter().map(|(name, fact)| format!("{name:<width$}  {fact}")).collect();
    say(format!("{}\n\n{}\n{}", args.file.display(), facts.join("\n"), tables(&found)))?;
    Ok(ExitCode::SUCCESS)
}

/// The module's metadata.
fn of_itself(found: &Inspection) -> Vec<(&'static str, String)> {
    let Some(metadata) = &found.metadata else {
        return vec![("metadata", "none".to_owned())];
    };
    vec![
        ("name", format!("{} {}", named(&metadata.name), named(&metadata.version))),
        ("description", named(&metadata.description)),
        ("SDK", named(&metadata.sdk)),
    ]
}

fn of_its_parts(found: &Inspection) -> Vec<(&'static str, String)> {
    let max = |range: &SizeRange| range.max.map_or("no maximum".to_owned(), |max| format!("maximum {max}"));
    let mut facts = Vec::new();
    let code: u64 = found
        .sections
        .iter()
        .filter(|section| section.name == "code" && !section.custom)
        .map(|section| section.bytes)
        .sum();
    facts.push(("functions", format!("{}, {code} bytes of code", found.functions)));
    for memory in &found.memories {
        let bytes = memory.initial.saturating_mul(WASM_PAGE_BYTES);
        facts.push(("memory", format!("{} pages ({bytes} bytes), {}", memory.initial, max(memory))));
    }
    for table in &found.tables {
        facts.push(("table", format!("{} elements, {}", table.initial, max(table))));
    }
    let mutable = found.globals.iter().filter(|global| global.mutable).count();
    facts.push(("globals", format!("{}, {mutable} of them mutable", found.globals.len())));
    facts.push(("data", format!("{} segments, {} bytes", found.data_segments, found.data_bytes)));
    if let Some(start) = found.start {
        facts.push(("start", format!("function {start}")));
    }
    let features = found.features.as_ref().map(|features| {
        let name = |feature: &crate::plugin::Feature| {
            if feature.allowed { feature.name.clone() } else { format!("{} (not allowed)", feature.name) }
        };
        let names: Vec<String> = features.iter().map(name).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    });
    facts.push(("features", features.unwrap_or_else(|| "unknown".to_owned())));
    facts
}

fn tables(found: &Inspection) -> String {
    let row = |cells: [String; 2]| cells.to_vec();
    let head = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
    let mut text = String::new();
    let mut add = |rows: Vec<Vec<String>>| {
        if rows.len() > 1 {
            text.push_str(&format!("\n{}\n", table(&rows)));
        }
    };
    let imports = found
        .imports
        .iter()
        .map(|import| row([format!("{} {}", named(&import.module), named(&import.name)), import.ty.clone()]));
    add([head(["import", "type"])].into_iter().chain(imports).collect());
    let exports = found.exports.iter().map(|export| row([named(&export.name), export.ty.clone()]));
    add([head(["export", "type"])].into_iter().chain(exports).collect());
    let sections = found.sections.iter().map(|section| {
        let custom = if section.custom { "custom " } else { "" };
        row([format!("{custom}{}", named(&section.name)), section.bytes.to_string()])
    });
    add([head(["section", "bytes"])].into_iter().chain(sections).collect());
    text.trim_end().to_owned()
}

/// Text from the module, shortened and escaped.
fn named(text: &str) -> String {
    let (shown, more) = match text.char_indices().nth(NAME_SHOWN_MAX) {
        Some((end, _)) => (&text[..end], " ..."),
        None => (text, ""),
    };
    format!("{}{more}", printable::line(shown))
}
