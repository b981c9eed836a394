//! A transaction is handed in once, and what became of it is never guessed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dseq_client::{At, Error, Known, SubmitOptions, Submitted, TxHash, Wait, Why};
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::mock::{Node, Reply, Request, nobody};
use crate::{client_of, hasty};

fn receipt(tx: &[u8]) -> Value {
    let hash = TxHash::of(tx).to_string();
    json!({ "index": 3, "offset": 40, "length": tx.len(), "height": 9, "tx_hash": hash, "blake3": "0".repeat(64) })
}

fn committed(tx: &[u8]) -> Value {
    let mut answer = receipt(tx);
    answer["state"] = "committed".into();
    answer["duplicate"] = false.into();
    answer
}

fn is_submit(request: &Request) -> bool {
    request.target.starts_with("/v1/submit")
}

fn unknown() -> Reply {
    Reply::problem(404, "unknown-transaction", true, &json!({}))
}

/// A node that commits what it is given.
fn good() -> Node {
    Node::start(|request| Reply::json("200 OK", &committed(&request.body)))
}

fn briefly() -> SubmitOptions {
    SubmitOptions { timeout: Duration::from_millis(200), ..SubmitOptions::default() }
}

#[tokio::test]
async fn a_committed_transaction_has_a_receipt() {
    let node = good();
    let submitted = client_of([&node]).submit("hello", SubmitOptions::default()).await.unwrap();
    let Submitted::Committed { receipt, duplicate } = submitted else { panic!("{submitted:?}") };
    assert_eq!((receipt.index, receipt.offset, receipt.end(), duplicate), (3, 40, 45, Some(false)));
    assert_eq!(node.targets()[0].split("&timeout").next(), Some("/v1/submit?wait=committed"));
}

#[tokio::test]
async fn what_a_node_certainly_did_not_take_goes_to_another_one() {
    for name in [
        "overloaded",
        "mempool-full",
        "not-ready",
        "too-many-connections",
        "index-building",
        "of-a-later-version",
    ] {
        let full = Node::start(move |_| Reply::problem(503, name, true, &json!({})));
        let (node, client) = {
            let node = good();
            let nodes = vec![nobody(), full.address.clone(), node.address.clone()];
            (node, hasty(nodes))
        };
        for _ in 0..2 {
            let submitted = client.submit("hello", SubmitOptions::default()).await.unwrap();
            assert!(matches!(submitted, Submitted::Committed { .. }), "{submitted:?}");
        }
        assert_eq!((full.targets().len(), node.targets().len()), (1, 2), "it stays at the one that works");
    }
}

#[tokio::test]
async fn a_full_mempool_is_waited_for() {
    let count = AtomicU64::new(0);
    let node = Node::start(move |request| {
        if count.fetch_add(1, Ordering::SeqCst) < 2 {
            return Reply::problem(503, "mempool-full", true, &json!({}));
        }
        Reply::json("200 OK", &committed(&request.body))
    });
    let client = client_of([&node]);
    assert!(matches!(client.submit("x", SubmitOptions::default()).await, Ok(Submitted::Committed { .. })));
    assert_eq!(node.targets().len(), 3);
}

#[tokio::test]
async fn nobody_there_is_an_error_that_names_each_node() {
    let err = hasty(vec![nobody(), nobody()]).submit("x", SubmitOptions::default()).await.unwrap_err();
    let Error::Unreachable { failures } = &err else { panic!("{err}") };
    assert!(failures.iter().all(|failure| matches!(failure.why, Why::NotConnected(_))), "{err}");
    assert!(err.to_string().contains("refused"), "{err}");
}

