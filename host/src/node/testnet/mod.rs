//! Several nodes on one machine: made once, started together, found again by what is on disk.
//!
//! Node 0 listens on the base port (P2P) and the one after it (RPC). The next port is left free, because it is
//! where CometBFT's documentation puts an app. Each further node takes the next two; metrics come after all of them.

mod start;
mod status;
mod stop;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use start::{NodeStart, ReadyError, StartOptions, Started, start};
pub use status::{NodeState, NodeStatus, status};
pub use stop::{Stopped, stop};

use super::engine_config::MetricsError;
use super::genesis::{GenesisError, Ports};
use super::home::{HomeError, NodeHome};
use super::ports::Unusable;

/// The port from which the others are counted, unless another is given.
pub const BASE_PORT: u16 = 26656;
/// Most nodes of a local network; each takes two processes and three ports.
pub const NODES_MAX: u16 = 32;
/// Metrics begin this far above the base port, or further when the nodes need the room.
const METRICS_FROM: u16 = 14;

/// What a local network is, as `<dir>/network.json` keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// How many nodes.
    pub nodes: u16,
    /// The port from which the others are counted.
    pub base_port: u16,
}

/// A local network in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Where `node0` and the others are.
    pub dir: PathBuf,
    /// How many, and where they listen.
    pub shape: Shape,
}

/// A local network that cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum TestnetError {
    /// Nothing there.
    #[error("no local network in {dir}; `make start` (or `dseq testnet start`) makes one", dir = dir.display())]
    NoNetwork {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// Something else is there.
    #[error("{path} is there, but {dir} has no network.json: `make clean` removes both, another --dir leaves them", path = path.display(), dir = dir.display())]
    Foreign {
        /// What is in the way.
        path: PathBuf,
        /// Where a network was to be made.
        dir: PathBuf,
    },
    /// `network.json` is not as we wrote it.
    #[error("{path} is damaged: `dseq testnet stop` still stops the nodes; then make the network anew, e.g. by `make clean` and `make start`", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// Another pipeline than what genesis pins.
    #[error("{dir} holds a network with another pipeline, {found}, and the pipeline of a network stays as it was made; `make clean` removes it, another --dir leaves it", dir = dir.display())]
    OtherPipeline {
        /// Where.
        dir: PathBuf,
        /// What is pinned there.
        found: String,
    },
    /// Another shape than what is on disk.
    #[error("{dir} holds a network of {nodes} nodes from port {base_port} on; `make clean` removes it, another --dir leaves it", dir = dir.display(), nodes = found.nodes, base_port = found.base_port)]
    OtherShape {
        /// Where.
        dir: PathBuf,
        /// What is there.
        found: Shape,
    },
    /// More nodes than ports, or none.
    #[error("{nodes} nodes from port {base_port} on do not fit; use 1 to {NODES_MAX} nodes and ports below 65536", nodes = shape.nodes, base_port = shape.base_port)]
    BadShape {
        /// What was asked for.
        shape: Shape,
    },
    /// Ports of nodes that are to be started.
    #[error("{list}\nfree them, or choose others with --base-port and another --dir", list = ports.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Ports {
        /// Each port and who holds it.
        ports: Vec<Unusable>,
    },
    /// Asked to stop while the nodes were coming up.
    #[error(
        "{signal} came before all nodes were up: those that this command started are stopped again, and the data stays"
    )]
    Interrupted {
        /// The signal.
        signal: &'static str,
    },
    /// Metrics are wanted of a node that runs.
    #[error("{node} runs without metrics, and they are turned on when a node starts: stop the network first")]
    RunsWithoutMetrics {
        /// The node.
        node: String,
    },
    /// Metrics could not be turned on.
    #[error("cannot turn metrics on in {path}", path = path.display())]
    Metrics {
        /// CometBFT's configuration.
        path: PathBuf,
        /// Why not.
        source: MetricsError,
    },
    /// Two commands at once.
    #[error("another `dseq testnet` command works on {dir}; try again when it has finished", dir = dir.display())]
    Busy {
        /// Where.
        dir: PathBuf,
    },
    /// The homes could not be made.
    #[error("{0}")]
    Genesis(#[from] GenesisError),
    /// A home that is not one.
    #[error("{0}")]
    Home(#[from] HomeError),
    /// The nodes did not come up.
    #[error("{0}")]
    NotReady(#[from] ReadyError),
    /// The file system or the kernel refused.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        source: io::Error,
    },
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> TestnetError {
    let what = what.into();
    |source| TestnetError::Io { what, source }
}

impl Shape {
    /// The ports of each node, in order.
    ///
    /// # Errors
    ///
    /// When there are none or too many nodes, or their ports leave the range of a port.
    pub fn ports(self) -> Result<Vec<Ports>, TestnetError> {
        let bad = || TestnetError::BadShape { shape: self };
        if !(1..=NODES_MAX).contains(&self.nodes) {
            return Err(bad());
        }
        let metrics_from = METRICS_FROM.max(self.nodes.saturating_mul(2).saturating_add(2));
        let port = |above: u16| self.base_port.checked_add(above).ok_or_else(bad);
        (0..self.nodes)
            .map(|node| {
                let p2p = if node == 0 { 0 } else { 2 * node + 1 };
                Ok(Ports { p2p: port(p2p)?, rpc: port(p2p + 1)?, metrics: port(metrics_from + node)? })
            })
            .collect()
    }
}

impl Network {
    /// Opens the network in a folder.
    ///
    /// # Errors
    ///
    /// When there is none, or its `network.json` cannot be read.
    pub fn open(dir: &Path) -> Result<Self, TestnetError> {
        let path = shape_file(dir);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                return Err(TestnetError::NoNetwork { dir: dir.to_owned() });
            }
            Err(err) => return Err(io_error(format!("read {}", path.display()))(err)),
        };
        let shape = serde_json::from_slice(&text).map_err(|source| TestnetError::Damaged { path, source })?;
        let dir = dir.canonicalize().map_err(io_error(format!("find {}", dir.display())))?;
        Ok(Self { dir, shape })
    }

    /// The home of a node.
    #[must_use]
    pub fn home(&self, node: usize) -> NodeHome {
        NodeHome::new(&self.dir.join(name(node)))
    }

    /// Every node's number, name, home and ports.
    ///
    /// # Errors
    ///
    /// When the shape on disk makes no sense.
    pub fn nodes(&self) -> Result<Vec<Node>, TestnetError> {
        let ports = self.shape.ports()?;
        let node = |(index, ports)| Node { name: name(index), home: self.home(index), ports };
        Ok(ports.into_iter().enumerate().map(node).collect())
    }
}

