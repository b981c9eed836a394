//! Several nodes on one machine: made once, started together, found again by what is on disk.
//!
//! Node 0 listens on the base port (P2P) and the one after it (RPC). The next port is left free, because it is
//! where CometBFT's documentation puts an app. Each further node takes the next two; metrics come after all of them.
//! HTTP is on 6900 and the ports after it for the default base port, and comes after the metrics for any other: so two
//! networks whose base ports are far enough apart never meet.

mod error;
mod init;
mod launch;
pub mod logs;
mod make;
mod move_ports;
mod ready;
mod start;
mod status;
mod stop;

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use error::{TestnetError, command, removal};
pub use init::{InitOptions, Initialized, init};
pub use ready::Failure;
pub use start::{NodeStart, StartOptions, Started, start};
pub use status::{NodeState, NodeStatus, status};
pub use stop::{Stopped, stop};

use error::io_error;

use super::address::{self, Address};
use super::config::{self, ConfigError, Given, Settings};
use super::engine::listen;
use super::home::NodeHome;
use super::home::access;
use super::network::{Listen, NewMember};
use super::process::running::Running;
use crate::atomic_file;

/// Where `make start` keeps its network.
pub const DEFAULT_DIR: &str = "build/localnet";
/// The port from which the others are counted, unless another is given.
pub const BASE_PORT: u16 = 26656;
/// Maximum number of nodes of a local network; each takes two processes and four ports.
pub const NODES_MAX: u16 = 32;
/// Metrics begin this far above the base port, or further when the nodes need the room.
const METRICS_FROM: u16 = 14;

/// The ports of one node; all on loopback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// Where other nodes connect.
    pub p2p: u16,
    /// CometBFT's RPC.
    pub rpc: u16,
    /// CometBFT's metrics.
    pub metrics: u16,
    /// Our HTTP.
    pub http: u16,
}

impl Ports {
    /// Where the node listens.
    #[must_use]
    pub fn addresses(self) -> Listen {
        let [p2p, rpc, metrics] = [self.p2p, self.rpc, self.metrics].map(Address::loopback);
        Listen { p2p, rpc, metrics, http: Some(self.http_address()) }
    }

    /// The node, as it is to be made.
    #[must_use]
    pub fn member(self, name: &str) -> NewMember {
        let listen = self.addresses();
        NewMember { name: name.to_owned(), address: listen.p2p.clone(), listen, observer: false }
    }

    /// Where it answers HTTP.
    fn http_address(self) -> SocketAddr {
        SocketAddr::new(config::HTTP_DEFAULT.ip(), self.http)
    }
}

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

