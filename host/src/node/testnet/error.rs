//! Why a local network cannot be made, found, started or moved; each with the command that helps, for its own folder.

use std::io;
use std::path::{Path, PathBuf};

use super::{DEFAULT_DIR, NODES_MAX, Shape};
use crate::node::config::ConfigError;
use crate::node::engine::config::EngineConfigError;
use crate::node::genesis::GenesisError;
use crate::node::home::HomeError;
use crate::node::home::access::Denied;
use crate::node::home::new_home::NewHomeError;
use crate::node::network::NetworkError;
use crate::node::process::ports::Unusable;
use crate::node::shell;

/// A local network that cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum TestnetError {
    /// Nothing there.
    #[error("no local network in {dir}; `{start}` makes one", dir = dir.display(), start = command(dir, "start"))]
    NoNetwork {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// Something else is there.
    #[error("{path} is there, but {dir} has no network.json: use another --dir, or remove it with `{removal}`", path = path.display(), dir = dir.display(), removal = removal(dir))]
    Foreign {
        /// What is in the way.
        path: PathBuf,
        /// Where a network was to be made.
        dir: PathBuf,
    },
    /// `network.json` is not as we wrote it.
    #[error("{path} is damaged: `{stop}` still stops the nodes, `{removal}` removes the network with its data", path = path.display(), stop = command(dir, "stop"), removal = removal(dir))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The network's folder.
        dir: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Another pipeline than what genesis pins.
    #[error("{dir} holds a network with another pipeline, {found}, and the pipeline of a network stays as it was made: use another --dir, or remove this network with its data: `{removal}`", dir = dir.display(), removal = removal(dir))]
    OtherPipeline {
        /// Where.
        dir: PathBuf,
        /// What is pinned there.
        found: String,
    },
    /// Another number of nodes than what is on disk.
    #[error("{dir} holds a network of {found} nodes, and their number stays as it was made: use another --dir, or remove this network with its data: `{removal}`", dir = dir.display(), removal = removal(dir))]
    OtherCount {
        /// Where.
        dir: PathBuf,
        /// How many there are.
        found: u16,
    },
    /// A host that cannot be part of a peer's address, or one named twice.
    #[error("--host {host:?} {why}")]
    BadHost {
        /// What was given.
        host: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Another base port than what is on disk.
    #[error("{dir} holds a network with base port {found}; add --move-ports to move it to {wanted}, or use another --dir", dir = dir.display())]
    OtherPorts {
        /// Where.
        dir: PathBuf,
        /// The base port that it has.
        found: u16,
        /// The one that was asked for.
        wanted: u16,
    },
    /// More nodes than a local network may have, or none.
    #[error("a local network has 1 to {NODES_MAX} nodes, not {nodes}")]
    BadCount {
        /// What was asked for.
        nodes: u16,
    },
    /// A base port from which the nodes' ports do not all exist.
    #[error("base port {} does not fit: {} node{} from there on need ports up to {}; use 1 to {}", shape.base_port, shape.nodes, if shape.nodes == 1 { "" } else { "s" }, u32::from(shape.base_port) + u32::from(*above), u16::MAX - above)]
    BadPorts {
        /// What was asked for.
        shape: Shape,
        /// How far the highest port is above the base port.
        above: u16,
    },
    /// Ports of a network that is to be made or moved.
    #[error("{list}\nnothing was changed; free them, or choose others with --base-port", list = ports.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Ports {
        /// Each port and who holds it.
        ports: Vec<Unusable>,
    },
    /// Nodes that run while their ports are to be moved.
    #[error("{nodes} run{s}, and ports are moved only while no node runs: `{stop}` first", nodes = nodes.join(", "), s = if nodes.len() == 1 { "s" } else { "" }, stop = command(dir, "stop"))]
    RunsWhileMoved {
        /// Their names.
        nodes: Vec<String>,
        /// The network's folder.
        dir: PathBuf,
    },
    /// A copy of a network that runs.
    #[error("{text}")]
    OriginalRuns {
        /// Which home is whose copy.
        text: String,
    },
    /// Asked to stop while the nodes were coming up.
    ///
    /// Run the command again.
    #[error("{signal} came before all nodes were up: those that this command started are stopped again, and {left}", left = if *removed { "the network, which had no block yet, is removed" } else { "the data stays" })]
    Interrupted {
        /// The signal.
        signal: &'static str,
        /// Whether the network was made by this very call, and is removed again.
        removed: bool,
    },
    /// Metrics are wanted of a node that runs.
    #[error("{node} runs without metrics, and they are turned on when a node starts: stop the network first")]
    RunsWithoutMetrics {
        /// The node.
        node: String,
    },
    /// Metrics could not be turned on.
    ///
    /// Fix the cause that follows the message, and run the command again.
    #[error("cannot turn metrics on")]
    Metrics {
        /// Why not.
        source: EngineConfigError,
    },
    /// Two commands at once.
    #[error("another `dseq testnet` command works on {dir}; try again when it has finished", dir = dir.display())]
    Busy {
        /// Where.
        dir: PathBuf,
    },
    /// The place is none for the homes.
    #[error("{0}")]
    Place(#[from] NewHomeError),
    /// A node's own settings could not be read or written.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The plugins cannot be used, or CometBFT failed.
    #[error("{0}")]
    Genesis(#[from] GenesisError),
    /// The homes could not be made.
    #[error("{0}")]
    Network(#[source] Box<NetworkError>),
    /// A home that is not one.
    #[error("{0}")]
    Home(#[from] HomeError),
    /// A file of another user.
    #[error("{0}")]
    Denied(#[from] Denied),
    /// The file system or the kernel refused.
    ///
    /// Fix the cause that follows the message, usually a missing file, permissions or a full disk, and run the command again.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        source: io::Error,
    },
}

impl From<NetworkError> for TestnetError {
    fn from(err: NetworkError) -> Self {
        Self::Network(Box::new(err))
    }
}

/// The command for a network's folder: `start`, `stop`, `status` or `logs`.
#[must_use]
pub fn command(dir: &Path, subcommand: &str) -> String {
    if dir == Path::new(DEFAULT_DIR) {
        return format!("make {subcommand}");
    }
    format!("dseq testnet {subcommand} --dir {}", shell::word(dir))
}

/// What stops a network and removes its files, and nothing else that may be in its folder.
#[must_use]
pub fn removal(dir: &Path) -> String {
    // By their names: a pattern would take what its owner keeps beside them, such as `node0.bak`.
    let homes = super::stop::homes(dir).unwrap_or_default().into_iter().map(|(name, _)| name);
    let files = homes.chain(["network.json".to_owned()]).map(|name| shell::word(&dir.join(name)));
    format!("{} && rm -rf {}", command(dir, "stop"), files.collect::<Vec<_>>().join(" "))
}

pub(super) fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> TestnetError {
    let what = what.into();
    |source| TestnetError::Io { what, source }
}
