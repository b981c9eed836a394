//! The few questions that we ask CometBFT's RPC: here how it is asked, in `answers` what it says.

mod answers;

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

pub use answers::{AppStatus, Claim, Commit, Committed, DecidedTx, Peer, Signer, Status, Validator};
use answers::{accused, bytes, claim, commit, list, number, outcome, peer, short, text};

use crate::api::problem::TYPE_PREFIX;
use crate::excerpt::words;

/// Maximum size of an answer that is read, in bytes, unless what is asked for holds transactions: a page of 100 validators
/// takes 30 KiB.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// The same of an answer that holds transactions: a block of CometBFT's largest, 100 MiB, in base64, with room to spare.
const TXS_BYTES_MAX: u64 = 256 << 20;

/// What a block without proofs of misdeeds has for their hash: the SHA-256 of nothing.
const NO_EVIDENCE: &str = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";

/// A question that got no answer.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// Nobody answers, or not in time.
    ///
    /// Start the node, or correct the address: its RPC is `rpc.laddr` in `config/config.toml`.
    #[error("no answer from {url}: {why}")]
    NoAnswer {
        /// What was asked.
        url: String,
        /// Why there is no answer.
        why: String,
        /// Whether something listens there, and took the question: a process that hangs, for one.
        listens: bool,
    },
    /// dseq's own HTTP answered: it listens beside the RPC.
    #[error("{url} is dseq's own HTTP, not CometBFT's RPC; ask the RPC's address, by default port 26657")]
    OwnHttp {
        /// What was asked.
        url: String,
    },
    /// It answers, but not with what was asked for.
    ///
    /// Check that this is the RPC of a node's CometBFT, of the version that `dseq version` names.
    #[error("{url} answered {said}")]
    Refused {
        /// What was asked.
        url: String,
        /// What it said, without its middle if that is long.
        said: String,
    },
}

/// A client of one node's RPC.
#[derive(Clone, Debug)]
pub struct Rpc {
    agent: ureq::Agent,
    base: String,
}

