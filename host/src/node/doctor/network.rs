//! The running node, its peers, and other nodes with its keys.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Finding, Subject, clocks};
use crate::api::health::{Check, State};
use crate::node::address;
use crate::node::engine::cometbft::VERSION;
use crate::node::engine::data::EngineData;
use crate::node::engine::key_files;
use crate::node::engine::listen;
use crate::node::engine::rpc::{Rpc, Status};
use crate::node::genesis::file::GenesisFile;
use crate::node::genesis::membership::Part;
use crate::node::health::ask::{self, RUNS};
use crate::node::health::quorum;
use crate::node::network::{Member, NetworkFile};
use crate::node::process::running::Running;
use crate::utc;

/// How long a node may take for one answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Maximum number of peers that are asked.
const PEERS_MAX: usize = 32;

/// What to do about each of the running node's own checks.
const REMEDIES: &[(&str, &str)] = &[
    (RUNS, "start it with dseq start, and look at its log"),
    ("checks", "look at the node's log; in its first second this is normal"),
    ("abci", "look at the node's log: CometBFT starts, or has ended"),
    ("engine", "look at cometbft.log"),
    ("sync", "wait while its height grows; else look at its peers and its disk"),
    ("peers", "start the other validators, or mend the network between them"),
    ("progress", "see peers first; then look for a validator that is overloaded or has a full disk"),
    ("disk", "free some space, or move the home to a larger disk"),
    ("store", "stop the node, check the disk, move sequence/ away and start again"),
    ("pipeline", "put the plugin's file back into plugins/ before the next start"),
    (
        "receipts",
        "if it is being built, wait; otherwise let the node's user write to index/ in the home, and free space on its disk: the \
         node tries again every 30 s, and builds the index from the sequence",
    ),
    (
        "double-signing",
        "stop all nodes with this key but one; if it is another member's, tell its operator (docs/run/misbehaviour.md)",
    ),
    (
        "proposals",
        "compare dseq genesis verify and dseq version with its operator: one of the two runs another program or other rules; or \
         another validator forged the name (docs/run/misbehaviour.md)",
    ),
    (
        "signing",
        "ask its operator whether it catches up, recovers, is overloaded or cut off; while it signs nothing, the network has one validator less to lose",
    ),
    (
        "messages",
        "ask its operator which program sends this; to go on without it, remove it from persistent_peers and block its address",
    ),
    ("agreement", "stop the node that differs, and keep its home for the search"),
];

/// A node that answers.
pub(super) struct Peer {
    pub(super) name: String,
    rpc: Rpc,
    pub(super) url: String,
    status: Status,
}

pub(super) fn all(subject: &Subject<'_>) -> Vec<Finding> {
    let mut found = own_checks(subject);
    let members = match NetworkFile::joined(subject.home) {
        Ok(network) => network.map_or_else(Vec::new, |network| network.members().to_vec()),
        Err(err) => {
            let remedy = "join the network again, or remove the file";
            found.push(Finding::warning("members", err.to_string(), remedy));
            Vec::new()
        }
    };
    let own = own_rpc(subject);
    let peers = reachable(subject, &members, own.as_ref());
    found.extend(own.as_ref().and_then(|own| connected(subject, own, &members)));
    if peers.is_empty() {
        let why = "no peer's RPC can be asked from here, so its blocks and version are not compared with this node's";
        found.push(Finding::unknown("network", why));
        let address = key_files::validator(subject.home).ok().flatten().and_then(|key| key.address());
        found.extend(
            own.as_ref().zip(address).map(|(own, validator)| {
                clocks::by_votes(own, &validator, |address| name_of(&members, address))
            }),
        );
    } else {
        found.push(clocks::by_date(&peers));
        found.push(blocks(subject, own.as_ref(), &peers));
        found.push(engines(&peers));
        if own.is_none() {
            found.push(power(&peers));
        }
    }
    found.push(copies(subject, own.as_ref(), &peers));
    found
}

/// What the running node finds itself.
fn own_checks(subject: &Subject<'_>) -> Vec<Finding> {
    let url = subject.settings.http.value.map(address::url);
    let is_up = Running::read(subject.home).is_some_and(|running| running.supervisor.is_alive());
    if !is_up
        && url.as_deref().is_none_or(|url| ask::at(url).report.checks.iter().any(|check| check.name == RUNS))
    {
        return vec![Finding::unknown("node", "it does not run; only what is on disk was looked at")];
    }
    let found = ask::home(subject.home, url.as_deref());
    let wrong: Vec<&Check> =
        found.report.checks.iter().filter(|check| check.state >= State::Warning).collect();
    let unknown: Vec<&Check> =
        found.report.checks.iter().filter(|check| check.state == State::Unknown).collect();
    let said = |check: &Check| {
        format!("{}: {}", check.name, check.reason.as_deref().unwrap_or("it does not say why"))
    };
    if wrong.is_empty() {
        let open = unknown.iter().map(|check| said(check)).collect::<Vec<_>>().join("; ");
        let open = if open.is_empty() { open } else { format!("; unknown: {open}") };
        return vec![Finding::ok("node", format!("it runs, and all its checks pass{open}"))];
    }
    let finding = |check: &&Check| {
        let remedy =
            REMEDIES.iter().find(|(name, _)| *name == check.name).map(|(_, remedy)| (*remedy).to_owned());
        Finding { check: "node", state: check.state, found: said(check), remedy }
    };
    wrong.iter().map(finding).collect()
}

