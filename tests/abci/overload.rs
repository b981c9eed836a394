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

/// The same, longer.
fn heavy(first: u64, count: u64) -> Vec<Bytes> {
    let long = |tx: &Bytes| Bytes::from([&tx[..], &[b'.'; 3_060]].concat());
    txs(first, count).iter().map(long).collect()
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
    // Of 4 KiB each in weight.
    let mut fresh = |count: u64| {
        next += count;
        heavy(next - count, count)
    };
    let waiting = fresh(1_000);
    assert!(check(&mut node, &waiting).iter().all(|code| *code == 0));
    let proposed = |node: &mut Node| node.prepare(&waiting, BLOCK_BYTES).len() as u64;
    assert_eq!(proposed(&mut node), 256);

    // Full blocks that take longer than they should, while transactions wait: as many as are measured, and the first, which is not.
    for _ in 0..10 {
        let block = fresh(256);
        std::thread::sleep(Duration::from_millis(700));
        chain.decide(&mut node, block);
    }
    let fewer = proposed(&mut node);
    assert!((1..240).contains(&fewer), "{fewer}");
    // Nothing is refused yet: no full block was quick enough to show how long a queue takes.
    assert!(check(&mut node, &fresh(100 * fewer)).iter().all(|code| *code == 0));

    // Quick ones again.
    let begun = Instant::now();
    while proposed(&mut node) <= fewer {
        assert!(begun.elapsed() < Duration::from_secs(300), "the budget does not grow: {fewer}");
        let block = fresh(proposed(&mut node));
        chain.decide(&mut node, block);
    }
    let many = fresh(110 * proposed(&mut node));
    let codes = check(&mut node, &many);
    let refused = codes.iter().position(|code| *code != 0).expect("so many blocks are too many");
    assert!(codes.iter().all(|code| *code == 0 || *code == 6));
    // The queue comes nearer to the last bound and never quite there, so some still get in.
    let last = &codes[codes.len() / 4 * 3..];
    let refusals = last.iter().filter(|code| **code == 6).count();
    assert!(refusals > last.len() / 2, "near the last bound most are refused: {refusals} of {}", last.len());
    let answer = node.check(&many[refused]);
    assert_eq!((answer.code, answer.codespace.as_str(), answer.gas_used), (6, "dseq", 0));
    let words = (answer.log.starts_with("this node is overloaded: "), answer.log.contains("; try again in "));
    assert_eq!(words, (true, true), "{}", answer.log);
    let again = RequestCheckTx { tx: waiting[0].clone(), r#type: CheckTxType::Recheck.into() };
    assert_eq!(node.client().check_tx_with(again).code, 0, "what is in the mempool stays there");
    assert!(node.process(&many[refused..=refused]), "others may have accepted what this node refused");

    // What waits is decided, and then there is room.
    let count = next;
    for first in (0..count).step_by(2_000) {
        let block = chain.decide(&mut node, heavy(first, 2_000.min(count - first)));
        assert!(block.results.iter().all(|result| result.code == 0));
    }
    assert_eq!(node.check(&many[refused]).code, 0);
}
