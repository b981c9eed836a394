//! The hook of Commit gets each committed block once, in order, and no other.

use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use dseq::abci::{Service, ServiceOptions};
use dseq::app::{CommittedBlock, MisbehaviorKind};
use dseq::sequence::Log;
use dseq::types::TxHash;
use serde_json::json;
use tendermint_proto::v0_38::abci::{Misbehavior, MisbehaviorType, RequestFinalizeBlock, RequestInitChain};

use crate::support::plugins::genesis;

/// A service, and the blocks its hook has seen.
struct Followed {
    service: Service,
    seen: Arc<Mutex<Vec<CommittedBlock>>>,
}

impl Followed {
    fn open(home: &Path) -> Self {
        let log = Log::open(&home.join("sequence")).unwrap();
        let options = ServiceOptions { plugins_dir: home.join("plugins"), disk_free_bytes_low: 0 };
        let (seen, reader) = (Arc::new(Mutex::new(Vec::new())), log.reader());
        let blocks = Arc::clone(&seen);
        let service = Service::open(log, &options, Arc::default(), move |block| {
            assert_eq!(reader.committed(), block.committed, "readers see the block already");
            blocks.lock().unwrap().push(block.clone());
        });
        Self { service: service.unwrap(), seen }
    }

    fn finalize(&self, height: i64, txs: &[&'static [u8]]) {
        let txs = txs.iter().map(|tx| Bytes::from_static(tx)).collect();
        let request = RequestFinalizeBlock { txs, height, ..Default::default() };
        self.service.finalize_block(&request).unwrap();
    }

    fn heights(&self) -> Vec<u64> {
        self.seen.lock().unwrap().iter().map(|block| block.committed.head.height().0).collect()
    }

    fn last(&self) -> CommittedBlock {
        self.seen.lock().unwrap().last().unwrap().clone()
    }
}

fn started(home: &Path) -> Followed {
    let followed = Followed::open(home);
    let app_state_bytes = Bytes::from(genesis(&json!([])).to_string());
    let request = RequestInitChain { app_state_bytes, ..Default::default() };
    followed.service.init_chain(&request).unwrap();
    followed
}

#[test]
fn a_block_is_seen_once_when_it_is_committed_with_the_results_that_count() {
    let home = tempfile::tempdir().unwrap();
    let followed = started(home.path());
    followed.finalize(1, &[b"of a round that is forgotten"]);
    followed.finalize(1, &[b"one", b"", b"two"]);
    assert!(followed.heights().is_empty(), "finalized is not committed");
    followed.service.commit().unwrap();
    assert_eq!(followed.heights(), [1]);

    let block = followed.last();
    let hashes: Vec<TxHash> = block.results.iter().map(|result| result.tx_hash).collect();
    assert_eq!(hashes, [TxHash::of(b"one"), TxHash::default(), TxHash::of(b"two")]);
    let records = block.results.iter().filter_map(|result| result.receipt.as_ref().ok());
    let places: Vec<_> = records.map(|receipt| (receipt.index, receipt.offset.0, receipt.length)).collect();
    assert_eq!(places, [(0, 0, 3), (1, 3, 3)]);

    for height in 2..=5 {
        followed.finalize(height, &[]);
        followed.service.commit().unwrap();
    }
    assert_eq!(followed.heights(), [1, 2, 3, 4, 5]);
    assert!(followed.service.commit().is_err(), "there is nothing to commit");
    assert_eq!(followed.heights().len(), 5);
}

#[test]
fn after_a_restart_only_what_the_log_lacks_is_seen() {
    let home = tempfile::tempdir().unwrap();
    let before = started(home.path());
    for height in 1..=2 {
        before.finalize(height, &[b"committed"]);
        before.service.commit().unwrap();
    }
    before.finalize(3, &[b"lost"]);
    assert_eq!(before.heights(), [1, 2]);
    drop(before);

    let after = Followed::open(home.path());
    assert!(after.heights().is_empty(), "blocks of the log are not seen again");
    after.finalize(3, &[b"replayed"]);
    after.service.commit().unwrap();
    assert_eq!(after.heights(), [3]);
    assert_eq!(after.last().results[0].tx_hash, TxHash::of(b"replayed"));
}

#[test]
fn misbehavior_comes_with_the_block_that_proves_it() {
    let home = tempfile::tempdir().unwrap();
    let followed = started(home.path());
    let proven =
        Misbehavior { r#type: MisbehaviorType::DuplicateVote.into(), height: 7, ..Default::default() };
    let request = RequestFinalizeBlock { height: 1, misbehavior: vec![proven], ..Default::default() };
    followed.service.finalize_block(&request).unwrap();
    followed.service.commit().unwrap();
    let proven = followed.last().conduct.misbehavior;
    assert_eq!((proven[0].kind, proven[0].height, proven.len()), (MisbehaviorKind::DuplicateVote, 7, 1));
    followed.finalize(2, &[]);
    followed.service.commit().unwrap();
    assert!(followed.last().conduct.misbehavior.is_empty());
}
