//! Records come whole, in order, and with the bytes that their receipts name.

use std::sync::atomic::{AtomicU64, Ordering};

use dseq_client::{Error, Record, RecordHash, TxHash};
use futures_util::StreamExt;
use serde_json::json;

use crate::mock::{Node, Reply, Request};
use crate::{client_of, hasty};

/// A record as `/v1/records` frames it; each is its index in ten digits, so that it begins at ten times that.
fn frame(index: u64) -> Vec<u8> {
    framed(index, index * 10, &format!("{index:010}"))
}

fn framed(index: u64, offset: u64, bytes: &str) -> Vec<u8> {
    let numbers = [offset, bytes.len() as u64, 1].map(u64::to_le_bytes).concat();
    let hashes = [TxHash::of(bytes.as_bytes()).0, RecordHash::of(bytes.as_bytes()).0].concat();
    let rest = [&index.to_le_bytes()[..], &numbers, &hashes, bytes.as_bytes()].concat();
    [&u32::try_from(rest.len()).unwrap().to_le_bytes()[..], &rest].concat()
}

/// The receipt that a node has of a record whose bytes are these.
fn receipt(index: u64, bytes: &str) -> Reply {
    let (tx_hash, blake3) = (TxHash::of(bytes.as_bytes()), RecordHash::of(bytes.as_bytes()));
    let receipt = json!({
        "index": index, "offset": index * 10, "length": bytes.len(), "height": 1,
        "tx_hash": tx_hash.to_string(), "blake3": blake3.to_string(),
    });
    Reply::json("200 OK", &json!({ "receipts": [receipt], "next": null }))
}

fn status(records: u64) -> Reply {
    let hash = "0".repeat(64);
    Reply::json(
        "200 OK",
        &json!({
            "height": 1, "length": 1, "records": records, "sequence_root": hash, "records_root": hash,
            "app_hash": hash, "pipeline": hash, "ready": true, "reason": null,
        }),
    )
}

/// The records that are asked for, but so many at most.
fn page(request: &Request, count: u64, most: u64) -> Reply {
    if request.target == "/v1/status" {
        return status(count);
    }
    let number = |name: &str| -> u64 {
        let (_, rest) = request.target.split_once(name).unwrap();
        rest.split('&').next().unwrap().parse().unwrap()
    };
    if request.target.starts_with("/v1/receipts") {
        let index = number("index=");
        return receipt(index, &format!("{index:010}"));
    }
    let (from, limit) = (number("from="), number("limit=").min(most));
    let frames: Vec<u8> = (from..count.min(from + limit)).flat_map(frame).collect();
    Reply::new("200 OK", "", &frames)
}

async fn indexes(records: impl futures_util::Stream<Item = Result<Record, Error>>) -> Vec<u64> {
    let mut indexes = Vec::new();
    let mut records = Box::pin(records);
    while let Some(record) = records.next().await {
        let record = record.unwrap();
        assert_eq!(record.bytes, format!("{:010}", record.receipt.index));
        indexes.push(record.receipt.index);
    }
    indexes
}

#[tokio::test]
async fn records_come_page_by_page_through_cuts_and_failures() {
    let count = AtomicU64::new(0);
    let first =
        Node::start(move |request| match (count.fetch_add(1, Ordering::SeqCst), page(request, 50, 7)) {
            (turn, whole) if turn % 3 == 2 => whole.cut(100),
            (turn, _) if turn % 7 == 6 => Reply::none(),
            (_, whole) => whole,
        });
    let second = Node::start(|request| page(request, 50, 7));
    let client = client_of([&first, &second]);
    assert_eq!(indexes(client.records(0, u64::MAX).await.unwrap()).await, (0..50).collect::<Vec<_>>());
    let client = client_of([&first]);
    assert_eq!(indexes(client.records(3, 40).await.unwrap()).await, (3..43).collect::<Vec<_>>());
    assert_eq!(indexes(client.records(50, 5).await.unwrap()).await, [0; 0]);
    let err = client.records(51, 5).await.err().unwrap();
    assert!(matches!(err, Error::NoSuchRecord { index: 51, count: 50 }), "{err}");
}

#[tokio::test]
async fn a_node_that_has_no_more_records_than_it_shows_is_not_asked_for_ever() {
    let node = Node::start(|request| match request.target.as_str() {
        "/v1/status" => status(9),
        _ => page(request, 5, 5),
    });
    let client = hasty(vec![node.address.clone()]);
    let mut records = Box::pin(client.records(0, 9).await.unwrap());
    for index in 0..5 {
        assert_eq!(records.next().await.unwrap().unwrap().receipt.index, index);
    }
    assert!(matches!(records.next().await, Some(Err(Error::NoSuchRecord { index: 5, count: 5 }))));
    assert!(records.next().await.is_none());
}

