//! `dseq testnet logs`: what the nodes and their CometBFTs have logged, as one log.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use tracing::Level;

use super::super::say_labelled;
use super::DirArg;
use crate::node::testnet::logs::{Line, Logs};
use crate::node::testnet::{Network, Node};

const FOLLOW_POLL: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    dir: DirArg,
    /// Node, e.g. node0 or 0 [default: all]
    node: Option<String>,
    /// Follow the logs
    #[arg(short, long)]
    follow: bool,
    /// Number of lines to show first of each log
    #[arg(short = 'n', long, default_value_t = 20)]
    lines: usize,
    /// Show only lines of this level and above: error, warn, info, debug or trace
    #[arg(long, value_parser = ["error", "warn", "info", "debug", "trace"], default_value = "trace", hide_possible_values = true)]
    level: String,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let nodes = Network::open(&args.dir.dir)?.nodes()?;
    let mut logs = Logs::open(&wanted(&nodes, args.node.as_deref())?, args.level.parse::<Level>()?)?;
    print(&logs.last_lines(args.lines)?)?;
    if !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        std::thread::sleep(FOLLOW_POLL);
        print(&logs.new_lines()?)?;
    }
}

/// The nodes to show: the named one, or all.
fn wanted(nodes: &[Node], name: Option<&str>) -> anyhow::Result<Vec<Node>> {
    let Some(name) = name else { return Ok(nodes.to_vec()) };
    let name = if name.starts_with("node") { name.to_owned() } else { format!("node{name}") };
    match nodes.iter().find(|node| node.name == name) {
        Some(node) => Ok(vec![node.clone()]),
        None => bail!("there is no {name}; the nodes are node0 to node{}", nodes.len().saturating_sub(1)),
    }
}

fn print(lines: &[Line]) -> std::io::Result<()> {
    let lines: Vec<_> = lines.iter().map(|line| (&*line.label, line.node, &*line.text)).collect();
    if lines.is_empty() { Ok(()) } else { say_labelled(&lines) }
}