impl Rpc {
    /// A client for an address, e.g. `http://127.0.0.1:26657`, that waits this long for each answer.
    #[must_use]
    pub fn at(base: String, patience: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(patience))
            // Shorter, to distinguish an address where nobody listens from a process that hangs.
            .timeout_connect(Some(patience.mul_f32(0.75)))
            .http_status_as_error(false);
        Self { agent: config.build().into(), base }
    }

    /// Asks for a path, e.g. `status`, and returns the answer's `result`.
    fn get(&self, path: &str) -> Result<Value, RpcError> {
        self.get_within(path, ANSWER_BYTES_MAX)
    }

    /// The same for an answer of so many bytes at most.
    fn get_within(&self, path: &str, bytes_max: u64) -> Result<Value, RpcError> {
        let url = format!("{}/{path}", self.base);
        let no_answer = |why: ureq::Error| {
            let unreached =
                matches!(&why, ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve));
            let listens = matches!(&why, ureq::Error::Timeout(_)) && !unreached;
            RpcError::NoAnswer { url: url.clone(), why: why.to_string(), listens }
        };
        let mut response = self.agent.get(&url).call().map_err(no_answer)?;
        let body = response.body_mut().with_config().limit(bytes_max);
        let text = body.read_to_string().map_err(no_answer)?;
        let refused = || RpcError::Refused { url: url.clone(), said: words(&text.trim()) };
        let mut answer: Value = serde_json::from_str(&text).map_err(|_| refused())?;
        if let Some(result) = answer.get_mut("result") {
            return Ok(result.take());
        }
        if is_own_http(&answer) {
            return Err(RpcError::OwnHttp { url });
        }
        Err(refused())
    }

    /// How the node is.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with something else.
    pub fn status(&self) -> Result<Status, RpcError> {
        let result = self.get("status")?;
        let sync = &result["sync_info"];
        let status = || {
            Some(Status {
                id: short(&result["node_info"]["id"])?,
                height: number(&sync["latest_block_height"])?,
                catching_up: sync["catching_up"].as_bool()?,
                power: number(&result["validator_info"]["voting_power"])?,
                chain_id: text(&result["node_info"]["network"]),
                validator: short(&result["validator_info"]["address"]),
                version: short(&result["node_info"]["version"]),
            })
        };
        status().ok_or_else(|| self.unexpected("status", &result))
    }

    /// A block's header and those who signed it.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with something else.
    pub fn commit(&self, height: u64) -> Result<Commit, RpcError> {
        let path = format!("commit?height={height}");
        let result = self.get(&path)?;
        let commit = commit(&result["signed_header"]).filter(|commit| commit.height == height);
        commit.ok_or_else(|| self.unexpected(&path, &result))
    }

    /// The validators that signed twice, as the node's last so many blocks prove: the block with the proof, and the address.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with something else.
    pub fn misdeeds(&self, blocks: u64) -> Result<Vec<(u64, String)>, RpcError> {
        let (first, last) = self.heights()?;
        let first = first.max(last.saturating_sub(blocks).saturating_add(1)).max(1);
        let mut with_proofs = Vec::new();
        let mut to = last;
        while to >= first {
            // An answer has at most 20.
            let from = first.max(to.saturating_sub(19));
            let path = format!("blockchain?minHeight={from}&maxHeight={to}");
            let result = self.get(&path)?;
            let with_proof = |meta: &Value| {
                let height = number(&meta["header"]["height"])?;
                Some((meta["header"]["evidence_hash"].as_str()? != NO_EVIDENCE).then_some(height))
            };
            let metas: Option<Vec<Option<u64>>> =
                list(&result["block_metas"]).and_then(|metas| metas.iter().map(with_proof).collect());
            with_proofs.extend(metas.ok_or_else(|| self.unexpected(&path, &result))?.into_iter().flatten());
            to = from.saturating_sub(1);
        }
        let mut found = Vec::new();
        for height in with_proofs {
            let path = format!("block?height={height}");
            let result = self.get_within(&path, TXS_BYTES_MAX)?;
            let proofs = list(&result["block"]["evidence"]["evidence"]).unwrap_or_default();
            found.extend(proofs.iter().flat_map(accused).map(|address| (height, address)));
        }
        Ok(found)
    }

    /// The ids of the node's peers.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with something else.
    pub fn peers(&self) -> Result<Vec<String>, RpcError> {
        let result = self.get("net_info")?;
        let id = |peer: &Value| peer["node_info"]["id"].as_str().map(str::to_owned);
        let peers = list(&result["peers"]).and_then(|peers| peers.iter().map(id).collect());
        peers.ok_or_else(|| self.unexpected("net_info", &result))
    }

    /// The node's peers, each with where its RPC is reached.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with something else.
    pub fn neighbours(&self) -> Result<Vec<Peer>, RpcError> {
        let result = self.get("net_info")?;
        let peers = list(&result["peers"]).and_then(|peers| peers.iter().map(peer).collect());
        peers.ok_or_else(|| self.unexpected("net_info", &result))
    }

    /// The height of the block that each peer works on, one above its newest; none: not known yet.
    ///
    /// Costs the node a pause of its consensus, whose whole state, the proposed block included, it writes into the answer.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with something else.
    pub fn heights_of_peers(&self) -> Result<Vec<Option<u64>>, RpcError> {
        let path = "dump_consensus_state";
        let result = self.get_within(path, TXS_BYTES_MAX)?;
        let height = |peer: &Value| number(&peer["peer_state"]["round_state"]["height"]);
        let heights = list(&result["peers"]).map(|peers| peers.iter().map(height).collect());
        heights.ok_or_else(|| self.unexpected(path, &result))
    }

    /// The voting power of all validators together.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with something else.
    pub fn power_of_all(&self) -> Result<u64, RpcError> {
        Ok(self.validators()?.iter().fold(0, |sum, one| sum.saturating_add(one.power)))
    }

    /// All validators.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with something else.
    pub fn validators(&self) -> Result<Vec<Validator>, RpcError> {
        // A page has at most 100 validators, and CometBFT refuses a page that is not there.
        let mut found = Vec::new();
        for page in 1.. {
            let path = format!("validators?per_page=100&page={page}");
            let result = self.get(&path)?;
            let validator = |one: &Value| {
                Some(Validator { address: text(&one["address"]), power: number(&one["voting_power"])? })
            };
            let of_page = || {
                let all = list(&result["validators"])?.iter().map(validator);
                Some((all.collect::<Option<Vec<Validator>>>()?, number(&result["total"])?))
            };
            let (of_page, total) = of_page().ok_or_else(|| self.unexpected(&path, &result))?;
            let count = of_page.len();
            found.extend(of_page);
            if count == 0 || found.len() as u64 >= total {
                break;
            }
        }
        Ok(found)
    }

    /// How many transactions wait to get into a block.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with something else.
    pub fn waiting(&self) -> Result<u64, RpcError> {
        let result = self.get("num_unconfirmed_txs")?;
        number(&result["total"]).ok_or_else(|| self.unexpected("num_unconfirmed_txs", &result))
    }

    /// What the app says of itself.
    ///
    /// # Errors
    ///
    /// When the app cannot be asked, or answers with something else.
    pub fn app_status(&self) -> Result<AppStatus, RpcError> {
        let path = "abci_query?path=%22/status%22";
        let result = self.get(path)?;
        let status = || {
            let status: Value = serde_json::from_slice(&bytes(&result["response"]["value"])?).ok()?;
            let reason = || status["reason"].as_str().unwrap_or("it does not say why").to_owned();
            Some(AppStatus { unready: (!status["ready"].as_bool()?).then(reason), committed: claim(&status) })
        };
        status().ok_or_else(|| self.unexpected(path, &result))
    }

    /// How far the app has committed.
    ///
    /// # Errors
    ///
    /// When the app cannot be asked, or answers with something else.
    pub fn committed(&self) -> Result<Committed, RpcError> {
        let path = "abci_query?path=%22/status%22";
        let result = self.get(path)?;
        let value = bytes(&result["response"]["value"]);
        let committed = value.and_then(|value| serde_json::from_slice(&value).ok());
        committed.ok_or_else(|| self.unexpected(path, &result))
    }

    /// The first and the last height whose blocks the node has.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with something else.
    pub fn heights(&self) -> Result<(u64, u64), RpcError> {
        let result = self.get("status")?;
        let height = |key: &str| result["sync_info"][key].as_str()?.parse().ok();
        let heights = height("earliest_block_height").zip(height("latest_block_height"));
        heights.ok_or_else(|| self.unexpected("status", &result))
    }

    /// The transactions of a block, and what became of each.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with something else.
    pub fn decided(&self, height: u64) -> Result<Vec<DecidedTx>, RpcError> {
        let (block_path, results_path) =
            (format!("block?height={height}"), format!("block_results?height={height}"));
        let block = self.get_within(&block_path, TXS_BYTES_MAX)?;
        let txs = list(&block["block"]["data"]["txs"]).and_then(|txs| txs.iter().map(bytes).collect());
        let txs: Vec<Bytes> = txs.ok_or_else(|| self.unexpected(&block_path, &block))?;
        if txs.is_empty() {
            return Ok(Vec::new());
        }
        let results = self.get_within(&results_path, TXS_BYTES_MAX)?;
        let decided = list(&results["txs_results"]).filter(|all| all.len() == txs.len()).and_then(|all| {
            let decided = all
                .iter()
                .zip(&txs)
                .map(|(result, tx)| Some(DecidedTx { tx: tx.clone(), result: outcome(result)? }));
            decided.collect()
        });
        decided.ok_or_else(|| self.unexpected(&results_path, &results))
    }

    /// A record by its index, as the node committed it.
    ///
    /// # Errors
    ///
    /// When nobody answers, or with something else.
    pub fn record(&self, index: u64) -> Result<Bytes, RpcError> {
        let path = format!("abci_query?path=%22/record/{index}%22");
        let result = self.get_within(&path, TXS_BYTES_MAX)?;
        let response = &result["response"];
        let record = (response["code"] == 0).then(|| bytes(&response["value"])).flatten();
        record.ok_or_else(|| self.unexpected(&path, &result))
    }

    fn unexpected(&self, path: &str, said: &Value) -> RpcError {
        RpcError::Refused { url: format!("{}/{path}", self.base), said: words(said) }
    }
}