#[tokio::test]
async fn a_rejection_says_who_rejects_and_why() {
    let members =
        json!({ "plugin": "json", "codespace": "plugin/json", "code": 7, "tx_hash": "0".repeat(64) });
    let node = Node::start(move |_| Reply::problem(422, "rejected", false, &members));
    let submitted = client_of([&node]).submit("x", SubmitOptions::default()).await.unwrap();
    let Submitted::Rejected(rejection) = submitted else { panic!("{submitted:?}") };
    assert_eq!((rejection.plugin.as_deref(), rejection.code), (Some("json"), 7));
    assert_eq!(rejection.to_string(), "details of rejected (plugin/json code 7)");
}

#[tokio::test]
async fn a_request_that_no_node_would_take_is_not_sent_to_another_one() {
    let node = Node::start(|_| Reply::problem(400, "bad-parameter", false, &json!({ "limit": 5 })));
    let other = good();
    let err = client_of([&node, &other]).submit("x", SubmitOptions::default()).await.unwrap_err();
    let problem = err.problem().unwrap();
    assert_eq!((problem.name(), problem.number("limit")), ("bad-parameter", Some(5)));
    assert_eq!(other.targets().len(), 0);
}

#[tokio::test]
async fn what_is_longer_than_the_network_takes_is_rejected_and_a_proxys_limit_is_an_error() {
    let members = json!({ "plugin": null, "codespace": "dseq", "code": 2, "limit": 5 });
    let node = Node::start(move |_| Reply::problem(413, "body-too-large", false, &members));
    let other = good();
    let submitted = client_of([&node, &other]).submit("x", SubmitOptions::default()).await.unwrap();
    let Submitted::Rejected(rejection) = submitted else { panic!("{submitted:?}") };
    assert_eq!((&*rejection.codespace, rejection.code, rejection.tx_hash), ("dseq", 2, TxHash::of(b"x")));
    assert_eq!(other.targets().len(), 0);
    let proxy = Node::start(|_| Reply::new("413 X", "content-type: text/html\r\n", b"too large"));
    let err = client_of([&proxy]).submit("x", SubmitOptions::default()).await.unwrap_err();
    assert!(matches!(err, Error::Unexpected { .. }), "{err}");
}

#[tokio::test]
async fn a_proxy_that_is_unavailable_leaves_the_outcome_open() {
    let proxy = Node::start(|request| match is_submit(request) {
        true => Reply::new("503 X", "content-type: text/html\r\n", b"try later"),
        false => unknown(),
    });
    let err = client_of([&proxy]).submit("x", briefly()).await.unwrap_err();
    assert!(matches!(err, Error::OutcomeUnknown { .. }), "{err}");
}

/// Generous: a client that waits for each node in turn takes some ten seconds.
#[tokio::test]
async fn nodes_that_never_answer_do_not_hold_up_the_outcome() {
    let frozen = || {
        Node::start(|_| -> Reply {
            loop {
                std::thread::park();
            }
        })
    };
    let nodes = [frozen(), frozen(), frozen()];
    let began = std::time::Instant::now();
    let err = client_of(&nodes).submit("hello", briefly()).await.unwrap_err();
    assert!(matches!(err, Error::OutcomeUnknown { .. }), "{err}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(
        nodes.iter().flat_map(Node::targets).filter(|target| target.starts_with("/v1/submit")).count(),
        1
    );
    let client = client_of(&nodes);
    let err = client.receipt(TxHash::of(b"hello"), Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(err, Error::Unreachable { .. }), "{err}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_node_that_never_answers_does_not_hide_what_another_one_learns() {
    let frozen = Node::start(|request| match is_submit(request) {
        true => Reply::none(),
        false => loop {
            std::thread::park();
        },
    });
    let asked = AtomicU64::new(0);
    let other = Node::start(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0..3 => unknown(),
        _ => Reply::json("200 OK", &json!({ "state": "committed", "receipts": [receipt(b"hello")] })),
    });
    let submitted = client_of([&frozen, &other]).submit("hello", SubmitOptions::default()).await.unwrap();
    assert!(matches!(submitted, Submitted::Committed { .. }), "{submitted:?}");
}

