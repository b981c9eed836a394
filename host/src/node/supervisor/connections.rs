//! Notices a CometBFT that has stopped dialing members that can be reached; a new start dials them again.
//!
//! CometBFT dials a persistent peer that it lost every few seconds for two minutes, then ever less often, and after a day never
//! again. And when two nodes dial each other at once, each refuses the other's connection as a duplicate, and both may take
//! theirs for made and stop dialing (`reconnectToPeer` in 0.38.26 and 0.39.4). So a network whose machines were cut off from each
//! other for an hour would need almost as long to make blocks again.
//!
//! # Invariants
//!
//! - CometBFT is started again only while this node is connected to too little voting power for a block: while it has enough, a
//!   lost connection costs little, and a new start would cost more.
//! - A member counts as reachable when its address accepts connections. If that is all it does, the pause before the next start
//!   doubles each time, up to an hour.

use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use crate::node::address::Address;
use crate::node::engine::config::EngineConfig;
use crate::node::engine::rpc::{Rpc, RpcError, Status, Validator};
use crate::node::health::quorum;
use crate::node::home::NodeHome;
use crate::node::network::{Member, NetworkFile};

/// For how long a member must be reachable and not connected. CometBFT dials every five to eight seconds at first.
const PATIENCE: Duration = Duration::from_secs(60);
const PATIENCE_MAX: Duration = Duration::from_secs(3600);
/// How long an address may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// Maximum number of members that are tried at once.
const TRIED_MAX: usize = 32;

/// A peer that the node's operator named, with which CometBFT is to keep a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Persistent {
    id: String,
    address: Address,
    /// Its name and the address of its validator, if the network's file has them.
    name: Option<String>,
    validator: Option<String>,
}

impl Persistent {
    /// Those of a home, as its files are now.
    pub(super) fn of(home: &NodeHome) -> Vec<Self> {
        let config = EngineConfig::of(home);
        let network = NetworkFile::joined(home).ok().flatten();
        let members = network.as_ref().map(NetworkFile::members).unwrap_or_default();
        let peer = |text: &str| {
            let (id, address) = text.trim().split_once('@')?;
            let (id, address) = (id.to_lowercase(), Address::parse(address)?);
            let member = members.iter().find(|member| member.node_id == id);
            let validator = member.filter(|member| !member.observer).map(Member::validator_address);
            Some(Self { id, address, name: member.map(|member| member.name.clone()), validator })
        };
        let named = config.text(&["p2p", "persistent_peers"]).unwrap_or_default();
        named.split(',').filter_map(peer).collect()
    }

    /// Whether its address accepts a connection now.
    fn accepts(&self) -> bool {
        let addresses = (self.address.host.as_str(), self.address.port).to_socket_addrs();
        addresses
            .is_ok_and(|mut all| all.any(|one| TcpStream::connect_timeout(&one, CONNECT_PATIENCE).is_ok()))
    }
}

/// Those that accept connections, and to which a node is not connected that reaches too little voting power for a block; `None`: it
/// reaches enough.
pub(super) fn unconnected(
    persistent: &[Persistent],
    rpc: &Rpc,
    status: &Status,
) -> Result<Option<Vec<String>>, RpcError> {
    if persistent.is_empty() {
        return Ok(None);
    }
    let ids = rpc.peers()?;
    let (connected, missing): (Vec<_>, Vec<_>) = persistent.iter().partition(|peer| ids.contains(&peer.id));
    if missing.is_empty() || !lacks_power(&connected, status.power, &rpc.validators()?) {
        return Ok(None);
    }
    Ok(Some(thread::scope(|scope| {
        let tried = missing.into_iter().take(TRIED_MAX).map(|peer| (peer, scope.spawn(|| peer.accepts())));
        let tried: Vec<_> = tried.collect();
        let accepting =
            tried.into_iter().filter_map(|(peer, tried)| tried.join().is_ok_and(|it| it).then_some(peer));
        accepting
            .map(|peer| format!("{} ({})", peer.name.as_deref().unwrap_or(&peer.id), peer.address))
            .collect()
    })))
}

/// Whether a node and the members that it is connected to have too little voting power for a block. If it is not known whose
/// validators its peers have, one peer is enough.
fn lacks_power(connected: &[&Persistent], own_power: u64, validators: &[Validator]) -> bool {
    if connected.iter().any(|peer| peer.name.is_none()) {
        return false;
    }
    let power = |peer: &&Persistent| {
        let of_peer = validators.iter().find(|one| one.address.is_some() && one.address == peer.validator);
        of_peer.map_or(0, |one| one.power)
    };
    let reached = connected.iter().map(power).fold(own_power, u64::saturating_add);
    let of_all = validators.iter().fold(0, |sum: u64, one| sum.saturating_add(one.power));
    !quorum::decides(reached, of_all)
}

/// For how long members are unconnected, from one run of CometBFT to the next.
#[derive(Debug)]
pub(super) struct Connections {
    since: Option<Instant>,
    patience: Duration,
}

impl Default for Connections {
    fn default() -> Self {
        Self { since: None, patience: PATIENCE }
    }
}

