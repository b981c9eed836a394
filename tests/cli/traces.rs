//! What the real app exports of a transaction and its block, to a collector of the test's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use bytes::Bytes;
use dseq::types::TxHash;
use prost::Message;
use tendermint_proto::v0_38::abci::{RequestFinalizeBlock, RequestPrepareProposal, RequestProcessProposal};

use super::app::App;
use super::http::free_port;
use super::otlp::{Export, ResourceSpans, Span, described};
use super::plugins::moody_genesis;
use super::{config_with, home};

/// A request that the collector got: its head, and its body.
type Got = (String, Vec<u8>);

/// A collector that answers every request with this status.
fn collector(status: &'static str) -> (String, Receiver<Got>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (send, got) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let request = take(&stream.unwrap(), status);
            if send.send(request).is_err() {
                return;
            }
        }
    });
    (address, got)
}

fn take(stream: &TcpStream, status: &str) -> Got {
    let (mut reader, mut head) = (BufReader::new(stream), String::new());
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
    let head = head.to_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    (&*stream).write_all(answer.as_bytes()).unwrap();
    (head, body)
}

/// Has one block with this transaction checked, proposed, voted for and committed.
fn run_block(app: &mut App, tx: &Bytes) {
    app.init(&moody_genesis());
    assert_eq!(app.client.check_tx(tx.clone()).code, 0);
    let txs = vec![tx.clone()];
    let (height, max_tx_bytes) = (1, 1000);
    app.client.prepare_proposal(RequestPrepareProposal {
        txs: txs.clone(),
        max_tx_bytes,
        height,
        ..Default::default()
    });
    app.client.process_proposal(RequestProcessProposal { txs: txs.clone(), height, ..Default::default() });
    app.client.finalize_block(RequestFinalizeBlock { txs, height, ..Default::default() });
    app.client.commit();
}

/// All spans that were exported, and what is said of their source.
fn exported(got: &Receiver<Got>) -> (Vec<Span>, String) {
    let all: Vec<ResourceSpans> =
        got.try_iter().flat_map(|(_, body)| Export::decode(&*body).unwrap().resource_spans).collect();
    let source = described(&all[0].resource.as_ref().unwrap().attributes);
    (all.into_iter().flat_map(|one| one.scope_spans).flat_map(|one| one.spans).collect(), source)
}

fn names(spans: &[&Span]) -> Vec<String> {
    let mut names: Vec<String> = spans.iter().map(|span| span.name.clone()).collect();
    names.sort();
    names
}

#[test]
fn a_transactions_trace_holds_its_check_and_its_part_in_a_block_whose_own_trace_holds_the_syncs() {
    let (address, got) = collector("200 OK");
    let home = home();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*address),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test"),
        ("OTEL_SERVICE_NAME", "sequencer"),
    ];
    let mut app = App::start_with(home.path(), "json", &variables);
    let tx = Bytes::from_static(b"hello");
    run_block(&mut app, &tx);
    app.stop("ERROR");

    let (head, body) = got.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(
        head.contains("content-type: application/x-protobuf") && head.contains("authorization: bearer x"),
        "{head}"
    );
    let mut again = vec![(head, body)];
    again.extend(got.try_iter());
    let (send, got) = mpsc::channel();
    again.into_iter().for_each(|one| send.send(one).unwrap());
    let (spans, source) = exported(&got);
    for part in
        ["service.name=sequencer", "deployment.environment=test", "service.instance.id=", "dseq.network_id="]
    {
        assert!(source.contains(part), "{source}");
    }

    let hash = TxHash::of(&tx);
    let (of_tx, of_block): (Vec<&Span>, Vec<&Span>) =
        spans.iter().partition(|span| span.trace_id == hash.0[..16]);
    assert_eq!(
        names(&of_tx),
        ["CheckTx", "Commit", "FinalizeBlock", "PrepareProposal", "ProcessProposal", "plugin"]
    );
    assert_eq!(
        names(&of_block),
        [
            "Commit",
            "FinalizeBlock",
            "PrepareProposal",
            "ProcessProposal",
            "sync",
            "sync",
            "sync",
            "write",
            "write",
            "write"
        ]
    );
    assert!(of_block.iter().all(|span| span.trace_id == of_block[0].trace_id));
    let find = |spans: &[&Span], name: &str| (*spans.iter().find(|span| span.name == name).unwrap()).clone();
    let (plugin, check) = (find(&of_tx, "plugin"), find(&of_tx, "CheckTx"));
    assert_eq!(plugin.parent_span_id, check.span_id);
    let said = described(&plugin.attributes);
    assert!(
        said.starts_with(&format!("plugin=moody tx={hash} fuel=")) && said.ends_with(" verdict=unchanged"),
        "{said}"
    );
    let (commit, part) = (find(&of_block, "Commit"), find(&of_tx, "Commit"));
    assert_eq!((&part.links[0].trace_id, &part.links[0].span_id), (&commit.trace_id, &commit.span_id));
    assert!(
        described(&part.attributes).ends_with(" offset=0 length=5 height=1"),
        "{}",
        described(&part.attributes)
    );
    assert!(
        of_block.iter().filter(|span| span.name == "sync").all(|span| span.parent_span_id == commit.span_id)
    );
    assert!(spans.iter().all(|span| 0 < span.start && span.start <= span.end));
}

