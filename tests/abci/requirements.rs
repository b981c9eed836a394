//! The formal requirements of CometBFT's ABCI 2.0 specification, one test each, by their numbers there.
//!
//! Requirement 1 is about time (PrepareProposal must answer within the proposal timeout); what bounds it are the
//! bounds of a block, tested in `bounds`. Requirements 6 to 8 and 10 are about vote extensions, which this
//! application does not use; it must still answer for them.

use bytes::Bytes;
use prost::Message;
use tendermint_proto::v0_38::abci::{
    RequestExtendVote, RequestVerifyVoteExtension, response_verify_vote_extension::VerifyStatus,
};
use tendermint_proto::v0_38::types::Data;

use crate::support::consensus::{Chain, Node};
use crate::support::plugins::moody_genesis;

/// Transactions of every kind the moody plugin knows, accepted and not.
fn all_kinds() -> Vec<Bytes> {
    [&b"plain"[..], b"~hello", b"!loud", b"@trap", b"", b"plain again"].map(Bytes::from_static).to_vec()
}

fn started() -> (Node, Chain) {
    let (mut node, mut chain) = (Node::new(), Chain::new(&moody_genesis()));
    chain.handshake(&mut node);
    (node, chain)
}

#[test]
fn requirement_2_a_prepared_proposal_fits_as_protobuf_whatever_the_room() {
    let (mut node, _) = started();
    let txs: Vec<Bytes> =
        [1, 100, 126, 127, 128, 129, 300].map(|length| Bytes::from(vec![b'a'; length])).to_vec();
    let sized = |txs: &[Bytes]| {
        Data { txs: txs.iter().map(AsRef::as_ref).map(<[u8]>::to_vec).collect() }.encoded_len()
    };
    for room in 0..=sized(&txs) + 1 {
        let prepared = node.prepare(&txs, i64::try_from(room).unwrap());
        assert!(sized(&prepared) <= room, "{} bytes prepared for {room}", sized(&prepared));
        assert_eq!(prepared, txs[..prepared.len()], "the proposal keeps the mempool's order");
        let next = prepared.len() + 1;
        assert!(
            next > txs.len() || sized(&txs[..next]) > room,
            "one more transaction would have fit in {room}"
        );
    }
    assert!(node.prepare(&txs, -1).is_empty(), "no room is no transaction");
}

#[test]
fn requirement_3_every_node_votes_for_what_another_prepared() {
    let (mut proposer, _) = started();
    let (mut voter, _) = started();
    let prepared = proposer.prepare(&all_kinds(), 1 << 20);
    assert_eq!(prepared, ["plain", "~hello", "plain again"]);
    assert!(voter.process(&prepared));
    assert!(voter.process(&[]), "an empty proposal is a proposal");
}

#[test]
fn requirement_4_a_vote_depends_on_the_block_alone() {
    let (mut node, mut chain) = started();
    let before: Vec<bool> = all_kinds().iter().map(|tx| node.process(std::slice::from_ref(tx))).collect();
    assert_eq!(before, [true, true, false, false, false, true]);
    chain.block(&mut node, &[b"something", b"~else"]);
    node.restart();
    chain.handshake(&mut node);
    let after: Vec<bool> = all_kinds().iter().map(|tx| node.process(std::slice::from_ref(tx))).collect();
    assert_eq!(after, before);
}

#[test]
fn requirement_5_one_bad_transaction_anywhere_makes_every_node_vote_no() {
    let (mut one, _) = started();
    let (mut other, _) = started();
    for place in 0..4 {
        let mut txs = vec![Bytes::from_static(b"fine"); 3];
        txs.insert(place, Bytes::from_static(b"!loud"));
        assert!(!one.process(&txs) && !other.process(&txs), "bad transaction at {place}");
    }
}

#[test]
fn requirements_6_to_8_vote_extensions_are_empty_and_accepted() {
    let (mut node, _) = started();
    let extension = node.client().extend_vote(RequestExtendVote::default()).vote_extension;
    assert!(extension.is_empty());
    let request = RequestVerifyVoteExtension { vote_extension: extension, ..Default::default() };
    assert_eq!(node.client().verify_vote_extension(request).status, i32::from(VerifyStatus::Accept));
}

#[test]
fn requirement_9_proposals_and_votes_leave_no_trace() {
    let (mut node, mut chain) = started();
    chain.block(&mut node, &[b"first"]);
    let (info, sequence) = (node.info(), node.sequence());
    for _ in 0..3 {
        chain.round(&mut node, &all_kinds());
        node.process(&all_kinds());
    }
    assert_eq!((node.info(), node.sequence()), (info, sequence));
    // The next block is the one a node without those rounds makes.
    let with_rounds = chain.block(&mut node, &[b"second"]);
    let (mut quiet, mut quiet_chain) = started();
    quiet_chain.block(&mut quiet, &[b"first"]);
    assert_eq!(quiet_chain.block(&mut quiet, &[b"second"]).app_hash, with_rounds.app_hash);
}

#[test]
fn requirements_11_and_12_state_and_results_depend_on_the_blocks_alone() {
    let (mut busy, mut busy_chain) = started();
    let (mut calm, mut calm_chain) = started();
    let blocks = [all_kinds(), vec![], all_kinds().into_iter().rev().collect(), all_kinds()];
    for txs in blocks {
        // One node has checked, proposed, voted and restarted in between; the other only sees decided blocks.
        txs.iter().for_each(|tx| drop(busy.check(tx)));
        busy_chain.round(&mut busy, &txs);
        let one = busy_chain.decide(&mut busy, txs.clone());
        busy.restart();
        busy_chain.handshake(&mut busy);
        let other = calm_chain.decide(&mut calm, txs);
        assert_eq!((one.results, one.app_hash), (other.results, other.app_hash));
    }
    assert_eq!(busy.sequence(), calm.sequence());
    assert_eq!(calm.sequence(), b"plainwaveplain againplain againwaveplainplainwaveplain again");
}

#[test]
fn requirement_13_a_check_answers_the_same_at_every_height() {
    let (mut node, mut chain) = started();
    let first: Vec<_> = all_kinds().iter().map(|tx| node.check(tx)).collect();
    for _ in 0..3 {
        chain.block(&mut node, &[b"more", b"~and more"]);
        let again: Vec<_> = all_kinds().iter().map(|tx| node.check(tx)).collect();
        assert_eq!(again, first);
    }
}
