//! The receipts over a real log.

use std::time::{Duration, Instant};

use super::*;
use crate::app::Code;
use crate::sequence::{HashedRecord, Log, Receipt, Staging};
use crate::types::{AppHash, Fuel, Height, PipelineId};

struct Chain {
    log: Log,
    receipts: Receipts,
    dir: tempfile::TempDir,
}

impl Chain {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(&dir.path().join("sequence")).unwrap();
        let receipts = Receipts::open(log.reader(), None).unwrap();
        Self { log, receipts, dir }
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
        CommittedBlock { committed, results: results.into(), conduct: Default::default() }
    }

    fn index(&self) -> PathBuf {
        self.dir.path().join("index/receipts.redb")
    }

    /// As a process that starts: what memory knew is gone, and the index is looked at.
    fn restart(&mut self) {
        let index = Some(self.index());
        self.receipts = Receipts::open(self.log.reader(), None).unwrap();
        // The file is somebody's until its thread has ended.
        let began = Instant::now();
        while Index::open(&self.index(), &self.log.reader()).is_err() {
            assert!(began.elapsed() < Duration::from_secs(60), "the index stays open");
            thread::sleep(Duration::from_millis(5));
        }
        self.receipts = Receipts::open(self.log.reader(), index).unwrap();
    }

    /// Waits until the index has the whole log.
    fn indexed(&self) {
        let (began, count) = (Instant::now(), self.log.head().count());
        while self.receipts.shared.indexed.load(Ordering::Relaxed) < count {
            assert!(began.elapsed() < Duration::from_secs(120), "the index does not catch up");
            thread::sleep(Duration::from_millis(5));
        }
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
    chain.receipts = Receipts::open(chain.log.reader(), None).unwrap();
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
fn what_the_engine_has_had_for_too_long_is_overdue_until_it_takes_it_again() {
    let mut chain = Chain::new();
    let hash = TxHash::of(b"a");
    let long_ago = Instant::now().checked_sub(PENDING_AGE_MAX + Duration::from_secs(1)).unwrap();
    for pending in [Pending::Trying, Pending::Taken] {
        chain.receipts.shared.memory().set_pending(hash, pending, long_ago);
        assert_eq!(chain.find("a"), Known::Overdue);
        assert!(!chain.receipts.not_taken(hash), "a full mempool does not have it for certain");
        assert_eq!(chain.find("a"), Known::Unknown);
    }
    chain.receipts.shared.memory().set_pending(hash, Pending::Taken, long_ago);
    chain.receipts.trying(hash);
    assert_eq!(chain.find("a"), Known::Pending);
    chain.receipts.shared.memory().set_pending(hash, Pending::Taken, long_ago);
    chain.receipts.taken(hash);
    assert_eq!(chain.find("a"), Known::Pending);
    // It may come all the same.
    chain.receipts.shared.memory().set_pending(hash, Pending::Taken, long_ago);
    let waiting = chain.receipts.wait_for(hash);
    let block = chain.commit(&["a"]);
    chain.receipts.take(&block);
    assert!(matches!(decided(waiting), Decided::Committed(_)));
    assert_eq!(chain.places("a"), [0]);
}

#[test]
fn who_stops_waiting_leaves_nothing_behind() {
    let chain = Chain::new();
    let waiting: Vec<Waiting> = (0..10).map(|_| chain.receipts.wait_for(TxHash::of(b"a"))).collect();
    assert_eq!(chain.receipts.shared.memory().waiting(), 10);
    drop(waiting);
    assert_eq!(chain.receipts.shared.memory().waiting(), 0);
}

/// More records than a look-up reads through.
fn long_chain() -> (Chain, u64) {
    let mut chain = Chain::new();
    let count = SCANNED_MAX + 1000;
    let records: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    chain.commit(&records.iter().map(String::as_str).collect::<Vec<_>>());
    (chain, count)
}

#[test]
fn the_index_is_built_when_it_is_missing_and_finds_each_record() {
    let (mut chain, count) = long_chain();
    chain.receipts = Receipts::open(chain.log.reader(), None).unwrap();
    let without = chain.receipts.find(TxHash::of(b"5")).unwrap();
    assert_eq!((without.known, without.complete), (Known::Unknown, false));
    let last = chain.receipts.find(TxHash::of((count - 1).to_string().as_bytes())).unwrap();
    assert!(
        matches!(last.known, Known::Committed(_)) && !last.complete,
        "the end of the log is read through"
    );
    chain.receipts = Receipts::open(chain.log.reader(), Some(chain.index())).unwrap();
    chain.indexed();
    for number in [0, 1, 500, count - 1] {
        assert_eq!(chain.places(&number.to_string()), [number]);
    }
    assert_eq!(chain.find("none"), Known::Unknown);
}

#[test]
fn an_index_that_is_behind_damaged_or_of_another_log_is_mended() {
    let (mut chain, count) = long_chain();
    chain.receipts = Receipts::open(chain.log.reader(), Some(chain.index())).unwrap();
    chain.indexed();
    // Behind: the records were committed while nobody followed.
    chain.commit(&["later"]);
    chain.restart();
    chain.indexed();
    assert_eq!((chain.places("later"), chain.places("7")), (vec![count], vec![7]));
    // Damaged, in each of several ways.
    let whole = std::fs::read(chain.index()).unwrap();
    let damaged: [fn(&mut Vec<u8>); 4] = [
        |file| file.truncate(file.len() / 2),
        |file| file.truncate(100),
        |file| file.iter_mut().skip(8192).step_by(3000).for_each(|byte| *byte ^= 0xff),
        |file| file[..64].fill(7),
    ];
    for damage in damaged {
        chain.receipts = Receipts::open(chain.log.reader(), None).unwrap();
        let mut file = whole.clone();
        damage(&mut file);
        // Another file: the one that is being closed must not be written to.
        std::fs::remove_file(chain.index()).unwrap();
        std::fs::write(chain.index(), file).unwrap();
        chain.receipts = Receipts::open(chain.log.reader(), Some(chain.index())).unwrap();
        chain.indexed();
        assert_eq!((chain.places("later"), chain.places("7")), (vec![count], vec![7]));
    }
    // Of another log.
    let mut other = Chain::new();
    other.commit(&["x", "7"]);
    std::fs::create_dir_all(other.index().parent().unwrap()).unwrap();
    std::fs::write(other.index(), &whole).unwrap();
    other.receipts = Receipts::open(other.log.reader(), Some(other.index())).unwrap();
    other.indexed();
    assert_eq!((other.places("7"), other.find("later")), (vec![1], Known::Unknown));
}

#[test]
fn without_a_place_for_the_index_the_newest_records_are_found_all_the_same() {
    let mut chain = Chain::new();
    chain.commit(&["old"]);
    // A file where the folder should be.
    std::fs::write(chain.dir.path().join("index"), "").unwrap();
    chain.receipts = Receipts::open(chain.log.reader(), Some(chain.index())).unwrap();
    let waiting = chain.receipts.wait_for(TxHash::of(b"new"));
    let block = chain.commit(&["new"]);
    chain.receipts.take(&block);
    decided(waiting);
    assert_eq!((chain.places("old"), chain.places("new")), (vec![0], vec![1]));
}

#[test]
fn what_look_ups_lack_without_an_index_and_why_it_cannot_be_kept_is_known() {
    let (mut chain, count) = long_chain();
    // A file where the folder should be.
    let folder = chain.dir.path().join("index");
    std::fs::write(&folder, "").unwrap();
    chain.receipts = Receipts::open(chain.log.reader(), Some(chain.index())).unwrap();
    let until = |chain: &Chain, is: &dyn Fn(&Coverage) -> bool| {
        let began = Instant::now();
        while !is(&chain.receipts.coverage()) {
            assert!(began.elapsed() < Duration::from_secs(120), "{:?}", chain.receipts.coverage());
            thread::sleep(Duration::from_millis(5));
        }
        chain.receipts.coverage()
    };
    let found = until(&chain, &|found| found.trouble.is_some());
    assert_eq!((found.complete, found.indexed, found.count), (false, 0, count));
    let why = found.trouble.unwrap();
    assert!(why.contains("index/receipts.redb: "), "{why}");
    std::fs::remove_file(&folder).unwrap();
    chain.receipts = Receipts::open(chain.log.reader(), Some(chain.index())).unwrap();
    let found = until(&chain, &|found| found.indexed == count);
    assert_eq!((found.complete, found.trouble), (true, None));
}

#[test]
fn a_block_that_has_not_been_taken_yet_is_found_in_the_log() {
    let mut chain = Chain::new();
    chain.commit(&["a"]);
    assert_eq!((chain.places("a"), chain.find("b")), (vec![0], Known::Unknown));
}

#[test]
fn an_index_that_is_open_and_not_yet_built_has_no_trouble_any_more() {
    let (chain, _) = long_chain();
    let shared = &chain.receipts.shared;
    shared.set_trouble(Some("the disk is full".to_owned()));
    // So the thread opens the index, and ends before it has it built.
    shared.signal.stop();
    keep::keep(shared, &chain.index());
    assert_eq!(chain.receipts.coverage().trouble, None);
}