/// An answer that begins and never ends.
#[tokio::test]
async fn half_an_answer_does_not_hold_up_the_outcome() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut some = [0; 10];
            std::io::Read::read_exact(&mut stream, &mut some).unwrap();
            std::io::Write::write_all(&mut stream, b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{")
                .unwrap();
            open.push(stream);
        }
    });
    let began = std::time::Instant::now();
    let err = hasty(vec![address.parse().unwrap()]).submit("hello", briefly()).await.unwrap_err();
    assert!(matches!(err, Error::OutcomeUnknown { .. }), "{err}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_at_other_nodes_and_nothing_is_sent_twice() {
    // Closed without an answer, an answer that is cut, and an answer that says nothing.
    for loss in 0..3 {
        let first = Node::start(move |request| match loss {
            _ if !is_submit(request) => Reply::none(),
            0 => Reply::none(),
            1 => Reply::json("200 OK", &committed(b"hello")).cut(5),
            _ => Reply::new("500 X", "", b"sorry"),
        });
        let asked = Arc::new(AtomicU64::new(0));
        let second = Node::start(move |request| {
            assert!(!is_submit(request), "it may be sent twice");
            match asked.fetch_add(1, Ordering::SeqCst) {
                0 => unknown(),
                1 => Reply::json("200 OK", &json!({ "state": "pending", "tx_hash": "" })),
                _ => Reply::json("200 OK", &json!({ "state": "committed", "receipts": [receipt(b"hello")] })),
            }
        });
        let submitted = client_of([&first, &second]).submit("hello", SubmitOptions::default()).await.unwrap();
        let Submitted::Committed { receipt, duplicate: None } = submitted else { panic!("{submitted:?}") };
        assert_eq!(receipt.offset, 40);
    }
}

#[tokio::test]
async fn what_no_node_knows_is_unknown_and_says_so() {
    let first = Node::start(|request| if is_submit(request) { Reply::none() } else { unknown() });
    let err = client_of([&first]).submit("hello", briefly()).await.unwrap_err();
    let Error::OutcomeUnknown { tx_hash, .. } = err else { panic!("{err}") };
    assert_eq!(tx_hash, TxHash::of(b"hello"));
    assert_eq!(first.targets().iter().filter(|target| target.starts_with("/v1/submit")).count(), 1);
}

#[tokio::test]
async fn an_answer_about_another_transaction_is_no_answer() {
    let node = Node::start(|request| match is_submit(request) {
        true => Reply::json("200 OK", &committed(b"something else")),
        false => unknown(),
    });
    let err = client_of([&node]).submit("hello", briefly()).await.unwrap_err();
    assert!(matches!(err, Error::OutcomeUnknown { .. }), "{err}");
}

#[tokio::test]
async fn pending_is_waited_for_and_otherwise_said() {
    let pending = |request: &Request| {
        let body = json!({ "state": "pending", "tx_hash": TxHash::of(b"hello").to_string() });
        Reply::json(if is_submit(request) { "202 X" } else { "200 OK" }, &body)
    };
    let node = Node::start(pending);
    let client = client_of([&node]);
    let expected = Submitted::Pending { tx_hash: TxHash::of(b"hello") };
    assert_eq!(client.submit("hello", briefly()).await.unwrap(), expected);
    assert!(node.targets().iter().any(|target| target.starts_with("/v1/receipts/")), "it was asked for");
    let checked = SubmitOptions { wait: Wait::Checked, ..briefly() };
    let before = node.targets().len();
    assert_eq!(client.submit("hello", checked).await.unwrap(), expected);
    assert_eq!(node.targets().len(), before + 1, "what was asked for is there");
}

