//! Notices a CometBFT that no longer dials peers that can be reached; a restart makes it dial them.
//!
//! CometBFT dials a persistent peer that it lost every few seconds for some minutes, then after pauses that treble, and after a day
//! never again. When two nodes dial each other at once, each refuses the other's connection as a duplicate, and both may stop
//! dialing (`reconnectToPeer` in 0.38.26 and 0.39.4). A name that was not known when it started is never looked up again. So a network
//! whose machines were cut off from each other for an hour could need another two hours to make blocks again.
//!
//! # Invariants
//!
//! - CometBFT is restarted only while this node is connected to too little voting power for a block, or as a full node to nobody,
//!   and only if no block comes meanwhile. A restart drops what waits in its mempool.
//! - A peer can be reached if it begins CometBFT's handshake. One that does no more than that causes restarts ever less often, down to
//!   one an hour, until a block comes.
//! - Of nodes that lack peers, one restarts before the others: it then connects to all, and they keep what waits in their mempools.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use crate::node::address::Address;
use crate::node::engine::config::EngineConfig;
use crate::node::engine::rpc::{Rpc, RpcError, Status, Validator};
use crate::node::health::quorum;
use crate::node::home::NodeHome;
use crate::node::network::{Member, NetworkFile};

/// For how long a peer must be reachable and not connected. At first CometBFT dials more often than that.
const PATIENCE: Duration = Duration::from_secs(60);
const PATIENCE_MAX: Duration = Duration::from_secs(3600);
/// By how much each node waits longer than the one before it.
const STAGGER: Duration = Duration::from_secs(20);
const STAGGERED_MAX: usize = 4;
/// How long an address may take to accept a connection, and then to begin the handshake.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// With this CometBFT begins on every connection: 34 bytes follow, of which field 1 is a key of 32.
const HANDSHAKE: [u8; 3] = [0x22, 0x0a, 0x20];
/// Maximum number of peers that are tried at once.
const TRIED_MAX: usize = 32;

/// A peer that the node's operator named, with which CometBFT is to keep a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Persistent {
    id: String,
    address: Address,
    /// What messages call it.
    name: String,
}

/// The persistent peers of a home, as its files are now.
#[derive(Debug, Default)]
pub(super) struct PersistentPeers {
    peers: Vec<Persistent>,
    /// The validator of each member, by its node id; empty: the home joined no network by its file.
    validators: BTreeMap<String, String>,
    /// All validators until the first block, when CometBFT does not list them.
    of_genesis: Vec<Validator>,
}

/// Persistent peers that can be reached, are not connected, and without which a node lacks peers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Unconnected {
    /// What messages call them.
    pub names: Vec<String>,
    /// How many other nodes restart before this one.
    pub before: usize,
}

impl PersistentPeers {
    pub(super) fn of(home: &NodeHome) -> Self {
        let config = EngineConfig::of(home);
        let network = NetworkFile::joined(home).ok().flatten();
        let members = network.as_ref().map(NetworkFile::members).unwrap_or_default();
        let peer = |text: &str| {
            let text = text.trim();
            let (id, address) = text.strip_prefix("tcp://").unwrap_or(text).split_once('@')?;
            let (id, address) = (id.to_lowercase(), Address::parse(address)?);
            let member = members.iter().find(|member| member.node_id == id);
            let name = format!("{} ({address})", member.map_or(&id, |member| &member.name));
            Some(Persistent { id, address, name })
        };
        let named = config.text(&["p2p", "persistent_peers"]).unwrap_or_default();
        let of_member = |member: &Member| (member.node_id.clone(), member.validator_address());
        let power =
            |member: &Member| network.as_ref()?.power(member).and_then(|power| u64::try_from(power).ok());
        let validator = |member: &Member| {
            Some(Validator { address: Some(member.validator_address()), power: power(member)? })
        };
        Self {
            peers: named.split(',').filter_map(peer).collect(),
            validators: members.iter().map(of_member).collect(),
            of_genesis: members.iter().filter_map(validator).collect(),
        }
    }

