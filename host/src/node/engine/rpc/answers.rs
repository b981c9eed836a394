//! What CometBFT's RPC answers, as far as we ask for it, and how it is read.

use std::time::SystemTime;

use bytes::Bytes;
use serde_json::Value;

use crate::node::address::Address;
use crate::sequence::Receipt;
use crate::utc;

/// What `/status` says that we care about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The node's id among its peers.
    pub id: String,
    /// The newest block's height; 0 before the first.
    pub height: u64,
    /// Whether it still fetches old blocks from its peers.
    pub catching_up: bool,
    /// Its voting power; 0 if it is no validator.
    pub power: u64,
    /// The chain's id.
    pub chain_id: Option<String>,
    /// The address of its validator's key, in upper-case hex, whether or not that key has a vote.
    pub validator: Option<String>,
    /// The version of its CometBFT.
    pub version: Option<String>,
}

/// A block, as the validators that committed it signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its height.
    pub height: u64,
    /// Its time: the median of its validators' clocks when they precommitted the block before.
    pub time: SystemTime,
    /// Its hash, in upper-case hex.
    pub block: String,
    /// Those whose precommits for it the node has.
    pub signers: Vec<Signer>,
}

impl Commit {
    /// Whether it has the precommit of the validator with this address, in upper-case hex.
    #[must_use]
    pub fn is_signed_by(&self, validator: &str) -> bool {
        self.signers.iter().any(|one| one.validator == validator)
    }
}

/// Who precommitted a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    /// The validator's address, in upper-case hex.
    pub validator: String,
    /// When, by its own clock; later if its clock is behind the block before.
    pub time: SystemTime,
}

/// One of those who decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// The address of its key, in upper-case hex.
    pub address: Option<String>,
    /// Its voting power.
    pub power: u64,
}

/// A peer, as a node that is connected to it knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub id: String,
    /// What it calls itself.
    pub moniker: String,
    /// Where its RPC listens by what it says of itself, at the address that it is connected from; `None`: only its own
    /// machine reaches it, or nobody.
    pub rpc: Option<Address>,
}

/// What the app says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppStatus {
    /// Why it would take no transaction now, whatever its bytes; none: it would look at one.
    pub unready: Option<String>,
    /// What it has committed; none: it does not say.
    pub committed: Option<Claim>,
}

/// What an app says that it has committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its last block.
    pub height: u64,
    /// Number of its records.
    pub records: u64,
    /// BLAKE3 of its sequence, in hex.
    pub sequence_root: String,
    /// Merkle root over its records, in hex.
    pub records_root: String,
}

/// How far an app has committed, and whether it takes transactions.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Committed {
    /// The last block.
    pub height: u64,
    /// Length of the sequence, in bytes.
    pub length: u64,
    /// Number of records.
    pub records: u64,
    /// What consensus agreed on, in hexadecimal.
    pub app_hash: String,
    /// Why it would take no transaction now.
    pub reason: Option<String>,
    /// Whether that is because its disk is nearly full.
    pub disk_low: bool,
}

/// A transaction of a decided block, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedTx {
    /// Its bytes.
    pub tx: Bytes,
    /// Where its record landed; or its code, codespace and log, if it has none.
    pub result: Result<Receipt, (u32, String, String)>,
}

/// CometBFT writes its 64-bit integers as strings.
pub(super) fn number(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}

pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

pub(super) fn claim(status: &Value) -> Option<Claim> {
    Some(Claim {
        height: status["height"].as_u64()?,
        records: status["records"].as_u64()?,
        sequence_root: root(&status["sequence_root"])?,
        records_root: root(&status["records_root"])?,
    })
}

/// A root, which is 64 hexadecimal digits; a peer may say anything.
pub(super) fn root(value: &Value) -> Option<String> {
    text(value).filter(|root| root.len() == 64 && root.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// An id or an address; longer text is none.
pub(super) fn short(value: &Value) -> Option<String> {
    text(value).filter(|text| text.len() <= 64)
}

/// A block's header and commit, as `/commit` has them.
pub(super) fn commit(signed: &Value) -> Option<Commit> {
    let (header, commit) = (&signed["header"], &signed["commit"]);
    let time = |value: &Value| utc::parse(value.as_str()?);
    let signer = |one: &Value| {
        Some(Signer { validator: short(&one["validator_address"])?, time: time(&one["timestamp"])? })
    };
    // 2: it signed for this block, and not for none.
    let for_it = list(&commit["signatures"])?.iter().filter(|one| one["block_id_flag"] == 2);
    Some(Commit {
        height: number(&header["height"])?,
        time: time(&header["time"])?,
        block: short(&commit["block_id"]["hash"])?,
        signers: for_it.filter_map(signer).collect(),
    })
}

/// A peer may say anything of itself. So its RPC is asked only at the address that it is connected from, and not at all
/// when it says that it listens to its own machine alone, unless that is this one.
pub(super) fn peer(peer: &Value) -> Option<Peer> {
    let info = &peer["node_info"];
    let (said, from) = (text(&info["other"]["rpc_address"]), text(&peer["remote_ip"]));
    let rpc = || {
        let (said, from) = (Address::parse(&said?)?, from?);
        let is_local = |host: &str| host == "localhost" || host == "::1" || host.starts_with("127.");
        (!is_local(&said.host) || is_local(&from)).then(|| Address::new(from, said.port))
    };
    Some(Peer { id: short(&info["id"])?, moniker: short(&info["moniker"]).unwrap_or_default(), rpc: rpc() })
}

/// The addresses of those that a proof is against.
pub(super) fn accused(proof: &Value) -> Vec<String> {
    let value = &proof["value"];
    let twice = short(&value["vote_a"]["validator_address"]);
    let attackers = list(&value["byzantine_validators"]).unwrap_or_default();
    twice.into_iter().chain(attackers.iter().filter_map(|one| short(&one["address"]))).collect()
}

/// Go writes an empty list as `null`.
pub(super) fn list(value: &Value) -> Option<&[Value]> {
    if value.is_null() { Some(&[]) } else { value.as_array().map(Vec::as_slice) }
}

pub(super) fn bytes(value: &Value) -> Option<Bytes> {
    data_encoding::BASE64.decode(value.as_str()?.as_bytes()).ok().map(Bytes::from)
}

/// What became of a transaction, as `/block_results` says.
pub(super) fn outcome(result: &Value) -> Option<Result<Receipt, (u32, String, String)>> {
    let code = u32::try_from(result["code"].as_u64()?).ok()?;
    if code == 0 {
        return Receipt::decode(&bytes(&result["data"])?).map(Ok);
    }
    let text = |key: &str| result[key].as_str().unwrap_or_default().to_owned();
    Some(Err((code, text("codespace"), text("log"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_of_itself_is_kept_only_in_its_own_form() {
        let status = |root: &str| serde_json::json!({ "height": 1, "records": 1, "sequence_root": root, "records_root": root });
        assert!(claim(&status(&"0a".repeat(32))).is_some());
        for bad in ["", "0a", &"0g".repeat(32), &"0a".repeat(1 << 20)] {
            assert!(claim(&status(bad)).is_none(), "{} bytes", bad.len());
        }
        let named = |id: &str| serde_json::json!({ "node_info": { "id": id, "moniker": id } });
        assert!(peer(&named(&"a".repeat(40))).is_some());
        assert!(peer(&named(&"a".repeat(65))).is_none());
    }
}