#[tokio::test]
async fn of_many_so_many_are_under_way_and_answers_keep_their_order() {
    let (now, most) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let noted = Arc::clone(&most);
    let node = Node::start(move |request| {
        noted.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Earlier ones are answered later.
        let number: u64 = String::from_utf8_lossy(&request.body).parse().unwrap();
        std::thread::sleep(Duration::from_millis(20 - number));
        now.fetch_sub(1, Ordering::SeqCst);
        Reply::json("200 OK", &committed(&request.body))
    });
    let txs = futures_util::stream::iter((0..20).map(|number| number.to_string().into()));
    let client = client_of([&node]);
    let answers = client.submit_all(txs, SubmitOptions::default(), 4);
    let hashes: Vec<TxHash> = answers
        .map(|answer| match answer.unwrap() {
            Submitted::Committed { receipt, .. } => receipt.tx_hash,
            other => panic!("{other:?}"),
        })
        .collect()
        .await;
    let expected: Vec<TxHash> = (0..20).map(|number| TxHash::of(number.to_string().as_bytes())).collect();
    assert_eq!(hashes, expected);
    assert!(most.load(Ordering::SeqCst) <= 4, "{most:?}");
}

#[tokio::test]
async fn receipts_are_found_by_hash_index_and_offset() {
    let ignorant = Node::start(|request| match request.target.contains('?') {
        true => Reply::problem(404, "not-committed", true, &json!({ "actual": 2 })),
        false => unknown(),
    });
    let node = Node::start(|request| match request.target.contains('?') {
        true => Reply::json("200 OK", &json!({ "receipts": [receipt(b"x")], "next": null })),
        false => Reply::json(
            "200 OK",
            &json!({ "tx_hash": "", "state": "committed", "receipts": [receipt(b"x")] }),
        ),
    });
    let hash = TxHash::of(b"x");
    let client = client_of([&ignorant]);
    assert_eq!(client.receipt(hash, Duration::ZERO).await.unwrap(), Known::Unknown);
    assert_eq!(client.receipt_at(At::Index(3)).await.unwrap(), None);
    // What one node has not heard of, another one has.
    let client = client_of([&ignorant, &node]);
    let Known::Committed { receipts } = client.receipt(hash, Duration::ZERO).await.unwrap() else { panic!() };
    assert_eq!(receipts[0].tx_hash, hash);
    assert_eq!(client.receipt_at(At::Offset(40)).await.unwrap().unwrap().index, 3);
    assert_eq!(client.receipts_of_block(9).await.unwrap().unwrap().len(), 1);
    assert_eq!(client.receipts(3, 10).await.unwrap(), (receipts, None));
    assert_eq!(
        node.targets()[1..],
        ["/v1/receipts?offset=40", "/v1/receipts?height=9&limit=4096", "/v1/receipts?from=3&limit=10"]
    );
}

#[tokio::test]
async fn a_blocks_receipts_are_all_there_though_a_node_gives_few_at_a_time() {
    // Records 10 to 14 are of block 9, and 15 of the next.
    let of_place = |index: u64| {
        let mut receipt = receipt(b"x");
        receipt["index"] = index.into();
        receipt["height"] = if index < 15 { 9 } else { 10 }.into();
        receipt
    };
    let node = Node::start(move |request| {
        let from = request.target.split("from=").nth(1).and_then(|rest| rest.split('&').next()?.parse().ok());
        let from: u64 = from.unwrap_or(10);
        let receipts: Vec<_> = (from..from + 2).map(of_place).collect();
        Reply::json("200 OK", &json!({ "receipts": receipts, "next": from + 2 }))
    });
    let receipts = client_of([&node]).receipts_of_block(9).await.unwrap().unwrap();
    assert_eq!(receipts.iter().map(|receipt| receipt.index).collect::<Vec<_>>(), [10, 11, 12, 13, 14]);
    // A part of them is never taken for all.
    let behind = Node::start(move |request| match request.target.contains("height=") {
        true => Reply::json("200 OK", &json!({ "receipts": [of_place(10)], "next": 11 })),
        false => Reply::problem(404, "not-committed", true, &json!({ "actual": 11 })),
    });
    let err = client_of([&behind]).receipts_of_block(9).await.unwrap_err();
    assert!(matches!(err, Error::NoSuchRecord { index: 11, .. }), "{err}");
}