    /// Those that can be reached and are not connected; `None`: this node has peers enough.
    pub(super) fn unconnected(&self, rpc: &Rpc, status: &Status) -> Result<Option<Unconnected>, RpcError> {
        if self.peers.is_empty() {
            return Ok(None);
        }
        let ids = rpc.peers()?;
        let missing = self.missing(&ids, &status.id);
        if missing.is_empty() || (status.catching_up && !ids.is_empty()) {
            return Ok(None);
        }
        let validators = if status.height == 0 { self.of_genesis.clone() } else { rpc.validators()? };
        if !self.lacks_power(&ids, status.validator.as_ref(), &validators) {
            return Ok(None);
        }
        let before = self.before(&status.id);
        let names = thread::scope(|scope| {
            let tried = missing.into_iter().take(TRIED_MAX).filter_map(|peer| {
                let trying = thread::Builder::new().spawn_scoped(scope, || peer.is_reachable()).ok()?;
                Some((peer, trying))
            });
            let tried: Vec<_> = tried.collect();
            let reached = tried.into_iter().filter_map(|(peer, trying)| {
                trying.join().is_ok_and(|is_reachable| is_reachable).then(|| peer.name.clone())
            });
            reached.collect()
        });
        Ok(Some(Unconnected { names, before }))
    }

    /// How many nodes restart before the one with this id. Whether they can be reached does not matter: one that restarts cannot.
    fn before(&self, own: &String) -> usize {
        self.peers.iter().filter(|peer| peer.id < *own).count().min(STAGGERED_MAX)
    }

    /// Those that are not among these peers. A list may name the node itself, which CometBFT does not dial.
    fn missing(&self, ids: &[String], own: &String) -> Vec<&Persistent> {
        self.peers.iter().filter(|peer| peer.id != *own && !ids.contains(&peer.id)).collect()
    }

    /// Whether a node with this validator and these peers lacks the voting power for a block. For a full node, and where it is not
    /// known which validators peers have, one peer is enough.
    fn lacks_power(&self, ids: &[String], own: Option<&String>, validators: &[Validator]) -> bool {
        let power = |validator: Option<&String>| {
            let found =
                validators.iter().find(|one| validator.is_some() && one.address.as_ref() == validator);
            found.map_or(0, |one| one.power)
        };
        if power(own) == 0 || self.validators.is_empty() {
            return ids.is_empty();
        }
        let of_peers = ids.iter().map(|id| power(self.validators.get(id)));
        let reached = of_peers.fold(power(own), u64::saturating_add);
        let of_all = validators.iter().fold(0, |sum: u64, one| sum.saturating_add(one.power));
        !quorum::decides(reached, of_all)
    }
}

impl Persistent {
    /// Whether a CometBFT answers at its address now.
    fn is_reachable(&self) -> bool {
        let begins = |address| {
            let mut stream = TcpStream::connect_timeout(&address, CONNECT_PATIENCE).ok()?;
            stream.set_read_timeout(Some(CONNECT_PATIENCE)).ok()?;
            let mut begin = [0; HANDSHAKE.len()];
            stream.read_exact(&mut begin).ok()?;
            (begin == HANDSHAKE).then_some(())
        };
        let addresses = (self.address.host.as_str(), self.address.port).to_socket_addrs();
        addresses.is_ok_and(|mut all| all.any(|address| begins(address).is_some()))
    }
}

/// For how long peers have been reachable and not connected, from one run of CometBFT to the next.
#[derive(Debug)]
pub(super) struct Connections {
    height: u64,
    since: BTreeMap<String, Instant>,
    patience: Duration,
}

impl Default for Connections {
    fn default() -> Self {
        Self { height: 0, since: BTreeMap::new(), patience: PATIENCE }
    }
}

