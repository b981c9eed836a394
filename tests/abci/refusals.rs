//! When a node must not go on: it gives no answer, stops, and says what it expected, found, and where it looked.

use dseq::abci::Halt;
use dseq::plugin::engine_id;
use dseq::types::PluginHash;
use serde_json::{Value, json};
use tendermint_proto::v0_38::abci::request::Value as Ask;

use crate::support::consensus::{Chain, Node};
use crate::support::plugins::{moody, moody_genesis};

/// Sends InitChain with this app state; the node must stop without an answer. Answers its words and exit code.
fn refused_genesis(node: &mut Node, app_state: &Value) -> (String, u8) {
    refused_text(node, app_state.to_string())
}

/// The same with an app state as it is written.
fn refused_text(node: &mut Node, app_state: String) -> (String, u8) {
    let mut request = Chain::new(&json!({})).init_request();
    request.app_state_bytes = app_state.into();
    let answer = node.client().try_call(Ask::InitChain(request));
    assert!(answer.is_err(), "a refused genesis has no answer: {answer:?}");
    let halt = node.halted();
    (halt.to_string(), halt.exit_code())
}

fn without_wasm() -> Value {
    let mut app_state = moody_genesis();
    app_state["dseq"]["pipeline"][0].as_object_mut().unwrap().remove("wasm");
    app_state
}

#[test]
fn a_missing_plugin_file_is_named_by_hash_and_folder() {
    let mut node = Node::new();
    let (words, code) = refused_genesis(&mut node, &without_wasm());
    assert_eq!(code, 78);
    assert!(words.contains(&PluginHash::of(&moody()).to_string()), "{words}");
    assert!(words.contains(&node.plugins_dir().display().to_string()), "{words}");
}

#[test]
fn a_plugin_file_with_one_changed_byte_is_another_plugin() {
    let mut node = Node::new();
    let mut wasm = moody();
    *wasm.last_mut().unwrap() ^= 1;
    std::fs::create_dir_all(node.plugins_dir()).unwrap();
    std::fs::write(node.plugins_dir().join("moody.wasm"), &wasm).unwrap();
    let (words, code) = refused_genesis(&mut node, &without_wasm());
    assert_eq!(code, 78);
    assert!(words.contains(&PluginHash::of(&moody()).to_string()), "what was expected: {words}");
    assert!(words.contains(&PluginHash::of(&wasm).to_string()), "what was found: {words}");
    assert!(words.contains("moody.wasm"), "where: {words}");
}

#[test]
fn a_plugin_file_in_the_folder_is_found_by_its_hash_whatever_its_name() {
    let mut node = Node::new();
    std::fs::create_dir_all(node.plugins_dir()).unwrap();
    std::fs::write(node.plugins_dir().join("any-name.wasm"), moody()).unwrap();
    let mut chain = Chain::new(&without_wasm());
    chain.handshake(&mut node);
    chain.block(&mut node, &[b"~"]);
    assert_eq!(node.sequence(), b"wave");
}

#[test]
fn another_engine_is_refused_with_both_ids() {
    let mut app_state = moody_genesis();
    app_state["dseq"]["engine"] = json!("ab".repeat(32));
    let (words, code) = refused_genesis(&mut Node::new(), &app_state);
    assert_eq!(code, 78);
    assert!(words.contains(&"ab".repeat(32)) && words.contains(&engine_id().to_string()), "{words}");
}

#[test]
fn params_the_plugin_refuses_are_told_in_its_own_words() {
    let mut app_state = moody_genesis();
    app_state["dseq"]["pipeline"][0]["params"] = json!({"loud": true});
    let (words, code) = refused_genesis(&mut Node::new(), &app_state);
    assert_eq!(code, 78);
    assert!(words.contains("moody") && words.contains("these params are not for me"), "{words}");
}

#[test]
fn params_that_do_not_say_one_thing_are_refused_as_they_are_written() {
    let good = moody_genesis().to_string();
    for (params, words) in [
        (r#"{"a":{"b":1,"b":1}}"#, "pipeline[0].params.a.b is a duplicate key"),
        (
            "123456789012345678901234567890",
            "pipeline[0].params is the integer 123456789012345678901234567890",
        ),
    ] {
        let edited = good.replacen(r#""params":{}"#, &format!("\"params\":{params}"), 1);
        assert_ne!(edited, good);
        let (said, code) = refused_text(&mut Node::new(), edited);
        assert_eq!(code, 78);
        assert!(said.starts_with("genesis refused: ") && said.contains(words), "{said}");
    }
}

#[test]
fn a_genesis_that_is_not_ours_is_refused() {
    for (app_state, expected) in [
        (json!({}), "there is no app_state.dseq: this genesis was not made for dseq"),
        (json!("text"), "there is no app_state.dseq: this genesis was not made for dseq"),
        (json!({"dseq": {}}), "app_state is not a dseq genesis"),
    ] {
        let (words, code) = refused_genesis(&mut Node::new(), &app_state);
        assert_eq!(code, 78);
        assert!(words.starts_with(&format!("genesis refused: {expected}")), "{words}");
    }
}

/// A node with one committed block, stopped.
fn one_block() -> (Node, Chain) {
    let (mut node, mut chain) = (Node::new(), Chain::new(&moody_genesis()));
    chain.handshake(&mut node);
    chain.block(&mut node, &[b"kept"]);
    node.stop();
    (node, chain)
}

/// The one plugin file of a node.
fn plugin_file(node: &Node) -> std::path::PathBuf {
    std::fs::read_dir(node.plugins_dir()).unwrap().next().unwrap().unwrap().path()
}

#[test]
fn a_plugin_file_that_changed_since_the_last_start_is_refused_and_the_sequence_kept() {
    let (mut node, mut chain) = one_block();
    let path = plugin_file(&node);
    let good = std::fs::read(&path).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    std::fs::write(&path, &bad).unwrap();
    let halt = node.try_start().unwrap_err();
    assert_eq!(halt.exit_code(), 78);
    let words = halt.to_string();
    assert!(words.contains(&PluginHash::of(&good).to_string()), "{words}");
    assert!(words.contains(&PluginHash::of(&bad).to_string()), "{words}");
    std::fs::write(&path, good).unwrap();
    node.start();
    assert_eq!(chain.handshake(&mut node), 0);
    assert_eq!(node.sequence(), b"kept");
}

#[test]
fn a_plugin_file_that_is_gone_is_refused() {
    let (mut node, _) = one_block();
    std::fs::remove_file(plugin_file(&node)).unwrap();
    let halt = node.try_start().unwrap_err();
    assert_eq!(halt.exit_code(), 78);
    assert!(halt.to_string().contains(&node.plugins_dir().display().to_string()), "{halt}");
}

#[test]
fn two_nodes_on_one_log_are_refused() {
    let node = Node::new();
    let twin = dseq::sequence::Log::open(&node.sequence_dir());
    let halt = Halt::from(twin.unwrap_err());
    assert_eq!(halt.exit_code(), 1);
    assert!(halt.to_string().contains("a log has one writer"), "{halt}");
}

#[test]
fn a_log_under_other_rules_than_it_was_made_under_is_refused() {
    let (mut node, _) = one_block();
    let mut other = Node::new();
    Chain::new(&crate::support::plugins::genesis(&json!([]))).handshake(&mut other);
    other.stop();
    std::fs::copy(other.sequence_dir().join("chain"), node.sequence_dir().join("chain")).unwrap();
    let halt = node.try_start().unwrap_err();
    assert!(matches!(halt, Halt::AppHash { .. }), "{halt}");
    assert_eq!(halt.exit_code(), 78);
}