/// One node of a local network.
#[derive(Clone, Debug)]
pub struct Node {
    /// `node0` and so on.
    pub name: String,
    /// Its home.
    pub home: NodeHome,
    /// Its ports.
    pub ports: Ports,
}

/// What a node is called, and its folder with it.
#[must_use]
pub fn name(node: usize) -> String {
    format!("node{node}")
}

fn shape_file(dir: &Path) -> PathBuf {
    dir.join("network.json")
}

/// One command at a time works on a network's folder.
fn lock(dir: &Path) -> Result<File, TestnetError> {
    let path = dir.join(".lock");
    let file = File::create(&path).map_err(io_error(format!("write {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(TestnetError::Busy { dir: dir.to_owned() }),
        Err(fs::TryLockError::Error(err)) => Err(io_error(format!("lock {}", path.display()))(err)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(nodes: u16) -> Vec<Ports> {
        Shape { nodes, base_port: BASE_PORT }.ports().unwrap()
    }

    #[test]
    fn four_nodes_have_the_ports_that_the_documentation_promises() {
        let expected = [
            Ports { p2p: 26656, rpc: 26657, metrics: 26670 },
            Ports { p2p: 26659, rpc: 26660, metrics: 26671 },
            Ports { p2p: 26661, rpc: 26662, metrics: 26672 },
            Ports { p2p: 26663, rpc: 26664, metrics: 26673 },
        ];
        assert_eq!(ports(4), expected);
    }

    #[test]
    fn no_port_is_used_twice_however_many_nodes_there_are() {
        for nodes in 1..=NODES_MAX {
            let mut all: Vec<_> = ports(nodes).into_iter().flat_map(|p| [p.p2p, p.rpc, p.metrics]).collect();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count, "{nodes} nodes");
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        for (nodes, base_port) in [(0, BASE_PORT), (NODES_MAX + 1, BASE_PORT), (4, 65520)] {
            assert!(Shape { nodes, base_port }.ports().is_err(), "{nodes} from {base_port}");
        }
    }
}
