//! `dseq testnet`: a network of several nodes on this machine.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;

use super::{say, table};
use crate::node::cometbft::CometBft;
use crate::node::config;
use crate::node::shell;
use crate::node::tail::Tail;
use crate::node::testnet::{
    self, Network, NodeStart, NodeState, StartOptions, Started, Stopped, TestnetError,
};

/// Where `make start` keeps its network.
pub(super) const DEFAULT_DIR: &str = "build/localnet";

const FOLLOW_POLL: Duration = Duration::from_millis(200);

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make the network if there is none, start what does not run, wait until it takes transactions
    Start(StartArgs),
    /// Stop what `start` started; the data stays
    Stop(DirArg),
    /// Show how each node is
    Status(StatusArgs),
    /// Show the nodes' logs
    Logs(LogsArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct DirArg {
    /// Where the nodes' homes are
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct StartArgs {
    #[command(flatten)]
    dir: DirArg,
    /// How many nodes a new network has [default: 4]
    #[arg(long)]
    nodes: Option<u16>,
    /// The port from which a new network's ports are counted [default: 26656]
    #[arg(long, value_name = "PORT")]
    base_port: Option<u16>,
    #[command(flatten)]
    pipeline: super::init::PipelineArgs,
    /// The CometBFT program
    #[arg(long, value_name = "FILE", env = config::COMETBFT.env)]
    cometbft: Option<PathBuf>,
    /// How long the nodes may take to come up, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 90)]
    timeout: u64,
}

#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    dir: DirArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct LogsArgs {
    #[command(flatten)]
    dir: DirArg,
    /// A node, e.g. node0 or 0 [default: all]
    node: Option<String>,
    /// Keep printing what is added
    #[arg(short, long)]
    follow: bool,
    /// How many lines of each log to begin with
    #[arg(short = 'n', long, default_value_t = 20)]
    lines: usize,
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Start(args) => start(&args),
        Command::Stop(args) => stop(&args),
        Command::Status(args) => status(&args),
        Command::Logs(args) => logs(&args),
    }
}

fn start(args: &StartArgs) -> anyhow::Result<ExitCode> {
    let cometbft = CometBft::find(args.cometbft.as_deref())?;
    for one in cometbft.passed_over() {
        say(format!("not used: {one}"))?;
    }
    let started = testnet::start(&StartOptions {
        dir: args.dir.dir.clone(),
        nodes: args.nodes,
        base_port: args.base_port,
        plugins: args.pipeline.files()?,
        cometbft,
        patience: Duration::from_secs(args.timeout),
    })?;
    say(welcome(&started, &args.dir.dir.display().to_string()))?;
    Ok(ExitCode::SUCCESS)
}

fn welcome(started: &Started, dir: &str) -> String {
    let count = started.nodes.len();
    let fresh: Vec<_> = started
        .nodes
        .iter()
        .filter(|(_, how)| *how == NodeStart::Started)
        .map(|(node, _)| node.name.as_str())
        .collect();
    let headline = match fresh.len() {
        0 => format!("The network of {count} nodes is running already."),
        new if new < count => format!("Started {}; all {count} nodes take transactions.", fresh.join(", ")),
        _ if started.made => format!("Made a new network; all {count} nodes take transactions."),
        _ => format!("All {count} nodes take transactions."),
    };
    let mut rows = vec![["  node", "RPC", "metrics", "home"].map(str::to_owned).to_vec()];
    for (node, _) in &started.nodes {
        rows.push(vec![
            format!("  {}", node.name),
            format!("http://localhost:{}", node.ports.rpc),
            format!("http://localhost:{}/metrics", node.ports.metrics),
            format!("{dir}/{}", node.name),
        ]);
    }
    let rpc = |node: usize| started.nodes.get(node % count.max(1)).map_or(0, |(node, _)| node.ports.rpc);
    // The default network is what the Makefile's targets work on.
    let at =
        if dir == DEFAULT_DIR { String::new() } else { format!(" --dir {}", shell::word(Path::new(dir))) };
    let command =
        |make: &str, dseq: &str| if at.is_empty() { make.to_owned() } else { format!("{dseq}{at}") };
    format!(
        "{headline}\n\n{}\n\nTry:\n  \
         curl -s 'localhost:{}/broadcast_tx_commit?tx=\"hello\"'    # any node takes bytes\n  \
         curl -s 'localhost:{}/broadcast_tx_commit?tx=0xDEADBEEF'\n  \
         {:<49} # all nodes hold the same\n  {:<49} # how they are\n  {:<49} # the data stays",
        table(&rows),
        rpc(0),
        rpc(1),
        command("make checksum", "dseq checksum"),
        command("make status", "dseq testnet status"),
        command("make stop", "dseq testnet stop"),
    )
}

