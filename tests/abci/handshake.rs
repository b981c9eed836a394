//! The handshake matrix: how far the application, CometBFT's block store and CometBFT's state may be apart after a
//! crash, and what happens next.
//!
//! | application | block store | state | what CometBFT does | scenario |
//! |---|---|---|---|---|
//! | 0 | 0 | 0 | InitChain | `genesis_again` |
//! | 0 | n | n | InitChain, replay 1 to n | `behind` |
//! | h | n | n | replay h+1 to n | `behind` |
//! | n | n | n | nothing | `behind` |
//! | n-1 | n | n-1 | replay n: the crash came between FinalizeBlock and Commit, or before either | `lost_before_commit` |
//! | n | n | n-1 | nothing on this application: CometBFT uses the stored answers | `lost_after_commit` |
//! | h < n-1 | n | n-1 | replay h+1 to n | `behind` |
//! | h > n | n | any | refuses to start; must never happen, and cannot: `nothing_on_disk_changes_before_commit` | |

use bytes::Bytes;

use crate::support::consensus::{Chain, Node};
use crate::support::plugins::moody_genesis;

#[test]
fn nothing_on_disk_changes_before_commit() {
    let (mut node, mut chain) = (Node::new(), Chain::new(&moody_genesis()));
    chain.handshake(&mut node);
    for txs in [&[&b"one"[..], b"~"][..], &[], &[b"three", b"!refused"]] {
        chain.block(&mut node, txs);
    }
    let before = node.backup();
    chain.round(&mut node, &[Bytes::from_static(b"proposed")]);
    chain.finalize(&mut node, vec![Bytes::from_static(b"decided")]);
    let after = node.backup();
    for name in ["sequence.bin", "records", "commit", "chain"] {
        let [before, after] = [&before, &after].map(|copy| std::fs::read(copy.path().join(name)).unwrap());
        assert_eq!(before, after, "{name}");
    }
}

#[test]
fn a_genesis_without_an_initial_height_starts_at_1() {
    let mut node = Node::new();
    let mut request = Chain::new(&moody_genesis()).init_request();
    request.initial_height = 0;
    node.client().init_chain(request);
    node.finalize(1, &[Bytes::from_static(b"first")]);
    node.client().commit();
    assert_eq!(node.sequence(), b"first");
}
