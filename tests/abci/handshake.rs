//! The handshake matrix: how far the application, CometBFT's block store and CometBFT's state may be apart after a
//! crash, and what happens next.
//!
//! | application | block store | state | what CometBFT does |
//! |---|---|---|---|
//! | 0 | 0 | 0 | InitChain |
//! | 0 | n | n | InitChain, replay 1 to n |
//! | h | n | n | replay h+1 to n |
//! | n | n | n | nothing |
//! | n-1 | n | n-1 | replay n: the crash came between FinalizeBlock and Commit, or before either |
//! | n | n | n-1 | nothing on this application: CometBFT uses the stored answers |
//! | h < n-1 | n | n-1 | replay h+1 to n |
//! | h > n | n | any | refuses to start; must never happen, and cannot: `nothing_on_disk_changes_before_commit` |

use bytes::Bytes;
use dseq::abci::Halt;
use dseq::app::SequencingError;
use tendermint_proto::v0_38::abci::{RequestFinalizeBlock, request::Value as Ask};

use crate::support::consensus::{Chain, Node};
use crate::support::plugins::moody_genesis;

fn network() -> Chain {
    Chain::new(&moody_genesis())
}

/// A node and a chain of three blocks, and the log as it was after each height from 0 on.
fn three_blocks() -> (Node, Chain, Vec<tempfile::TempDir>) {
    let (mut node, mut chain) = (Node::new(), network());
    chain.handshake(&mut node);
    let mut backups = vec![node.backup()];
    for txs in [&[&b"one"[..], b"~"][..], &[], &[b"three", b"!refused"]] {
        chain.block(&mut node, txs);
        backups.push(node.backup());
    }
    (node, chain, backups)
}

fn assert_follows(node: &mut Node, chain: &mut Chain) {
    assert_eq!(node.info().last_block_height, chain.next_height() - 1);
    chain.block(node, &[b" and on"]);
    assert!(node.sequence().ends_with(b" and on"));
    assert!(node.sequence().starts_with(b"onewavethree"));
}

#[test]
fn an_empty_application_gets_genesis() {
    let (mut node, mut chain) = (Node::new(), network());
    let info = node.info();
    assert_eq!((info.last_block_height, info.last_block_app_hash.len(), info.app_version), (0, 0, 1));
    assert_eq!(chain.handshake(&mut node), 0);
    assert_eq!(chain.genesis_app_hash.len(), 32);
    chain.block(&mut node, &[b"first"]);
    assert_eq!(node.sequence(), b"first");
}

#[test]
fn init_chain_comes_again_as_long_as_nothing_is_committed() {
    let (mut node, mut chain) = (Node::new(), network());
    chain.handshake(&mut node);
    let first = chain.genesis_app_hash.clone();
    chain.handshake(&mut node);
    assert_eq!(chain.genesis_app_hash, first, "in the same process");
    node.restart();
    chain.handshake(&mut node);
    assert_eq!(chain.genesis_app_hash, first, "after a restart");
    // Even a block that was finalized and lost does not stand in its way.
    node.finalize(1, &[Bytes::from_static(b"lost")]);
    node.restart();
    chain.handshake(&mut node);
    chain.block(&mut node, &[b"kept"]);
    assert_eq!(node.sequence(), b"kept");
}

#[test]
fn init_chain_may_bring_other_rules_before_the_first_block() {
    let mut node = Node::new();
    network().handshake(&mut node);
    let mut other = Chain::new(&crate::support::plugins::genesis(&serde_json::json!([])));
    other.handshake(&mut node);
    other.block(&mut node, &[b"!allowed now"]);
    assert_eq!(node.sequence(), b"!allowed now");
}

#[test]
fn an_application_that_lost_everything_replays_the_whole_chain() {
    let (mut node, mut chain, _) = three_blocks();
    let sequence = node.sequence();
    node.stop();
    std::fs::remove_dir_all(node.sequence_dir()).unwrap();
    node.start();
    assert_eq!(chain.handshake(&mut node), 3);
    assert_eq!(node.sequence(), sequence);
    assert_follows(&mut node, &mut chain);
}

#[test]
fn an_application_behind_replays_what_it_lacks() {
    for behind in 1..=3 {
        let (mut node, mut chain, backups) = three_blocks();
        node.stop();
        node.restore(&backups[3 - behind]);
        node.start();
        assert_eq!(chain.handshake(&mut node), behind);
        assert_follows(&mut node, &mut chain);
    }
}

#[test]
fn an_application_level_with_the_chain_replays_nothing() {
    let (mut node, mut chain, _) = three_blocks();
    node.restart();
    assert_eq!(chain.handshake(&mut node), 0);
    assert_follows(&mut node, &mut chain);
}

