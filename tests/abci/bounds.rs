//! Whatever is in a mempool or a proposal, a block stays within what every node can hold and compute.

use bytes::Bytes;
use dseq::limits::{BLOCK_FUEL_MAX, BLOCK_TXS_MAX};
use dseq::types::PluginHash;
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
    assert_eq!(cut(node, txs), expected);
}

/// The length of the longest beginning of `txs` that is prepared and voted for.
fn cut(node: &mut Node, txs: &[Bytes]) -> u64 {
    let prepared = node.prepare(txs, ROOM);
    assert_eq!(prepared, txs[..prepared.len()]);
    assert!(node.process(&prepared), "what a node prepares it votes for");
    assert!(!node.process(&txs[..=prepared.len()]), "one more is too much");
    prepared.len() as u64
}

#[test]
fn transactions_of_a_block_are_bounded() {
    let mut node = started(&genesis(&json!([])));
    let txs = many(b'a', BLOCK_TXS_MAX + 1);
    assert!(node.process(&txs[..txs.len() - 1]));
    assert!(!node.process(&txs));
    let prepared = node.prepare(&txs, ROOM);
    assert!(node.process(&prepared), "what a node prepares it votes for");
}

#[test]
fn what_starting_an_instance_takes_counts_for_each_transaction() {
    // Accepts everything at once, after an init of some 70 million fuel; its memory is too long to be reset.
    let wasm = wat::parse_str(
        r#"(module (memory (export "memory") 3)
            (func (export "dseq_abi_v1"))
            (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
            (func (export "dseq_output") (result i32) (i32.const 1024))
            (func (export "dseq_init") (param i32) (result i64) (local $turns i32)
              (loop $again
                (br_if $again (i32.lt_u
                  (local.tee $turns (i32.add (local.get $turns) (i32.const 1)))
                  (i32.const 4400000))))
              (i64.const 0x0001_0000_00000000))
            (func (export "dseq_apply") (param i32) (result i64) (i64.const 0x0001_0000_00000000)))"#,
    );
    let wasm = wasm.unwrap();
    let mut node = started(&genesis(&json!([{
        "name": "slow",
        "sha256": PluginHash::of(&wasm).to_string(),
        "wasm": data_encoding::BASE64.encode(&wasm),
    }])));
    let fuel = u64::try_from(node.check(b"123456789").gas_used).unwrap();
    assert!((70_000_000..80_000_000).contains(&fuel), "{fuel}");
    assert_cut_at(&mut node, &many(b'a', 50), BLOCK_FUEL_MAX / fuel);
}

#[test]
fn a_genesis_whose_parameters_cannot_be_met_is_refused() {
    use tendermint_proto::v0_38::types::{AbciParams, BlockParams, ConsensusParams};

    for (max_bytes, max_gas, vote_extensions_enable_height, words) in [
        (-1, -1, 0, "consensus_params.block.max_bytes is -1, no bound at all"),
        (4 << 20, 1_000_000, 0, "consensus_params.block.max_gas is 1000000; it must be -1"),
        (4 << 20, -1, 1, "vote_extensions_enable_height is 1; it must be 0"),
        (1 << 20, -1, 0, "limits.tx_bytes_max is 1048576, but a block has room"),
    ] {
        let mut node = Node::new();
        let mut request = Chain::new(&moody_genesis()).init_request();
        let block = Some(BlockParams { max_bytes, max_gas });
        let abci = Some(AbciParams { vote_extensions_enable_height });
        request.consensus_params = Some(ConsensusParams { block, abci, ..Default::default() });
        let request = tendermint_proto::v0_38::abci::request::Value::InitChain(request);
        assert!(node.client().try_call(request).is_err());
        let halt = node.halted();
        assert_eq!(halt.exit_code(), 78);
        assert!(halt.to_string().contains(words), "{halt}");
    }
}
