//! Says in the log of `dseq start` where the node listens, and how it is among the others whenever that changes: which validators
//! are up, and whether it takes transactions.
//!
//! It only asks and writes: nothing waits for it.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::thread;
use std::time::Duration;

use super::address::{self, Address};
use super::engine::config::EngineConfig;
use super::engine::listen;
use super::engine::rpc::Rpc;
use super::health::ask;
use super::home::NodeHome;
use super::network::{Member, NetworkFile};
use crate::api::health::{Report, State};

/// How often the node is asked.
const EVERY: Duration = Duration::from_secs(1);
/// How long it may take for one answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many looks in a row have to agree before they are news: validators come and go one by one.
const SETTLED: u32 = 2;

/// What to say of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    /// Why it takes no transactions: the check that fails, and its reason; none: it does.
    lacks: Option<(String, String)>,
    /// The ids of its peers.
    peers: BTreeSet<String>,
}

impl Look {
    /// Whether it is the same news: reasons have numbers in them that change each second.
    fn is_same(&self, other: &Self) -> bool {
        let check = |look: &Self| look.lacks.as_ref().map(|(check, _)| check.clone());
        check(self) == check(other) && self.peers == other.peers
    }
}

/// Says where a node listens, and starts to say how it is.
///
/// # Errors
///
/// When no thread can be started.
pub fn start(home: &NodeHome, http: Option<SocketAddr>) -> io::Result<()> {
    tracing::info!("{}", listens(home, http));
    let home = home.clone();
    thread::Builder::new().name("announce".to_owned()).spawn(move || announce(&home, http)).map(drop)
}

/// Where a node listens, and whom that lets in.
fn listens(home: &NodeHome, http: Option<SocketAddr>) -> String {
    let own = Member::read(&home.member_file()).ok();
    let at = own.map_or_else(String::new, |own| format!(" (others reach it at {})", own.address));
    let p2p = EngineConfig::of(home).text(&["p2p", "laddr"]).and_then(Address::parse);
    let p2p = p2p.map_or_else(|| "unknown".to_owned(), |p2p| p2p.to_string());
    let http = http.map(|http| Address::new(http.ip().to_string(), http.port()));
    format!("listens for peers on {p2p}{at}, for HTTP {}, for RPC {}", open(http), open(listen::rpc(home)))
}

/// An address that asks for no password, with whom it lets in.
fn open(address: Option<Address>) -> String {
    match address {
        None => "nowhere".to_owned(),
        Some(address) if address.is_loopback() => format!("on {address} (this machine only)"),
        Some(address) => format!("on {address} (OPEN: whoever reaches it may use it, without a password)"),
    }
}

fn announce(home: &NodeHome, http: Option<SocketAddr>) {
    warn_of_unknown_names(home);
    let members = NetworkFile::read(&home.network_file()).map(|network| network.members().to_vec());
    let members = members.unwrap_or_default();
    let own = Member::read(&home.member_file()).map(|own| own.node_id).unwrap_or_default();
    let url = http.map(address::url);
    let (mut said, mut seen, mut times) = (None::<Look>, None::<Look>, 0);
    loop {
        thread::sleep(EVERY);
        let Some(now) = look(home, url.as_deref()) else { continue };
        times = if seen.as_ref().is_some_and(|seen| seen.is_same(&now)) { times + 1 } else { 1 };
        if times >= SETTLED && !said.as_ref().is_some_and(|said| said.is_same(&now)) {
            say(&now, &members, &own);
            said = Some(now.clone());
        }
        seen = Some(now);
    }
}

fn say(look: &Look, members: &[Member], own: &str) {
    let who = who(look, members, own);
    match &look.lacks {
        None => tracing::info!("takes transactions; {who}"),
        Some((check, why)) => tracing::warn!("takes no transactions: {check}: {why}; {who}"),
    }
}

/// Which validators are up, as far as this node is connected to them.
fn who(look: &Look, members: &[Member], own: &str) -> String {
    let peers = match look.peers.len() {
        1 => "1 peer".to_owned(),
        count => format!("{count} peers"),
    };
    let is_up = |member: &&Member| member.node_id == own || look.peers.contains(&member.node_id);
    let validators: Vec<&Member> = members.iter().filter(|member| !member.observer).collect();
    if validators.is_empty() {
        return peers;
    }
    let names = |up: bool| {
        let found = validators.iter().copied().filter(|member| is_up(member) == up);
        found.map(|member| member.name.as_str()).collect::<Vec<_>>()
    };
    let (up, down) = (names(true), names(false));
    let missing = if down.is_empty() { String::new() } else { format!(", not {}", down.join(", ")) };
    format!("{} of {} validators up: {}{missing}; {peers}", up.len(), validators.len(), up.join(", "))
}

