//! Four nodes with a pipeline of three plugins: what each rejects is said over plain curl, what passes is the same
//! everywhere, and a node with another plugin does not take part.

use std::fs;

use dseq::node::home::NodeHome;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{Testnet, ask, gallery, processes, receipt, refusal, until};

/// Text as hexadecimal digits become bytes, which must be a JSON object with an `id`, which becomes a line.
fn network() -> Testnet {
    let mut args = Vec::new();
    for plugin in ["hex", "json", "lines"] {
        args.extend(["--plugin".to_owned(), gallery(plugin)]);
    }
    for params in [r#"json={"line_feed":false,"required":["id"]}"#, r#"lines={"line_bytes_max":60}"#] {
        args.extend(["--params".to_owned(), params.to_owned()]);
    }
    Testnet::with(args)
}

/// The URI that curl would be given for this document.
fn submit(document: &str) -> String {
    format!("broadcast_tx_commit?tx=\"0x{}\"", data_encoding::HEXLOWER.encode(document.as_bytes()))
}

/// Code, codespace and log of a rejection.
fn rejection(answer: &Value) -> (u64, &str, &str) {
    let check = &answer["result"]["check_tx"];
    let text = |field: &str| check[field].as_str().unwrap_or_else(|| panic!("{answer}"));
    (check["code"].as_u64().unwrap(), text("codespace"), text("log"))
}

fn assert_accepted(port: u16, document: &str) {
    let answer = ask(port, &submit(document)).unwrap();
    assert!(receipt(&answer).is_some(), "{document}: {answer}");
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn what_three_plugins_reject_is_told_and_what_they_make_is_the_same_on_all_nodes() {
    let net = network();
    net.started();
    let nodes = net.nodes();
    let long = format!(r#"{{"id":1,"text":"{}"}}"#, "x".repeat(60));
    for (number, (request, plugin, words)) in [
        ("broadcast_tx_commit?tx=\"hello\"".to_owned(), "hex", "must start with 0x"),
        (submit("{\"id\":"), "json", "byte 6"),
        (submit("{\"name\":1}"), "json", "\"id\""),
        (submit(&long), "lines", "60"),
    ]
    .iter()
    .enumerate()
    {
        let answer = ask(nodes[number % 4].ports.rpc, request).unwrap();
        let (code, codespace, log) = rejection(&answer);
        assert!(code > 0 && codespace == format!("plugin/{plugin}") && log.contains(words), "{answer}");
    }

    let mut expected = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        assert_accepted(node.ports.rpc, &format!(r#"{{ "text": "\u00e9", "id": {number}.0 }}"#));
        expected.push(format!("{{\"id\":{number},\"text\":\"é\"}}\n"));
    }
    assert_eq!(String::from_utf8(net.settled()).unwrap(), expected.concat());

    let home = &nodes[3].home;
    for id in processes(home) {
        id.signal(Signal::KILL).unwrap();
    }
    let file = home.plugins_dir().join("json.wasm");
    let good = fs::read(&file).unwrap();
    let mut wasm = good.clone();
    wasm[good.len() / 2] ^= 1;
    fs::write(&file, wasm).unwrap();
    assert_refuses(home);
    for (number, node) in (4..).zip(&nodes[..3]) {
        assert_accepted(node.ports.rpc, &format!(r#"{{"id":{number}}}"#));
        expected.push(format!("{{\"id\":{number}}}\n"));
    }

    fs::write(&file, good).unwrap();
    net.started();
    assert_eq!(String::from_utf8(net.settled()).unwrap(), expected.concat());
}

/// The node does not start, and says which plugin it lacks, and which it has.
fn assert_refuses(home: &NodeHome) {
    until("end of the killed node", || home_is_free(home).then_some(()));
    let said = refusal(home);
    assert!(
        said.contains("plugin json: no file in") && said.contains("found hex.wasm with sha256"),
        "{said}"
    );
}

fn home_is_free(home: &NodeHome) -> bool {
    processes(home).iter().all(|id| !id.is_alive())
}
