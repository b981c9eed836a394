//! What producers and readers are told: codes, words, receipts, events, queries. With goldens for what consensus sees.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use dseq::sequence::{HashedRecord, Head, Staging};
use dseq::types::{Height, PipelineId, TxHash};
use tendermint_proto::v0_38::abci::{
    CheckTxType, RequestApplySnapshotChunk, RequestCheckTx, RequestLoadSnapshotChunk, RequestOfferSnapshot,
    ResponseQuery, response_apply_snapshot_chunk, response_offer_snapshot,
};

use crate::support::consensus::{Chain, Node};
use crate::support::plugins::{genesis, moody_genesis};

fn started() -> (Node, Chain) {
    let (mut node, mut chain) = (Node::new(), Chain::new(&moody_genesis()));
    chain.handshake(&mut node);
    (node, chain)
}

/// Codes are consensus-visible through LastResultsHash: a change here forks every network that upgrades in parts.
#[test]
fn golden_codes_and_words() {
    let (mut node, mut chain) = started();
    let too_large = vec![b'x'; (1 << 20) + 1];
    let txs: [&[u8]; 6] = [b"fine", b"~", b"", &too_large, b"!", b"@"];
    let golden = [
        "0  ''",
        "0  ''",
        "1 dseq 'the transaction is empty; a transaction has at least 1 byte'",
        "2 dseq 'the transaction has 1048577 bytes; this network takes at most 1048576'",
        "7 plugin/moody 'no shouting'",
        "1000 plugin/moody 'the plugin panicked or executed unreachable code'",
    ];
    let checked = txs.map(|tx| node.check(tx)).map(|c| format!("{} {} '{}'", c.code, c.codespace, c.log));
    assert_eq!(checked, golden);
    let block = chain.decide(&mut node, txs.map(Bytes::copy_from_slice).to_vec());
    let decided: Vec<String> =
        block.results.iter().map(|r| format!("{} {} '{}'", r.code, r.codespace, r.log)).collect();
    assert_eq!(decided, golden, "a block is told the same as a check");
}

/// Gas is fuel and enters LastResultsHash: a fault costs all of it, a refusal by the host none.
#[test]
fn gas_is_fuel() {
    let (mut node, mut chain) = started();
    let txs: [&[u8]; 4] = [b"fine", b"", b"!", b"@"];
    let checked = txs.map(|tx| node.check(tx).gas_used);
    let block = chain.decide(&mut node, txs.map(Bytes::copy_from_slice).to_vec());
    let decided: Vec<i64> = block.results.iter().map(|result| result.gas_used).collect();
    assert_eq!(decided, checked);
    assert!(block.results.iter().all(|result| result.gas_wanted == result.gas_used));
    assert!(txs.iter().all(|tx| node.check(tx).gas_wanted == node.check(tx).gas_used));
    assert!(checked[0] > 0 && checked[2] > 0, "running a plugin costs fuel: {checked:?}");
    assert_eq!((checked[1], checked[3]), (0, 400_000_000));
}