impl Connections {
    /// Takes what was found at a height; why CometBFT is to be restarted, if it is.
    pub(super) fn take(
        &mut self,
        height: u64,
        unconnected: Option<&Unconnected>,
        now: Instant,
    ) -> Option<String> {
        if height != self.height {
            *self = Self { height, ..Self::default() };
        }
        let Some(Unconnected { names, before }) = unconnected else {
            self.since.clear();
            return None;
        };
        self.since.retain(|name, _| names.contains(name));
        for name in names {
            self.since.entry(name.clone()).or_insert(now);
        }
        let waited = |since: &Instant| now.saturating_duration_since(*since);
        let longest = self.since.values().map(waited).max()?;
        if longest < self.patience + STAGGER * u32::try_from(*before).unwrap_or_default() {
            return None;
        }
        let who: Vec<&str> = self
            .since
            .iter()
            .filter(|(_, since)| waited(since) >= self.patience)
            .map(|(name, _)| name.as_str())
            .collect();
        let reason = format!(
            "CometBFT has too few peers and does not connect to {}, reachable for {} s",
            who.join(", "),
            longest.as_secs()
        );
        self.since.clear();
        self.patience = self.patience.saturating_mul(2).min(PATIENCE_MAX);
        Some(reason)
    }

    /// Begins to wait anew, as after a restart.
    pub(super) fn restart(&mut self) {
        self.since.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;

    /// Members `id0` to `id3` with validators `V0` to `V3`, of which a node is to keep connections to all.
    fn peers() -> PersistentPeers {
        let peer = |number: u16| Persistent {
            id: format!("id{number}"),
            address: Address::loopback(number),
            name: format!("n{number}"),
        };
        PersistentPeers {
            peers: (0..4).map(peer).collect(),
            validators: (0..4).map(|number| (format!("id{number}"), format!("V{number}"))).collect(),
            of_genesis: Vec::new(),
        }
    }

    fn lacks(peers: &PersistentPeers, ids: &[&str], own: Option<&str>, powers: &[u64]) -> bool {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let validator =
            |(number, power): (usize, &u64)| Validator { address: Some(format!("V{number}")), power: *power };
        let validators: Vec<Validator> = powers.iter().enumerate().map(validator).collect();
        peers.lacks_power(&ids, own.map(str::to_owned).as_ref(), &validators)
    }

    #[test]
    fn all_connected_members_and_the_node_itself_count_and_strangers_do_not() {
        let (peers, equal) = (peers(), [10, 10, 10, 10]);
        assert!(lacks(&peers, &[], Some("V0"), &equal) && lacks(&peers, &["id1"], Some("V0"), &equal));
        assert!(lacks(&peers, &["id1", "stranger", "another"], Some("V0"), &equal));
        assert!(!lacks(&peers, &["id1", "id2"], Some("V0"), &equal));
        assert!(!lacks(&peers, &["id1"], Some("V0"), &[10, 30, 10, 1]));
        assert!(!lacks(&peers, &[], Some("V0"), &[10]));
        // Members that are connected count whether or not this node is to dial them.
        let dials_one = PersistentPeers { peers: peers.peers[..1].to_vec(), ..peers };
        assert!(!lacks(&dials_one, &["id1", "id2"], Some("V0"), &equal));
    }

    #[test]
    fn one_peer_is_enough_for_a_full_node_and_where_validators_are_not_known() {
        let (peers, equal) = (peers(), [10, 10, 10, 10]);
        for own in [None, Some("another")] {
            assert!(lacks(&peers, &[], own, &equal) && !lacks(&peers, &["stranger"], own, &equal));
        }
        let unknown = PersistentPeers { validators: BTreeMap::new(), ..peers };
        assert!(lacks(&unknown, &[], Some("V0"), &equal) && !lacks(&unknown, &["id1"], Some("V0"), &equal));
    }

    #[test]
    fn the_node_itself_is_not_missing() {
        let (peers, ids) = (peers(), ["id2".to_owned()]);
        let missing = peers.missing(&ids, &"id0".to_owned());
        assert_eq!(missing.iter().map(|peer| peer.name.as_str()).collect::<Vec<_>>(), ["n1", "n3"]);
    }

    #[test]
    fn a_peer_is_reachable_if_it_begins_the_handshake() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::loopback(listener.local_addr().unwrap().port());
        let bob = Persistent { id: "id1".to_owned(), address, name: "bob".to_owned() };
        let answered = |begin: &[u8]| {
            thread::scope(|scope| {
                scope.spawn(|| listener.accept().unwrap().0.write_all(begin).unwrap());
                bob.is_reachable()
            })
        };
        assert!(answered(&[0x22, 0x0a, 0x20, 0x01]));
        assert!(!answered(b"HTTP/1.1 400 Bad Request") && !answered(&[0x22]));
        drop(listener);
        assert!(!bob.is_reachable());
        assert!(!Persistent { address: Address::new("nowhere.invalid", 1), ..bob }.is_reachable());
    }

