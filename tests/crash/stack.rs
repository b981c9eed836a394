//! A node whose threads are short of native stack, with a plugin that takes all it may.

use bytes::Bytes;

use super::process::{Place, Process};
use super::support::client::ask_check_tx;
use super::support::consensus::{Chain, Node, Progress};
use super::support::plugins::deep_genesis;

/// Enough for the program, and about half of what the deep plugin takes of a native stack.
const STACK_KIB: u32 = 256;

/// A native overflow would end the process by a signal: at InitChain, in a block, or in the handshake of its second
/// life, when the plugin is told its params before anybody connects.
#[test]
fn a_plugins_depth_does_not_depend_on_the_stack_the_node_was_started_with() {
    let (mut node, mut chain) = (Node::new(), Chain::new(&deep_genesis()));
    chain.handshake(&mut node);
    // Enough that several threads take part.
    let txs: Vec<Bytes> =
        (0..20).map(|n| Bytes::from(format!("{}{n}", if n % 2 == 0 { "!" } else { "" }))).collect();
    let codes: Vec<u32> =
        chain.decide(&mut node, txs.clone()).results.iter().map(|result| result.code).collect();
    assert_eq!(codes, [1009, 0].repeat(10), "every other one is too deep");

    let place = Place::new();
    for replayed in [1, 0] {
        let mut process = Process::start_with_stack(&place, STACK_KIB);
        let followed = process.connect().and_then(|mut client| {
            let followed = chain.try_follow(&mut client, 1, &mut Progress::default())?;
            for tx in &txs {
                client.try_call(ask_check_tx(tx.clone()))?;
            }
            Ok(followed)
        });
        if followed.is_ok() {
            process.terminate();
        }
        let ended = process.ended();
        let followed = followed.unwrap_or_else(|error| panic!("{error}: {ended:?}"));
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(followed.replayed, replayed);
    }
}