/// Asks the node; none: it does not answer yet, or its supervisor says why.
fn look(home: &NodeHome, url: Option<&str>) -> Option<Look> {
    let rpc = Rpc::at(listen::rpc_url(home)?, PATIENCE);
    let peers = rpc.peers().ok()?.into_iter().collect();
    let lacks = match url {
        Some(url) => failed(&ask::at(url).report),
        None => rpc.app_status().ok()?.unready.map(|why| ("app".to_owned(), why)),
    };
    Some(Look { lacks, peers })
}

/// The check that fails: that of the peers, if it is among them, since without a quorum others fail too.
fn failed(report: &Report) -> Option<(String, String)> {
    let failed = || report.checks.iter().filter(|check| check.state == State::Failed);
    let failed = failed().find(|check| check.name == "peers").or_else(|| failed().next())?;
    Some((failed.name.to_string(), failed.reason.clone().unwrap_or_default()))
}

/// CometBFT looks up the names of its peers once, when it starts, and never dials one that it did not find then.
fn warn_of_unknown_names(home: &NodeHome) {
    let config = EngineConfig::of(home);
    let peers = config.text(&["p2p", "persistent_peers"]).unwrap_or_default();
    let addresses = peers.split(',').filter_map(|peer| Address::parse(peer.trim().split_once('@')?.1));
    for address in addresses.filter(|address| address.host.parse::<IpAddr>().is_err()) {
        if let Err(err) = (address.host.as_str(), address.port).to_socket_addrs() {
            tracing::warn!(
                "the name of the peer {address} is not known here ({err}): CometBFT does not dial it until it is restarted, \
                 which `dseq start` does if too few peers are connected; the peer may still connect to this node"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::health::Check;
    use crate::node::network::tests::member;

    fn look_with(peers: &[&Member], lacks: Option<(&str, &str)>) -> Look {
        let lacks = lacks.map(|(check, why)| (check.to_owned(), why.to_owned()));
        Look { lacks, peers: peers.iter().map(|peer| peer.node_id.clone()).collect() }
    }

    #[test]
    fn it_is_said_which_validators_are_up() {
        let mut members = [member(1), member(2), member(3)];
        members[2].observer = true;
        let [one, two, observer] = &members;
        let say = |peers: &[&Member]| who(&look_with(peers, None), &members, &one.node_id);
        assert_eq!(say(&[two, observer]), "2 of 2 validators up: m1, m2; 2 peers");
        assert_eq!(say(&[]), "1 of 2 validators up: m1, not m2; 0 peers");
        assert_eq!(who(&look_with(&[two], None), &[], ""), "1 peer");
    }

    #[test]
    fn a_reason_that_only_counts_on_is_no_news() {
        let (one, two) = (member(1), member(2));
        let first = look_with(&[&one], Some(("progress", "no block came in 8 s")));
        assert!(first.is_same(&look_with(&[&one], Some(("progress", "no block came in 9 s")))));
        assert!(!first.is_same(&look_with(&[&one], Some(("peers", "no block came in 8 s")))));
        assert!(!first.is_same(&look_with(&[&one, &two], Some(("progress", "no block came in 8 s")))));
        assert!(!first.is_same(&look_with(&[&one], None)));
    }

    #[test]
    fn an_open_port_is_said_to_be_open() {
        let said = |text: &str| open(Address::parse(text));
        assert_eq!(said("127.0.0.1:6900"), "on 127.0.0.1:6900 (this machine only)");
        assert!(said("0.0.0.0:6900").contains("OPEN") && said("[::]:6900").contains("OPEN"));
        assert_eq!(open(None), "nowhere");
    }

    #[test]
    fn only_what_fails_keeps_a_node_from_taking_transactions() {
        let report = |state| Report { checks: vec![Check::new("sync", state, Some("why".to_owned()))] };
        assert_eq!(failed(&report(State::Failed)), Some(("sync".to_owned(), "why".to_owned())));
        let mut both = report(State::Failed);
        both.checks.push(Check::new("peers", State::Failed, None));
        assert_eq!(failed(&both), Some(("peers".to_owned(), String::new())));
        assert_eq!(failed(&report(State::Warning)), None);
        assert_eq!(failed(&report(State::Unknown)), None);
    }
}
