//! What the checks look at: everything that was learned by one moment, so that a check is a function of it alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::observed::{Accused, Misdeed, Roots};
use crate::node::engine::rpc::Peer;
use crate::node::names::Names;
use crate::receipts::Coverage;

/// What was learned of something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Learned<T> {
    /// This.
    Known(T),
    /// Nothing, and that is no failure: why it cannot be asked.
    Unasked(String),
    /// Nothing, although it should answer: what is wrong.
    Silent(String),
}

/// All that the checks look at.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// CometBFT's connections to this app.
    pub(super) connections: usize,
    /// The app's last block.
    pub(super) height: u64,
    /// What CometBFT says.
    pub(super) engine: Learned<Engine>,
    /// How long there has been work and no block; `None`: no work, or a block came.
    pub(super) stalled: Option<Duration>,
    /// How long ago the last block came; none: none came since the node started.
    pub(super) block_age: Option<Duration>,
    /// How many blocks most peers have been ahead, and for how long, although this node gets none.
    pub(super) behind: Option<(u64, Duration)>,
    /// What the last survey found of the network.
    pub(super) survey: Survey,
    /// The file systems that the node writes to.
    pub(super) disks: Vec<Disk>,
    /// Whether the last committed record can be read back; or why not.
    pub(super) store: Result<(), String>,
    /// The pipeline in force.
    pub(super) pipeline: Pipeline,
    /// How far transactions can be looked up by their hash.
    pub(super) receipts: Coverage,
    /// Validators that signed twice, as committed blocks proved since this process started.
    pub(super) misdeeds: Vec<Misdeed>,
    /// Validators in whose name this node rejected blocks, the least recent first.
    pub(super) accused: Vec<Accused>,
    /// Validators that are up and sign or propose nothing; `None`: it is not known which are up.
    pub(super) silent: Option<Vec<Silent>>,
    /// Nodes that sent what CometBFT's protocol does not allow.
    pub(super) violations: Vec<Violation>,
    /// What messages call validators and nodes.
    pub(super) names: Arc<Names>,
}

/// A validator that is up and signs or proposes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Silent {
    /// Its address.
    pub(super) validator: String,
    /// What it does not do.
    pub(super) lack: Lack,
    /// In how many blocks in a row.
    pub(super) blocks: u64,
}

/// What a validator does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lack {
    /// It signs none.
    Signs,
    /// It signs, and proposed none, although it was its turn several times.
    Proposes,
}

/// A node that sent what CometBFT's protocol does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// As messages call it.
    pub(super) node: String,
    /// How many connections to it were ended.
    pub(super) times: u64,
    /// Why the last one was.
    pub(super) why: String,
    /// How long ago that was.
    pub(super) ago: Duration,
}

/// What CometBFT says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Engine {
    /// Whether it still fetches old blocks.
    pub(super) catching_up: bool,
    /// Its voting power.
    pub(super) power: u64,
    /// That of each validator, by its address; `None`: not known.
    pub(super) validators: Option<Arc<BTreeMap<String, u64>>>,
    /// The address of its validator's key.
    pub(super) validator: Option<String>,
    /// Transactions in its mempool.
    pub(super) waiting: u64,
    /// Those it is connected to.
    pub(super) peers: Vec<Peer>,
    /// The ids of those that the operator named.
    pub(super) trusted: Arc<BTreeSet<String>>,
    /// The validator address of each member of the network, by its node id, as the network's file says.
    pub(super) members: Arc<BTreeMap<String, String>>,
}

impl Engine {
    /// The voting power of all validators; `None`: not known.
    pub(super) fn power_of_all(&self) -> Option<u64> {
        Some(self.validators.as_ref()?.values().fold(0, |sum, power| sum.saturating_add(*power)))
    }

    /// The validator of a node that says which it has. If the operator did not name the node, the network's file counts before what
    /// it says, and it cannot say that it has another member's validator.
    fn validator_of<'a>(&'a self, id: &str, seen: &Seen, says: Option<&'a String>) -> Option<&'a String> {
        let is_of_a_member = |says: &&String| self.members.values().any(|member| member == *says);
        match self.members.get(id) {
            _ if seen.is_trusted => says,
            None => says.filter(|says| !is_of_a_member(says)),
            member => member,
        }
    }

    /// The voting power that these nodes have together, by what this node knows of validators: a node may say anything of
    /// itself, but no validator counts twice, or this one's own. A peer that cannot be asked has what the network's file says.
    pub(super) fn power_of<'a>(&self, nodes: impl Iterator<Item = (&'a String, &'a Seen)>) -> u64 {
        let Some(powers) = &self.validators else { return 0 };
        let claimed: BTreeSet<&String> = nodes
            .filter_map(|(id, seen)| match &seen.answer {
                Answer::Answers { validator, .. } => self.validator_of(id, seen, validator.as_ref()),
                Answer::Unreachable(_) if seen.is_peer => self.members.get(id),
                Answer::Hangs | Answer::Unreachable(_) => None,
            })
            .filter(|address| self.validator.as_ref() != Some(address))
            .collect();
        claimed
            .into_iter()
            .filter_map(|address| powers.get(address))
            .fold(0, |sum, power| sum.saturating_add(*power))
    }
}

