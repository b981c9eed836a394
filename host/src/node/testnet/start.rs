//! Making a local network, starting what does not run, and waiting until it accepts transactions.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use super::launch::{Launched, end_all, launch};
use super::make::{self, check_ports};
use super::move_ports::move_ports;
use super::ready::{Failure, Lack, State, Watched, wait};
use super::{Network, Node, Shape, TestnetError, io_error, lock, shape_file};
use crate::node::config::{self, Origin};
use crate::node::engine::cometbft::CometBft;
use crate::node::engine::config::{EngineConfig, serve_metrics};
use crate::node::engine::listen;
use crate::node::genesis::GenesisError;
use crate::node::genesis::file::GenesisFile;
use crate::node::genesis::rules::{self, PluginFile};
use crate::node::home;
use crate::node::home::access;
use crate::node::process::running::{self, Running};
use crate::node::process::signals;

/// How to start a local network.
#[derive(Debug)]
pub struct StartOptions {
    /// Where its homes are, or are to be.
    pub dir: PathBuf,
    /// How many nodes; none: as on disk, else 4.
    pub nodes: Option<u16>,
    /// The port from which the others are counted; none: as on disk, else [`super::BASE_PORT`].
    pub base_port: Option<u16>,
    /// Whether a network that is there is moved to that port.
    pub move_ports: bool,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeStart {
    /// It accepts transactions, and ran before.
    Ran,
    /// It accepts transactions, and was started now.
    Started,
    /// It runs, but lacks this, for want of others.
    Waits(String),
    /// It does not accept transactions.
    Failed(Failure),
}

/// A network of which all that can run does.
#[derive(Debug)]
pub struct Started {
    /// The network.
    pub network: Network,
    /// Whether its homes were made now.
    pub made: bool,
    /// Whether they were removed again, because no node came up and the network has no block.
    pub removed: bool,
    /// What became of each node.
    pub nodes: Vec<(Node, NodeStart)>,
}

/// Makes the network if there is none, starts the nodes that do not run, and waits until all accept transactions or those
/// that do not are known.
///
/// A node that fails is no reason to end the others. What was made by this call is removed again if no node comes up
/// and the network has no block. A signal ends the nodes that were started by this call.
///
/// # Errors
///
/// When the network cannot be made, is not the one that was asked for, or a signal asks us to stop.
pub fn start(options: &StartOptions) -> Result<Started, TestnetError> {
    let _folder = Folder::take(&options.dir)?;
    let (send, stop) = mpsc::channel();
    signals::forward(send).map_err(io_error("listen for signals"))?;
    let (network, made) = found_or_made(options, &stop)?;
    let nodes = network.nodes()?;
    if options.metrics {
        turn_metrics_on(&nodes)?;
    }
    let mut watched: Vec<Watched<'_>> = nodes.iter().map(Watched::new).collect();
    for one in &mut watched {
        match bring_up(options, one.node) {
            Ok(launched) => one.launched = launched,
            Err(failure) => one.state = State::Failed(failure),
        }
    }
    let signal = wait(&mut watched, options.patience, &stop);
    let none_ready = !watched.iter().any(|one| matches!(one.state, State::Ready));
    let mut removed = false;
    if signal.is_some() || (made && none_ready && make::has_no_block(&nodes)) {
        let started = watched.iter_mut().filter_map(|one| Some((one.node, one.launched.as_mut()?)));
        end_all(&mut started.collect::<Vec<_>>());
        // A block may have come at the last moment.
        removed = made && make::has_no_block(&nodes);
    }
    if removed {
        make::undo(&network, &nodes)?;
    }
    if let Some(signal) = signal {
        return Err(TestnetError::Interrupted { signal, removed });
    }
    let outcomes: Vec<NodeStart> = watched.into_iter().map(outcome).collect();
    Ok(Started { network, made, removed, nodes: nodes.into_iter().zip(outcomes).collect() })
}

fn outcome(watched: Watched<'_>) -> NodeStart {
    match watched.state {
        State::Ready if watched.launched.is_some() => NodeStart::Started,
        State::Ready => NodeStart::Ran,
        State::Failed(failure) => NodeStart::Failed(failure),
        State::Pending(lack) => NodeStart::Waits(match lack {
            Some(Lack::Answer(why) | Lack::App(why) | Lack::Peers(why) | Lack::Check(why)) => why,
            None => "it was not asked".to_owned(),
        }),
    }
}

/// The network's folder while this command works on it; if it was made for a network that was not, it goes again.
struct Folder {
    path: PathBuf,
    /// What had to be made: the folder, and those above it.
    made: Vec<PathBuf>,
    _lock: File,
}

impl Folder {
    fn take(path: &Path) -> Result<Self, TestnetError> {
        let at = std::path::absolute(path).map_err(io_error(format!("find {}", path.display())))?;
        home::check_path(&at.canonicalize().unwrap_or(at))?;
        let mut made = Vec::new();
        for folder in path.ancestors().filter(|folder| !folder.as_os_str().is_empty()) {
            if folder.try_exists().map_err(io_error(format!("find {}", folder.display())))? {
                break;
            }
            made.push(folder.to_owned());
        }
        fs::create_dir_all(path).map_err(io_error(format!("make {}", path.display())))?;
        Ok(Self { path: path.to_owned(), made, _lock: lock(path)? })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.made.is_empty() || shape_file(&self.path).exists() {
            return;
        }
        let _ = fs::remove_file(self.path.join(".lock"));
        for folder in &self.made {
            // One that holds anything else stays.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// The network, and whether it was made now.
fn found_or_made(
    options: &StartOptions,
    stop: &Receiver<&'static str>,
) -> Result<(Network, bool), TestnetError> {
    match Network::open(&options.dir) {
        Ok(network) => {
            check_wanted(&network, options)?;
            let network = match options.base_port {
                Some(base_port) if options.move_ports => {
                    move_ports(&options.cometbft, &network, base_port, &options.dir)?
                }
                _ => network,
            };
            Ok((network, false))
        }
        Err(TestnetError::NoNetwork { dir }) if options.move_ports => Err(TestnetError::NoNetwork { dir }),
        // Ctrl-C reaches the programs that help to make it too; then their failure is not what is reported.
        Err(TestnetError::NoNetwork { .. }) => {
            let interrupted =
                || stop.try_recv().ok().map(|signal| TestnetError::Interrupted { signal, removed: true });
            Ok((make::make(options).map_err(|err| interrupted().unwrap_or(err))?, true))
        }
        Err(other) => Err(other),
    }
}

/// Refuses a network that is there already but is not the one that was asked for.
fn check_wanted(network: &Network, options: &StartOptions) -> Result<(), TestnetError> {
    let dir = options.dir.clone();
    let Shape { nodes, base_port } = network.shape;
    if options.nodes.is_some_and(|wanted| wanted != nodes) {
        return Err(TestnetError::OtherCount { dir, found: nodes });
    }
    if let Some(wanted) = options.base_port.filter(|wanted| *wanted != base_port) {
        Shape { nodes, base_port: wanted }.ports()?;
        if !options.move_ports {
            return Err(TestnetError::OtherPorts { dir, found: base_port, wanted });
        }
    }
    let Some(plugins) = &options.plugins else { return Ok(()) };
    let wanted = rules::would_pin(plugins).map_err(GenesisError::from)?;
    let pinned = GenesisFile::read(&network.home(0).genesis_file()).and_then(|file| file.pinned());
    let pinned = pinned.map_err(GenesisError::from)?;
    if pinned != wanted {
        let described =
            |(name, hash, params): &(String, String, String)| format!("{name} ({hash}, params {params})");
        let found: Vec<String> = pinned.iter().map(described).collect();
        return Err(TestnetError::OtherPipeline { dir, found: found.join(", ") });
    }
    Ok(())
}

/// Turns metrics on in the nodes that are to be started; those that run must have them already.
fn turn_metrics_on(nodes: &[Node]) -> Result<(), TestnetError> {
    for node in nodes.iter().filter(|node| !EngineConfig::of(&node.home).serves_metrics()) {
        if node.running()?.is_some() {
            return Err(TestnetError::RunsWithoutMetrics { node: node.name.clone() });
        }
        serve_metrics(&node.home).map_err(|source| TestnetError::Metrics { source })?;
    }
    Ok(())
}

/// Starts a node that does not run; none: it runs. Or says why it cannot run.
fn bring_up(options: &StartOptions, node: &Node) -> Result<Option<Launched>, Failure> {
    let failure = |why: String| Failure { why, logs: String::new(), port_taken: false };
    for path in [node.home.genesis_file(), node.home.cometbft_config(), node.home.run_dir()] {
        access::check(&path).map_err(|err| failure(err.to_string()))?;
    }
    // Its ports would count as taken, and at other ports the same keys would run twice.
    if let Some(original) = running::original_that_runs(&node.home) {
        return Err(failure(original));
    }
    if let Some(last) = Running::read(&node.home) {
        if last.supervisor.is_alive() {
            return Ok(None);
        }
        // Children of a supervisor that was killed are about to end; their ports must not count as taken.
        let ended = last.end_orphans();
        ended.map_err(|err| failure(format!("cannot end what it left behind: {err}")))?;
    }
    if listen::rpc(&node.home).is_none_or(|rpc| rpc.port != node.ports.rpc) {
        let config = node.home.cometbft_config();
        let why = format!("{} does not have the RPC on port {}", config.display(), node.ports.rpc);
        return Err(failure(why));
    }
    settle_http(node).map_err(failure)?;
    if let Err(TestnetError::Ports { ports }) = check_ports(std::slice::from_ref(node), false) {
        let why = ports.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        return Err(Failure { port_taken: true, ..failure(why) });
    }
    launch(&options.cometbft, node).map(Some).map_err(|err| failure(with_cause(&err)))
}

/// Makes sure that a node's HTTP has its own port. A network that was made before there was HTTP gets it now: with the
/// default, all nodes would take one port.
fn settle_http(node: &Node) -> Result<(), String> {
    let set = node.settings().map_err(|err| with_cause(&err))?.http;
    if set.origin == Origin::Default {
        let address = node.ports.http_address().to_string();
        return config::put(&node.home, &config::HTTP, &address).map_err(|err| with_cause(&err));
    }
    if set.value.is_some_and(|address| address.port() != node.ports.http) {
        let config = node.home.config_file();
        return Err(format!("{} does not have HTTP on port {}, or off", config.display(), node.ports.http));
    }
    Ok(())
}

fn with_cause(err: &dyn std::error::Error) -> String {
    err.source().map_or_else(|| err.to_string(), |cause| format!("{err}: {cause}"))
}