fn stop(args: &DirArg) -> anyhow::Result<ExitCode> {
    let outcomes = match testnet::stop(&args.dir) {
        Err(TestnetError::NoNetwork { dir }) => {
            say(format!("Nothing to stop: there is no network in {}.", dir.display()))?;
            return Ok(ExitCode::SUCCESS);
        }
        outcomes => outcomes?,
    };
    if outcomes.iter().all(|(_, outcome)| *outcome == Stopped::WasStopped) {
        say("The network was stopped already.")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut left = Vec::new();
    for (node, outcome) in outcomes {
        let what = match outcome {
            Stopped::WasStopped => "was stopped already",
            Stopped::Ended => "stopped",
            Stopped::Killed => "did not stop in time and was killed; it recovers when it starts",
            Stopped::NotOurs(pid) => {
                left.push(format!("{node} (pid {pid})"));
                continue;
            }
        };
        say(format!("{node}  {what}"))?;
    }
    say(format!("The data stays in {}.", args.dir.display()))?;
    // A failure: `make clean` must not go on to remove the data of a node that still runs.
    if !left.is_empty() {
        bail!("left alone, because `dseq testnet` did not start it: {}", left.join(", "));
    }
    Ok(ExitCode::SUCCESS)
}

fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let nodes = testnet::status(&Network::open(&args.dir.dir)?)?;
    if args.json {
        say(serde_json::to_string_pretty(&nodes)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let heading = ["node", "state", "height", "peers", "sequence bytes", "pid", "RPC"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    for node in nodes {
        let state = match node.state {
            NodeState::Running => "running",
            NodeState::Silent => "no answer",
            NodeState::Stopped => "stopped",
        };
        rows.push(vec![
            node.node,
            state.to_owned(),
            number(node.height),
            number(node.peers),
            number(node.sequence_length),
            number(node.pid.map(u64::from)),
            node.rpc,
        ]);
    }
    say(table(&rows))?;
    Ok(ExitCode::SUCCESS)
}

fn logs(args: &LogsArgs) -> anyhow::Result<ExitCode> {
    let nodes = Network::open(&args.dir.dir)?.nodes()?;
    let wanted = args
        .node
        .as_deref()
        .map(|node| if node.starts_with("node") { node.to_owned() } else { format!("node{node}") });
    let mut tails = Vec::new();
    for node in nodes.iter().filter(|node| wanted.as_ref().is_none_or(|wanted| *wanted == node.name)) {
        for (what, path) in [("dseq", node.home.app_log()), ("cometbft", node.home.cometbft_log())] {
            tails.push((format!("{} {what:<8} | ", node.name), Tail::from(&path, 0)));
        }
    }
    if tails.is_empty() {
        bail!(
            "there is no {}; the nodes are node0 to node{}",
            wanted.unwrap_or_default(),
            nodes.len().saturating_sub(1)
        );
    }
    for (label, tail) in &mut tails {
        print_lines(label, &tail.last_lines(args.lines)?)?;
    }
    if !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        std::thread::sleep(FOLLOW_POLL);
        for (label, tail) in &mut tails {
            print_lines(label, &tail.new_lines()?)?;
        }
    }
}

fn print_lines(label: &str, lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{label}{line}")?;
    }
    out.flush()
}
