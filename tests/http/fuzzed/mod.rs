//! Random requests to a node's router: nothing panics, nothing is a 500, and each answer is what a model says.
//!
//! The inputs come from a seed, the same one in an ordinary run; `make fuzz` tries a hundred times as many, from another seed
//! each time. A failure prints the smallest request that it was found for.

mod reading;
mod submitting;
mod wild;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use dseq::api::problem::{TYPE_PREFIX, TYPES};
use dseq::api::submit::{Bounds, Checked, HandedOver, Intake, Submissions};
use dseq::api::{self, Origins, State, Stopping};
use dseq::app::Refusal;
use dseq::receipts::Receipts;
use dseq::sequence::{HashedRecord, Log, Staging};
use dseq::types::{AppHash, Height, PipelineId, TxHash};
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use serde_json::Value;
use tower::ServiceExt;

use super::limits;
use super::log::state;

/// Longest transaction that the engine takes, in bytes.
const TX_BYTES_MAX: usize = 100;

/// The records of the node, by block.
const BLOCKS: [&[&str]; 4] = [&["zero", "one"], &[], &["two", "three", "zero", "a longer record"], &["last"]];

/// An engine that takes what does not begin with an r, and commits nothing.
struct Engine;

impl Intake for Engine {
    fn tx_bytes_max(&self) -> Option<u64> {
        Some(TX_BYTES_MAX as u64)
    }

    fn check(&self, tx: Bytes) -> BoxFuture<'_, Checked> {
        let refusal =
            Refusal { code: 7, codespace: "plugin/r".to_owned(), message: "begins with an r".into() };
        let answer = if tx.starts_with(b"r") { Checked::Refused(refusal) } else { Checked::Accepted };
        Box::pin(async { answer })
    }

    fn hand_over(&self, _: Bytes) -> BoxFuture<'_, HandedOver> {
        Box::pin(async { HandedOver::Taken })
    }
}

/// A node in this process, and what its log holds.
struct Node {
    router: axum::Router,
    runtime: tokio::runtime::Runtime,
    bytes: Vec<u8>,
    records: Vec<Held>,
    _dir: tempfile::TempDir,
}

/// A record and its place.
struct Held {
    text: &'static str,
    offset: u64,
    height: u64,
}

#[derive(Clone, Debug, Default)]
struct Asked {
    method: &'static str,
    path: String,
    /// Names and values, before they are encoded.
    query: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// An answer of which the body has been read, unless it has no end.
#[derive(Debug)]
struct Answered {
    status: u16,
    headers: axum::http::HeaderMap,
    body: Bytes,
}

impl Node {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path()).unwrap();
        let (mut bytes, mut records) = (Vec::new(), Vec::new());
        for (height, block) in (1..).zip(BLOCKS) {
            let mut staging = Staging::begin(log.head(), Height(height));
            for text in block {
                let tx_hash = TxHash::of(text.as_bytes());
                staging.push(tx_hash, &HashedRecord::of(text.as_bytes().to_vec())).unwrap();
                records.push(Held { text, offset: bytes.len() as u64, height });
                bytes.extend_from_slice(text.as_bytes());
            }
            log.commit(&staging.finish(), AppHash::default(), PipelineId::default()).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (reader, stopping) = (log.reader(), Stopping::default());
        let receipts = Receipts::open(reader.clone(), None).unwrap();
        let submissions = Submissions::new(Ok(Arc::new(Engine)), receipts, stopping.clone(), Bounds::DEFAULT);
        let router = api::router(State { submissions, ..state(reader, stopping) });
        let address = "127.0.0.1:6900".parse().unwrap();
        let router = api::layered(router, address, limits(), &Origins::Own, Arc::default());
        Self { router, runtime, bytes, records, _dir: dir }
    }

    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn count(&self) -> u64 {
        self.records.len() as u64
    }