impl Connections {
    /// Takes what `unconnected` found; why CometBFT is to be started again, if it is.
    pub(super) fn take(&mut self, unconnected: Option<&[String]>, now: Instant) -> Option<String> {
        let Some(unconnected) = unconnected else {
            *self = Self::default();
            return None;
        };
        if unconnected.is_empty() {
            self.since = None;
            return None;
        }
        let waited = now.saturating_duration_since(*self.since.get_or_insert(now));
        if waited < self.patience {
            return None;
        }
        self.since = None;
        self.patience = self.patience.saturating_mul(2).min(PATIENCE_MAX);
        let (who, seconds) = (unconnected.join(", "), waited.as_secs());
        Some(format!(
            "CometBFT runs, but is connected to too few validators for a block, and has not connected to {who}, reachable for \
             {seconds} s"
        ))
    }

    /// Begins to wait anew, as after a restart.
    pub(super) fn restart(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn peer(number: u16, name: Option<&str>) -> Persistent {
        let address = Address::loopback(number);
        let (id, validator) = (format!("id{number}"), name.map(|_| format!("V{number}")));
        Persistent { id, address, name: name.map(str::to_owned), validator }
    }

    fn validators(powers: &[u64]) -> Vec<Validator> {
        let validator =
            |(number, power): (usize, &u64)| Validator { address: Some(format!("V{number}")), power: *power };
        powers.iter().enumerate().map(validator).collect()
    }

    #[test]
    fn it_takes_the_power_of_those_connected_and_of_the_node_itself_for_a_block() {
        let (one, two) = (peer(1, Some("bob")), peer(2, Some("carol")));
        let equal = validators(&[10, 10, 10, 10]);
        assert!(lacks_power(&[], 10, &equal) && lacks_power(&[&one], 10, &equal));
        assert!(!lacks_power(&[&one, &two], 10, &equal));
        assert!(lacks_power(&[&one, &two], 0, &equal), "a full node has none of its own");
        assert!(!lacks_power(&[&one], 10, &validators(&[10, 30, 10, 1])));
        assert!(!lacks_power(&[], 10, &validators(&[10])));
    }

    #[test]
    fn one_peer_whose_validator_is_not_known_is_enough() {
        assert!(!lacks_power(&[&peer(1, None)], 10, &validators(&[10, 10, 10, 10])));
        assert!(lacks_power(&[], 10, &validators(&[10, 10, 10, 10])));
    }

    #[test]
    fn a_member_is_reachable_if_its_address_accepts_connections() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let bob = peer(listener.local_addr().unwrap().port(), Some("bob"));
        assert!(bob.accepts());
        drop(listener);
        assert!(!bob.accepts());
        assert!(!Persistent { address: Address::new("nowhere.invalid", 1), ..bob }.accepts());
    }

    /// After how many seconds each new start comes, if these are unconnected in each second.
    fn starts(connections: &mut Connections, unconnected: Option<&[String]>, seconds: u64) -> Vec<u64> {
        let begin = Instant::now();
        let second =
            |second: &u64| connections.take(unconnected, begin + Duration::from_secs(*second)).is_some();
        (0..seconds).filter(second).collect()
    }

    #[test]
    fn cometbft_is_started_again_for_members_that_stay_reachable_after_ever_longer_times() {
        let (mut connections, bob) = (Connections::default(), ["bob (b:1)".to_owned()]);
        assert_eq!(
            starts(&mut connections, Some(&bob), 5 * 3600),
            [60, 181, 422, 903, 1864, 3785, 7386, 10987, 14588]
        );
        assert!(starts(&mut connections, None, 1).is_empty());
        assert_eq!(
            starts(&mut connections, Some(&bob), 181),
            [60],
            "it starts over once the power is enough"
        );
    }

    #[test]
    fn a_node_that_reaches_enough_or_nobody_is_left_alone() {
        let mut connections = Connections::default();
        assert!(starts(&mut connections, None, 3600).is_empty());
        assert!(starts(&mut connections, Some(&[]), 3600).is_empty());
        // A member that is down part of the time is not one that CometBFT forgot.
        let (bob, begin) = (["bob (b:1)".to_owned()], Instant::now());
        for second in 0..3600 {
            let unconnected: &[String] = if second % 60 == 59 { &[] } else { &bob };
            assert_eq!(connections.take(Some(unconnected), begin + Duration::from_secs(second)), None);
        }
    }

    #[test]
    fn a_new_start_says_who_is_not_connected_and_for_how_long() {
        let (mut connections, begin) = (Connections::default(), Instant::now());
        let two = ["bob (bob.example:26656)".to_owned(), "carol (carol.example:26656)".to_owned()];
        assert_eq!(connections.take(Some(&two), begin), None);
        assert_eq!(
            connections.take(Some(&two), begin + Duration::from_secs(75)).unwrap(),
            "CometBFT runs, but is connected to too few validators for a block, and has not connected to \
             bob (bob.example:26656), carol (carol.example:26656), reachable for 75 s"
        );
    }
}
