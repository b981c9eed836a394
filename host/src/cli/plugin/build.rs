//! `dseq plugin build`: builds a project by the recipe with which the same sources give the same bytes.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};
use serde_json::json;

use super::{read, say};
use crate::types::PluginHash;

/// The recipe: the script that builds the plugins of the repository.
const RECIPE: &str = include_str!("../../../../plugins/build.sh");

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:
  dseq plugin build
  dseq plugin build my-plugin --out candidate")]
pub(in crate::cli) struct Args {
    /// The plugin's project folder
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// The folder for the `.wasm` file [default: build/plugins in the project's workspace]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let file = build(&args.dir, args.out.as_deref())?;
    let wasm = read(&file)?;
    let (hash, bytes) = (PluginHash::of(&wasm).to_string(), wasm.len());
    if args.json {
        let report = json!({ "path": file, "bytes": bytes, "sha256": hash });
        say(serde_json::to_string_pretty(&report)?)?;
    } else {
        say(format!("{}\n\nsize    {bytes} bytes\nsha256  {hash}", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the plugin in `dir` and returns its `.wasm` file.
pub(super) fn build(dir: &Path, out: Option<&Path>) -> anyhow::Result<PathBuf> {
    if !dir.join("Cargo.toml").is_file() {
        bail!("{} has no Cargo.toml; create a project with `dseq plugin new`", dir.display());
    }
    let absolute = |path: &Path| std::path::absolute(path).context("cannot determine the current folder");
    let out = out.map(absolute).transpose()?.unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", RECIPE, "build.sh"])
        .args([out, absolute(dir)?])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run sh")?;
    let said = String::from_utf8_lossy(&output.stdout);
    match said.lines().last() {
        Some(file) if output.status.success() => Ok(PathBuf::from(file)),
        _ => bail!("cannot build {}: correct what is said above", dir.display()),
    }
}
