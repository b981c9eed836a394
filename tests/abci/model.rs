//! Random histories of the whole application against a model: a `Vec` of bytes and four lines of rules.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use proptest::prelude::*;

use crate::support::consensus::{Chain, Node};
use crate::support::plugins::moody_genesis;

#[derive(Clone, Debug)]
enum Step {
    /// Checked, proposed, voted for, decided and committed.
    Block(Vec<Vec<u8>>),
    /// Decided by others without this node's vote: anything may be in it.
    Decided(Vec<Vec<u8>>),
    /// Proposed and never decided.
    FailedRound(Vec<Vec<u8>>),
    /// Finalized; the node is lost before Commit.
    LostBeforeCommit(Vec<Vec<u8>>),
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let tx = prop_oneof![
        6 => proptest::collection::vec(any::<u8>(), 0..60),
        1 => proptest::collection::vec(any::<u8>(), 0..6000),
        1 => Just(b"~".to_vec()),
        1 => Just(b"!no".to_vec()),
        1 => Just(b"@".to_vec()),
    ];
    let txs = proptest::collection::vec(tx, 0..8);
    let step = prop_oneof![
        5 => txs.clone().prop_map(Step::Block),
        2 => txs.clone().prop_map(Step::Decided),
        1 => txs.clone().prop_map(Step::FailedRound),
        1 => txs.prop_map(Step::LostBeforeCommit),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..10)
}

/// The moody plugin's rules, once more.
fn record(tx: &[u8]) -> Option<Vec<u8>> {
    match tx.first()? {
        b'!' | b'@' => None,
        b'~' => Some(b"wave".to_vec()),
        _ => Some(tx.to_vec()),
    }
}

fn receipt(fields: [u64; 4]) -> Vec<u8> {
    fields.iter().flat_map(|field| field.to_le_bytes()).collect()
}

fn all(txs: Vec<Vec<u8>>) -> Vec<Bytes> {
    txs.into_iter().map(Bytes::from).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_history_gives_the_bytes_and_receipts_of_the_model(steps in steps()) {
        let (mut node, mut chain) = (Node::new(), Chain::new(&moody_genesis()));
        chain.handshake(&mut node);
        for step in steps {
            match step {
                Step::Block(txs) => {
                    let txs: Vec<&[u8]> = txs.iter().map(Vec::as_slice).collect();
                    let block = chain.block(&mut node, &txs);
                    let accepted: Vec<&[u8]> = txs.into_iter().filter(|tx| record(tx).is_some()).collect();
                    prop_assert_eq!(block.txs, accepted, "a block holds what the rules accept, in order");
                }
                Step::Decided(txs) => drop(chain.decide(&mut node, all(txs))),
                Step::FailedRound(txs) => drop(chain.round(&mut node, all(txs))),
                Step::LostBeforeCommit(txs) => {
                    chain.finalize(&mut node, all(txs));
                    node.restart();
                    prop_assert_eq!(chain.handshake(&mut node), 1);
                }
                Step::Restart => {
                    node.restart();
                    prop_assert_eq!(chain.handshake(&mut node), 0);
                }
            }
        }
        agrees_with_the_model(&mut node, &chain);
        // A node that saw none of the rounds and restarts replays to the same end.
        let mut fresh = Node::new();
        chain.handshake(&mut fresh);
        prop_assert_eq!(fresh.info(), node.info());
    }
}

fn agrees_with_the_model(node: &mut Node, chain: &Chain) {
    let (mut sequence, mut index) = (Vec::new(), 0);
    for (height, block) in (1..).zip(&chain.blocks) {
        for (tx, result) in block.txs.iter().zip(&block.results) {
            let expected = record(tx).map_or_else(Vec::new, |record| {
                let receipt = receipt([height, index, sequence.len() as u64, record.len() as u64]);
                index += 1;
                sequence.extend_from_slice(&record);
                receipt
            });
            assert_eq!(HEXLOWER.encode(&result.data), HEXLOWER.encode(&expected));
            assert_eq!(result.code == 0, record(tx).is_some());
        }
    }
    assert_eq!(node.sequence(), sequence);
    let status: serde_json::Value =
        serde_json::from_slice(&node.client().query("/status", Bytes::new()).value).unwrap();
    assert_eq!(status["sequence_root"], blake3::hash(&sequence).to_string());
    assert_eq!(
        (status["length"].as_u64(), status["records"].as_u64()),
        (Some(sequence.len() as u64), Some(index))
    );
}
