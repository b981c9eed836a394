//! CometBFT's RPC as far as `dseq` asks it about a node, played by a test: what the node says can be changed.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::mock::{Node, Reply};

/// The hash of a block's evidence if it has none.
const NO_EVIDENCE: &str = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
/// The time of each block.
const BLOCK_TIME: &str = "2026-01-31T12:00:00Z";

/// What a node says of itself.
#[derive(Clone)]
pub(crate) struct Says {
    pub(crate) id: String,
    /// The address of its validator's key.
    pub(crate) validator: String,
    pub(crate) power: u64,
    pub(crate) chain_id: &'static str,
    pub(crate) version: &'static str,
    pub(crate) height: u64,
    pub(crate) catching_up: bool,
    pub(crate) waiting: u64,
    /// Its peers: id, name, and where the peer says its RPC is.
    pub(crate) peers: Vec<(String, String, Option<String>)>,
    pub(crate) validators: Vec<(String, u64)>,
    pub(crate) records: Vec<&'static str>,
    pub(crate) app_hash: String,
    /// Why it takes no transaction.
    pub(crate) reason: Option<&'static str>,
    pub(crate) disk_low: bool,
    /// A block with a proof that a validator signed twice, and the validator.
    pub(crate) signed_twice: Option<(u64, String)>,
    pub(crate) block: &'static str,
    /// Who signed its blocks.
    pub(crate) signers: Vec<String>,
    /// The `Date` of its answers, if it sends one.
    pub(crate) date: Option<&'static str>,
}

impl Says {
    /// Node `number` of four validators of equal power that are connected to each other.
    pub(crate) fn one_of_four(number: usize) -> Self {
        let id = |number| format!("id{number}");
        let others = (0..4).filter(|other| *other != number);
        Self {
            id: id(number),
            validator: format!("V{number}"),
            power: 10,
            chain_id: "audit-1",
            version: dseq::node::engine::cometbft::VERSION,
            height: 9,
            catching_up: false,
            waiting: 0,
            peers: others.map(|other| (id(other), format!("node{other}"), None)).collect(),
            validators: (0..4).map(|number| (format!("V{number}"), 10)).collect(),
            records: Vec::new(),
            app_hash: "0a".repeat(32),
            reason: None,
            disk_low: false,
            signed_twice: None,
            block: "B0",
            signers: Vec::new(),
            date: None,
        }
    }

    fn to(&self, target: &str) -> Value {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        // The last number in the query.
        let number =
            || query.trim_end_matches("%22").rsplit(['=', '/']).next().unwrap().parse::<u64>().unwrap();
        match path {
            "/" => json!({}),
            "/status" => json!({
                "node_info": { "id": self.id, "network": self.chain_id, "version": self.version },
                "sync_info": {
                    "earliest_block_height": "1",
                    "latest_block_height": self.height.to_string(),
                    "catching_up": self.catching_up,
                },
                "validator_info": { "address": self.validator, "voting_power": self.power.to_string() },
            }),
            "/net_info" => {
                let peer = |(id, name, rpc): &(String, String, Option<String>)| {
                    let other = json!({ "rpc_address": rpc.as_ref().map(|rpc| format!("tcp://{rpc}")) });
                    let info = json!({ "id": id, "moniker": name, "other": other });
                    json!({ "node_info": info, "remote_ip": "127.0.0.1" })
                };
                json!({ "peers": self.peers.iter().map(peer).collect::<Vec<_>>() })
            }
            "/num_unconfirmed_txs" => json!({ "total": self.waiting.to_string() }),
            "/validators" => {
                let one = |(address, power): &(String, u64)| json!({ "address": address, "voting_power": power.to_string() });
                let all: Vec<Value> = self.validators.iter().map(one).collect();
                json!({ "validators": all, "total": self.validators.len().to_string() })
            }
            "/abci_query" if query == "path=%22/status%22" => {
                answer(self.app_status().to_string().as_bytes())
            }
            "/abci_query" => answer(self.records[usize::try_from(number()).unwrap()].as_bytes()),
            "/commit" => {
                let signature = |address: &String| json!({ "block_id_flag": 2, "validator_address": address, "timestamp": BLOCK_TIME });
                let signatures: Vec<Value> = self.signers.iter().map(signature).collect();
                json!({ "signed_header": {
                    "header": { "height": number().to_string(), "time": BLOCK_TIME },
                    "commit": { "block_id": { "hash": self.block }, "signatures": signatures },
                } })
            }
            "/blockchain" => {
                let from: u64 = query.split(['=', '&']).nth(1).unwrap().parse().unwrap();
                json!({ "block_metas": (from..=number()).map(|height| self.meta(height)).collect::<Vec<_>>() })
            }
            "/block" => {
                let proofs = self.signed_twice.iter().filter(|(height, _)| *height == number());
                let proof = |(_, validator): &(u64, String)| json!({ "value": { "vote_a": { "validator_address": validator } } });
                json!({ "block": { "evidence": { "evidence": proofs.map(proof).collect::<Vec<_>>() } } })
            }
            _ => panic!("{target} was not expected"),
        }
    }

    fn app_status(&self) -> Value {
        json!({
            "ready": self.reason.is_none(), "reason": self.reason, "disk_low": self.disk_low, "height": self.height,
            "length": self.records.iter().map(|record| record.len()).sum::<usize>(),
            "records": self.records.len(), "app_hash": self.app_hash,
        })
    }

    fn meta(&self, height: u64) -> Value {
        let has_proof = self.signed_twice.as_ref().is_some_and(|(at, _)| *at == height);
        let hash = if has_proof { "AB" } else { NO_EVIDENCE };
        json!({ "header": { "height": height.to_string(), "evidence_hash": hash } })
    }
}

/// The app's answer to a query.
fn answer(value: &[u8]) -> Value {
    json!({ "response": { "code": 0, "value": data_encoding::BASE64.encode(value) } })
}

/// A node that is played until the test's process ends.
pub(crate) struct Played {
    /// Host and port of its RPC.
    pub(crate) rpc: String,
    says: Arc<Mutex<Says>>,
}

impl Played {
    pub(crate) fn start(says: Says) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), says)
    }

    pub(crate) fn on(listener: TcpListener, says: Says) -> Self {
        let says = Arc::new(Mutex::new(says));
        let served = Arc::clone(&says);
        let node = Node::on(listener, move |request| {
            let says = served.lock().unwrap().clone();
            let headers = says.date.map(|date| format!("date: {date}\r\n")).unwrap_or_default();
            let body = json!({ "result": says.to(&request.target) }).to_string();
            Reply::new("200 OK", &headers, body.as_bytes())
        });
        Self { rpc: node.address.to_string(), says }
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Says)) {
        change(&mut self.says.lock().unwrap());
    }
}