/// The RPC of this very node, if it answers.
fn own_rpc(subject: &Subject<'_>) -> Option<Rpc> {
    let rpc = Rpc::at(listen::rpc_url(subject.home)?, PATIENCE);
    let status = rpc.status().ok()?;
    (Some(status.id) == key_files::node_id(subject.home).ok()?).then_some(rpc)
}

/// Members and peers whose RPC answers, each once, without this node.
fn reachable(subject: &Subject<'_>, members: &[Member], own: Option<&Rpc>) -> Vec<Peer> {
    let mut urls: BTreeMap<String, String> = BTreeMap::new();
    for member in members {
        if let Some(url) = member.rpc_url() {
            urls.insert(url, member.name.clone());
        }
    }
    for peer in own.and_then(|own| own.neighbours().ok()).unwrap_or_default() {
        if let Some(rpc) = &peer.rpc {
            urls.entry(format!("http://{rpc}")).or_insert(peer.moniker);
        }
    }
    let own_id = key_files::node_id(subject.home).ok().flatten();
    let answered: Vec<Option<Peer>> = std::thread::scope(|scope| {
        let ask = |(url, name): (String, String)| {
            let rpc = Rpc::at(url.clone(), PATIENCE);
            let status = rpc.status().ok()?;
            Some(Peer { name: format!("{name} ({url})"), rpc, url, status })
        };
        let asking: Vec<_> =
            urls.into_iter().take(PEERS_MAX).map(|one| scope.spawn(move || ask(one))).collect();
        asking.into_iter().map(|one| one.join().ok().flatten()).collect()
    });
    let mut peers: Vec<Peer> = answered.into_iter().flatten().collect();
    peers.retain(|peer| Some(&peer.status.id) != own_id.as_ref());
    peers.sort_by(|one, other| one.status.id.cmp(&other.status.id));
    peers.dedup_by(|one, other| one.status.id == other.status.id);
    peers
}

/// Whether this node is connected to the other validators of its network.
fn connected(subject: &Subject<'_>, own: &Rpc, members: &[Member]) -> Option<Finding> {
    let own_id = key_files::node_id(subject.home).ok().flatten();
    let ids = own.peers().ok()?;
    let others: Vec<&Member> =
        members.iter().filter(|one| !one.observer && Some(&one.node_id) != own_id.as_ref()).collect();
    let missing: Vec<&&Member> = others.iter().filter(|one| !ids.contains(&one.node_id)).collect();
    if others.is_empty() {
        return None;
    }
    if missing.is_empty() {
        return Some(Finding::ok("members", format!("connected to all {} other validators", others.len())));
    }
    let named: Vec<String> = missing.iter().map(|one| format!("{} ({})", one.name, one.address)).collect();
    let found = format!("not connected to {} of {} other validators: ", missing.len(), others.len());
    Some(Finding::warning(
        "members",
        found + &named.join(", "),
        "ask its operator whether the node runs; if it does, see whether that address can be reached from here, and this one's from there",
    ))
}

/// What a validator is called: as the network's file names it, or the beginning of its address.
fn name_of(members: &[Member], address: &str) -> String {
    let member = members.iter().find(|one| one.validator_address() == address);
    member.map_or_else(|| format!("validator {address}"), |one| one.name.clone())
}

/// Whether the peers are of the same network, and have the same first block.
fn blocks(subject: &Subject<'_>, own: Option<&Rpc>, peers: &[Peer]) -> Finding {
    let Ok(genesis) = GenesisFile::read(&subject.home.genesis_file()) else {
        return Finding::unknown("same network", "the genesis cannot be read");
    };
    let remedy =
        "compare dseq genesis verify on both: a node that has another genesis is part of another network";
    for peer in peers {
        let chain_id = peer.status.chain_id.as_deref().unwrap_or_default();
        if chain_id != genesis.chain_id() {
            let found = format!(
                "{} is of network {chain_id:?}, and this home of {:?}",
                peer.name,
                genesis.chain_id()
            );
            return Finding::failed("same network", found, remedy);
        }
        let Some(theirs) = peer.rpc.heights().ok().and_then(|(first, _)| peer.rpc.commit(first).ok()) else {
            continue;
        };
        let ours = own.and_then(|own| own.commit(theirs.height).ok());
        let same = match &ours {
            Some(ours) => ours.block == theirs.block,
            // The time of the first block is the genesis's.
            None if theirs.height == 1 => utc::parse(genesis.time()) == Some(theirs.time),
            None => true,
        };
        if !same {
            let found =
                format!("{} has another block {} than follows from this home", peer.name, theirs.height);
            return Finding::failed("same network", found, remedy);
        }
    }
    let peers = match peers.len() {
        1 => "1 peer is".to_owned(),
        several => format!("{several} peers are"),
    };
    Finding::ok("same network", format!("{peers} of {} too", genesis.chain_id()))
}

