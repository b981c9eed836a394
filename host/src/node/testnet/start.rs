//! Making a local network, starting what does not run, and waiting until it takes transactions.

use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use super::{Network, Node, Shape, TestnetError, io_error, lock, shape_file};
use crate::node::cometbft::CometBft;
use crate::node::config;
use crate::node::engine_config;
use crate::node::genesis::{self, GenesisError, Member, NetworkSpec};
use crate::node::genesis_file::GenesisFile;
use crate::node::home::{self, NodeHome};
use crate::node::overrides;
use crate::node::ports;
use crate::node::process::ProcessId;
use crate::node::rpc::Rpc;
use crate::node::rules::{self, PluginFile};
use crate::node::running::Running;
use crate::node::signals;
use crate::node::tail;

const READY_POLL: Duration = Duration::from_millis(100);
const RPC_PATIENCE: Duration = Duration::from_secs(2);
/// How many lines of each log are shown when a node does not come up.
const LAST_LINES: usize = 15;

/// How to start a local network.
#[derive(Debug)]
pub struct StartOptions {
    /// Where its homes are, or are to be.
    pub dir: PathBuf,
    /// How many nodes; none: as on disk, else 4.
    pub nodes: Option<u16>,
    /// The port from which the others are counted; none: as on disk, else [`super::BASE_PORT`].
    pub base_port: Option<u16>,
    /// The pipeline; none: as pinned in genesis, else the default.
    pub plugins: Option<Vec<PluginFile>>,
    /// Whether the nodes' CometBFT is to serve metrics; otherwise that stays as it is.
    pub metrics: bool,
    /// The consensus engine.
    pub cometbft: CometBft,
    /// How long the nodes may take to come up.
    pub patience: Duration,
}

/// What became of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeStart {
    /// It ran before.
    Ran,
    /// It was started now.
    Started,
}

/// A network whose nodes all take transactions.
#[derive(Debug)]
pub struct Started {
    /// The network.
    pub network: Network,
    /// Whether its homes were made now.
    pub made: bool,
    /// Each node, and whether it ran before.
    pub nodes: Vec<(Node, NodeStart)>,
}

/// A node that does not take transactions.
#[derive(Debug, thiserror::Error)]
pub enum ReadyError {
    /// Its supervisor ended.
    #[error("{node} ended ({status})\n{tails}")]
    Ended {
        /// The node.
        node: String,
        /// How it ended.
        status: String,
        /// The ends of its logs.
        tails: String,
    },
    /// It takes too long.
    #[error("{node} takes no transactions after {seconds} s: {lacks}\n{tails}")]
    TooLate {
        /// The node.
        node: String,
        /// How long was waited.
        seconds: u64,
        /// What it lacks.
        lacks: String,
        /// The ends of its logs.
        tails: String,
    },
}

/// Makes the network if there is none, starts the nodes that do not run, and waits until all take transactions.
///
/// When a node does not come up, or a signal asks us to stop, those that were started by this call are ended again.
///
/// # Errors
///
/// When the network cannot be made, a port is in use, or a node does not come up in time.
pub fn start(options: &StartOptions) -> Result<Started, TestnetError> {
    let dir = &options.dir;
    let at = std::path::absolute(dir).map_err(io_error(format!("find {}", dir.display())))?;
    home::check_path(&at.canonicalize().unwrap_or(at))?;
    fs::create_dir_all(dir).map_err(io_error(format!("make {}", dir.display())))?;
    let _lock = lock(dir)?;
    let (send, stop) = mpsc::channel();
    signals::forward(send).map_err(io_error("listen for signals"))?;
    let (network, made) = match Network::open(dir) {
        Ok(network) => (as_wanted(network, options)?, false),
        // Ctrl-C reaches the programs that help to make it too; then their failure is not what is to be told.
        Err(TestnetError::NoNetwork { .. }) => {
            (make(options).map_err(|err| interrupted(&stop).unwrap_or(err))?, true)
        }
        Err(other) => return Err(other),
    };
    let nodes = network.nodes()?;
    let runs = |node: &Node| Running::read(&node.home).is_some_and(|running| running.supervisor.is_alive());
    let missing: Vec<&Node> = nodes.iter().filter(|node| !runs(node)).collect();
    free_of_leftovers(&missing)?;
    if options.metrics {
        turn_metrics_on(&nodes, &missing)?;
    }
    check_ports(&missing)?;
    let mut started = Vec::new();
    let result = launch(options, &missing, &mut started)
        .and_then(|()| wait_until_ready(&nodes, &mut started, options.patience, &stop));
    if let Err(err) = result {
        end_all(&mut started);
        return Err(err);
    }
    let was_started: Vec<String> = started.into_iter().map(|launched| launched.node.name).collect();
    let how =
        |node: &Node| if was_started.contains(&node.name) { NodeStart::Started } else { NodeStart::Ran };
    let nodes = nodes.into_iter().map(|node| (node.clone(), how(&node))).collect();
    Ok(Started { network, made, nodes })
}

