//! More transactions than the network decides: what is proposed and accepted is bounded, and no vote depends on it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use tendermint_proto::v0_38::abci::{CheckTxType, RequestCheckTx, response::Value as Answer};

use crate::support::client::ask_check_tx;
use crate::support::consensus::{Chain, Node};
use crate::support::plugins::genesis;

const BLOCK_BYTES: i64 = 4 << 20;

fn started() -> (Node, Chain) {
    let (mut node, mut chain) = (Node::new(), Chain::new(&genesis(&json!([]))));
    chain.handshake(&mut node);
    (node, chain)
}

fn txs(first: u64, count: u64) -> Vec<Bytes> {
    (first..first + count).map(|n| Bytes::copy_from_slice(&n.to_le_bytes())).collect()
}

/// Checks them and answers their codes.
fn check(node: &mut Node, txs: &[Bytes]) -> Vec<u32> {
    let answers = node.client().pipeline(txs.iter().cloned().map(ask_check_tx));
    let codes = answers.into_iter().map(|answer| {
        let Answer::CheckTx(answer) = answer else {
            panic!("not the answer to a check: {answer:?}");
        };
        answer.code
    });
    codes.collect()
}

#[test]
fn a_proposal_is_bounded_before_anything_was_measured_and_a_vote_is_not() {
    let (mut node, _) = started();
    let many = txs(0, 20_000);
    let prepared = node.prepare(&many, BLOCK_BYTES);
    // 1 MiB, of 1 KiB for each transaction and its 10 bytes.
    assert_eq!(prepared, many[..1014]);
    assert!(node.process(&many));
    let heavy = Bytes::from(vec![b'x'; 1 << 20]);
    assert_eq!(
        node.prepare(&[heavy.clone(), many[0].clone()], BLOCK_BYTES),
        [heavy],
        "the first always fits"
    );
}

#[test]
fn proposals_follow_what_blocks_take_and_what_waits_too_long_is_refused() {
    let (mut node, mut chain) = started();
    let mut next = 0;
    let mut fresh = |count| {
        next += count;
        txs(next - count, count)
    };
    let waiting = fresh(4_000);
    assert!(check(&mut node, &waiting).iter().all(|code| *code == 0));
    let proposed = |node: &mut Node| node.prepare(&waiting, BLOCK_BYTES).len();

    // Full blocks that take longer than they should, while transactions wait.
    for _ in 0..12 {
        let block = fresh(1_000);
        std::thread::sleep(Duration::from_millis(700));
        chain.decide(&mut node, block);
    }
    let fewer = proposed(&mut node);
    assert!((1..900).contains(&fewer), "{fewer}");

    // Nothing is refused yet: no full block was quick enough to show how long a queue takes.
    assert!(check(&mut node, &fresh(20 * fewer as u64)).iter().all(|code| *code == 0));

    // Quick ones again. How quick this machine is decides nothing: a second of them would do as well.
    let begun = Instant::now();
    while proposed(&mut node) < 2 * fewer {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "the budget does not grow: {}",
            proposed(&mut node)
        );
        let block = fresh(proposed(&mut node) as u64);
        chain.decide(&mut node, block);
    }
    assert!(check(&mut node, &fresh(100)).iter().all(|code| *code == 0 || *code == 6));

    let budget = proposed(&mut node) as u64;
    let many = fresh(40 * budget);
    let codes = check(&mut node, &many);
    let first = codes.iter().position(|code| *code != 0).expect("40 blocks are too many");
    assert_eq!(codes[first], 6);
    let refused = codes.iter().rev().take(1000).filter(|code| **code == 6).count();
    assert!(refused > 600, "the nearer the last bound, the more are refused: {refused} of 1000");
    let answer = node.check(&many[first]);
    assert_eq!((answer.code, answer.codespace.as_str(), answer.gas_used), (6, "dseq", 0));
    assert!(
        answer.log.starts_with("this node is overloaded: ") && answer.log.contains("; try again in "),
        "{}",
        answer.log
    );
    let again = RequestCheckTx { tx: many[0].clone(), r#type: CheckTxType::Recheck.into() };
    assert_eq!(node.client().check_tx_with(again).code, 0, "what is in the mempool stays there");
    assert!(node.process(&many[first..=first]), "others may have accepted what this node refused");

    // What was accepted is decided, and then there is room.
    let accepted: Vec<Bytes> =
        many.iter().zip(&codes).filter(|(_, code)| **code == 0).map(|(tx, _)| tx.clone()).collect();
    let block = chain.decide(&mut node, accepted);
    assert!(block.results.iter().all(|result| result.code == 0));
    let block = chain.decide(&mut node, txs(0, next));
    assert_eq!(block.results.len() as u64, next);
    assert_eq!(node.check(&many[first]).code, 0);
}
