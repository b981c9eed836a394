//! The history of a run: each operation with its beginning, its end and its outcome, and what the nodes held afterwards.
//!
//! Times are monotonic, since the beginning of the run. Nodes are numbers; `None` is an operation whose client chose among
//! several nodes, so that it is not known which one answered.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use dseq::types::TxHash;
use dseq_client::{Known, Receipt, Record};

/// When an operation was invoked, when it was completed, by which client, and at which node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) client: usize,
    pub(crate) node: Option<usize>,
    pub(crate) invoked: Duration,
    pub(crate) completed: Duration,
}

/// What the submitter of a transaction learned.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Committed {
        receipt: Receipt,
        /// Whether the node said that the same bytes had been committed before, if it said anything about that.
        duplicate: Option<bool>,
    },
    /// A node has it.
    Pending,
    /// The rules refuse it.
    Rejected,
    /// Certainly no node took it.
    Failed(String),
    /// Anything may have become of it.
    Unknown,
}

/// A transaction was submitted.
#[derive(Clone, Debug)]
pub(crate) struct Submission {
    pub(crate) span: Span,
    pub(crate) tx_hash: TxHash,
    pub(crate) outcome: Outcome,
}

/// A range was read.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) span: Span,
    pub(crate) from: u64,
    pub(crate) bytes: Bytes,
}

/// A node said how long its sequence is.
#[derive(Clone, Debug)]
pub(crate) struct Length {
    pub(crate) span: Span,
    pub(crate) length: u64,
}

/// A node was asked for a transaction.
#[derive(Clone, Debug)]
pub(crate) struct LookUp {
    pub(crate) span: Span,
    pub(crate) tx_hash: TxHash,
    pub(crate) known: Known,
}

/// A reader that followed the bytes from an offset on, at one node after the other.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    pub(crate) from: u64,
    /// In the order in which they came; the span ends when the reader had them.
    pub(crate) chunks: Vec<Read>,
}

/// A record as a reader got it.
#[derive(Clone, Debug)]
pub(crate) struct ReadRecord {
    pub(crate) span: Span,
    pub(crate) record: Record,
}

/// A reader that followed the records from an index on, at one node after the other.
#[derive(Clone, Debug)]
pub(crate) struct FollowedRecords {
    pub(crate) from: u64,
    pub(crate) records: Vec<ReadRecord>,
}

/// What a node holds after the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Final {
    pub(crate) bytes: Bytes,
    pub(crate) records: Vec<Record>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The record that each transaction is to become. Those that the rules refuse have none.
    pub(crate) expected: std::collections::BTreeMap<TxHash, Option<Bytes>>,
    pub(crate) submissions: Vec<Submission>,
    pub(crate) reads: Vec<Read>,
    pub(crate) lengths: Vec<Length>,
    pub(crate) look_ups: Vec<LookUp>,
    pub(crate) followed: Vec<Followed>,
    pub(crate) followed_records: Vec<FollowedRecords>,
    /// By node.
    pub(crate) finals: Vec<Final>,
    /// What each node answers after the run to who asks for a transaction.
    pub(crate) resolved: Vec<LookUp>,
}

impl History {
    /// Adds what another part of the run has noted.
    pub(crate) fn extend(&mut self, other: Self) {
        self.expected.extend(other.expected);
        self.submissions.extend(other.submissions);
        self.reads.extend(other.reads);
        self.lengths.extend(other.lengths);
        self.look_ups.extend(other.look_ups);
        self.followed.extend(other.followed);
        self.followed_records.extend(other.followed_records);
        self.finals.extend(other.finals);
        self.resolved.extend(other.resolved);
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (invoked, completed) = (self.invoked.as_secs_f64(), self.completed.as_secs_f64());
        write!(f, "[{invoked:.6} s to {completed:.6} s, client {}, ", self.client)?;
        match self.node {
            Some(node) => write!(f, "node{node}]"),
            None => f.write_str("some node]"),
        }
    }
}

impl fmt::Display for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} submit {}: ", self.span, self.tx_hash)?;
        match &self.outcome {
            Outcome::Committed { receipt, duplicate } => {
                write!(f, "committed, {receipt:?}, duplicate: {duplicate:?}")
            }
            Outcome::Failed(why) => write!(f, "failed: {why}"),
            Outcome::Pending => f.write_str("pending"),
            Outcome::Rejected => f.write_str("rejected"),
            Outcome::Unknown => f.write_str("unknown"),
        }
    }
}

impl fmt::Display for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.from + self.bytes.len() as u64;
        write!(f, "{} read {}..{end}", self.span, self.from)
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} length: {}", self.span, self.length)
    }
}

impl fmt::Display for LookUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} receipt of {}: {:?}", self.span, self.tx_hash, self.known)
    }
}

impl fmt::Display for ReadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} read record {:?}", self.span, self.record.receipt)
    }
}
