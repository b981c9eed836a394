//! Whatever is in a mempool or a proposal, a block stays within what every node can hold and compute.

use bytes::Bytes;
use dseq::limits::{BLOCK_FUEL_MAX, BLOCK_RECORD_BYTES_MAX, BLOCK_TXS_MAX};
use serde_json::json;

use crate::support::consensus::{Chain, Node};
use crate::support::plugins::{genesis, moody_genesis};

const ROOM: i64 = 64 << 20;

fn started(app_state: &serde_json::Value) -> Node {
    let mut node = Node::new();
    Chain::new(app_state).handshake(&mut node);
    node
}

/// Different transactions with this first byte.
fn many(first: u8, count: u64) -> Vec<Bytes> {
    (0..count).map(|n| Bytes::from([&[first][..], &n.to_le_bytes()].concat())).collect()
}

/// What is prepared is the longest beginning that is voted for.
fn assert_cut_at(node: &mut Node, txs: &[Bytes], expected: u64) {
    let prepared = node.prepare(txs, ROOM);
    assert_eq!(prepared.len() as u64, expected);
    assert_eq!(prepared, txs[..prepared.len()]);
    assert!(node.process(&prepared), "what a node prepares it votes for");
    assert!(!node.process(&txs[..=prepared.len()]), "one more is too much");
}

#[test]
fn transactions_of_a_block_are_bounded() {
    let mut node = started(&genesis(&json!([])));
    assert_cut_at(&mut node, &many(b'a', BLOCK_TXS_MAX + 1), BLOCK_TXS_MAX);
}

#[test]
fn bytes_of_records_in_a_block_are_bounded_however_small_the_transactions() {
    let mut node = started(&moody_genesis());
    assert_cut_at(&mut node, &many(b'#', 100), BLOCK_RECORD_BYTES_MAX >> 20);
}

#[test]
fn fuel_of_a_block_is_bounded() {
    let mut node = started(&moody_genesis());
    let fuel = u64::try_from(node.check(b"%").gas_used).unwrap();
    assert!((50_000_000..100_000_000).contains(&fuel), "a good half of the default: {fuel}");
    assert_cut_at(&mut node, &many(b'%', 50), BLOCK_FUEL_MAX / fuel);
}

#[test]
fn a_genesis_that_does_not_bound_blocks_is_refused() {
    use tendermint_proto::v0_38::types::{BlockParams, ConsensusParams};

    let mut node = Node::new();
    let mut request = Chain::new(&moody_genesis()).init_request();
    let block = Some(BlockParams { max_bytes: -1, max_gas: -1 });
    request.consensus_params = Some(ConsensusParams { block, ..Default::default() });
    let request = tendermint_proto::v0_38::abci::request::Value::InitChain(request);
    assert!(node.client().try_call(request).is_err());
    let halt = node.halted();
    assert_eq!(halt.exit_code(), 78);
    assert!(halt.to_string().contains("consensus_params.block.max_bytes is -1"), "{halt}");
}