    fn of(names: &[&str], before: usize) -> Unconnected {
        Unconnected { names: names.iter().map(|name| (*name).to_owned()).collect(), before }
    }

    /// After how many seconds each restart comes, if this is found in each second.
    fn restarts(
        connections: &mut Connections,
        height: u64,
        found: Option<&Unconnected>,
        seconds: u64,
    ) -> Vec<u64> {
        let begin = Instant::now();
        let second =
            |second: &u64| connections.take(height, found, begin + Duration::from_secs(*second)).is_some();
        (0..seconds).filter(second).collect()
    }

    #[test]
    fn restarts_for_a_peer_that_stays_reachable_come_after_ever_longer_times_until_a_block_comes() {
        let (mut connections, bob) = (Connections::default(), of(&["bob"], 0));
        let all = restarts(&mut connections, 7, Some(&bob), 5 * 3600);
        assert_eq!(all, [60, 181, 422, 903, 1864, 3785, 7386, 10987, 14588]);
        assert!(restarts(&mut connections, 7, None, 1).is_empty());
        assert!(
            restarts(&mut connections, 7, Some(&bob), 3600).is_empty(),
            "one that comes and goes gains nothing"
        );
        assert_eq!(restarts(&mut connections, 8, Some(&bob), 181), [60]);
    }

    #[test]
    fn each_of_a_few_nodes_has_its_own_place_whomever_it_reaches() {
        let places = ["id0", "id1", "id2", "id3", "id9"].map(|own| peers().before(&own.to_owned()));
        assert_eq!(places, [0, 1, 2, 3, STAGGERED_MAX]);
    }

    #[test]
    fn nodes_that_miss_each_other_restart_one_after_the_other() {
        let first = |before| restarts(&mut Connections::default(), 7, Some(&of(&["bob"], before)), 181)[0];
        assert_eq!([first(0), first(1), first(3)], [60, 80, 120]);
    }

    #[test]
    fn a_node_that_has_peers_enough_or_reaches_nobody_or_gets_blocks_is_left_alone() {
        let mut connections = Connections::default();
        assert!(restarts(&mut connections, 7, None, 3600).is_empty());
        assert!(restarts(&mut connections, 7, Some(&of(&[], 0)), 3600).is_empty());
        let begin = Instant::now();
        // A peer that is down part of the time is not one that CometBFT forgot, nor are two that take turns.
        for second in 0..3600 {
            let found = of(if second % 60 == 59 { &["carol"] } else { &["bob"] }, 0);
            assert_eq!(connections.take(7, Some(&found), begin + Duration::from_secs(second)), None);
        }
        for second in 0..3600 {
            let height = second / 50;
            assert_eq!(
                connections.take(height, Some(&of(&["bob"], 0)), begin + Duration::from_secs(second)),
                None
            );
        }
    }

    #[test]
    fn a_restart_says_who_is_not_connected_and_for_how_long() {
        let (mut connections, begin) = (Connections::default(), Instant::now());
        let mut at = |second, names: &[&str]| {
            connections.take(7, Some(&of(names, 0)), begin + Duration::from_secs(second))
        };
        assert_eq!(at(0, &["bob (b:1)", "carol (c:1)"]), None);
        assert_eq!(at(50, &["bob (b:1)", "carol (c:1)", "dave (d:1)"]), None);
        assert_eq!(
            at(75, &["bob (b:1)", "carol (c:1)", "dave (d:1)"]).unwrap(),
            "CometBFT has too few peers and does not connect to bob (b:1), carol (c:1), reachable for 75 s"
        );
    }
}
