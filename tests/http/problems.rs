//! Problem documents: their table, their form, and the page that describes them.

use std::fmt::Write as _;

use dseq::api::problem::{ProblemType, TYPE_PREFIX, TYPES};

use super::client::Client;
use super::{hello, limits, serve};

/// The documentation's page on HTTP.
const PAGE: &str = include_str!("../../docs/http.md");

/// Clients decide by type, status and `retry`. A change of a name, a status or `retry` breaks them, and belongs into the
/// CHANGELOG; a new type does not.
#[test]
fn the_types_of_problems_are_fixed() {
    let expected = "\
body-incomplete 400 retry
bad-parameter 400
bad-host 400
bad-batch 400
cross-origin 403
not-found 404
no-such-check 404
unknown-transaction 404 retry
not-committed 404 retry
method-not-allowed 405
not-acceptable 406
request-timeout 408 retry
body-too-large 413
unsupported-media-type 415
range-not-satisfiable 416 retry
foreign-host 421
rejected 422
head-too-large 431
internal 500 retry
store-unreadable 500 retry
node-behind 503 retry
index-building 503 retry
mempool-full 503 retry
not-ready 503 retry
overloaded 503 retry
too-many-submissions 503 retry
too-many-connections 503 retry
answer-timeout 504 retry
";
    let mut found = String::new();
    for ProblemType { name, status, retry, .. } in TYPES {
        writeln!(found, "{name} {status}{}", if *retry { " retry" } else { "" }).unwrap();
    }
    assert_eq!(found, expected);
    assert_eq!(TYPE_PREFIX, "urn:dseq:problem:");
}

#[test]
fn the_page_has_every_type_as_it_is() {
    let mut table = "| type | status | title | when | retry |\n|---|---|---|---|---|\n".to_owned();
    for ProblemType { name, status, title, when, retry, .. } in TYPES {
        let retry = if *retry { "yes" } else { "no" };
        writeln!(table, "| `{name}` | {status} | {title} | {when} | {retry} |").unwrap();
    }
    assert!(PAGE.contains(&table), "docs/http.md must have this table:\n{table}");
}

#[test]
fn a_path_that_is_not_there_is_a_problem() {
    let http = serve(limits(), hello);
    let answer = Client::connect(http.address()).get("/no%22thing?x=y", "").answer();
    let document = serde_json::to_string_pretty(&answer.problem()).unwrap();
    let expected = r#"{
  "detail": "nothing is at \"/no%22thing\"; / lists what there is",
  "retry": false,
  "status": 404,
  "title": "There is no such resource",
  "type": "urn:dseq:problem:not-found"
}"#;
    assert_eq!(document, expected);
}

#[test]
fn a_method_that_a_path_does_not_have_is_a_problem_with_those_that_it_has() {
    let http = serve(limits(), hello);
    let mut client = Client::connect(http.address());
    let answer = client.send("DELETE / HTTP/1.1\r\nhost: localhost\r\n\r\n").answer();
    assert_eq!((answer.status, answer.problem_name().as_str()), (405, "method-not-allowed"));
    assert_eq!(answer.header("allow"), "GET,HEAD");
    let answer = client.send("BREW / HTTP/1.1\r\nhost: localhost\r\n\r\n").answer();
    assert_eq!(answer.problem()["detail"], "this path does not take \"BREW\"; Allow lists what it takes");
}

#[test]
fn a_head_request_gets_the_head_alone() {
    let http = serve(limits(), hello);
    let mut client = Client::connect(http.address());
    let (status, headers) = client.send("HEAD / HTTP/1.1\r\nhost: localhost\r\n\r\n").head();
    assert_eq!((status, headers["content-length"].as_str()), (200, "5"));
    assert_eq!(client.get("/", "").answer().text(), "hello");
}
