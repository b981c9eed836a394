//! `dseq plugin replay`: replays a node's transactions through another pipeline, and shows what would change.
//!
//! The transactions and their results come from CometBFT's blocks, by the RPC of a running node. The pipeline is a pure
//! function of the transaction, so what it returns now is what it would have returned then.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;

use super::pipeline::PipelineArgs;
use super::render::trace;
use super::report::Report;
use super::{say, usage};
use crate::app::{GenesisRules, Refusal};
use crate::node::engine::listen;
use crate::node::engine::rpc::{DecidedTx, Rpc};
use crate::node::genesis::file::GenesisFile;
use crate::node::home::NodeHome;
use crate::plugin::{Outcome, Pipeline, PluginDir, on_large_stack};
use crate::sequence::{Receipt, SEQUENCE_FILE};

/// Maximum time to wait for one response of the node.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:
  dseq plugin replay --home net/node0 --plugin notes=candidate/notes.wasm
  dseq plugin replay --rpc http://127.0.0.1:26657 --plugin notes=notes.wasm")]
#[command(
    override_usage = "dseq plugin replay [OPTIONS] <--home <DIR>|--rpc <URL>> <--genesis <FILE>|--plugin <NAME=FILE>...>"
)]
pub(in crate::cli) struct Args {
    /// The node's home; gives the RPC address, the records, and the network's limits and plugin parameters (for plugins
    /// of the same name, unless --params is given)
    #[arg(long, value_name = "DIR")]
    home: Option<PathBuf>,
    /// The node's RPC [default: from config/config.toml in the home]
    #[arg(long, value_name = "URL")]
    rpc: Option<String>,
    /// Use the pipeline of this genesis file, in place of --plugin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["plugins", "params"])]
    genesis: Option<PathBuf>,
    /// The first height [default: the node's first block]
    #[arg(long, value_name = "HEIGHT")]
    from: Option<u64>,
    /// The last height [default: the node's last block]
    #[arg(long, value_name = "HEIGHT")]
    to: Option<u64>,
    /// Maximum number of differences to show
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    differences: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pipeline: PipelineArgs,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let home = args.home.as_deref().map(NodeHome::open).transpose()?;
    let node = Node::of(args, home.as_ref())?;
    let candidate = candidate(args, home.as_ref())?;
    let (first, last) = heights(args, &node.rpc)?;
    let mut report = Report::new(&candidate, (first, last), args.differences);
    let replay_all = || -> anyhow::Result<()> {
        for height in first..=last {
            for (position, decided) in (0..).zip(node.rpc.decided(height)?) {
                let after = trace(&candidate, &decided.tx)?.outcome;
                let is_compared = after.as_ref().is_ok_and(Outcome::is_accepted);
                let before = node.committed(&decided, is_compared)?;
                report.add((height, position), &decided.tx, &before, &after);
            }
        }
        Ok(())
    };
    on_large_stack(replay_all).context("cannot start a thread")??;
    say(if args.json { serde_json::to_string_pretty(&report.json())? } else { report.text() })?;
    Ok(ExitCode::SUCCESS)
}

/// The source of blocks and records.
struct Node {
    rpc: Rpc,
    /// The node's own file, if its home is given: faster than a request for each record.
    sequence: Option<File>,
}

impl Node {
    fn of(args: &Args, home: Option<&NodeHome>) -> anyhow::Result<Self> {
        let url = match (&args.rpc, home) {
            (Some(url), _) if !url.starts_with("http://") => {
                return usage(format!("--rpc {url} must begin with http://; no other scheme is supported"));
            }
            (Some(url), _) if url.parse::<ureq::http::Uri>().is_err() => {
                return usage(format!(
                    "--rpc {url} is not a valid URL; write http://HOST:PORT, and an IPv6 address in brackets: http://[::1]:26657"
                ));
            }
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Some(home)) => {
                let config = home.cometbft_config();
                listen::rpc_url(home).with_context(|| {
                    format!("{} has no RPC address; give one with --rpc", config.display())
                })?
            }
            (None, None) => return usage("no node is given; use --home or --rpc"),
        };
        let open = |home: &NodeHome| {
            let path = home.sequence_dir().join(SEQUENCE_FILE);
            File::open(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        Ok(Self { rpc: Rpc::at(url, PATIENCE), sequence: home.map(open).transpose()? })
    }

    /// What the network committed: the record, fetched only if it is to be compared, or the refusal.
    fn committed(
        &self,
        decided: &DecidedTx,
        is_compared: bool,
    ) -> anyhow::Result<Result<Option<Bytes>, Refusal>> {
        Ok(match &decided.result {
            Ok(receipt) => Ok(if is_compared { Some(self.record(receipt)?) } else { None }),
            Err((code, codespace, log)) => {
                Err(Refusal { code: *code, codespace: codespace.clone(), message: log.clone() })
            }
        })
    }

    fn record(&self, receipt: &Receipt) -> anyhow::Result<Bytes> {
        let Some(sequence) = &self.sequence else { return Ok(self.rpc.record(receipt.index)?) };
        let mut record = vec![0; usize::try_from(receipt.length)?];
        let read = sequence.read_exact_at(&mut record, receipt.offset.0);
        read.with_context(|| {
            format!(
                "the home's sequence has no record of {} bytes at offset {}; is it the home of another node?",
                receipt.length, receipt.offset
            )
        })?;
        Ok(record.into())
    }
}

fn heights(args: &Args, rpc: &Rpc) -> anyhow::Result<(u64, u64)> {
    let (earliest, latest) = rpc.heights().context("cannot reach the node; replay needs a running one")?;
    let (first, last) = (args.from.unwrap_or(earliest), args.to.unwrap_or(latest));
    if first < earliest || last > latest {
        bail!(
            "the node has the blocks from height {earliest} to {latest}, not those from {first} to {last}; choose --from and --to within them"
        );
    }
    if first > last {
        return usage(format!("--from {first} comes after --to {last}"));
    }
    Ok((first, last))
}

/// The candidate: the pipeline of `--genesis`, or of every `--plugin` with the network's limits, and its params for
/// plugins of the same name.
fn candidate(args: &Args, home: Option<&NodeHome>) -> anyhow::Result<Pipeline> {
    let Some(file) = &args.genesis else {
        if !args.pipeline.has_plugins() {
            return usage("no plugins are given; use --plugin NAME=FILE or --genesis FILE");
        }
        return match home {
            Some(home) => {
                let rules = GenesisFile::read(&home.genesis_file())?.rules()?;
                args.pipeline.admit_in_place_of(&rules.pipeline)
            }
            None => args.pipeline.admit(None),
        };
    };
    let GenesisRules { mut pipeline, inline_wasm } = GenesisFile::read(file)?.rules()?;
    pipeline.limits = args.pipeline.over(pipeline.limits);
    // The plugins of a home lie beside its config folder.
    let beside = || file.parent().and_then(Path::parent).unwrap_or(Path::new(".")).join("plugins");
    let dir = PluginDir::new(home.map_or_else(beside, NodeHome::plugins_dir));
    let pinned = pipeline.plugins.iter().zip(inline_wasm);
    let modules = pinned.map(|(plugin, inline)| inline.map_or_else(|| dir.find(&plugin.sha256), Ok));
    let modules = modules.collect::<Result<Vec<_>, _>>()?;
    Pipeline::admit(pipeline, &modules).with_context(|| format!("{} would not be admitted", file.display()))
}
