//! Records come whole, in order, and with the bytes that their receipts name.

use std::sync::atomic::{AtomicU64, Ordering};

use dseq_client::{Error, Record, RecordHash, TxHash};
use futures_util::StreamExt;
use serde_json::json;

use crate::mock::{Node, Reply, Request};
use crate::{client_of, hasty};

/// A record as `/v1/records` frames it; each is its index in digits.
fn frame(index: u64) -> Vec<u8> {
    let bytes = format!("record {index}");
    let numbers = [index * 10, bytes.len() as u64, 1].map(u64::to_le_bytes).concat();
    let hashes = [TxHash::of(bytes.as_bytes()).0, RecordHash::of(bytes.as_bytes()).0].concat();
    let rest = [&index.to_le_bytes()[..], &numbers, &hashes, bytes.as_bytes()].concat();
    [&u32::try_from(rest.len()).unwrap().to_le_bytes()[..], &rest].concat()
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
    let (from, limit) = (number("from="), number("limit=").min(most));
    let frames: Vec<u8> = (from..count.min(from + limit)).flat_map(frame).collect();
    Reply::new("200 OK", "", &frames)
}

async fn indexes(records: impl futures_util::Stream<Item = Result<Record, Error>>) -> Vec<u64> {
    let mut indexes = Vec::new();
    let mut records = Box::pin(records);
    while let Some(record) = records.next().await {
        let record = record.unwrap();
        assert_eq!(record.bytes, format!("record {}", record.receipt.index));
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
    assert!(matches!(records.next().await, Some(Err(Error::Unexpected { .. }))));
    assert!(records.next().await.is_none());
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