#[tokio::test]
async fn a_record_that_a_node_has_told_of_and_does_not_show_yet_is_waited_for() {
    let pages = AtomicU64::new(0);
    let node = Node::start(move |request| match request.target.as_str() {
        "/v1/status" => status(9),
        _ => page(request, if pages.fetch_add(1, Ordering::SeqCst) < 8 { 5 } else { 9 }, 9),
    });
    let records: Vec<_> = client_of([&node]).records(0, 9).await.unwrap().collect().await;
    assert_eq!(
        records.into_iter().map(|record| record.unwrap().receipt.index).collect::<Vec<_>>(),
        [0, 1, 2, 3, 4, 5, 6, 7, 8]
    );
}

#[tokio::test]
async fn another_node_may_have_the_record_that_one_has_not() {
    let behind = Node::start(|request| match request.target.as_str() {
        "/v1/status" => status(5),
        _ => page(request, 5, 5),
    });
    let ahead = Node::start(|request| match request.target.as_str() {
        "/v1/status" => status(9),
        _ => page(request, 9, 9),
    });
    let client = hasty(vec![behind.address.clone(), ahead.address.clone()]);
    let records: Vec<_> = client.records(5, 2).await.unwrap().collect().await;
    assert_eq!(records.into_iter().map(|record| record.unwrap().receipt.index).collect::<Vec<_>>(), [5, 6]);
}

#[tokio::test]
async fn a_record_without_the_hash_of_its_receipt_is_an_error() {
    let node = Node::start(|request| match request.target.as_str() {
        "/v1/status" => status(1),
        _ => {
            let mut frame = frame(0);
            *frame.last_mut().unwrap() ^= 1;
            Reply::new("200 OK", "", &frame)
        }
    });
    let err = Box::pin(client_of([&node]).records(0, 1).await.unwrap()).next().await.unwrap().unwrap_err();
    assert!(err.to_string().contains("hash"), "{err}");
}

/// A node that answers the first page with five records, and nothing after that.
fn failing() -> Node {
    let pages = AtomicU64::new(0);
    Node::start(move |request| match request.target.as_str() {
        "/v1/status" => status(9),
        target if target.starts_with("/v1/records") && pages.fetch_add(1, Ordering::SeqCst) == 0 => {
            page(request, 5, 5)
        }
        _ => Reply::none(),
    })
}

#[tokio::test]
async fn another_node_is_read_on_only_if_it_has_the_same_last_record() {
    // The next record has the right place and a good hash: only the one before gives it away.
    let other = Node::start(|request| match request.target.as_str() {
        target if target.starts_with("/v1/receipts") => receipt(4, "not record"),
        _ => page(request, 9, 9),
    });
    let first = failing();
    let mut records = Box::pin(client_of([&first, &other]).records(0, 9).await.unwrap());
    for index in 0..5 {
        assert_eq!(records.next().await.unwrap().unwrap().receipt.index, index);
    }
    let err = records.next().await.unwrap().unwrap_err();
    assert!(matches!(err, Error::RecordsDisagree { index: 4, .. }), "{err}");
    assert!(records.next().await.is_none());
    let same = Node::start(|request| page(request, 9, 9));
    let client = client_of([&failing(), &same]);
    assert_eq!(indexes(client.records(0, 9).await.unwrap()).await, (0..9).collect::<Vec<_>>());
    assert_eq!(same.targets().iter().filter(|target| *target == "/v1/receipts?index=4").count(), 1);
}

#[tokio::test]
async fn a_record_that_does_not_begin_where_the_one_before_ends_is_an_error() {
    for (offsets, bad) in [([1, 11], 0), ([0, 11], 1), ([0, 9], 1)] {
        let node = Node::start(move |request| match request.target.as_str() {
            "/v1/status" => status(2),
            _ => {
                let frames = [framed(0, offsets[0], "0123456789"), framed(1, offsets[1], "0123456789")];
                Reply::new("200 OK", "", &frames.concat())
            }
        });
        let mut records = Box::pin(client_of([&node]).records(0, 2).await.unwrap());
        for _ in 0..bad {
            records.next().await.unwrap().unwrap();
        }
        let err = records.next().await.unwrap().unwrap_err();
        assert!(err.to_string().contains(&format!("record {bad} is said to begin")), "{err}");
    }
}

#[tokio::test]
async fn a_record_that_the_first_node_does_not_have_yet_comes_from_one_that_is_ahead() {
    let behind = Node::start(|request| match request.target.starts_with("/v1/records") {
        true => Reply::problem(503, "node-behind", true, &json!({ "limit": 3 })),
        false => page(request, 3, 10),
    });
    let ahead = Node::start(|request| page(request, 9, 10));
    let records = client_of([&behind, &ahead]).records(5, 2).await.unwrap();
    let indices: Vec<u64> = records.map(|record| record.unwrap().receipt.index).collect().await;
    assert_eq!(indices, [5, 6]);
    assert_eq!(indexes(client_of([&behind, &ahead]).records(3, 2).await.unwrap()).await, [3, 4]);
    let err = client_of([&behind, &ahead]).records(10, 1).await.map(drop).unwrap_err();
    assert!(matches!(err, Error::NoSuchRecord { index: 10, count: 9 }), "{err}");
}
