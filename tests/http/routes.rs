//! The routes of a node, over a real log.

use std::sync::Arc;

use dseq::api::{self, Running, State};
use dseq::app::Status;
use dseq::sequence::Log;

use super::client::Client;
use super::{limits, serve};

/// The documentation's page on HTTP.
const PAGE: &str = include_str!("../../docs/http.md");

/// Serves a node's routes over an empty log.
fn node() -> (tempfile::TempDir, Running) {
    let dir = tempfile::tempdir().unwrap();
    let reader = Log::open(dir.path()).unwrap().reader();
    let asked = reader.clone();
    let http = serve(limits(), |stopping| {
        let status = Arc::new(move || Status::of(&asked.committed(), None));
        api::router(State { reader, status, stopping })
    });
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
        // Whatever its parameters: some route takes the method at that path.
        client.send(format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n"));
        let answer = client.answer();
        let missing = answer.header("content-type") == "application/problem+json"
            && ["not-found", "method-not-allowed"].contains(&answer.problem_name().as_str());
        assert!(!missing, "{method} {path}: {answer:?}");
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
        api::router(State { reader, status: Arc::new(|| panic!("a defect")), stopping })
    });
    let answer = Client::connect(http.address()).get("/v1/status", "").answer();
    assert_eq!((answer.status, answer.problem_name().as_str()), (500, "internal"));
}
