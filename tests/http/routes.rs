//! The routes of a node, over a real log.

use std::sync::Arc;

use dseq::api::{self, Origins, Running, State};
use dseq::sequence::Log;
use dseq::telemetry::metrics::{Format, Metrics};

use super::client::Client;
use super::{limits, log, serve, serve_counted, state};

/// The documentation's page on HTTP.
const PAGE: &str = include_str!("../../docs/http.md");

/// Serves a node's routes over an empty log.
pub(crate) fn node() -> (tempfile::TempDir, Running) {
    let log::Node { dir, http, .. } = log::node();
    (dir, http)
}

#[test]
fn the_list_has_every_route_and_every_route_is_there() {
    let (_dir, http) = node();
    let mut client = Client::connect(http.address());
    let list = client.get("/", "").answer();
    assert_eq!(list.header("content-type"), "text/plain; charset=utf-8");
    for api::Listed { method, path, what } in api::listed() {
        let line = list.text().lines().find(|line| line.starts_with(method) && line.ends_with(what)).unwrap();
        assert!(line.contains(path), "{line}");
        // Whatever its parameters name: some route takes the method at that path.
        client.send(format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"));
        let answer = client.answer();
        let no_route = answer.status == 405 || answer.text().contains("nothing is at");
        assert!(!no_route, "{method} {path}: {answer:?}");
        let is_json =
            answer.headers.get("content-type").is_some_and(|media_type| media_type.ends_with("json"));
        assert!(
            !is_json || answer.text().ends_with("}\n"),
            "{method} {path}: JSON without a line feed: {answer:?}"
        );
        let row = format!("| `{method} {path}` | {what} |");
        assert!(PAGE.contains(&row), "docs/http.md must have this row:\n{row}");
    }
}

#[test]
fn the_status_is_what_the_node_says_of_itself() {
    let (_dir, http) = node();
    let answer = Client::connect(http.address()).get("/v1/status", "").answer();
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    let status: serde_json::Value = serde_json::from_str(answer.text()).unwrap();
    assert_eq!((&status["height"], &status["length"], &status["records"]), (&0.into(), &0.into(), &0.into()));
    assert_eq!((&status["ready"], &status["reason"]), (&true.into(), &serde_json::Value::Null));
    assert_eq!(status["sequence_root"].as_str().unwrap().len(), 64);
    // Each field has its row on the page.
    for name in status.as_object().unwrap().keys() {
        assert!(PAGE.contains(&format!("| `{name}` | ")), "docs/http.md lacks {name}");
    }
}

#[test]
fn a_status_that_cannot_be_told_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let reader = Log::open(dir.path()).unwrap().reader();
    let http = serve(limits(), |stopping| {
        api::router(State { status: Arc::new(|| panic!("a defect")), ..log::state(reader, stopping) })
    });
    let answer = Client::connect(http.address()).get("/v1/status", "").answer();
    assert_eq!((answer.status, answer.problem_name().as_str()), (500, "internal"));
}

#[test]
fn metrics_come_in_the_format_that_is_asked_for() {
    let (_dir, http) = node();
    let mut client = Client::connect(http.address());
    let open =
        client.get("/metrics", "accept: application/openmetrics-text; version=1.0.0, */*;q=0.1\r\n").answer();
    assert_eq!(open.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.text().ends_with("# EOF\n"), "{}", open.text());
    let text = client.get("/metrics", "").answer();
    assert_eq!(text.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(text.header("vary").contains("accept"), "{text:?}");
    assert!(text.text().contains("\n# TYPE dseq_checks_total counter\n"), "{}", text.text());
}

#[test]
fn requests_are_counted_by_the_route_they_matched() {
    let metrics = Arc::new(Metrics::default());
    let http = serve_counted(limits(), &Origins::Own, Arc::clone(&metrics), |_| {
        axum::Router::new().route("/a/{b}", axum::routing::get(|| async { "hello" }))
    });
    metrics.http().read_connections_from(http.count_connections());
    let mut client = Client::connect(http.address());
    for path in ["/a/1", "/a/2", "/nowhere"] {
        client.get(path, "").answer();
    }
    let text = metrics.encode(Format::Text).unwrap();
    for line in [
        "dseq_http_requests_total{route=\"/a/{b}\",method=\"GET\",status=\"200\"} 2",
        "dseq_http_requests_total{route=\"other\",method=\"GET\",status=\"404\"} 1",
        "dseq_http_request_duration_seconds_count{route=\"/a/{b}\"} 2",
        "dseq_http_connections 1",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
}

/// What names committed records waits until they can be read: another thread tells the routes that read of a block.
#[test]
fn what_the_status_and_receipts_tell_of_can_be_read() {
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    // The thread of a node is late: it has another log, which is one block behind.
    let mut log = Log::open(dirs[0].path()).unwrap();
    let mut behind = Log::open(dirs[1].path()).unwrap();
    let http = serve(limits(), |stopping| {
        let late = state::state(behind.reader(), stopping.clone()).tail;
        api::router(State { tail: late, ..state::state(log.reader(), stopping) })
    });
    log::commit(&mut log, 1, &["record"]);
    let hash = dseq::types::TxHash::of(b"record");
    let targets =
        ["/v1/status".to_owned(), format!("/v1/receipts/{hash}"), "/v1/receipts?index=0".to_owned()];
    let address = http.address();
    let asked: Vec<_> = targets
        .map(|target| std::thread::spawn(move || Client::connect(address).get(&target, "").answer()))
        .into_iter()
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let early = asked.iter().filter(|asked| asked.is_finished()).count();
    log::commit(&mut behind, 1, &["record"]);
    for asked in asked {
        let answer = asked.join().unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(early, 0, "answered before it can be read");
}