fn interrupted(stop: &Receiver<&'static str>) -> Option<TestnetError> {
    stop.try_recv().ok().map(|signal| TestnetError::Interrupted { signal })
}

/// Refuses a network that is there already but is not the one that was asked for.
fn as_wanted(network: Network, options: &StartOptions) -> Result<Network, TestnetError> {
    let Shape { nodes, base_port } = network.shape;
    if options.nodes.is_some_and(|wanted| wanted != nodes)
        || options.base_port.is_some_and(|wanted| wanted != base_port)
    {
        return Err(TestnetError::OtherShape { dir: network.dir, found: network.shape });
    }
    if let Some(plugins) = &options.plugins {
        let wanted = rules::would_pin(plugins).map_err(GenesisError::from)?;
        let pinned = GenesisFile::read(&network.home(0).genesis_file()).and_then(|file| file.pinned());
        let pinned = pinned.map_err(GenesisError::from)?;
        if pinned != wanted {
            let told =
                |(name, hash, params): &(String, String, String)| format!("{name} ({hash}, params {params})");
            let found: Vec<String> = pinned.iter().map(told).collect();
            return Err(TestnetError::OtherPipeline { dir: network.dir, found: found.join(", ") });
        }
    }
    Ok(network)
}

/// Makes all homes aside and moves them into place; the network counts from when `network.json` is there.
fn make(options: &StartOptions) -> Result<Network, TestnetError> {
    let dir = options.dir.canonicalize().map_err(io_error(format!("find {}", options.dir.display())))?;
    let shape =
        Shape { nodes: options.nodes.unwrap_or(4), base_port: options.base_port.unwrap_or(super::BASE_PORT) };
    let network = Network { dir: dir.clone(), shape };
    let nodes = network.nodes()?;
    if let Some(node) = nodes.iter().find(|node| node.home.root().exists()) {
        return Err(TestnetError::Foreign { path: node.home.root().to_owned(), dir });
    }
    let partial = dir.join(".partial");
    let at = |what: &str| io_error(format!("{what} {}", partial.display()));
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(at("remove"))?;
    }
    fs::create_dir(&partial).map_err(at("make"))?;
    let member = |node: &Node| Member {
        home: NodeHome::new(&partial.join(&node.name)),
        moniker: node.name.clone(),
        ports: Some(node.ports),
    };
    let members: Vec<Member> = nodes.iter().map(member).collect();
    let spec = NetworkSpec {
        chain_id: None,
        plugins: match &options.plugins {
            Some(plugins) => plugins.clone(),
            None => vec![PluginFile::passthrough().map_err(GenesisError::from)?],
        },
        config_overrides: &[overrides::COMMON_CONFIG, overrides::LOCAL_CONFIG],
    };
    genesis::create(&options.cometbft, &spec, &members)?;
    for (node, member) in nodes.iter().zip(&members) {
        fs::rename(member.home.root(), node.home.root()).map_err(at("move out of"))?;
    }
    fs::remove_dir(&partial).map_err(at("remove"))?;
    let text = serde_json::to_vec_pretty(&shape).map_err(|err| at("describe")(err.into()))?;
    let (path, new) = (shape_file(&dir), dir.join("network.json.new"));
    fs::write(&new, text)
        .and_then(|()| fs::rename(&new, &path))
        .map_err(io_error(format!("write {}", path.display())))?;
    Ok(network)
}

/// Children of a supervisor that was killed are about to end; their ports must not count as taken.
fn free_of_leftovers(nodes: &[&Node]) -> Result<(), TestnetError> {
    for node in nodes {
        if let Some(last) = Running::read(&node.home) {
            last.end_orphans().map_err(io_error(format!("end what {} left behind", node.name)))?;
        }
    }
    Ok(())
}

/// Turns metrics on in the nodes that are to be started; those that run must have them already.
fn turn_metrics_on(nodes: &[Node], missing: &[&Node]) -> Result<(), TestnetError> {
    let without = nodes.iter().filter(|node| !engine_config::serves_metrics(&node.home));
    for node in without {
        if !missing.iter().any(|missing| missing.name == node.name) {
            return Err(TestnetError::RunsWithoutMetrics { node: node.name.clone() });
        }
        let path = node.home.cometbft_config();
        engine_config::serve_metrics(&node.home).map_err(|source| TestnetError::Metrics { path, source })?;
    }
    Ok(())
}

fn check_ports(nodes: &[&Node]) -> Result<(), TestnetError> {
    let wanted = nodes.iter().flat_map(|node| {
        let metrics = engine_config::serves_metrics(&node.home).then_some(node.ports.metrics);
        [Some(node.ports.p2p), Some(node.ports.rpc), metrics]
    });
    let ports = ports::unusable(wanted.flatten().map(|port| ("127.0.0.1", port)));
    if ports.is_empty() { Ok(()) } else { Err(TestnetError::Ports { ports }) }
}

