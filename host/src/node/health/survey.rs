//! Asks the other nodes: which of them answer, for which validators, and whether they hold the same bytes.
//!
//! A peer's RPC is asked where the peer is connected from. In most networks it listens to its own machine alone; then
//! nothing is known of that peer, which is no failure.
//!
//! # Invariants
//!
//! - An answer counts only for the node whose id it gives: nobody lends another node's answers.
//! - Nodes that are not connected to this one are asked only as long as those that are do not make a quorum.
//!
//! # Limits
//!
//! [`NODES_MAX`] nodes in a survey, [`ASKED_AT_ONCE`] at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use super::observed::{NotKept, Observed};
use super::quorum;
use super::snapshot::{Agreement, Answer, Engine, Seen, Survey};
use crate::node::address::Address;
use crate::node::engine::rpc::{Claim, Peer, Rpc, RpcError};

/// How many nodes are asked in one survey.
const NODES_MAX: usize = 64;
const ASKED_AT_ONCE: usize = 8;
/// How long a node may take for one answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// A node that listens and missed this many surveys in a row hangs.
const MISSES_MAX: u32 = 2;

/// The node's view of the network, from one survey to the next.
#[derive(Debug, Default)]
pub(super) struct Surveyor {
    known: BTreeMap<String, Known>,
}

/// What is kept of a node between surveys.
#[derive(Debug, Default)]
struct Known {
    misses: u32,
    answer: Option<Answer>,
    /// What it said that it has, if this node did not have as much yet.
    pending: Option<Claim>,
    agreement: Option<Agreement>,
}

/// What one node said.
struct Said {
    validator: Option<String>,
    claim: Option<Claim>,
}

/// Why a node said nothing of use.
enum Missed {
    /// It took the question and did not answer.
    Silent,
    /// It cannot be asked, for this reason.
    Unreachable(String),
}

impl Surveyor {
    /// Asks the peers of `engine`, and those behind them if need be.
    pub(super) fn survey(&mut self, own_id: &str, engine: &Engine, observed: &Observed) -> Survey {
        // What a node was ahead with at the last survey, this one has by now.
        for known in self.known.values_mut() {
            known.compare(observed);
        }
        let mut nodes = BTreeMap::new();
        let mut seen: BTreeSet<String> = BTreeSet::from([own_id.to_owned()]);
        let mut next: Vec<Peer> = engine.peers.clone();
        let mut are_peers = true;
        while !next.is_empty() && nodes.len() < NODES_MAX {
            next.retain(|peer| seen.insert(peer.id.clone()));
            next.truncate(NODES_MAX.saturating_sub(nodes.len()));
            let mut answered = Vec::new();
            for (peer, said) in ask_all(&next, ask) {
                let known = self.known.entry(peer.id.clone()).or_default();
                if said.is_ok() {
                    answered.push(peer.clone());
                }
                known.take(said, observed);
                nodes
                    .insert(peer.id.clone(), known.seen(&peer, are_peers, engine.trusted.contains(&peer.id)));
            }
            let power = engine.power.saturating_add(engine.power_of(nodes.iter()));
            if engine.power_of_all().is_none_or(|of_all| quorum::decides(power, of_all)) {
                break;
            }
            next = ask_all(&answered, neighbours).into_iter().flat_map(|(_, peers)| peers).collect();
            are_peers = false;
        }
        self.known.retain(|id, _| nodes.contains_key(id));
        Survey { is_done: true, nodes }
    }
}

impl Known {
    /// Takes what a node said now.
    fn take(&mut self, said: Result<Said, Missed>, observed: &Observed) {
        match said {
            Ok(said) => {
                self.misses = 0;
                let height = said.claim.as_ref().map_or(0, |claim| claim.height);
                self.answer = Some(Answer::Answers { validator: said.validator, height });
                self.pending = said.claim;
                self.compare(observed);
            }
            Err(Missed::Silent) => {
                self.misses = self.misses.saturating_add(1);
                if self.misses >= MISSES_MAX {
                    self.answer = Some(Answer::Hangs);
                    self.agreement = Some(Agreement::Unknown("it does not answer".to_owned()));
                    self.pending = None;
                }
            }
            Err(Missed::Unreachable(why)) => {
                self.misses = 0;
                self.agreement = Some(Agreement::Unknown(why.clone()));
                self.answer = Some(Answer::Unreachable(why));
            }
        }
    }

