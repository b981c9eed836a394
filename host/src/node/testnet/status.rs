//! How each node of a local network is: whether it would take a transaction, and whether that would get anywhere.
//!
//! A node that runs may still be of no use. So each is asked what its app would do, which peers it reaches, and whether
//! blocks come while transactions wait for one; what one look cannot tell is looked at again a little later.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::resume_unwind;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Network, Node, TestnetError};
use crate::node::engine::rpc::{AppStatus, Rpc, RpcError, Status};
use crate::node::health::quorum::{self, STALLED_AFTER};
use crate::node::home::access;
use crate::node::process::running::Running;
use crate::sequence;

const RPC_PATIENCE: Duration = Duration::from_secs(2);
/// How long a node may take to get a block that another one has, before it counts as behind.
const BEHIND_PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(200);

/// How a node is; of several troubles, the one that comes first here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// It accepts transactions.
    Running,
    /// This user may not know.
    Unknown,
    /// It does not run.
    Stopped,
    /// Its supervisor is there, but CometBFT or the app does not answer.
    NoAnswer,
    /// It reaches too few validators for a block to be made.
    NoQuorum,
    /// Transactions wait, and no block comes.
    Stalled,
    /// It still fetches old blocks from its peers.
    CatchingUp,
    /// Others have blocks that it does not get.
    Behind,
    /// Its app refuses every transaction.
    NotReady,
}

/// As people read it.
impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running => "running",
            Self::Unknown => "unknown",
            Self::Stopped => "stopped",
            Self::NoAnswer => "no answer",
            Self::NoQuorum => "no quorum",
            Self::Stalled => "stalled",
            Self::CatchingUp => "catching up",
            Self::Behind => "behind",
            Self::NotReady => "not ready",
        })
    }
}

/// How one node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// `node0` and so on.
    pub node: String,
    /// How it is.
    pub state: NodeState,
    /// What is wrong with it, if anything is.
    pub reason: Option<String>,
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
    /// Its HTTP; none: it is off.
    pub http: Option<String>,
}

/// What one node says, or why it says nothing.
struct Looked<'a> {
    node: &'a Node,
    pid: Option<u32>,
    answer: Result<Answer, (NodeState, String)>,
}

struct Answer {
    rpc: Rpc,
    status: Status,
    peers: Vec<String>,
    app: AppStatus,
    waiting: u64,
}

/// Asks each node, and reads its files. Takes some seconds when a node seems to be behind, or blocks not to come.
///
/// # Errors
///
/// When the network's shape makes no sense.
pub fn status(network: &Network) -> Result<Vec<NodeStatus>, TestnetError> {
    let nodes = network.nodes()?;
    let looked: Vec<Looked<'_>> = std::thread::scope(|scope| {
        let looks: Vec<_> = nodes.iter().map(|node| scope.spawn(move || look(node))).collect();
        let join = |look: ScopedJoinHandle<'_, _>| look.join().unwrap_or_else(|panic| resume_unwind(panic));
        looks.into_iter().map(join).collect()
    });
    let answers = || looked.iter().filter_map(|looked| looked.answer.as_ref().ok());
    let powers: BTreeMap<&str, u64> =
        answers().map(|answer| (answer.status.id.as_str(), answer.status.power)).collect();
    let power_of_all = answers().find_map(|answer| answer.rpc.power_of_all().ok());
    let newest = answers().map(|answer| answer.status.height).max().unwrap_or(0);
    let heights_later = if answers().any(|answer| answer.status.height < newest) {
        wait_for_heights(&looked, newest)
    } else {
        BTreeMap::new()
    };
    let no_quorum = |answer: &Answer| no_quorum(answer, &powers, power_of_all);
    let stalled = answers().any(|answer| answer.waiting > 0 && no_quorum(answer).is_none())
        && no_block_comes(&looked, newest);
    let describe = |looked: &Looked<'_>| {
        let troubles = match &looked.answer {
            Err((state, reason)) => vec![(*state, reason.clone())],
            Ok(answer) => {
                let height = heights_later.get(looked.node.name.as_str()).copied();
                let height = height.unwrap_or(answer.status.height);
                troubles(answer, no_quorum(answer), stalled, newest.saturating_sub(height))
            }
        };
        summary(looked, troubles)
    };
    Ok(looked.iter().map(describe).collect())
}

