//! Anything at all.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Asked, fuzz, number};

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"];
const NAMES: &[&str] = &[
    "offset", "end", "live", "cursor", "from", "limit", "height", "index", "wait", "timeout", "verbose",
    "exclude", "", "a[]", "\u{0}",
];
const HEADERS: &[&str] = &[
    "range",
    "if-range",
    "if-none-match",
    "accept",
    "content-type",
    "content-length",
    "last-event-id",
    "origin",
    "te",
    "x-request-id",
    "traceparent",
];

/// A path of a route, changed or not.
fn path() -> impl Strategy<Value = String> {
    let routes: Vec<&str> = dseq::api::listed().map(|route| route.path).collect();
    let hash = "[0-9a-fA-F%/.g-]{0,70}";
    let filled = (proptest::sample::select(routes), hash).prop_map(|(route, hash)| match route.find('{') {
        Some(at) => format!("{}{hash}", &route[..at]),
        None => route.to_owned(),
    });
    prop_oneof![6 => filled, 1 => "/[a-z0-9/%.]{0,30}", 1 => "/v1/[a-z]{0,9}/?[0-9a-f]{0,64}"]
}

fn value() -> impl Strategy<Value = String> {
    let words =
        ["true", "false", "now", "-1", "none", "checked", "0", "0.01", "application/json", "*/*", "bytes=0-"];
    prop_oneof![
        3 => number(50).prop_map(|(text, _)| text),
        2 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => "[0-9]{20}",
        1 => "\\PC{0,40}",
        1 => "bytes=[0-9,-]{0,20}",
        1 => "\"[a-z0-9-]{0,20}\"",
    ]
}

/// Whether the request may be answered by something that has no end, or late.
fn waits(asked: &Asked) -> bool {
    let has = |name: &str| asked.query.iter().any(|(key, _)| key == name);
    let is_slow = has("live") || has("wait") || has("timeout") || asked.path.starts_with("/v1/submit");
    is_slow && asked.method != "OPTIONS"
}

#[test]
fn whatever_is_asked_there_is_an_answer() {
    let pair = (proptest::sample::select(NAMES), value()).prop_map(|(name, value)| (name.to_owned(), value));
    let header = (proptest::sample::select(HEADERS), value());
    let method = prop_oneof![3 => Just("GET"), 1 => proptest::sample::select(METHODS)];
    let strategy = (method, path(), vec(pair, 0..4), vec(header, 0..4), vec(any::<u8>(), 0..60));
    fuzz(4000, strategy, |node, (method, path, query, headers, body)| {
        let asked = Asked { method, path, query, headers, body };
        prop_assume!(!waits(&asked));
        node.ask(&asked, false).map(drop)
    });
}
