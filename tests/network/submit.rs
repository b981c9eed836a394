//! Submitting over HTTP while nodes are down or killed: nothing that was taken is lost, and what is not known is said.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use dseq::node::testnet::Node;
use dseq::types::TxHash;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{PATIENCE, Testnet, ask, processes, until};

/// Status, head and body of an answer; `None` if the connection ends without one.
fn request(node: &Node, method: &str, target: &str, body: &str) -> Option<(u16, String, Value)> {
    let mut stream = TcpStream::connect(("127.0.0.1", node.ports.http)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}"
    );
    write!(stream, "{head}\r\n\r\n{body}").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, head.to_owned(), serde_json::from_str(body).ok()?))
}

pub(crate) fn submit(node: &Node, query: &str, tx: &str) -> (u16, String, Value) {
    request(node, "POST", &format!("/v1/submit{query}"), tx).expect("an answer")
}

/// What a node knows of a transaction; `None`: it does not answer, or does not know it.
fn known(node: &Node, tx: &str, query: &str) -> Option<Value> {
    let (status, _, document) =
        request(node, "GET", &format!("/v1/receipts/{}{query}", TxHash::of(tx.as_bytes())), "")?;
    (status == 200).then_some(document)
}

fn committed(node: &Node, tx: &str) -> Option<Value> {
    known(node, tx, "?wait=5").filter(|document| document["state"] == "committed")
}

fn kill(node: &Node) {
    for id in processes(&node.home) {
        id.signal(Signal::KILL).unwrap();
    }
}

/// What was lost before: without a quorum a request hung and got an error, the next one was told "already in cache", and
/// nobody could ask whether the bytes got in, though they did.
#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn with_two_of_four_nodes_down_a_submission_is_pending_and_is_committed_when_they_are_back() {
    let net = Testnet::new();
    net.started();
    let nodes = net.nodes();
    assert_eq!(submit(&nodes[0], "", "before").0, 200);
    kill(&nodes[2]);
    kill(&nodes[3]);

    // Two attempts: what was proposed when the nodes died may still be decided.
    for tx in ["one", "two"] {
        let began = Instant::now();
        let (status, head, answer) = submit(&nodes[0], "?timeout=2", tx);
        assert!(began.elapsed() < Duration::from_secs(30), "far beyond its time");
        if tx == "one" && status == 200 {
            continue;
        }
        assert_eq!((status, &answer["state"]), (202, &"pending".into()), "{answer}");
        let location = format!("location: /v1/receipts/{}", TxHash::of(tx.as_bytes()));
        assert!(head.lines().any(|line| line.eq_ignore_ascii_case(&location)), "{head}");
        assert_eq!(known(&nodes[0], tx, "").unwrap()["state"], "pending");
        // Once more the same bytes: it is said to be pending, and not that anything is wrong.
        let (status, _, answer) = submit(&nodes[0], "?timeout=0.5", tx);
        assert_eq!((status, &answer["state"]), (202, &"pending".into()), "{answer}");
    }
    let held = std::thread::scope(|scope| {
        let waits = scope.spawn(|| known(&nodes[0], "two", "?wait=60"));
        net.started();
        waits.join().unwrap()
    });
    let held = held.expect("an answer");
    for node in &nodes {
        let found = until("receipt on each node", || committed(node, "two"));
        assert_eq!(found["receipts"].as_array().unwrap().len(), 1, "{found}");
        if held["state"] == "committed" {
            assert_eq!(found["receipts"], held["receipts"]);
        }
        let (status, _, again) = submit(node, "", "two");
        assert_eq!((status, &again["duplicate"]), (200, &true.into()), "{again}");
        assert_eq!(again["index"], found["receipts"][0]["index"]);
    }
    let bytes = String::from_utf8(net.settled()).unwrap();
    assert_eq!((bytes.matches("one").count(), bytes.matches("two").count()), (1, 1), "{bytes}");
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_receipt_outlives_the_node_that_was_killed_while_its_submitter_waited() {
    let net = Testnet::new();
    net.started();
    let nodes = net.nodes();
    assert_eq!(submit(&nodes[0], "", "before").0, 200);
    kill(&nodes[2]);
    kill(&nodes[3]);
    // What was on its way then may be decided still.
    let (_, _, probe) = submit(&nodes[0], "?timeout=3", "probe");
    let waiting = u64::from(probe["state"] == "pending");
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| request(&nodes[0], "POST", "/v1/submit?timeout=60", "survives"));
        until("gossip to the other node", || {
            let total =
                ask(nodes[1].ports.rpc, "num_unconfirmed_txs")?["result"]["total"].as_str()?.parse::<u64>();
            (total.ok()? > waiting).then_some(())
        });
        kill(&nodes[0]);
        assert_eq!(waits.join().unwrap(), None, "the node is gone, and so is the answer");
    });
    net.started();
    let found = until("receipt after the restart", || committed(&nodes[0], "survives"));
    let (status, _, again) = submit(&nodes[0], "", "survives");
    assert_eq!((status, &again["duplicate"]), (200, &true.into()), "{again}");
    assert_eq!(again["index"], found["receipts"][0]["index"]);
    // Of before the kill: the index of the process that is gone, or the log.
    assert_eq!(committed(&nodes[0], "before").unwrap()["receipts"][0]["index"], 0);
    let by_engine =
        ask(nodes[0].ports.rpc, &format!("abci_query?path=\"/tx/{}\"", TxHash::of(b"survives"))).unwrap();
    let value = by_engine["result"]["response"]["value"].as_str().unwrap();
    let value: Value =
        serde_json::from_slice(&data_encoding::BASE64.decode(value.as_bytes()).unwrap()).unwrap();
    assert_eq!(value["receipts"], found["receipts"], "CometBFT's query says the same");
}

/// The commands of the page, as they stand but for the port.
#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn the_commands_of_the_page_do_what_it_says() {
    let page = include_str!("../../docs/submit.md");
    let net = Testnet::new();
    net.started();
    let port = net.nodes()[0].ports.http;
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let mut all = String::new();
    for block in blocks {
        let script = block.replace("localhost:6900", &format!("localhost:{port}"));
        let script = format!("set -e\n{}", script.replace("curl ", "curl -sS --fail-with-body "));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{script}\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
        all.push_str(&said);
    }
    // What the page shows, for a new network's first record.
    for shown in page.split("```json\n").skip(1).map(|rest| rest.lines().next().unwrap()) {
        assert!(all.contains(shown), "the page shows\n{shown}\nand the commands answered\n{all}");
    }
}
