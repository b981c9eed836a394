//! What can go wrong, in words for people; programs look at the variants and at a problem's name.

use std::fmt::{self, Write as _};

use dseq_format::excerpt::words;
use dseq_format::types::TxHash;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Address;
use crate::address::BadAddress;

/// What the `type` of each problem begins with.
const TYPE_PREFIX: &str = "urn:dseq:problem:";

/// Why there is no answer, or none that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text that is no address.
    #[error(transparent)]
    Address(#[from] BadAddress),
    /// A client without nodes.
    ///
    /// Give at least one: `--node` or `DSEQ_NODE`, or in a program an address for `Client::new`.
    #[error("no node is given")]
    NoNodes,
    /// No node can be reached, or answers.
    #[error("{}", all(failures))]
    Unreachable {
        /// Each node's last failure.
        failures: Vec<Failure>,
    },
    /// A node's answer is a problem document.
    #[error("{node}: {problem}")]
    Refused {
        /// The node.
        node: Address,
        /// What it says.
        problem: Box<Problem>,
    },
    /// A node's answer is not one that a dseq node gives.
    ///
    /// Give the address of its HTTP: `http` in its dseq.toml.
    #[error(
        "{node} does not answer as a dseq node does ({what}); is this the port of its HTTP, such as 6900, and not of CometBFT's RPC?"
    )]
    Unexpected {
        /// The node.
        node: Address,
        /// What it answers.
        what: String,
    },
    /// A transaction was handed over, and no node could say what became of it.
    #[error(
        "it is not known whether transaction {tx_hash} is or will be committed ({why}); ask for its receipt before you send it again"
    )]
    OutcomeUnknown {
        /// SHA-256 of the transaction.
        tx_hash: TxHash,
        /// Why the answer to it was lost.
        why: String,
    },
    /// An offset that no node has reached.
    ///
    /// Ask for one that is committed, or try again later.
    #[error("offset {offset} is beyond the end of the sequence, which has {length} bytes")]
    BeyondEnd {
        /// The offset that was asked for.
        offset: u64,
        /// The longest committed length that a node has.
        length: u64,
    },
    /// A record index that no node has reached.
    ///
    /// Ask for one that is committed, or try again later.
    #[error("record {index} is not committed: there are {count} records")]
    NoSuchRecord {
        /// The index that was asked for.
        index: u64,
        /// How many records there are.
        count: u64,
    },
    /// Two nodes hold different bytes.
    ///
    /// Trust neither until you know which one is wrong: `dseq status --node` with the RPC of all nodes shows which one differs.
    #[error("nodes disagree: byte {offset} is not the same at {first} and at {second}")]
    Disagree {
        /// The first byte that is found to differ.
        offset: u64,
        /// The node that was read before.
        first: Address,
        /// The node that has something else.
        second: Address,
    },
    /// Two nodes hold different records.
    ///
    /// Trust neither until you know which one is wrong: `dseq status --node` with the RPC of all nodes shows which one differs.
    #[error("nodes disagree: record {index} is not the same at {first} and at {second}")]
    RecordsDisagree {
        /// The record's index.
        index: u64,
        /// The node that was read before.
        first: Address,
        /// The node that has something else.
        second: Address,
    },
    /// Two nodes have equally long sequences with different hashes.
    ///
    /// Trust neither until you know which one is wrong: `dseq status --node` with the RPC of all nodes shows which one differs.
    #[error("nodes disagree: the {length} bytes of {first} and of {second} have different hashes")]
    RootsDisagree {
        /// The length of both sequences.
        length: u64,
        /// One of the nodes.
        first: Address,
        /// The other one.
        second: Address,
    },
}

/// A node's part in an [`Error::Unreachable`].
#[derive(Clone, Debug)]
pub struct Failure {
    /// The node.
    pub node: Address,
    /// What is wrong with it.
    pub why: Why,
}

/// Why one node gave no answer that can be used.
#[derive(Clone, Debug)]
pub enum Why {
    /// It could not be reached: certainly nothing came of the request.
    NotConnected(String),
    /// No answer came, or not all of it.
    NoAnswer(String),
    /// It answered with a problem.
    Problem(Box<Problem>),
    /// It answered something that no dseq node answers.
    Unexpected(String),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected(why) => write!(f, "cannot connect: {why}"),
            Self::NoAnswer(why) => write!(f, "no answer: {why}"),
            Self::Problem(problem) => problem.fmt(f),
            Self::Unexpected(what) => write!(f, "unexpected answer: {what}"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, why } = self;
        write!(f, "{node}: {why}")
    }
}

fn all(failures: &[Failure]) -> String {
    match failures {
        [one] => one.to_string(),
        _ => {
            let mut text = "no node can be reached".to_owned();
            for failure in failures {
                // Writing to a string does not fail.
                let _ = write!(text, "\n  {failure}");
            }
            text
        }
    }
}

impl Error {
    /// What all these nodes come to: a problem says more than silence.
    pub(crate) fn of(failures: Vec<Failure>) -> Self {
        let rank = |why: &Why| match why {
            Why::Problem(_) => 2,
            Why::Unexpected(_) => 1,
            Why::NotConnected(_) | Why::NoAnswer(_) => 0,
        };
        // Of several problems, that of the node which was asked first.
        let best = failures.iter().rev().max_by_key(|failure| rank(&failure.why)).cloned();
        match best {
            Some(Failure { node, why: Why::Problem(problem) }) => Self::Refused { node, problem },
            Some(Failure { node, why: Why::Unexpected(what) }) => Self::Unexpected { node, what },
            Some(_) => Self::Unreachable { failures },
            None => Self::NoNodes,
        }
    }

    /// The problem that a node answered with.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        if let Self::Refused { problem, .. } = self { Some(problem) } else { None }
    }
}

/// A problem document (RFC 9457) of a node.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Problem {
    /// Its type, a URI; [`Problem::name`] is what programs decide by.
    pub r#type: String,
    /// The same for each problem of the type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong with this request.
    #[serde(default)]
    pub detail: String,
    /// Whether the same request may succeed later, or at another node.
    #[serde(default)]
    pub retry: bool,
    /// Its other members, such as `limit` and `actual`.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

impl Problem {
    /// The name of its type, such as `node-behind`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.r#type.strip_prefix(TYPE_PREFIX).unwrap_or(&self.r#type)
    }

    /// Whether it is one of a node's own, and not of a proxy before it.
    #[must_use]
    pub fn is_of_a_node(&self) -> bool {
        self.r#type.starts_with(TYPE_PREFIX)
    }

    /// A member that is a number, such as `limit`.
    #[must_use]
    pub fn number(&self, member: &str) -> Option<u64> {
        self.members.get(member)?.as_u64()
    }

    /// A member that is a text.
    #[must_use]
    pub fn text(&self, member: &str) -> Option<&str> {
        self.members.get(member)?.as_str()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = if self.detail.is_empty() { &self.title } else { &self.detail };
        write!(f, "{} ({})", words(said), words(&self.name()))
    }
}