    /// What is known of it.
    fn seen(&self, peer: &Peer, is_peer: bool, is_trusted: bool) -> Seen {
        let waits = || "it has not answered yet".to_owned();
        Seen {
            name: name(peer),
            is_peer,
            is_trusted,
            answer: self.answer.clone().unwrap_or_else(|| Answer::Unreachable(waits())),
            agreement: self.agreement.clone().unwrap_or_else(|| Agreement::Unknown(waits())),
        }
    }

    /// Compares what it said with this node's sequence when that was as long.
    fn compare(&mut self, observed: &Observed) {
        let Some(claim) = &self.pending else { return };
        let records = claim.records;
        let theirs = || (claim.sequence_root.clone(), claim.records_root.clone());
        let found = match observed.roots_at(records) {
            Ok(ours) => {
                let same = ours.sequence.to_string() == claim.sequence_root
                    && ours.records.to_string() == claim.records_root;
                if same {
                    Agreement::Agrees { records }
                } else {
                    Agreement::Differs { records, ours: Some(ours), theirs: theirs() }
                }
            }
            Err(NotKept::Between) => Agreement::Differs { records, ours: None, theirs: theirs() },
            Err(NotKept::Before) => Agreement::Unknown(format!(
                "it is at {records} records, fewer than this node still knows roots of"
            )),
            // What was found before stands until this node has as many records too.
            Err(NotKept::Ahead) => {
                self.agreement.get_or_insert_with(|| {
                    Agreement::Unknown(format!("it is at {records} records, more than this node has"))
                });
                return;
            }
        };
        self.agreement = Some(found);
        self.pending = None;
    }
}

/// As messages call a node: what it calls itself, and where it is; or by its id.
fn name(peer: &Peer) -> String {
    // Both are other people's words.
    let short = |text: &str, length: usize| text.chars().take(length).collect::<String>();
    match &peer.rpc {
        Some(rpc) => format!("{} ({rpc})", short(&peer.moniker, 40)),
        None => format!("{} (id {})", short(&peer.moniker, 40), short(&peer.id, 12)),
    }
}

/// Asks nodes, several at once.
fn ask_all<T: Send>(peers: &[Peer], ask: impl Fn(&Peer) -> T + Sync) -> Vec<(Peer, T)> {
    let mut answers = Vec::with_capacity(peers.len());
    for some in peers.chunks(ASKED_AT_ONCE) {
        thread::scope(|scope| {
            let ask = &ask;
            let asking: Vec<_> = some.iter().map(|peer| scope.spawn(move || ask(peer))).collect();
            for (peer, asked) in some.iter().zip(asking) {
                answers.push((peer.clone(), asked.join().unwrap_or_else(|panic| resume_unwind(panic))));
            }
        });
    }
    answers
}

fn rpc(address: &Address) -> Rpc {
    Rpc::at(format!("http://{address}"), PATIENCE)
}

fn ask(peer: &Peer) -> Result<Said, Missed> {
    let Some(address) = &peer.rpc else {
        return Err(Missed::Unreachable("its RPC listens to its own machine alone".to_owned()));
    };
    let rpc = rpc(address);
    let missed = |err: RpcError| match err {
        RpcError::NoAnswer { listens: true, .. } => Missed::Silent,
        _ => Missed::Unreachable(err.to_string()),
    };
    let status = rpc.status().map_err(missed)?;
    if status.id != peer.id {
        return Err(Missed::Unreachable(format!("another node answers at {address}")));
    }
    // An app that does not answer is that node's trouble; the vote is its CometBFT's.
    let claim = rpc.app_status().ok().and_then(|app| app.committed);
    Ok(Said { validator: status.validator, claim })
}

