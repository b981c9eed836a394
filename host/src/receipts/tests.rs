//! The receipts over a real log.

use std::time::Duration;

use super::*;
use crate::app::Code;
use crate::sequence::{HashedRecord, Log, Receipt, Staging};
use crate::types::{AppHash, Fuel, Height, PipelineId};

struct Chain {
    log: Log,
    receipts: Receipts,
    _dir: tempfile::TempDir,
}

impl Chain {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(dir.path()).unwrap();
        let receipts = Receipts::open(log.reader()).unwrap();
        Self { log, receipts, _dir: dir }
    }

    /// Commits a block of records; returns what the app would pass on.
    fn commit(&mut self, records: &[&str]) -> CommittedBlock {
        let height = Height(self.log.head().height().0 + 1);
        let mut staging = Staging::begin(self.log.head(), height);
        let mut results = Vec::new();
        for record in records {
            let tx_hash = TxHash::of(record.as_bytes());
            let receipt: Receipt =
                staging.push(tx_hash, &HashedRecord::of(record.as_bytes().to_vec())).unwrap();
            results.push(TxResult { tx_hash, receipt: Ok(receipt), fuel: Fuel(0) });
        }
        self.log.commit(&staging.finish(), AppHash::default(), PipelineId::default()).unwrap();
        let committed = self.log.reader().committed();
        CommittedBlock { committed, results: results.into(), misbehavior: Vec::new() }
    }

    fn find(&self, tx: &str) -> Known {
        let found = self.receipts.find(TxHash::of(tx.as_bytes())).unwrap();
        assert!(found.complete);
        found.known
    }

    fn places(&self, tx: &str) -> Vec<u64> {
        match self.find(tx) {
            Known::Committed(places) => places.iter().map(|place| place.index).collect(),
            other => panic!("{tx}: {other:?}"),
        }
    }
}

fn decided(mut waiting: Waiting) -> Decided {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let decided = async { tokio::time::timeout(Duration::from_secs(60), waiting.decided()).await };
    runtime.block_on(decided).expect("nobody woke it").unwrap()
}

#[test]
fn who_is_woken_by_a_block_can_read_its_receipt() {
    let mut chain = Chain::new();
    let waiting = chain.receipts.wait_for(TxHash::of(b"b"));
    let block = chain.commit(&["a", "b"]);
    chain.receipts.take(&block);
    let Decided::Committed(place) = decided(waiting) else { panic!() };
    assert_eq!((place.index, place.offset.0, place.length, place.height), (1, 1, 1, Height(1)));
    assert_eq!(place.blake3.to_string(), blake3::hash(b"b").to_string());
    assert_eq!(chain.find("b"), Known::Committed(vec![place]));
}

#[test]
fn every_place_of_equal_bytes_is_found_whoever_committed_them() {
    let mut chain = Chain::new();
    // Of a block that was committed before: only the log knows it.
    chain.commit(&["a", "b", "a"]);
    chain.receipts = Receipts::open(chain.log.reader()).unwrap();
    let waiting = chain.receipts.wait_for(TxHash::of(b"c"));
    let block = chain.commit(&["a", "c"]);
    chain.receipts.take(&block);
    decided(waiting);
    assert_eq!((chain.places("a"), chain.places("b"), chain.places("c")), (vec![0, 2, 3], vec![1], vec![4]));
    assert_eq!(chain.find("d"), Known::Unknown);
}

#[test]
fn a_transaction_is_pending_until_more_is_known_of_it() {
    let chain = Chain::new();
    let hash = TxHash::of(b"a");
    chain.receipts.trying(hash);
    assert_eq!(chain.find("a"), Known::Pending);
    assert!(!chain.receipts.not_taken(hash));
    assert_eq!(chain.find("a"), Known::Unknown);
    chain.receipts.taken(hash);
    chain.receipts.trying(hash);
    assert!(chain.receipts.not_taken(hash), "taken by an earlier request");
    assert_eq!(chain.find("a"), Known::Pending);
    let refusal = Refusal::by_host(Code::SequenceFull, "full".to_owned());
    let waiting = chain.receipts.wait_for(hash);
    chain.receipts.refuse(hash, &refusal);
    assert_eq!(decided(waiting), Decided::Refused(refusal.clone()));
    assert_eq!(chain.find("a"), Known::Refused(refusal));
}

#[test]
fn who_stops_waiting_leaves_nothing_behind() {
    let chain = Chain::new();
    let waiting: Vec<Waiting> = (0..10).map(|_| chain.receipts.wait_for(TxHash::of(b"a"))).collect();
    assert_eq!(chain.receipts.shared.memory().waiting(), 10);
    drop(waiting);
    assert_eq!(chain.receipts.shared.memory().waiting(), 0);
}