/// A file system that the node writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    /// A folder on it.
    pub(super) path: String,
    /// Its free space in bytes, or why that is not known.
    pub(super) free: Result<u64, String>,
    /// What the node keeps free there, in bytes.
    pub(super) low: u64,
    /// By how much CometBFT's write-ahead log may still grow there, in bytes.
    pub(super) wal_growth: u64,
}

/// The pipeline in force, and whether a restart would find it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pipeline {
    /// There has been no InitChain yet.
    NoGenesis,
    /// It runs.
    Runs {
        /// Its id.
        id: String,
        /// The id that the last block was committed under; `None` before the first.
        committed: Option<String>,
        /// Why a plugin's file is not in the node's folder any more.
        missing: Option<String>,
    },
}

/// What is known of other nodes, by their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Survey {
    /// Whether there has been one.
    pub(super) is_done: bool,
    /// Each node that was asked, or could not be.
    pub(super) nodes: BTreeMap<String, Seen>,
}

/// What is known of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// As messages call it.
    pub(super) name: String,
    /// Whether this node is connected to it; otherwise one of its peers is.
    pub(super) is_peer: bool,
    /// Whether the operator named it in `persistent_peers`: what it says then counts against this node.
    pub(super) is_trusted: bool,
    /// Its answer.
    pub(super) answer: Answer,
    /// How its sequence compares with this node's.
    pub(super) agreement: Agreement,
}

/// A node's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It answers.
    Answers {
        /// The address of its validator's key, as it says.
        validator: Option<String>,
        /// The last block of its app.
        height: u64,
    },
    /// It listens and has not answered for several surveys: it hangs.
    Hangs,
    /// It cannot be asked from here, for this reason; that says nothing about how it is.
    Unreachable(String),
}

/// How a node's sequence compares with this node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    /// It has not been compared, for this reason.
    Unknown(String),
    /// The same, when both had this many records.
    Agrees {
        /// Number of records.
        records: u64,
    },
    /// Different.
    Differs {
        /// When both had this many records.
        records: u64,
        /// This node's roots; `None`: no block of it ended at that many.
        ours: Option<Roots>,
        /// The other's: of its sequence, and of its records, in hex.
        theirs: (String, String),
    },
}

#[cfg(test)]
impl Snapshot {
    /// One of four validators of equal power, connected to the others, with nothing wrong.
    pub(super) fn well() -> Self {
        let peer = |number: u16| Peer {
            id: format!("id{number}"),
            moniker: format!("node{number}"),
            rpc: Some(crate::node::address::Address::loopback(number)),
        };
        let engine = Engine {
            catching_up: false,
            power: 10,
            validators: Some(Arc::new(["V0", "V1", "V2", "V3"].map(|one| (one.to_owned(), 10)).into())),
            validator: Some("V0".to_owned()),
            waiting: 0,
            peers: (1..=3).map(peer).collect(),
            trusted: Arc::default(),
            members: Arc::default(),
        };
        let seen = |number: u16| Seen {
            name: format!("node{number} (127.0.0.1:{number})"),
            is_peer: true,
            is_trusted: true,
            answer: Answer::Answers { validator: Some(format!("V{number}")), height: 7 },
            agreement: Agreement::Agrees { records: 5 },
        };
        let nodes = (1..=3).map(|number| (format!("id{number}"), seen(number))).collect();
        Self {
            connections: 4,
            height: 7,
            engine: Learned::Known(engine),
            stalled: None,
            block_age: None,
            behind: None,
            survey: Survey { is_done: true, nodes },
            disks: vec![Disk {
                path: "/s".to_owned(),
                free: Ok(10 << 30),
                low: 1 << 29,
                wal_growth: 1 << 30,
            }],
            store: Ok(()),
            pipeline: Pipeline::Runs { id: "p".to_owned(), committed: Some("p".to_owned()), missing: None },
            receipts: Coverage { complete: true, indexed: 5, count: 5, trouble: None },
            misdeeds: Vec::new(),
            accused: Vec::new(),
            silent: Some(Vec::new()),
            violations: Vec::new(),
            names: Arc::default(),
        }
    }

    /// CometBFT's answer, to be changed.
    pub(super) fn engine_mut(&mut self) -> &mut Engine {
        let Learned::Known(engine) = &mut self.engine else { panic!("CometBFT answers") };
        engine
    }

    /// What is known of the peer with this number.
    pub(super) fn peer_mut(&mut self, number: u16) -> &mut Seen {
        self.survey.nodes.get_mut(&format!("id{number}")).unwrap()
    }
}