#[test]
fn a_submission_has_a_span_in_its_transactions_trace_that_links_to_the_callers() {
    let (address, got) = collector("200 OK");
    let (home, listen) = (home(), format!("127.0.0.1:{}", free_port()));
    let rpc = format!("laddr = \"tcp://127.0.0.1:{}\"", free_port());
    std::fs::write(home.path().join("config/config.toml"), config_with(&rpc)).unwrap();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*address), ("DSEQ_HTTP", &*listen)];
    let mut app = App::start_with(home.path(), "json", &variables);
    run_block(&mut app, &Bytes::from_static(b"hello"));
    let (theirs, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    // No CometBFT runs beside the app: it examines the transaction and cannot hand it over.
    let (tx, mut stream) = (b"hello again", TcpStream::connect(&listen).unwrap());
    let head = format!(
        "POST /v1/submit?wait=checked HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\
         traceparent: 00-{theirs}-{span}-01\r\n\r\n",
        tx.len()
    );
    stream.write_all(&[head.as_bytes(), tx].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("not-ready"), "{answer}");
    assert!(answer.contains(theirs), "{answer}");
    app.stop("ERROR");

    let first = got.recv_timeout(Duration::from_secs(60)).unwrap();
    let all: Vec<Span> = std::iter::once(first)
        .chain(got.try_iter())
        .flat_map(|(_, body)| Export::decode(&*body).unwrap().resource_spans)
        .flat_map(|one| one.scope_spans)
        .flat_map(|one| one.spans)
        .collect();
    let hash = TxHash::of(tx);
    let of_tx: Vec<&Span> = all.iter().filter(|span| span.trace_id == hash.0[..16]).collect();
    assert_eq!(names(&of_tx), ["CheckTx", "Submit", "plugin"]);
    let find = |name: &str| *of_tx.iter().find(|span| span.name == name).unwrap();
    let (submit, check, plugin) = (find("Submit"), find("CheckTx"), find("plugin"));
    assert_eq!(
        described(&submit.attributes),
        format!("tx={hash} wait=checked state=failed problem=not-ready")
    );
    assert_eq!((&check.parent_span_id, &plugin.parent_span_id), (&submit.span_id, &check.span_id));
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let links: Vec<_> = submit.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect();
    assert_eq!(links, [(theirs.to_owned(), span.to_owned())]);
}

#[test]
fn a_collector_that_refuses_or_is_gone_is_said_and_holds_nothing_up() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (refusing, _got) = collector("403 Forbidden");
    for (address, said) in
        [(format!("http://{gone}"), "traces cannot be exported"), (refusing, "the collector refuses traces")]
    {
        let home = home();
        let mut app = App::start_with(home.path(), "json", &[("OTEL_EXPORTER_OTLP_ENDPOINT", &address)]);
        run_block(&mut app, &Bytes::from_static(b"hello"));
        let warnings = app.stop("WARN");
        assert!(warnings.iter().any(|line| line["message"] == said), "{warnings:?}");
    }
}

#[test]
fn what_the_environment_asks_for_in_vain_is_said_and_the_node_runs_without() {
    let home = home();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:1"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    let mut app = App::start_with(home.path(), "json", &variables);
    run_block(&mut app, &Bytes::from_static(b"hello"));
    let warnings = app.stop("WARN");
    let message = warnings[0]["message"].as_str().unwrap();
    assert_eq!(
        message,
        "traces are off: OTEL_EXPORTER_OTLP_PROTOCOL is \"grpc\"; dseq speaks http/protobuf only"
    );
}