#[test]
fn a_block_lost_between_finalize_and_commit_is_replayed() {
    let (mut node, mut chain, _) = three_blocks();
    chain.finalize(&mut node, vec![Bytes::from_static(b"!no"), Bytes::from_static(b" four")]);
    node.restart();
    assert_eq!(node.info().last_block_height, 3, "only Commit persists");
    assert_eq!(node.sequence(), b"onewavethree", "only Commit persists");
    assert_eq!(chain.handshake(&mut node), 1);
    assert_eq!(node.sequence(), b"onewavethree four");
    assert_follows(&mut node, &mut chain);
}

#[test]
fn nothing_on_disk_changes_before_commit() {
    let (mut node, mut chain, backups) = three_blocks();
    chain.round(&mut node, &[Bytes::from_static(b"proposed")]);
    chain.finalize(&mut node, vec![Bytes::from_static(b"decided")]);
    let now = node.backup();
    for name in ["sequence.bin", "records", "commit", "chain"] {
        let [before, after] = [&backups[3], &now].map(|copy| std::fs::read(copy.path().join(name)).unwrap());
        assert_eq!(before, after, "{name}");
    }
}

#[test]
fn a_block_that_skips_a_height_stops_the_node() {
    let (mut node, _, _) = three_blocks();
    let request = RequestFinalizeBlock { height: 5, ..Default::default() };
    assert!(node.client().try_call(Ask::FinalizeBlock(request)).is_err());
    let halt = node.halted();
    assert!(
        matches!(&halt, Halt::Sequencing(SequencingError::WrongHeight { found: 5, expected: 4 })),
        "{halt}"
    );
}

#[test]
fn a_genesis_without_an_initial_height_starts_at_1() {
    let (mut node, chain) = (Node::new(), network());
    let mut request = chain.init_request();
    request.initial_height = 0;
    node.client().init_chain(request);
    node.finalize(1, &[Bytes::from_static(b"first")]);
    node.client().commit();
    assert_eq!(node.sequence(), b"first");
}

#[test]
fn a_committed_block_is_not_taken_twice() {
    let (mut node, mut chain, _) = three_blocks();
    // CometBFT died after Commit and before it saved its own state: it asks Info and does not send the block again.
    chain.block(&mut node, &[b" four"]);
    node.restart();
    assert_eq!(chain.handshake(&mut node), 0);
    assert_eq!(node.sequence(), b"onewavethree four");
    // Should it come all the same, the application would rather stop than append it again.
    let request = RequestFinalizeBlock { height: 4, ..Default::default() };
    let refused = node.client().try_call(Ask::FinalizeBlock(request));
    assert!(refused.is_err(), "{refused:?}");
    let halt = node.halted();
    assert!(
        matches!(&halt, Halt::Sequencing(SequencingError::WrongHeight { found: 4, expected: 5 })),
        "{halt}"
    );
}

#[test]
fn engine_restarting_alone_may_finalize_the_same_block_again() {
    let (mut node, mut chain, _) = three_blocks();
    // The application keeps running; CometBFT comes back, finds itself one block ahead, and sends the block again.
    node.finalize(4, &[Bytes::from_static(b" another proposal")]);
    chain.finalize(&mut node, vec![Bytes::from_static(b" four")]);
    assert_eq!(chain.blocks.pop().unwrap().txs, [" four"]);
    chain.decide(&mut node, vec![Bytes::from_static(b" four")]);
    assert_eq!(node.sequence(), b"onewavethree four");
    assert_follows(&mut node, &mut chain);
}

#[test]
fn a_chain_that_starts_at_another_height_is_replayed_from_there() {
    let (mut node, mut chain) = (Node::new(), Chain::starting_at(&moody_genesis(), 100));
    chain.handshake(&mut node);
    chain.block(&mut node, &[b"at 100"]);
    chain.block(&mut node, &[b" at 101"]);
    node.stop();
    std::fs::remove_dir_all(node.sequence_dir()).unwrap();
    node.start();
    assert_eq!(chain.handshake(&mut node), 2);
    assert_eq!((node.info().last_block_height, node.sequence()), (101, b"at 100 at 101".to_vec()));
}

#[test]
fn a_chain_may_start_at_another_height() {
    let (mut node, mut chain) = (Node::new(), Chain::starting_at(&moody_genesis(), 100));
    chain.handshake(&mut node);
    chain.block(&mut node, &[b"at 100"]);
    assert_eq!(node.info().last_block_height, 100);
    chain.finalize(&mut node, vec![Bytes::from_static(b" at 101")]);
    node.restart();
    assert_eq!(chain.handshake(&mut node), 1);
    assert_eq!(node.info().last_block_height, 101);
    assert_eq!(node.sequence(), b"at 100 at 101");
}