impl Shape {
    /// The ports of each node, in order.
    ///
    /// # Errors
    ///
    /// When there are none or too many nodes, or their ports leave the range of a port.
    pub fn ports(self) -> Result<Vec<Ports>, TestnetError> {
        if !(1..=NODES_MAX).contains(&self.nodes) {
            return Err(TestnetError::BadCount { nodes: self.nodes });
        }
        let metrics_from = METRICS_FROM.max(self.nodes.saturating_mul(2).saturating_add(2));
        let http_from = metrics_from.saturating_add(self.nodes);
        let above = http_from.saturating_add(self.nodes).saturating_sub(1);
        let bad = || TestnetError::BadPorts { shape: self, above };
        let port = |above: u16| self.base_port.checked_add(above).filter(|port| *port > 0).ok_or_else(bad);
        port(above)?;
        let http_base = if self.base_port == BASE_PORT { config::HTTP_PORT } else { port(http_from)? };
        (0..self.nodes)
            .map(|node| {
                let p2p = if node == 0 { 0 } else { 2 * node + 1 };
                let metrics = port(metrics_from + node)?;
                Ok(Ports { p2p: port(p2p)?, rpc: port(p2p + 1)?, metrics, http: http_base + node })
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
        let damaged = |source| TestnetError::Damaged { path, dir: dir.to_owned(), source };
        let shape = serde_json::from_slice(&text).map_err(damaged)?;
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

impl Node {
    /// Who runs it, if anybody does.
    ///
    /// # Errors
    ///
    /// When this user may not know.
    pub fn running(&self) -> Result<Option<Running>, access::Denied> {
        running(&self.home)
    }

    /// Where its RPC is reached from this machine: at the host that its configuration has, loopback if none.
    #[must_use]
    pub fn rpc_url(&self) -> String {
        let listens = listen::rpc(&self.home).unwrap_or_else(|| self.ports.addresses().rpc);
        format!("http://{}", Address { port: self.ports.rpc, ..listens.reached_locally() })
    }

    /// Where it answers HTTP: at the address that its `dseq.toml` has, loopback if none; none: it has `off`.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        let set = self.settings().map_or(Some(config::HTTP_DEFAULT), |settings| settings.http.value)?;
        Some(SocketAddr::new(set.ip(), self.ports.http))
    }

    /// Its HTTP, as this machine reaches it; none: it has `off`.
    #[must_use]
    pub fn http_url(&self) -> Option<String> {
        self.http().map(address::url)
    }

    /// What its `dseq.toml` says.
    fn settings(&self) -> Result<Settings, ConfigError> {
        Settings::load(Some(&self.home), &Given::new())
    }
}

/// Who runs a home, if any process of it is alive.
fn running(home: &NodeHome) -> Result<Option<Running>, access::Denied> {
    access::check(&home.run_dir().join("processes.json"))?;
    Ok(Running::read(home).filter(Running::is_alive))
}

/// What a node is called, and its folder with it.
#[must_use]
pub fn name(node: usize) -> String {
    format!("node{node}")
}

fn shape_file(dir: &Path) -> PathBuf {
    dir.join("network.json")
}

/// Writes what the network is, at once or not at all.
fn write_shape(network: &Network) -> Result<(), TestnetError> {
    let path = shape_file(&network.dir);
    let failed = || io_error(format!("write {}", path.display()));
    let text = serde_json::to_vec_pretty(&network.shape).map_err(|err| failed()(err.into()))?;
    atomic_file::replace(&path, &text).map_err(|err| failed()(err.into()))
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

    #[test]
    fn four_nodes_have_the_ports_that_the_documentation_promises() {
        let expected = [
            Ports { p2p: 26656, rpc: 26657, metrics: 26670, http: 6900 },
            Ports { p2p: 26659, rpc: 26660, metrics: 26671, http: 6901 },
            Ports { p2p: 26661, rpc: 26662, metrics: 26672, http: 6902 },
            Ports { p2p: 26663, rpc: 26664, metrics: 26673, http: 6903 },
        ];
        assert_eq!(Shape { nodes: 4, base_port: BASE_PORT }.ports().unwrap(), expected);
    }

    #[test]
    fn with_another_base_port_http_comes_after_the_metrics() {
        let at = |nodes, base_port| Shape { nodes, base_port }.ports().unwrap();
        assert_eq!(at(4, 30_000)[0], Ports { p2p: 30_000, rpc: 30_001, metrics: 30_014, http: 30_018 });
        assert_eq!(at(4, 30_000)[3], Ports { p2p: 30_007, rpc: 30_008, metrics: 30_017, http: 30_021 });
        let far = at(NODES_MAX, 30_000);
        assert_eq!((far[31].rpc, far[0].metrics, far[0].http), (30_064, 30_066, 30_098));
    }

    #[test]
    fn no_port_is_used_twice_however_many_nodes_there_are() {
        for (nodes, base_port) in (1..=NODES_MAX).flat_map(|nodes| [(nodes, BASE_PORT), (nodes, 30_000)]) {
            let ports = Shape { nodes, base_port }.ports().unwrap();
            let mut all: Vec<_> = ports.into_iter().flat_map(|p| [p.p2p, p.rpc, p.metrics, p.http]).collect();
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count, "{nodes} nodes");
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused_with_what_does() {
        let refusal = |nodes, base_port| Shape { nodes, base_port }.ports().unwrap_err().to_string();
        assert_eq!(refusal(0, BASE_PORT), "a local network has 1 to 32 nodes, not 0");
        assert_eq!(refusal(NODES_MAX + 1, BASE_PORT), "a local network has 1 to 32 nodes, not 33");
        let fits = "4 nodes from there on need ports up to";
        assert_eq!(refusal(4, 0), format!("base port 0 does not fit: {fits} 21; use 1 to 65514"));
        assert_eq!(refusal(4, 65_516), format!("base port 65516 does not fit: {fits} 65537; use 1 to 65514"));
        for nodes in 1..=NODES_MAX {
            let highest = |base_port| {
                let ports = Shape { nodes, base_port }.ports().ok()?;
                ports.into_iter().flat_map(|p| [p.p2p, p.rpc, p.metrics, p.http]).max()
            };
            let above = highest(1).unwrap() - 1;
            assert_eq!((highest(u16::MAX - above), highest(u16::MAX - above + 1)), (Some(u16::MAX), None));
        }
    }
}