/// The receipt is consensus-visible: height, index, offset and length, each 8 bytes, little-endian.
#[test]
fn golden_receipt_and_event() {
    let (mut node, mut chain) = started();
    chain.block(&mut node, &[b"0123456789"]);
    let block = chain.block(&mut node, &[b"~", b"last"]);
    let receipts: Vec<String> = block.results.iter().map(|result| HEXLOWER.encode(&result.data)).collect();
    let golden = [
        ["0200000000000000", "0100000000000000", "0a00000000000000", "0400000000000000"].concat(),
        ["0200000000000000", "0200000000000000", "0e00000000000000", "0400000000000000"].concat(),
    ];
    assert_eq!(receipts, golden);
    let event = &block.results[1].events[0];
    let attributes: Vec<String> = event.attributes.iter().map(|a| format!("{}={}", a.key, a.value)).collect();
    assert!(event.attributes.iter().all(|attribute| attribute.index), "indexers may find records by them");
    assert_eq!(
        (event.r#type.as_str(), attributes.join(" ").as_str()),
        ("dseq.record", "offset=14 length=4 index=2")
    );
}

/// The app hash is what consensus agrees on: a change here is a new network, and goes under "Consensus-breaking" in
/// the changelog. (These two were computed a second time from the formats alone, with Python's hashlib and blake3.)
#[test]
fn golden_app_hash() {
    let pipeline = PipelineId([0x11; 32]);
    let empty = Head::default();
    let mut staging = Staging::begin(&empty, Height(1));
    for record in [&b"first record"[..], b"second", &[0xff; 3000]] {
        staging.push(TxHash::of(record), &HashedRecord::of(record.to_vec())).unwrap();
    }
    let staged = staging.finish();
    let hashes = [&empty, staged.head()].map(|head| dseq::app::app_hash(head, pipeline).to_string());
    assert_eq!(
        hashes,
        [
            "bb93b39fb4fc933247602121ed5635aeff5d6eb27f7501c2778fe2409be92048",
            "b5a929e9eaf0f8912da660baf2cd776b371546e783e89bafff567a0ac2038b5a",
        ]
    );
}

/// As above, from genesis to the answer of FinalizeBlock: this one changes with the engine id too.
#[test]
fn golden_app_hash_of_a_network() {
    let (mut node, mut chain) = (Node::new(), Chain::new(&genesis(&serde_json::json!([]))));
    chain.handshake(&mut node);
    let txs: Vec<Bytes> = (0..40_u8).map(|n| Bytes::from(vec![n; usize::from(n) * 50 + 1])).collect();
    let hashes = [chain.genesis_app_hash.clone(), chain.decide(&mut node, txs).app_hash];
    assert_eq!(
        hashes.map(|hash| HEXLOWER.encode(&hash)),
        [
            "2662757349bc65acee1b972af14ee9f9d26512260046032477f587e287c17428",
            "1b259cd37afc0784e4898f3b2462543e988c7027877fd8a8f7e5a3b4e48af6cc"
        ]
    );
}

#[test]
fn the_largest_transaction_is_as_large_as_genesis_says() {
    let (mut node, mut chain) = started();
    let largest = vec![b'x'; 1 << 20];
    assert_eq!(node.check(&largest).code, 0);
    let block = chain.decide(&mut node, vec![Bytes::from(largest.clone())]);
    assert_eq!(block.results[0].code, 0);
    assert_eq!(node.sequence(), largest);
}

fn query(node: &mut Node, path: &str) -> ResponseQuery {
    node.client().query(path, Bytes::new())
}

#[test]
fn the_status_query_says_what_the_tools_on_the_file_say() {
    let (mut node, mut chain) = started();
    let block = chain.block(&mut node, &[b"abc", b"~"]);
    let status: serde_json::Value = serde_json::from_slice(&query(&mut node, "/status").value).unwrap();
    assert_eq!((status["height"].as_u64(), status["disk_low"].as_bool()), (Some(1), Some(false)));
    assert_eq!((&status["ready"], &status["reason"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!((status["length"].as_u64(), status["records"].as_u64()), (Some(7), Some(2)));
    assert_eq!(status["sequence_root"], blake3::hash(b"abcwave").to_string());
    assert_eq!(status["app_hash"], HEXLOWER.encode(&block.app_hash));
}

#[test]
fn a_nearly_full_disk_refuses_checks_and_nothing_else() {
    let mut node = Node::stopped();
    node.set_disk_free_bytes_low(u64::MAX);
    node.start();
    let mut chain = Chain::new(&genesis(&serde_json::json!([])));
    chain.handshake(&mut node);
    let status: serde_json::Value = serde_json::from_slice(&query(&mut node, "/status").value).unwrap();
    assert_eq!(
        (&status["ready"], &status["disk_low"]),
        (&false.into(), &true.into()),
        "known from the start"
    );
    assert!(status["reason"].as_str().unwrap().starts_with("this node's disk is nearly full: "), "{status}");
    let answer = node.check(b"one more");
    assert_eq!((answer.code, answer.codespace.as_str()), (4, "dseq"));
    assert!(answer.log.starts_with("this node's disk is nearly full: "), "{}", answer.log);
    assert!(answer.log.ends_with("try another node"), "{}", answer.log);
    // What was taken before stays in the mempool.
    let recheck = RequestCheckTx { tx: Bytes::from_static(b"taken"), r#type: CheckTxType::Recheck.into() };
    assert_eq!(node.client().check_tx_with(recheck).code, 0);
    // What the others decided must be taken all the same.
    chain.decide(&mut node, vec![Bytes::from_static(b"decided elsewhere")]);
    assert_eq!(node.sequence(), b"decided elsewhere");
}

#[test]
fn echo_and_flush_answer() {
    let (mut node, _) = started();
    assert_eq!(node.client().echo("hello"), "hello");
    node.client().flush();
}

#[test]
fn snapshots_are_declined_plainly() {
    let (mut node, _) = started();
    assert!(node.client().list_snapshots().snapshots.is_empty());
    let offered = node.client().offer_snapshot(RequestOfferSnapshot::default()).result;
    assert_eq!(offered, i32::from(response_offer_snapshot::Result::RejectFormat));
    let request = RequestLoadSnapshotChunk { height: 1, ..Default::default() };
    assert!(node.client().load_snapshot_chunk(request).chunk.is_empty());
    let applied = node.client().apply_snapshot_chunk(RequestApplySnapshotChunk::default()).result;
    assert_eq!(applied, i32::from(response_apply_snapshot_chunk::Result::Abort));
}
