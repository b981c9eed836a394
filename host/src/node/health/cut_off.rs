//! Connections that CometBFT ended because of what the peer sent, as its log tells: counted, logged, and kept for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::snapshot::{Engine, Violation};
use crate::node::engine::cut_off::{CutOff, because};
use crate::node::engine::log_line;
use crate::node::home::NodeHome;
use crate::node::names::Names;
use crate::node::process::tail::{self, Tail};
use crate::telemetry::metrics::Metrics;

/// For how long a peer is remembered after the last connection that was ended.
const REMEMBERED: Duration = Duration::from_secs(600);
/// How often a peer is named in the log, while it goes on.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// Maximum number of peers that are remembered; anybody can have any number of node keys.
const PEERS_MAX: usize = 64;
/// Of how many peers it is known what they call themselves.
const MONIKERS_MAX: usize = 256;

/// The peers whose connections were ended.
#[derive(Debug)]
pub(super) struct CutOffs {
    log: Tail,
    peers: BTreeMap<String, Peer>,
    /// What peers called themselves while they were connected.
    monikers: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Peer {
    times: u64,
    why: String,
    last: Instant,
    logged: Option<Instant>,
}

impl CutOffs {
    /// Follows the log of a home's CometBFT from now on.
    pub(super) fn new(home: &NodeHome) -> Self {
        let log = home.cometbft_log();
        let start = tail::length(&log).unwrap_or(0);
        Self { log: Tail::from(&log, start), peers: BTreeMap::new(), monikers: BTreeMap::new() }
    }

    /// Remembers what peers call themselves.
    pub(super) fn know(&mut self, engine: &Engine) {
        if self.monikers.len() > MONIKERS_MAX {
            self.monikers.clear();
        }
        let moniker = |peer: &str| peer.chars().take(40).collect();
        self.monikers.extend(engine.peers.iter().map(|peer| (peer.id.clone(), moniker(&peer.moniker))));
    }

    /// Takes what CometBFT has logged since the last time.
    pub(super) fn look(&mut self, names: &Names, metrics: &Metrics, now: Instant) -> Vec<Violation> {
        // A log that cannot be read now is read later.
        for line in self.log.new_lines().unwrap_or_default() {
            let cut_off = CutOff::may_be(&line).then(|| log_line::parse(&line)).flatten();
            if let Some(cut_off) = cut_off.and_then(|line| CutOff::of(&line)) {
                metrics.peer_violated();
                self.take(cut_off, now);
            }
        }
        self.peers.retain(|_, peer| now.saturating_duration_since(peer.last) < REMEMBERED);
        self.log(names, now);
        let violation = |(id, peer): (&String, &Peer)| Violation {
            node: self.name(names, id),
            times: peer.times,
            why: peer.why.clone(),
            ago: now.saturating_duration_since(peer.last),
        };
        self.peers.iter().map(violation).collect()
    }

    fn take(&mut self, cut_off: CutOff, now: Instant) {
        let CutOff { id, why } = cut_off;
        if self.peers.len() >= PEERS_MAX && !self.peers.contains_key(&id) {
            let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.last).map(|(id, _)| id.clone());
            oldest.and_then(|id| self.peers.remove(&id));
        }
        let peer = self.peers.entry(id).or_insert_with(|| Peer {
            times: 0,
            why: String::new(),
            last: now,
            logged: None,
        });
        peer.times = peer.times.saturating_add(1);
        (peer.why, peer.last) = (why, now);
    }

    fn log(&mut self, names: &Names, now: Instant) {
        for (id, peer) in &mut self.peers {
            let is_due = peer.logged.is_none_or(|last| now.saturating_duration_since(last) >= LOG_EVERY);
            // Once for each connection that was ended since, or it would be said without an end.
            if is_due && peer.logged.is_none_or(|last| peer.last > last) {
                peer.logged = Some(now);
                let moniker = self.monikers.get(id).map(String::as_str);
                let (node, times, why) = (names.node(id, moniker), peer.times, &peer.why);
                let because = because(why);
                tracing::warn!(peer = id, times, "CometBFT ended the connection to {node} {because}: {why}");
            }
        }
    }

    fn name(&self, names: &Names, id: &str) -> String {
        names.node(id, self.monikers.get(id).map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_off(id: &str) -> CutOff {
        CutOff { id: id.to_owned(), why: "unknown channel 99".to_owned() }
    }

    #[test]
    fn peers_are_counted_and_forgotten_and_no_number_of_them_takes_more_memory() {
        let dir = tempfile::tempdir().unwrap();
        let home = NodeHome::new(dir.path());
        let (mut cut_offs, begin) = (CutOffs::new(&home), Instant::now());
        let (names, metrics) = (Names::from(&[("carol", "a", "V")]), Metrics::default());
        cut_offs.take(cut_off("a"), begin);
        cut_offs.take(cut_off("a"), begin);
        let found = cut_offs.look(&names, &metrics, begin);
        assert_eq!((found.len(), found[0].times, found[0].node.as_str()), (1, 2, "carol (node a)"));
        for number in 0..10_000 {
            cut_offs.take(cut_off(&number.to_string()), begin + Duration::from_secs(1));
        }
        assert_eq!(cut_offs.look(&names, &metrics, begin).len(), PEERS_MAX);
        assert_eq!(cut_offs.look(&names, &metrics, begin + REMEMBERED * 2), []);
    }

    #[test]
    fn cometbfts_log_is_followed_from_the_start_of_the_node() {
        let dir = tempfile::tempdir().unwrap();
        let home = NodeHome::new(dir.path());
        let log = home.cometbft_log();
        std::fs::create_dir_all(log.parent().unwrap()).unwrap();
        let id = "4b".repeat(20);
        let line = |err: &str| {
            format!(
                "E[x] {:<44} module=p2p peer=\"Peer{{MConn{{1.2.3.4:5}} {id} in}}\" err={err}\n",
                "Stopping peer for error"
            )
        };
        std::fs::write(&log, line("before")).unwrap();
        let mut cut_offs = CutOffs::new(&home);
        let all = line("before") + &line("EOF") + &line("bad") + "half a line";
        std::fs::write(&log, all).unwrap();
        let found = cut_offs.look(&Names::default(), &Metrics::default(), Instant::now());
        assert_eq!((found.len(), found[0].times, found[0].why.as_str()), (1, 1, "bad"));
    }
}