fn look(node: &Node) -> Looked<'_> {
    let unavailable = |pid, state, reason| Looked { node, pid, answer: Err((state, reason)) };
    let record = node.home.run_dir().join("processes.json");
    for path in [node.home.genesis_file(), record] {
        if let Err(denied) = access::check(&path) {
            return unavailable(None, NodeState::Unknown, denied.to_string());
        }
    }
    let supervisor = Running::read(&node.home).map(|running| running.supervisor).filter(|id| id.is_alive());
    // Without our supervisor, whoever answers on that port is not this node.
    let Some(supervisor) = supervisor else {
        return unavailable(None, NodeState::Stopped, "it does not run".to_owned());
    };
    let pid = Some(supervisor.pid);
    let rpc = Rpc::at(node.rpc_url(), RPC_PATIENCE);
    let ask = || -> Result<Answer, RpcError> {
        Ok(Answer {
            status: rpc.status()?,
            peers: rpc.peers()?,
            app: rpc.app_status()?,
            waiting: rpc.waiting()?,
            rpc: rpc.clone(),
        })
    };
    match ask() {
        Ok(answer) => Looked { node, pid, answer: Ok(answer) },
        Err(err) => unavailable(pid, NodeState::NoAnswer, err.to_string()),
    }
}

/// Why the validators that a node reaches, itself among them, cannot decide a block; none: they can, or it is not known.
///
/// Only peers that answered us count: one that hangs keeps its connections.
fn no_quorum(answer: &Answer, powers: &BTreeMap<&str, u64>, power_of_all: Option<u64>) -> Option<String> {
    let of_all = power_of_all?;
    let of_peers = answer.peers.iter().filter_map(|id| powers.get(id.as_str()));
    let reached = of_peers.fold(answer.status.power, |sum, power| sum.saturating_add(*power));
    quorum::lacking(reached, of_all)
}

/// Waits until all nodes have reached a height, or have had their time. Returns where they are then, by their names.
fn wait_for_heights<'a>(looked: &[Looked<'a>], height: u64) -> BTreeMap<&'a str, u64> {
    let began = Instant::now();
    let mut heights = BTreeMap::new();
    loop {
        for Looked { node, answer, .. } in looked {
            if let Ok(answer) = answer
                && heights.get(node.name.as_str()).is_none_or(|found| *found < height)
            {
                let now = answer.rpc.status().map_or(answer.status.height, |status| status.height);
                heights.insert(node.name.as_str(), now);
            }
        }
        if heights.values().all(|found| *found >= height) || began.elapsed() >= BEHIND_PATIENCE {
            return heights;
        }
        std::thread::sleep(POLL);
    }
}

/// Whether no node gets above a height, although transactions wait all the time.
fn no_block_comes(looked: &[Looked<'_>], height: u64) -> bool {
    let began = Instant::now();
    let answers = || looked.iter().filter_map(|looked| looked.answer.as_ref().ok());
    while began.elapsed() < STALLED_AFTER {
        let moves = answers().any(|answer| answer.rpc.status().is_ok_and(|status| status.height > height));
        let work = answers().any(|answer| answer.rpc.waiting().is_ok_and(|waiting| waiting > 0));
        if moves || !work {
            return false;
        }
        std::thread::sleep(POLL);
    }
    true
}

fn troubles(
    answer: &Answer,
    no_quorum: Option<String>,
    stalled: bool,
    behind: u64,
) -> Vec<(NodeState, String)> {
    let mut found = Vec::new();
    let has_quorum = no_quorum.is_none();
    if let Some(why) = no_quorum {
        found.push((NodeState::NoQuorum, why));
    }
    if stalled && has_quorum {
        found.push((NodeState::Stalled, quorum::stalled(STALLED_AFTER.as_secs())));
    }
    if answer.status.catching_up && has_quorum {
        found.push((NodeState::CatchingUp, "it fetches blocks from its peers".to_owned()));
    }
    if behind > 0 {
        let s = if behind == 1 { "" } else { "s" };
        found.push((NodeState::Behind, format!("it is {behind} block{s} behind")));
    }
    if let Some(why) = &answer.app.unready {
        found.push((NodeState::NotReady, why.clone()));
    }
    found
}

fn summary(looked: &Looked<'_>, troubles: Vec<(NodeState, String)>) -> NodeStatus {
    let Looked { node, pid, answer } = looked;
    let (pid, answer) = (*pid, answer.as_ref().ok());
    let state = troubles.first().map_or(NodeState::Running, |(state, _)| *state);
    let reasons: Vec<String> = troubles.into_iter().map(|(_, reason)| reason).collect();
    NodeStatus {
        node: node.name.clone(),
        state,
        reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
        height: answer.map(|answer| answer.status.height),
        peers: answer.map(|answer| answer.peers.len() as u64),
        sequence_length: sequence::committed_length(&node.home.sequence_dir()).ok(),
        pid,
        rpc: node.rpc_url(),
        http: node.http_url(),
    }
}
