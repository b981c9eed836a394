//! What nodes show of themselves at one moment, to be put side by side, and whether what they show agrees.
//!
//! Each node is looked at on a thread of its own, so that one that hangs holds up nobody.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;

use super::engine::rpc::{Committed, Rpc, RpcError};
use super::testnet::NodeState;
use crate::disk;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Over how long a rate is an average.
const RATE_OVER: Duration = Duration::from_secs(5);
/// Maximum number of record counts at which nodes are compared; older ones are forgotten.
const COUNTS_MAX: usize = 512;

/// A node to look at.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What it is called.
    pub name: String,
    /// Its RPC, as `http://host:port`.
    pub rpc: String,
    /// A folder on its disk, if it is on this machine.
    pub home: Option<PathBuf>,
}

/// What a node shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Whether it is of use, as far as it can tell alone.
    pub state: NodeState,
    /// What is wrong, if anything is.
    pub reason: Option<String>,
    /// Its last block.
    pub height: u64,
    /// Length of its sequence, in bytes.
    pub length: u64,
    /// Number of its records.
    pub records: u64,
    /// What consensus agreed on, in hexadecimal.
    pub app_hash: String,
    /// Number of its peers.
    pub peers: u64,
    /// Transactions that wait to get into a block.
    pub mempool: u64,
    /// Free space of its disk, in bytes, if it is on this machine.
    pub disk_free_bytes: Option<u64>,
    /// Whether its app says that the disk is nearly full.
    pub disk_low: bool,
    /// Its id among its peers.
    pub id: String,
    /// Its voting power; 0 if it has no vote.
    pub power: u64,
    /// The address of its validator's key, whether or not that has a vote.
    pub validator: Option<String>,
    /// The ids of its peers.
    #[serde(skip)]
    pub connected: Vec<String>,
}

/// A record, or its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its index.
    pub index: u64,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Subject {
    /// A client of its RPC.
    #[must_use]
    pub fn client(&self) -> Rpc {
        Rpc::at(self.rpc.clone(), PATIENCE)
    }

    /// Looks at the node.
    ///
    /// # Errors
    ///
    /// When it does not answer, or as no node of ours does.
    pub fn look(&self) -> Result<Shown, RpcError> {
        let rpc = self.client();
        let status = rpc.status()?;
        let connected = rpc.peers()?;
        let mempool = rpc.waiting()?;
        let Committed { height, length, records, app_hash, reason, disk_low } = rpc.committed()?;
        let (state, reason) = match reason {
            Some(reason) => (NodeState::NotReady, Some(reason)),
            None if status.catching_up => {
                (NodeState::CatchingUp, Some("it fetches blocks from its peers".to_owned()))
            }
            None => (NodeState::Running, None),
        };
        let disk_free_bytes = self.home.as_ref().and_then(|home| disk::free_bytes(home).ok());
        Ok(Shown {
            state,
            reason,
            height,
            length,
            records,
            app_hash,
            peers: connected.len() as u64,
            mempool,
            disk_free_bytes,
            disk_low,
            id: status.id,
            power: status.power,
            validator: status.validator,
            connected,
        })
    }

    /// The last records before this count, the newest first; those in `known` are not asked for again.
    ///
    /// # Errors
    ///
    /// When the node does not answer.
    pub fn last_records(&self, records: u64, count: u64, known: &[Record]) -> Result<Vec<Record>, RpcError> {
        let rpc = self.client();
        let record = |index| match known.iter().find(|record| record.index == index) {
            Some(record) => Ok(record.clone()),
            None => Ok(Record { index, bytes: rpc.record(index)? }),
        };
        (records.saturating_sub(count)..records).rev().map(record).collect()
    }
}

/// Whether a node agrees with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    /// At an equal number of records it has the same app hash as another.
    Same,
    /// At an equal number of records it has another app hash than most.
    Differs,
    /// It has not been seen at a number of records at which another was.
    Unknown,
}

/// The app hashes that nodes have shown, by number of records.
#[derive(Debug, Default)]
pub struct Agreements {
    hashes: BTreeMap<u64, BTreeMap<usize, String>>,
}

impl Agreements {
    /// Notes what a node has shown.
    pub fn note(&mut self, node: usize, records: u64, app_hash: &str) {
        self.hashes.entry(records).or_default().insert(node, app_hash.to_owned());
        while self.hashes.len() > COUNTS_MAX {
            self.hashes.pop_first();
        }
    }

    /// Whether a node agrees with the others, as far as they were seen.
    #[must_use]
    pub fn of(&self, node: usize) -> Agreement {
        let mut found = Agreement::Unknown;
        for hashes in self.hashes.values() {
            let Some(own) = hashes.get(&node) else { continue };
            let like = |hash: &String| hashes.values().filter(|other| *other == hash).count();
            if hashes.values().any(|other| other != own && like(other) >= like(own)) {
                return Agreement::Differs;
            }
            if like(own) > 1 {
                found = Agreement::Same;
            }
        }
        found
    }
}

/// The rate at which a node's records grow.
#[derive(Debug, Default)]
pub struct Rate {
    seen: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// Notes how many records there are.
    pub fn note(&mut self, at: Instant, records: u64) {
        // A node that was set back begins again.
        if self.seen.back().is_some_and(|(_, last)| *last > records) {
            self.seen.clear();
        }
        self.seen.push_back((at, records));
        while self.seen.get(1).is_some_and(|(second, _)| at.duration_since(*second) >= RATE_OVER) {
            self.seen.pop_front();
        }
    }

    /// Records a second; none before the second look.
    #[must_use]
    pub fn per_second(&self) -> Option<f64> {
        let ((from, first), (to, last)) = (self.seen.front()?, self.seen.back()?);
        let seconds = to.duration_since(*from).as_secs_f64();
        (seconds > 0.0).then(|| last.saturating_sub(*first) as f64 / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_agree_where_most_have_the_same_hash_at_the_same_count() {
        let mut seen = Agreements::default();
        seen.note(0, 10, "a");
        assert_eq!(seen.of(0), Agreement::Unknown);
        seen.note(1, 11, "b");
        assert_eq!([0, 1].map(|node| seen.of(node)), [Agreement::Unknown; 2]);
        seen.note(0, 11, "b");
        seen.note(2, 11, "b");
        seen.note(3, 11, "x");
        let all = [0, 1, 2, 3].map(|node| seen.of(node));
        assert_eq!(all, [Agreement::Same, Agreement::Same, Agreement::Same, Agreement::Differs]);
        // Of two alone, nobody can tell which is right.
        seen.note(1, 12, "c");
        seen.note(2, 12, "d");
        assert_eq!([1, 2].map(|node| seen.of(node)), [Agreement::Differs; 2]);
    }

    #[test]
    fn old_counts_are_forgotten() {
        let mut seen = Agreements::default();
        (0..10_000).for_each(|records| seen.note(0, records, "a"));
        assert_eq!(seen.hashes.len(), COUNTS_MAX);
    }

    #[test]
    fn a_rate_is_an_average_over_the_last_seconds() {
        let mut rate = Rate::default();
        let start = Instant::now();
        assert_eq!(rate.per_second(), None);
        for second in 0..20_u32 {
            // Twenty a second at first, then none.
            rate.note(start + Duration::from_secs(second.into()), u64::from(second.min(10)) * 20);
            if second == 8 {
                assert_eq!(rate.per_second(), Some(20.0));
            }
        }
        assert_eq!(rate.per_second(), Some(0.0));
        rate.note(start + Duration::from_secs(20), 5);
        assert_eq!(rate.per_second(), None);
    }
}