/// The peers of a node.
fn neighbours(peer: &Peer) -> Vec<Peer> {
    peer.rpc.as_ref().and_then(|address| rpc(address).neighbours().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::Mutex;

    use serde_json::{Value, json};

    use super::*;
    use crate::sequence::{HashedRecord, Log, Staging};
    use crate::types::{AppHash, Height, PipelineId, TxHash};

    /// What a node says by its RPC.
    #[derive(Clone)]
    struct Says {
        id: String,
        validator: &'static str,
        records: u64,
        sequence: Vec<u8>,
        peers: Vec<Peer>,
        hangs: bool,
    }

    /// A node whose answers can be changed.
    struct Node {
        says: Arc<Mutex<Says>>,
        peer: Peer,
    }

    impl Node {
        fn start(id: &str, validator: &'static str) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let rpc = Some(Address::loopback(listener.local_addr().unwrap().port()));
            let peer = Peer { id: id.to_owned(), moniker: format!("{id}'s"), rpc };
            let says = Says {
                id: id.to_owned(),
                validator,
                records: 1,
                sequence: b"a".to_vec(),
                peers: Vec::new(),
                hangs: false,
            };
            let says = Arc::new(Mutex::new(says));
            let served = Arc::clone(&says);
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let (mut stream, served) = (stream.unwrap(), Arc::clone(&served));
                    thread::spawn(move || {
                        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                        while let Some(Ok(request)) = lines.next() {
                            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                            let says = served.lock().unwrap().clone();
                            if says.hangs {
                                thread::sleep(PATIENCE * 2);
                                return;
                            }
                            let body =
                                json!({ "result": says.to(request.split(' ').nth(1).unwrap()) }).to_string();
                            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                            if stream.write_all((head + &body).as_bytes()).is_err() {
                                return;
                            }
                        }
                    });
                }
            });
            Self { says, peer }
        }

        fn change(&self, change: impl FnOnce(&mut Says)) {
            change(&mut self.says.lock().unwrap());
        }
    }

    impl Says {
        fn to(&self, path: &str) -> Value {
            match path {
                "/status" => json!({
                    "node_info": { "id": self.id, "network": "c" },
                    "sync_info": { "latest_block_height": "7", "catching_up": false },
                    "validator_info": { "address": self.validator, "voting_power": "10" },
                }),
                "/net_info" => {
                    let peer = |peer: &Peer| {
                        let rpc = format!("tcp://{}", peer.rpc.as_ref().unwrap());
                        json!({
                            "node_info": { "id": peer.id, "moniker": "m", "other": { "rpc_address": rpc } },
                            "remote_ip": "127.0.0.1",
                        })
                    };
                    json!({ "peers": self.peers.iter().map(peer).collect::<Vec<_>>() })
                }
                _ => {
                    let log = chain(&[&self.sequence]);
                    let status = json!({
                        "ready": true, "height": 7, "records": self.records,
                        "sequence_root": blake3::hash(&self.sequence).to_string(),
                        "records_root": log.1.head().records_root().to_string(),
                    });
                    let value = data_encoding::BASE64.encode(status.to_string().as_bytes());
                    json!({ "response": { "code": 0, "value": value } })
                }
            }
        }
    }

    /// A log of blocks with one record each.
    fn chain(records: &[&[u8]]) -> (tempfile::TempDir, Log) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path()).unwrap();
        for (height, record) in (1..).zip(records) {
            let mut staging = Staging::begin(log.head(), Height(height));
            staging.push(TxHash::of(b"tx"), &HashedRecord::of(record.to_vec())).unwrap();
            log.commit(&staging.finish(), AppHash::default(), PipelineId::default()).unwrap();
        }
        (dir, log)
    }

    fn observed(records: &[&[u8]]) -> Observed {
        Observed::new(chain(records).1.reader().committed())
    }

    fn engine(peers: &[&Peer]) -> Engine {
        Engine {
            catching_up: false,
            power: 10,
            validators: Some(Arc::new(["V0", "V1", "V2", "V3"].map(|one| (one.to_owned(), 10)).into())),
            validator: Some("V0".to_owned()),
            waiting: 0,
            peers: peers.iter().map(|peer| (*peer).clone()).collect(),
            trusted: Arc::default(),
            members: Arc::default(),
        }
    }

    #[test]
    fn nodes_that_hold_the_same_bytes_agree_and_one_with_others_is_named() {
        let (good, bad) = (Node::start("a", "V1"), Node::start("b", "V2"));
        bad.change(|says| says.sequence = b"x".to_vec());
        let mut surveyor = Surveyor::default();
        let survey = surveyor.survey("me", &engine(&[&good.peer, &bad.peer]), &observed(&[b"a"]));
        assert_eq!(survey.nodes["a"].agreement, Agreement::Agrees { records: 1 });
        assert_eq!(survey.nodes["a"].answer, Answer::Answers { validator: Some("V1".to_owned()), height: 7 });
        let Agreement::Differs { records: 1, ours: Some(ours), theirs } = &survey.nodes["b"].agreement else {
            panic!("{survey:?}")
        };
        assert_eq!(ours.sequence.to_string(), blake3::hash(b"a").to_string());
        assert_eq!(theirs.0, blake3::hash(b"x").to_string());
        let address = bad.peer.rpc.as_ref().unwrap();
        assert_eq!(survey.nodes["b"].name, format!("b's ({address})"));
    }

    #[test]
    fn a_node_that_is_ahead_is_compared_once_this_one_has_as_many_records() {
        let node = Node::start("a", "V1");
        node.change(|says| says.records = 9);
        let (mut surveyor, observed) = (Surveyor::default(), observed(&[b"a"]));
        let survey = surveyor.survey("me", &engine(&[&node.peer]), &observed);
        let waits = "it is at 9 records, more than this node has".to_owned();
        assert_eq!(survey.nodes["a"].agreement, Agreement::Unknown(waits));
        node.change(|says| says.records = 1);
        let survey = surveyor.survey("me", &engine(&[&node.peer]), &observed);
        assert_eq!(survey.nodes["a"].agreement, Agreement::Agrees { records: 1 });
        node.change(|says| says.records = 9);
        let survey = surveyor.survey("me", &engine(&[&node.peer]), &observed);
        assert_eq!(survey.nodes["a"].agreement, Agreement::Agrees { records: 1 }, "it stands until then");
    }

    #[test]
    fn a_node_counts_as_hanging_when_it_missed_two_surveys() {
        let node = Node::start("a", "V1");
        let (mut surveyor, observed) = (Surveyor::default(), observed(&[b"a"]));
        let mut answer =
            || surveyor.survey("me", &engine(&[&node.peer]), &observed).nodes["a"].answer.clone();
        let answers = Answer::Answers { validator: Some("V1".to_owned()), height: 7 };
        assert_eq!(answer(), answers);
        node.change(|says| says.hangs = true);
        assert_eq!((answer(), answer()), (answers.clone(), Answer::Hangs));
        node.change(|says| says.hangs = false);
        assert_eq!(answer(), answers);
    }

    #[test]
    fn nobody_lends_the_answers_of_another_node() {
        let node = Node::start("a", "V1");
        let liar = Peer { id: "liar".to_owned(), ..node.peer.clone() };
        let hidden = Peer { id: "hidden".to_owned(), rpc: None, ..node.peer.clone() };
        let survey = Surveyor::default().survey("me", &engine(&[&liar, &hidden]), &observed(&[b"a"]));
        let address = node.peer.rpc.as_ref().unwrap();
        let lends = format!("another node answers at {address}");
        assert_eq!(survey.nodes["liar"].answer, Answer::Unreachable(lends));
        assert!(matches!(survey.nodes["hidden"].answer, Answer::Unreachable(_)));
    }

    #[test]
    fn those_behind_a_peer_are_asked_until_there_is_a_quorum() {
        let nodes = [("a", "V1"), ("b", "V2"), ("c", "V3")].map(|(id, validator)| Node::start(id, validator));
        let [a, b, c] = &nodes;
        let me = Peer { id: "me".to_owned(), moniker: String::new(), rpc: Some(Address::loopback(1)) };
        a.change(|says| says.peers = vec![me.clone(), b.peer.clone()]);
        b.change(|says| says.peers = vec![a.peer.clone(), c.peer.clone()]);
        let survey = Surveyor::default().survey("me", &engine(&[&a.peer]), &observed(&[b"a"]));
        let found: Vec<(&str, bool)> =
            survey.nodes.iter().map(|(id, seen)| (id.as_str(), seen.is_peer)).collect();
        assert_eq!(found, [("a", true), ("b", false)], "V0, V1 and V2 decide");
    }
}