fn engines(peers: &[Peer]) -> Finding {
    let other = |peer: &&Peer| peer.status.version.as_deref().is_some_and(|version| version != VERSION);
    let others: Vec<String> = peers
        .iter()
        .filter(other)
        .map(|peer| format!("{} runs {}", peer.name, peer.status.version.as_deref().unwrap_or_default()))
        .collect();
    if others.is_empty() {
        return Finding::ok("peers' versions", format!("all run CometBFT {VERSION}"));
    }
    let found = format!("this node runs CometBFT {VERSION}; {}", others.join(", "));
    Finding::warning("peers' versions", found, "while an upgrade is under way this is normal; finish it")
}

/// Whether those that answer could make blocks, while this node cannot be asked.
fn power(peers: &[Peer]) -> Finding {
    let total = |peer: &Peer| peer.rpc.power_of_all().ok().filter(|total| *total > 0);
    let Some(total) = peers.iter().find_map(total) else {
        return Finding::unknown("quorum", "no peer says who the validators are");
    };
    let reached = peers.iter().fold(0_u64, |sum, peer| sum.saturating_add(peer.status.power));
    match quorum::lacking(reached, total) {
        None => Finding::ok(
            "quorum",
            format!("validators with power {reached} of {total} answer without this node"),
        ),
        Some(_) => {
            Finding::unknown("quorum", format!("validators with power {reached} of {total} answer here"))
        }
    }
}

/// Whether another node has this home's keys.
fn copies(subject: &Subject<'_>, own: Option<&Rpc>, peers: &[Peer]) -> Finding {
    let check = "key copies";
    let remedy = "stop the other node, and never start it again with these keys; if it is the newer one, stop this one";
    if own.is_none()
        && let Ok(Some(id)) = key_files::node_id(subject.home)
    {
        let is_peer = |peer: &&Peer| peer.rpc.peers().is_ok_and(|ids| ids.contains(&id));
        if let Some(peer) = peers.iter().find(is_peer) {
            let found =
                format!("this node does not run, and {} is connected to a node with its id {id}", peer.name);
            return Finding::failed(check, found, remedy);
        }
    }
    let doc = GenesisFile::read(&subject.home.genesis_file()).and_then(|file| file.doc()).ok();
    let is_validator = doc.is_some_and(|doc| matches!(Part::of(subject.home, &doc), Part::Validator(_)));
    let address = key_files::validator(subject.home).ok().flatten().and_then(|key| key.address());
    let (Some(address), true) = (address, is_validator) else {
        return Finding::ok(check, "this home's key has no vote here");
    };
    let asked: Vec<&Rpc> = own.into_iter().chain(peers.iter().map(|peer| &peer.rpc)).collect();
    if asked.is_empty() {
        return Finding::unknown(check, "no node can be asked what was signed");
    }
    let newest = asked.iter().filter_map(|rpc| newest_signed(rpc, &address)).max();
    // After the blocks: this node may have signed more meanwhile.
    let data = EngineData::of(subject.home);
    if !data.signing_state().exists() {
        return Finding::unknown(check, "the record of what this validator signed is missing");
    }
    match (newest, data.signed_height()) {
        (_, Err(err)) => Finding::refused(check, format!("{err}: {}", err.source)),
        (Some(signed), Ok(record)) if signed > record => {
            let found = format!(
                "block {signed} has this validator's signature, and this home has signed nothing above {record}: another node \
                 votes with its key, or this home is an older copy"
            );
            Finding::failed(check, found, format!("{remedy}; then dseq recover"))
        }
        _ => Finding::ok(check, "no signature of this validator is from elsewhere"),
    }
}

/// The newest of a node's last blocks that a validator has signed.
fn newest_signed(rpc: &Rpc, address: &str) -> Option<u64> {
    let height = rpc.status().ok()?.height;
    let signed = |height: &u64| rpc.commit(*height).is_ok_and(|commit| commit.is_signed_by(address));
    (height.saturating_sub(2)..=height).rev().filter(|height| *height > 0).find(signed)
}