/// Whether this is a problem document of our own HTTP.
fn is_own_http(answer: &Value) -> bool {
    answer["type"].as_str().is_some_and(|named| named.starts_with(TYPE_PREFIX))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What one question gets that is answered with this, whatever it was.
    fn answered<T: Send + 'static>(
        body: &str,
        ask: impl FnOnce(&Rpc) -> Result<T, RpcError> + Send + 'static,
    ) -> Result<T, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let rpc = Rpc::at(format!("http://{}", listener.local_addr().unwrap()), Duration::from_secs(30));
        let asked = thread::spawn(move || ask(&rpc).map_err(|err| err.to_string()));
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        // Whoever asks may hang up before the end of an answer that is too long.
        let _ = stream.write_all((head + body).as_bytes());
        drop((stream, lines));
        asked.join().unwrap()
    }

    #[test]
    fn of_a_long_answer_that_was_not_expected_both_ends_are_shown() {
        let long = "x".repeat(1 << 20);
        let message = answered(&format!("<html>{long}</html>"), Rpc::waiting).unwrap_err();
        assert!(
            message.len() < 400 && message.contains("<html>x") && message.ends_with("x</html>"),
            "{message}"
        );
        let message = answered(&format!("{{\"result\":{{\"a\":\"{long}\"}}}}"), Rpc::waiting).unwrap_err();
        assert!(
            message.len() < 400 && message.contains("{\"a\":\"x") && message.ends_with("x\"}"),
            "{message}"
        );
    }

    #[test]
    fn our_own_http_in_place_of_the_rpc_is_named() {
        let problem = r#"{"type":"urn:dseq:problem:not-found","title":"Not found","status":404}"#;
        let message = answered(problem, Rpc::waiting).unwrap_err();
        assert!(message.contains(" is dseq's own HTTP, not CometBFT's RPC; "), "{message}");
    }

    #[test]
    fn a_longer_answer_than_expected_is_not_read() {
        let padding = " ".repeat(4 << 20);
        let message =
            answered(&format!("{padding}{{\"result\":{{\"total\":\"7\"}}}}"), Rpc::waiting).unwrap_err();
        assert!(message.contains("no answer from ") && message.len() < 400, "{message}");
        assert_eq!(answered("{\"result\":{\"total\":\"7\"}}", Rpc::waiting), Ok(7));
    }

    #[test]
    fn the_heights_of_peers_are_read_as_far_as_they_are_known() {
        let body =
            r#"{"result":{"peers":[{"peer_state":{"round_state":{"height":"8"}}},{"peer_state":null}]}}"#;
        assert_eq!(answered(body, Rpc::heights_of_peers), Ok(vec![Some(8), None]));
        assert_eq!(answered(r#"{"result":{"peers":null}}"#, Rpc::heights_of_peers), Ok(vec![]));
    }

    #[test]
    fn a_peer_is_asked_where_it_is_connected_from_and_never_where_it_says() {
        let rpc = |said: &str, from: &str| {
            let body = format!(
                r#"{{"result":{{"peers":[{{"node_info":{{"id":"a","moniker":"m","other":{{"rpc_address":"{said}"}}}},"remote_ip":"{from}"}}]}}}}"#
            );
            let peers = answered(&body, Rpc::neighbours).unwrap();
            assert_eq!((peers[0].id.as_str(), peers[0].moniker.as_str()), ("a", "m"));
            peers[0].rpc.as_ref().map(ToString::to_string)
        };
        let at = |text: &str| Some(text.to_owned());
        assert_eq!(rpc("tcp://0.0.0.0:26657", "10.0.0.7"), at("10.0.0.7:26657"));
        assert_eq!(rpc("tcp://10.9.9.9:80", "10.0.0.7"), at("10.0.0.7:80"));
        assert_eq!(rpc("tcp://127.0.0.1:26660", "127.0.0.1"), at("127.0.0.1:26660"));
        assert_eq!(rpc("tcp://[::]:7", "fe80::1"), at("[fe80::1]:7"));
        assert_eq!(rpc("tcp://127.0.0.1:26657", "10.0.0.7"), None);
        assert_eq!(rpc("", "10.0.0.7"), None);
    }

    #[test]
    fn what_hangs_is_told_from_what_is_not_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let rpc = Rpc::at(format!("http://{}", listener.local_addr().unwrap()), Duration::from_millis(200));
        let hangs = rpc.waiting();
        assert!(matches!(hangs, Err(RpcError::NoAnswer { listens: true, .. })), "{hangs:?}");
        drop(listener);
        let refused = rpc.waiting();
        assert!(matches!(refused, Err(RpcError::NoAnswer { listens: false, .. })), "{refused:?}");
    }
}
