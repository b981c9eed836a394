//! `dseq testnet`: a network of several nodes on this machine.

mod logs;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;

use super::{EXIT_FAILED, say, table};
use crate::node::config;
use crate::node::engine::cometbft::CometBft;
use crate::node::engine::config::EngineConfig;
use crate::node::shell;
use crate::node::testnet::{
    self, DEFAULT_DIR, Failure, InitOptions, Network, Node, NodeStart, NodeState, NodeStatus, StartOptions,
    Started, Stopped, TestnetError,
};

pub(super) const EXAMPLES: &str = "Examples:
  dseq testnet start
  dseq testnet start --dir net --nodes 7 --base-port 30000
  dseq testnet logs node0 --follow
  dseq testnet logs --follow --level warn
  dseq testnet stop";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Start the network, creating it first if there is none, and wait until it accepts transactions
    ///
    /// Exits with 0 only if all nodes accept transactions. Nodes that cannot be started (because a port is taken, for
    /// example) are listed, and the others keep running. A new network is removed again if none of its nodes comes up.
    Start(StartArgs),
    /// Make the homes of a network whose nodes run on hosts of their own, such as containers; start nothing
    ///
    /// Each node listens on all addresses of its host, HTTP on port 6900, RPC on 26657 and P2P on 26656, and finds the others by
    /// the names of their hosts. None of them asks for a password: keep them in a private network. Timeouts are those of
    /// a local network, too short for hosts that are far apart. Homes that are there for the same hosts are left as they are.
    Init(InitArgs),
    /// Stop the nodes that `start` started; their data stays
    Stop(DirArg),
    /// Show the state of each node
    ///
    /// Exits with 0 only if all nodes accept transactions. Takes some seconds if no blocks seem to be made.
    ///
    /// running       it accepts transactions
    /// not ready     its app refuses every transaction, because its disk is nearly full, for example
    /// behind        other nodes have blocks that it does not receive
    /// catching up   it still fetches old blocks from its peers
    /// stalled       transactions wait, and no block is made
    /// no quorum     it and its peers have too little voting power to decide a block
    /// no answer     it runs, but does not answer
    /// stopped       it does not run
    /// unknown       this user may not know (permission denied)
    #[command(verbatim_doc_comment)]
    Status(StatusArgs),
    /// Show the nodes' logs, merged in order of time
    Logs(logs::Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct DirArg {
    /// Folder of the network, with the nodes' homes
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    dir: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct StartArgs {
    #[command(flatten)]
    dir: DirArg,
    /// Number of nodes of a new network, at most 32 [default: 4]
    #[arg(long)]
    nodes: Option<u16>,
    /// First port of a new network; the others follow it [default: 26656]
    #[arg(long, value_name = "PORT")]
    base_port: Option<u16>,
    /// Move an existing, stopped network to --base-port
    #[arg(long, requires = "base_port")]
    move_ports: bool,
    #[command(flatten)]
    pipeline: super::init::PipelineArgs,
    /// Serve CometBFT's metrics for Prometheus; costs about 10 % of the throughput, and stays on at later starts
    #[arg(long)]
    metrics: bool,
    /// CometBFT program
    #[arg(long, value_name = "FILE", env = config::COMETBFT.env)]
    cometbft: Option<PathBuf>,
    /// Maximum time for the nodes to come up, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 90, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

#[derive(Debug, clap::Args)]
pub(super) struct InitArgs {
    /// Folder for the homes, each named after its host
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Name or IPv4 address of a node's host; repeat for each node
    #[arg(long = "host", value_name = "HOST", required = true)]
    hosts: Vec<String>,
    #[command(flatten)]
    pipeline: super::init::PipelineArgs,
    /// CometBFT program
    #[arg(long, value_name = "FILE", env = config::COMETBFT.env)]
    cometbft: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    dir: DirArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Start(args) => start(&args),
        Command::Init(args) => init(&args),
        Command::Stop(args) => stop(&args),
        Command::Status(args) => status(&args),
        Command::Logs(args) => logs::run(&args),
    }
}

fn start(args: &StartArgs) -> anyhow::Result<ExitCode> {
    let cometbft = CometBft::find(args.cometbft.as_deref())?;
    for one in cometbft.passed_over() {
        say(format!("not used: {one}"))?;
    }
    let dir = &args.dir.dir;
    let started = testnet::start(&StartOptions {
        dir: dir.clone(),
        nodes: args.nodes,
        base_port: args.base_port,
        move_ports: args.move_ports,
        plugins: args.pipeline.files()?,
        metrics: args.metrics,
        cometbft,
        patience: Duration::from_secs(args.timeout),
    })?;
    let good = |(_, how): &&(_, NodeStart)| matches!(how, NodeStart::Ran | NodeStart::Started);
    let ready = started.nodes.iter().filter(good).count();
    if ready > 0 {
        say(welcome(&started, ready, dir))?;
    }
    if ready == started.nodes.len() {
        return Ok(ExitCode::SUCCESS);
    }
    bail!(troubles(&started, ready, dir));
}

fn init(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let found = testnet::init(&InitOptions {
        dir: args.dir.clone(),
        hosts: args.hosts.clone(),
        plugins: args.pipeline.files()?,
        cometbft: CometBft::find(args.cometbft.as_deref())?,
    })?;
    if !found.made {
        say(format!("{} holds the homes of these hosts already; nothing was changed.", args.dir.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![["  host", "RPC", "to run there"].map(str::to_owned).to_vec()];
    for (host, home, rpc) in &found.nodes {
        let start = format!("dseq start --home {}", shell::word(home));
        rows.push(vec![format!("  {host}"), format!("http://{host}:{rpc}"), start]);
    }
    say(format!("Made {}.\n\n{}", args.dir.display(), table(&rows)))?;
    Ok(ExitCode::SUCCESS)
}

/// What became of the nodes that do not accept transactions, and what to do.
fn troubles(started: &Started, ready: usize, dir: &Path) -> String {
    let count = started.nodes.len();
    let mut text = match (ready, started.removed) {
        (0, true) if count == 1 => "the node did not come up; the new network is removed again".to_owned(),
        (0, true) => "the network did not come up, and is removed again: it had no block yet".to_owned(),
        (0, false) => "no node accepts transactions".to_owned(),
        _ if ready.saturating_add(1) == count => format!("1 of {count} nodes does not accept transactions"),
        _ => format!("{} of {count} nodes do not accept transactions", count.saturating_sub(ready)),
    };
    for (node, how) in &started.nodes {
        match how {
            NodeStart::Failed(Failure { why, logs, .. }) => {
                text.push_str(&format!("\n{}: {why}", node.name));
                if !logs.is_empty() {
                    text.push_str(&format!("\n{logs}"));
                }
            }
            NodeStart::Waits(why) => {
                text.push_str(&format!("\n{}: {why}; it waits for the others", node.name));
            }
            NodeStart::Ran | NodeStart::Started => {}
        }
    }
    if !started.removed {
        let fix = testnet::command(dir, "start");
        text.push_str(&format!("\nRunning nodes are left running; fix the rest and run `{fix}` again."));
        let port_taken =
            |(_, how): &(_, NodeStart)| matches!(how, NodeStart::Failed(failure) if failure.port_taken);
        if started.nodes.iter().any(port_taken) {
            let (stop, word) = (testnet::command(dir, "stop"), shell::word(dir));
            text.push_str(&format!(
                "\nOr move the network to other ports: `{stop}`, then\n\
                 `dseq testnet start --dir {word} --move-ports --base-port PORT`."
            ));
        }
    }
    text
}

fn welcome(started: &Started, ready: usize, dir: &Path) -> String {
    let ready_nodes: Vec<&Node> = started
        .nodes
        .iter()
        .filter(|(_, how)| matches!(how, NodeStart::Ran | NodeStart::Started))
        .map(|(node, _)| node)
        .collect();
    let text = format!("{}\n\n{}", headline(started, ready), nodes_table(&ready_nodes, dir));
    if ready < started.nodes.len() { text } else { format!("{text}\n\n{}", suggestions(&ready_nodes, dir)) }
}

/// What was done, and how many nodes accept transactions now.
fn headline(started: &Started, ready: usize) -> String {
    let count = started.nodes.len();
    let fresh: Vec<_> = started
        .nodes
        .iter()
        .filter(|(_, how)| *how == NodeStart::Started)
        .map(|(node, _)| node.name.as_str())
        .collect();
    let all = match (count, ready) {
        (1, _) => "the node accepts transactions".to_owned(),
        (_, 1) => format!("1 of {count} nodes accepts transactions"),
        _ if ready < count => format!("{ready} of {count} nodes accept transactions"),
        _ => format!("all {count} nodes accept transactions"),
    };
    match fresh.len() {
        0 if ready == count && count == 1 => "The network of one node is running already.".to_owned(),
        0 if ready == count => format!("The network of {count} nodes is running already."),
        _ if started.made => format!("Made a new network; {all}."),
        0 => format!("{}.", capital(&all)),
        new if new < ready => format!("Started {}; {all}.", fresh.join(", ")),
        _ => format!("{}.", capital(&all)),
    }
}

fn nodes_table(nodes: &[&Node], dir: &Path) -> String {
    let mut rows = vec![["  node", "RPC", "HTTP", "metrics", "home"].map(str::to_owned).to_vec()];
    for node in nodes {
        let metrics = format!("http://localhost:{}/metrics", node.ports.metrics);
        rows.push(vec![
            format!("  {}", node.name),
            format!("http://localhost:{}", node.ports.rpc),
            node.http().map_or_else(|| "off".to_owned(), |http| format!("http://localhost:{}", http.port())),
            if EngineConfig::of(&node.home).serves_metrics() { metrics } else { "off".to_owned() },
            format!("{}/{}", dir.display(), node.name),
        ]);
    }
    table(&rows)
}

/// Commands to try with a network of which all nodes accept transactions.
fn suggestions(nodes: &[&Node], dir: &Path) -> String {
    let rpc = |node: usize| nodes.get(node % nodes.len().max(1)).map_or(0, |node| node.ports.rpc);
    let checksum = if dir == Path::new(DEFAULT_DIR) {
        "make checksum".to_owned()
    } else {
        format!("dseq checksum --dir {}", shell::word(dir))
    };
    let checksum =
        if nodes.len() > 1 { format!("\n  {checksum:<49} # all nodes hold the same") } else { String::new() };
    format!(
        "Try:\n  \
         curl -s 'localhost:{}/broadcast_tx_commit?tx=\"hello\"'    # any node takes bytes\n  \
         curl -s 'localhost:{}/broadcast_tx_commit?tx=0xDEADBEEF'    # committed if tx_result.data is there, the receipt{checksum}\n  \
         {:<49} # how they are\n  {:<49} # the data stays",
        rpc(0),
        rpc(1),
        testnet::command(dir, "status"),
        testnet::command(dir, "stop"),
    )
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
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
    let (mut left, mut denied) = (Vec::new(), Vec::new());
    for (node, outcome) in outcomes {
        let what = match outcome {
            Stopped::WasStopped => "was stopped already",
            Stopped::Ended => "stopped",
            Stopped::Killed => "did not stop in time and was killed; it recovers when it starts",
            Stopped::NotOurs(pid) => {
                left.push(format!("{node} (pid {pid})"));
                continue;
            }
            Stopped::Denied(why) => {
                denied.push(format!("{node}: {why}"));
                continue;
            }
        };
        say(format!("{node}  {what}"))?;
    }
    say(format!("The data stays in {}.", args.dir.display()))?;
    if !denied.is_empty() {
        left.iter_mut()
            .for_each(|node| node.push_str(" was not started by `dseq testnet`: stop it as it was started"));
        bail!(
            "not stopped:\n{}\nrun the command as the user who started what it may not stop",
            [denied, left].concat().join("\n")
        );
    }
    // A failure: `make clean` must not go on to remove the data of a node that still runs.
    if !left.is_empty() {
        bail!(
            "left alone, because `dseq testnet` did not start it: {}; stop it as it was started",
            left.join(", ")
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let nodes = testnet::status(&Network::open(&args.dir.dir)?)?;
    let good = nodes.iter().filter(|node| node.state == NodeState::Running).count();
    let code = if good == nodes.len() { 0 } else { EXIT_FAILED };
    say(if args.json { serde_json::to_string_pretty(&nodes)? } else { described(&nodes, good) })?;
    Ok(ExitCode::from(code))
}

fn described(nodes: &[NodeStatus], good: usize) -> String {
    let heading = ["node", "state", "height", "peers", "bytes", "pid", "RPC", "HTTP"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    for node in nodes {
        rows.push(vec![
            node.node.clone(),
            node.state.to_string(),
            number(node.height),
            number(node.peers),
            number(node.sequence_length),
            number(node.pid.map(u64::from)),
            node.rpc.clone(),
            node.http.clone().unwrap_or_else(|| "off".to_owned()),
        ]);
    }
    let mut text = format!("{}\n", table(&rows));
    for node in nodes.iter().filter(|node| node.state != NodeState::Stopped) {
        if let Some(reason) = &node.reason {
            text.push_str(&format!("\n{}: {reason}", node.node));
        }
    }
    let all_stopped = nodes.iter().all(|node| node.state == NodeState::Stopped);
    let unknown = nodes.iter().any(|node| node.state == NodeState::Unknown);
    text.push_str(&match (nodes.len(), good) {
        _ if all_stopped => "\nThe network is stopped.".to_owned(),
        (count, good) if unknown => format!("\n{good} of {count} nodes are known to accept transactions."),
        (1, 1) => "\nThe node accepts transactions.".to_owned(),
        (1, 0) => "\nThe node does not accept transactions.".to_owned(),
        (count, 0) => format!("\nNone of the {count} nodes accepts transactions."),
        (count, good) if good == count => format!("\nAll {count} nodes accept transactions."),
        (count, 1) => format!("\n1 of {count} nodes accepts transactions."),
        (count, good) => format!("\n{good} of {count} nodes accept transactions."),
    });
    text
}