    /// Asks, and checks what holds for every answer. `None`: this is no request.
    fn ask(&self, asked: &Asked, endless: bool) -> Result<Option<Answered>, TestCaseError> {
        let encoded = |text: &str| -> String {
            text.bytes()
                .map(|byte| match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => char::from(byte).to_string(),
                    _ => format!("%{byte:02X}"),
                })
                .collect()
        };
        let pairs = asked.query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
        let query: Vec<String> = pairs.collect();
        let target =
            if query.is_empty() { asked.path.clone() } else { format!("{}?{}", asked.path, query.join("&")) };
        let mut request = Request::builder().method(asked.method).uri(target).header("host", "localhost");
        for (name, value) in &asked.headers {
            request = request.header(*name, value);
        }
        let Ok(request) = request.body(Body::from(asked.body.clone())) else { return Ok(None) };
        let answer = self.runtime.block_on(async {
            let Ok(response) = self.router.clone().oneshot(request).await;
            let (head, body) = response.into_parts();
            let is_endless = endless && head.status == 200;
            let body = if is_endless { Bytes::new() } else { body.collect().await.unwrap().to_bytes() };
            Answered { status: head.status.as_u16(), headers: head.headers, body }
        });
        let is_problem = answer.header("content-type") == "application/problem+json";
        prop_assert!(answer.status != 500, "{:?}", answer);
        // Failed health checks have a form of their own.
        let is_check = ["/ready", "/livez", "/health"].iter().any(|path| asked.path.starts_with(path));
        if answer.status >= 400 && asked.method != "HEAD" && !(is_check && answer.status == 503) {
            prop_assert!(is_problem, "{:?}", answer);
            let document: Value = serde_json::from_slice(&answer.body).unwrap();
            let name = document["type"].as_str().and_then(|of| of.strip_prefix(TYPE_PREFIX));
            let of = TYPES.iter().find(|one| Some(one.name) == name);
            prop_assert_eq!(of.map(|of| of.status), Some(answer.status), "{}", document);
            prop_assert_eq!(&document["status"], answer.status);
        }
        Ok(Some(answer))
    }
}

impl Answered {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The name of the problem, or nothing.
    fn problem(&self) -> String {
        let document: Option<Value> = serde_json::from_slice(&self.body).ok().filter(|_| self.status >= 400);
        let of = document.as_ref().and_then(|document| document["type"].as_str()).unwrap_or_default();
        of.strip_prefix(TYPE_PREFIX).unwrap_or_default().to_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|err| panic!("{err}: {self:?}"))
    }
}

/// Tries random input on a property of a node.
fn fuzz<S: Strategy>(
    cases: u32,
    strategy: S,
    property: impl Fn(&Node, S::Value) -> Result<(), TestCaseError>,
) {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let (times, seed) = (number("DSEQ_FUZZ_TIMES").unwrap_or(1), number("DSEQ_FUZZ_SEED").unwrap_or(1));
    println!("{cases} cases, {times} times, DSEQ_FUZZ_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let cases = cases * u32::try_from(times).unwrap();
    let config =
        Config { cases, failure_persistence: None, max_global_rejects: 10 * cases, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let (mut runner, node) = (TestRunner::new_with_rng(config, rng), Node::new());
    let began = std::time::Instant::now();
    let found = runner.run(&strategy, |input| property(&node, input));
    found.unwrap_or_else(|failure| panic!("DSEQ_FUZZ_SEED={seed}: {failure}"));
    assert!(began.elapsed() < Duration::from_secs(60) * u32::try_from(times).unwrap(), "something waits");
}

/// The text of a number as clients may write it, and what it is, if it is one.
type Number = (String, Option<u64>);

/// Numbers around those that matter here, and what is none.
fn number(tempting: u64) -> impl Strategy<Value = Number> {
    let good = prop_oneof![
        4 => 0..=tempting + 3,
        1 => Just(u64::MAX),
        1 => Just(u64::MAX - 1),
        1 => any::<u64>(),
    ];
    prop_oneof![
        8 => good.clone().prop_map(|number| (number.to_string(), Some(number))),
        1 => good.prop_map(|number| (format!("00{number}"), Some(number))),
        1 => no_number().prop_map(|text| (text, None)),
    ]
}

/// What is no number below 2^64.
fn no_number() -> impl Strategy<Value = String> {
    let fixed =
        ["", "-1", "+1", " 1", "1 ", "0x1", "1e3", "1.0", "18446744073709551616", "1_000", "٣", "NaN"];
    let is_none = |text: &String| text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit());
    prop_oneof![
        3 => proptest::sample::select(fixed.to_vec()).prop_map(str::to_owned),
        1 => "[0-9]{21,60}".prop_filter("small enough", |text| text.trim_start_matches('0').len() > 20),
        1 => "\\PC{0,12}".prop_filter("a number", is_none),
    ]
}
