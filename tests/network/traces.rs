//! One transaction on four nodes is one trace in a real collector.
//!
//! Run by `make trace-test`, which builds OpenTelemetry's collector.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use dseq::node::process::ProcessId;
use dseq::types::TxHash;
use rustix::process::Signal;
use serde_json::Value;

use crate::one_node::{first_block, init, shell};
use crate::pages::block;
use crate::submit::submit;
use crate::support::{Testnet, ask, receipt, run, until, workspace_file};

const COLLECTOR: &str = "build/tools/otelcol/otelcol";

/// A collector that appends what it gets to a file; it ends with the test.
struct Collector {
    child: Child,
    endpoint: String,
}

impl Collector {
    fn start(dir: &Path, spans: &Path) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = dir.join("collector.yaml");
        let text = format!(
            "receivers: {{ otlp: {{ protocols: {{ http: {{ endpoint: \"{address}\" }} }} }} }}\n\
             exporters: {{ file: {{ path: \"{}\", flush_interval: 100ms }} }}\n\
             service:\n  telemetry: {{ metrics: {{ level: none }} }}\n  \
             pipelines: {{ traces: {{ receivers: [otlp], exporters: [file] }} }}\n",
            spans.display()
        );
        fs::write(&config, text).unwrap();
        let log = fs::File::create(dir.join("collector.log")).unwrap();
        let mut command = Command::new(workspace_file(COLLECTOR));
        command.arg("--config").arg(&config).stdin(Stdio::null()).stderr(log);
        let child = command.spawn().unwrap();
        Self { child, endpoint: format!("http://{address}") }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What each node has in a trace: the names of its spans.
fn spans_by_node(file: &Path, trace: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    let text = fs::read_to_string(file).unwrap_or_default();
    for export in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        for resource in export["resourceSpans"].as_array().unwrap() {
            let attributes = resource["resource"]["attributes"].as_array().unwrap();
            let node = attributes.iter().find(|one| one["key"] == "service.instance.id").unwrap();
            let node = node["value"]["stringValue"].as_str().unwrap();
            let scopes = resource["scopeSpans"].as_array().unwrap();
            for span in scopes.iter().flat_map(|scope| scope["spans"].as_array().unwrap()) {
                if span["traceId"] == trace {
                    let name = span["name"].as_str().unwrap().to_owned();
                    found.entry(node.to_owned()).or_default().insert(name);
                }
            }
        }
    }
    found
}

#[test]
#[ignore = "needs CometBFT and OpenTelemetry's collector; run by make trace-test"]
fn one_transaction_on_four_nodes_is_one_trace() {
    let dir = tempfile::tempdir().unwrap();
    let spans = dir.path().join("spans.json");
    let collector = Collector::start(dir.path(), &spans);
    let net = Testnet::new();
    let mut start = net.start_command();
    let (code, said) = run(start
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)
        .env("OTEL_BSP_SCHEDULE_DELAY", "200"));
    assert_eq!(code, 0, "{said}");
    let answer = until("receipt", || ask(net.nodes()[1].ports.rpc, "broadcast_tx_commit?tx=\"hello\""));
    assert_eq!(receipt(&answer), Some((0, 5)), "{answer}");

    let trace = TxHash::of(b"hello").to_string()[..32].to_owned();
    let of_each = ["CheckTx", "Commit", "FinalizeBlock", "ProcessProposal", "plugin"];
    let found = until("whole trace", || {
        let found = spans_by_node(&spans, &trace);
        let is_whole = |spans: &BTreeSet<String>| of_each.iter().all(|name| spans.contains(*name));
        (found.len() == 4 && found.values().all(is_whole)).then_some(found)
    });
    assert_eq!(found.keys().collect::<Vec<_>>(), ["node0", "node1", "node2", "node3"]);
    let proposed = found.values().filter(|spans| spans.contains("PrepareProposal")).count();
    assert!(proposed >= 1, "{found:?}");
    // Over HTTP, the node that took it says so.
    assert_eq!(submit(&net.nodes()[2], "", "over HTTP").0, 200);
    let trace = TxHash::of(b"over HTTP").to_string()[..32].to_owned();
    let with = until("its submission", || {
        let found = spans_by_node(&spans, &trace);
        let with = found.iter().filter(|(_, spans)| spans.contains("Submit")).map(|(node, _)| node.clone());
        Some(with.collect::<Vec<_>>()).filter(|with| !with.is_empty())
    });
    assert_eq!(with, ["node2"]);
    println!("{found:#?}");
}

#[test]
#[ignore = "needs CometBFT and OpenTelemetry's collector; run by make trace-test"]
fn the_command_of_the_page_traces_a_node() {
    let dir = tempfile::tempdir().unwrap();
    let spans = dir.path().join("spans.json");
    let collector = Collector::start(dir.path(), &spans);
    let (home, rpc) = init(&dir.path().join("node"));
    let command =
        block("docs/tracing.md", "Tracing", 1).replace("http://localhost:4318", &collector.endpoint);
    let mut child = first_block(&home, rpc, &mut shell(dir.path(), &format!("exec env {command}")));
    let answer = ask(rpc, "broadcast_tx_commit?tx=\"hello\"").unwrap();
    assert!(receipt(&answer).is_some(), "{answer}");
    let trace = TxHash::of(b"hello").to_string()[..32].to_owned();
    until("spans of the node", || spans_by_node(&spans, &trace).contains_key("node").then_some(()));
    ProcessId::of(child.id()).unwrap().signal(Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