struct Launched {
    node: Node,
    child: Child,
    /// How long its two logs were before.
    log_starts: [u64; 2],
}

fn launch(options: &StartOptions, nodes: &[&Node], started: &mut Vec<Launched>) -> Result<(), TestnetError> {
    for node in nodes {
        let node: &Node = node;
        let path = node.home.app_log();
        let what = || io_error(format!("start {} with its output in {}", node.name, path.display()));
        let log = OpenOptions::new().append(true).create(true).open(&path).map_err(what())?;
        let log_starts = logs(node).map(|path| tail::length(&path).unwrap_or(0));
        let log_too = log.try_clone().map_err(what())?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("dseq").arg("start").arg("--home").arg(node.home.root());
        command.arg("--by-testnet");
        if options.cometbft.named() {
            command.arg("--cometbft").arg(options.cometbft.path());
        }
        // What is one node's alone must not be the same for all of them.
        command.env_remove(config::ABCI.env).env_remove(config::HOME_ENV);
        let child = command.stdin(Stdio::null()).stdout(log).stderr(log_too).spawn().map_err(what())?;
        started.push(Launched { node: node.clone(), child, log_starts });
    }
    Ok(())
}

fn end_all(started: &mut [Launched]) {
    // Best effort throughout: the failure that brought us here is what the user needs to hear.
    for launched in started.iter() {
        if let Some(id) = ProcessId::of(launched.child.id()) {
            let _ = id.signal(rustix::process::Signal::TERM);
        }
    }
    for launched in started {
        if let Some(id) = ProcessId::of(launched.child.id()) {
            // One that is asked before it could say who it is has no children yet.
            let alone = Running { by_testnet: true, supervisor: id, app: None, cometbft: None };
            let said = Running::read(&launched.node.home).filter(|running| running.supervisor == id);
            let _ = said.unwrap_or(alone).end();
        }
        let _ = launched.child.wait();
    }
}

/// Waits until each node has made a block, has all its peers and lets us ask its app about a transaction.
fn wait_until_ready(
    nodes: &[Node],
    started: &mut [Launched],
    patience: Duration,
    stop: &Receiver<&'static str>,
) -> Result<(), TestnetError> {
    let began = Instant::now();
    let peers = nodes.len().saturating_sub(1) as u64;
    let mut waiting: Vec<&Node> = nodes.iter().collect();
    loop {
        for launched in started.iter_mut() {
            let status =
                launched.child.try_wait().map_err(io_error(format!("watch {}", launched.node.name)))?;
            if let Some(status) = status {
                let (node, tails) = (launched.node.name.clone(), tails(&launched.node, launched.log_starts));
                return Err(ReadyError::Ended { node, status: status.to_string(), tails }.into());
            }
        }
        waiting.retain(|node| lacks(node, peers).is_some());
        let Some(first) = waiting.first() else { return Ok(()) };
        if began.elapsed() >= patience {
            let lacks = lacks(first, peers).unwrap_or_else(|| "it was too late by a moment".to_owned());
            let launched = started.iter().find(|launched| launched.node.name == first.name);
            let tails = tails(first, launched.map_or([0, 0], |launched| launched.log_starts));
            let seconds = patience.as_secs();
            return Err(ReadyError::TooLate { node: first.name.clone(), seconds, lacks, tails }.into());
        }
        if let Ok(signal) = stop.recv_timeout(READY_POLL) {
            return Err(TestnetError::Interrupted { signal });
        }
    }
}

/// What a node lacks to take transactions.
fn lacks(node: &Node, peers: u64) -> Option<String> {
    let rpc = Rpc::new(node.ports.rpc, RPC_PATIENCE);
    let status = match rpc.status() {
        Ok(status) => status,
        Err(err) => return Some(err.to_string()),
    };
    if status.height == 0 {
        return Some("it has no block yet".to_owned());
    }
    if status.catching_up {
        return Some(format!("it is catching up, at height {}", status.height));
    }
    match rpc.peers() {
        Ok(found) if found < peers => return Some(format!("it has {found} of {peers} peers")),
        Ok(_) => {}
        Err(err) => return Some(err.to_string()),
    }
    rpc.check_tx().err().map(|err| err.to_string())
}

fn logs(node: &Node) -> [PathBuf; 2] {
    [node.home.app_log(), node.home.cometbft_log()]
}

/// The ends of what was written to a node's logs since these offsets.
fn tails(node: &Node, since: [u64; 2]) -> String {
    let tails = logs(node).into_iter().zip(since);
    let tails = tails.map(|(path, since)| {
        format!("the end of {}:\n{}", path.display(), tail::quote(&path, since, LAST_LINES))
    });
    tails.collect::<Vec<_>>().join("\n")
}
