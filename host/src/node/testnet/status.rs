//! How each node of a local network is.

use std::time::Duration;

use serde::Serialize;

use super::{Network, Node, TestnetError};
use crate::node::rpc::Rpc;
use crate::node::running::Running;
use crate::sequence;

const RPC_PATIENCE: Duration = Duration::from_secs(2);

/// Whether a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Its RPC answers.
    Running,
    /// Its supervisor is there, but CometBFT does not answer.
    Silent,
    /// It does not run.
    Stopped,
}

/// How one node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// `node0` and so on.
    pub node: String,
    /// Whether it runs.
    pub state: NodeState,
    /// Its newest block, if it answers.
    pub height: Option<u64>,
    /// How many peers it has, if it answers.
    pub peers: Option<u64>,
    /// Length of its sequence, in bytes, from its files.
    pub sequence_length: Option<u64>,
    /// Its supervisor, if it runs.
    pub pid: Option<u32>,
    /// Its RPC.
    pub rpc: String,
}

/// Asks each node, and reads its files.
///
/// # Errors
///
/// When the network's shape makes no sense.
pub fn status(network: &Network) -> Result<Vec<NodeStatus>, TestnetError> {
    Ok(network.nodes()?.iter().map(one).collect())
}

fn one(node: &Node) -> NodeStatus {
    let supervisor = Running::read(&node.home).map(|running| running.supervisor).filter(|id| id.is_alive());
    // Without our supervisor, whoever answers on that port is not this node.
    let rpc = supervisor.map(|_| Rpc::new(node.ports.rpc, RPC_PATIENCE));
    let height = rpc.as_ref().and_then(|rpc| rpc.status().ok()).map(|status| status.height);
    let peers = rpc.as_ref().and_then(|rpc| rpc.peers().ok());
    let state = match (supervisor, height) {
        (None, _) => NodeState::Stopped,
        (Some(_), None) => NodeState::Silent,
        (Some(_), Some(_)) => NodeState::Running,
    };
    NodeStatus {
        node: node.name.clone(),
        state,
        height,
        peers,
        sequence_length: sequence::committed_length(&node.home.sequence_dir()).ok(),
        pid: supervisor.map(|id| id.pid),
        rpc: format!("http://127.0.0.1:{}", node.ports.rpc),
    }
}
