//! The log against a model: a `Vec` of bytes, a list of records, and definitions that are slow and obviously right.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use dseq::sequence::{
    Chain, CommitError, ENTRIES_READ_MAX, ENTRY_BYTES, Entry, HashedRecord, Head, Log, OpenError, ReadError,
    Receipt, Staged, Staging, committed_length,
};
use dseq::types::{AppHash, Height, Offset, PipelineId, RecordHash, TxHash};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

/// What the log should hold.
#[derive(Default)]
struct Model {
    bytes: Vec<u8>,
    leaves: Vec<Vec<u8>>,
    records: Vec<(Receipt, TxHash)>,
    height: u64,
}

impl Model {
    fn push(&mut self, tx_hash: TxHash, record: &[u8]) -> Receipt {
        let receipt = Receipt {
            height: Height(self.height),
            index: self.records.len() as u64,
            offset: Offset(self.bytes.len() as u64),
            length: record.len() as u64,
        };
        let mut leaf = Vec::new();
        for field in [receipt.offset.0, receipt.length, receipt.height.0] {
            leaf.extend_from_slice(&field.to_le_bytes());
        }
        leaf.extend_from_slice(&tx_hash.0);
        leaf.extend_from_slice(blake3::hash(record).as_bytes());
        self.leaves.push(leaf);
        self.records.push((receipt, tx_hash));
        self.bytes.extend_from_slice(record);
        receipt
    }

    fn assert_is(&self, head: &Head) {
        assert_eq!(head.height().0, self.height);
        assert_eq!(head.length(), self.bytes.len() as u64);
        assert_eq!(head.count(), self.records.len() as u64);
        assert_eq!(&head.sequence_root().0, blake3::hash(&self.bytes).as_bytes());
        assert_eq!(head.records_root().0, merkle_tree_hash(&self.leaves));
    }
}

/// RFC 6962, section 2.1, as it is written there.
fn merkle_tree_hash(leaves: &[Vec<u8>]) -> [u8; 32] {
    match leaves {
        [] => Sha256::digest([]).into(),
        [leaf] => Sha256::new().chain_update([0]).chain_update(leaf).finalize().into(),
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            let inner = Sha256::new().chain_update([1]).chain_update(merkle_tree_hash(left));
            inner.chain_update(merkle_tree_hash(right)).finalize().into()
        }
    }
}

fn app_hash_for(height: u64) -> AppHash {
    AppHash(*blake3::hash(&height.to_le_bytes()).as_bytes())
}

fn stage(log: &Log, height: u64, records: &[&[u8]]) -> Staged {
    let mut staging = Staging::begin(log.head(), Height(height));
    for record in records {
        staging.push(TxHash::of(record), &HashedRecord::of(record.to_vec())).unwrap();
    }
    staging.finish()
}

fn commit(log: &mut Log, height: u64, records: &[&[u8]]) {
    let staged = stage(log, height, records);
    log.commit(&staged, app_hash_for(height), PipelineId::default()).unwrap();
}

/// A log of two blocks, closed.
fn two_blocks(dir: &Path) {
    let mut log = Log::open(dir).unwrap();
    init(&mut log);
    commit(&mut log, 1, &[b"first block"]);
    commit(&mut log, 2, &[b"second", b" block"]);
}

fn init(log: &mut Log) {
    let pipeline = dseq::plugin::PipelineSpec {
        engine: dseq::types::EngineId::default(),
        limits: dseq::plugin::Limits::default(),
        plugins: Vec::new(),
    };
    log.init_chain(Chain { chain_id: "model".to_owned(), initial_height: Height(1), pipeline }).unwrap();
}

#[derive(Clone, Debug)]
enum Step {
    Block(Vec<Vec<u8>>),
    /// Staged and never committed, as in a round that fails.
    Abandoned(Vec<Vec<u8>>),
    Reopen,
    /// As a crash leaves it: bytes behind the committed length.
    ReopenAfterTornAppend {
        sequence: Vec<u8>,
        records: Vec<u8>,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = |max| proptest::collection::vec(any::<u8>(), 1..max);
    let block = move || proptest::collection::vec(prop_oneof![4 => bytes(40), 1 => bytes(5000)], 0..6);
    let step = prop_oneof![
        6 => block().prop_map(Step::Block),
        1 => block().prop_map(Step::Abandoned),
        1 => Just(Step::Reopen),
        1 => (bytes(300), bytes(300))
            .prop_map(|(sequence, records)| Step::ReopenAfterTornAppend { sequence, records }),
    ];
    proptest::collection::vec(step, 1..20)
}

fn append_garbage(path: &Path, garbage: &[u8]) {
    let mut bytes = fs::read(path).unwrap();
    bytes.extend_from_slice(garbage);
    fs::write(path, bytes).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_history_gives_the_bytes_offsets_and_roots_of_the_model(steps in steps()) {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("sequence");
        let mut model = Model::default();
        let mut log = Some(Log::open(&dir).unwrap());
        init(log.as_mut().unwrap());
        for step in steps {
            let open = log.as_mut().unwrap();
            match step {
                Step::Block(records) => {
                    model.height += 1;
                    let mut staging = Staging::begin(open.head(), Height(model.height));
                    for record in &records {
                        let expected = model.push(TxHash::of(record), record);
                        prop_assert_eq!(staging.push(TxHash::of(record), &HashedRecord::of(record.to_vec())).unwrap(), expected);
                    }
                    let staged = staging.finish();
                    model.assert_is(staged.head());
                    open.commit(&staged, app_hash_for(model.height), PipelineId::default()).unwrap();
                }
                Step::Abandoned(records) => {
                    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
                    let _ = stage(open, model.height + 1, &records);
                }
                Step::Reopen => {
                    drop(log.take());
                    log = Some(Log::open(&dir).unwrap());
                }
                Step::ReopenAfterTornAppend { sequence, records } => {
                    drop(log.take());
                    append_garbage(&dir.join("sequence.bin"), &sequence);
                    append_garbage(&dir.join("records"), &records);
                    log = Some(Log::open(&dir).unwrap());
                }
            }
            let open = log.as_ref().unwrap();
            model.assert_is(open.head());
            let expected = if model.height == 0 { AppHash::default() } else { app_hash_for(model.height) };
            prop_assert_eq!(open.app_hash(), expected);
            prop_assert_eq!(committed_length(&dir).unwrap(), model.bytes.len() as u64);
            prop_assert_eq!(&fs::read(dir.join("sequence.bin")).unwrap(), &model.bytes);
        }
        readers_agree(&log.unwrap(), &model);
    }
}

fn readers_agree(log: &Log, model: &Model) {
    let reader = log.reader();
    for (receipt, tx_hash) in &model.records {
        let entry = reader.entry(receipt.index).unwrap();
        assert_eq!(
            (entry.offset, entry.length, entry.height),
            (receipt.offset, receipt.length, receipt.height)
        );
        assert_eq!(entry.tx_hash, *tx_hash);
        let mut bytes = vec![0; usize::try_from(entry.length).unwrap()];
        assert_eq!(reader.read(entry.offset.0, &mut bytes).unwrap(), bytes.len());
        assert_eq!(entry.record_hash, RecordHash::of(&bytes));
        for offset in [entry.offset.0, entry.end().unwrap() - 1] {
            assert_eq!(reader.entry_at(offset).unwrap(), (receipt.index, entry));
        }
    }
    let (length, count) = (model.bytes.len() as u64, model.records.len() as u64);
    for start in 0..=count {
        let one_by_one: Vec<Entry> = (start..count).map(|index| reader.entry(index).unwrap()).collect();
        assert_eq!(reader.entries(start..u64::MAX).unwrap(), one_by_one);
        let two = one_by_one.len().min(2);
        assert_eq!(reader.entries(start..start + 2).unwrap(), one_by_one[..two]);
    }
    assert!(matches!(reader.entries(count + 1..count + 2), Err(ReadError::NoSuchRecord { .. })));
    assert!(matches!(reader.entry(count), Err(ReadError::NoSuchRecord { .. })));
    assert!(matches!(reader.entry_at(length), Err(ReadError::NoSuchOffset { .. })));
    assert_eq!(reader.read(length, &mut [0; 8]).unwrap(), 0);
    assert!(matches!(reader.read(length + 1, &mut [0; 8]), Err(ReadError::NoSuchOffset { .. })));
}

#[test]
fn readers_see_a_block_only_once_it_is_committed() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path()).unwrap();
    let reader = log.reader();
    let staged = stage(&log, 1, &[b"abc"]);
    assert_eq!(reader.committed().head.length(), 0);
    log.commit(&staged, AppHash::default(), PipelineId::default()).unwrap();
    assert_eq!(reader.committed().head.length(), 3);
}

#[test]
fn a_range_of_entries_is_read_a_bounded_number_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path()).unwrap();
    let records = vec![&b"x"[..]; ENTRIES_READ_MAX + 10];
    commit(&mut log, 1, &records);
    let reader = log.reader();
    let first = reader.entries(0..u64::MAX).unwrap();
    assert_eq!((first.len(), first[0].offset.0), (ENTRIES_READ_MAX, 0));
    let next = first.len() as u64;
    let rest = reader.entries(next..u64::MAX).unwrap();
    assert_eq!((rest.len(), rest[0].offset.0), (10, next));
    let backwards = std::ops::Range { start: 5, end: 3 };
    assert!(reader.entries(backwards).unwrap().is_empty());
}

/// How long a test waits for what must happen. It only turns a hang into a failure.
const WATCHDOG: Duration = Duration::from_secs(60);

fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> mpsc::Receiver<T> {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    is_done
}

#[test]
fn whoever_waits_for_a_commit_wakes_up_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path()).unwrap();
    let reader = log.reader();
    let longer = on_a_thread(move || reader.wait_beyond_length(3, Duration::MAX).head.clone());
    let reader = log.reader();
    let later = on_a_thread(move || reader.wait_beyond_height(Height(0), Duration::MAX).head.height());
    commit(&mut log, 1, &[b"abc"]);
    assert!(later.recv_timeout(WATCHDOG).unwrap() >= Height(1));
    commit(&mut log, 2, &[]);
    commit(&mut log, 3, &[b"d"]);
    let head = longer.recv_timeout(WATCHDOG).unwrap();
    assert_eq!((head.height(), head.length()), (Height(3), 4), "neither 3 bytes nor an empty block are more");
    let reader = log.reader();
    assert_eq!(reader.wait_beyond_length(3, Duration::ZERO).head.length(), 4, "it is there already");
    assert_eq!(reader.wait_beyond_height(Height(3), Duration::ZERO).head.height(), Height(3), "out of time");
}

#[test]
fn one_waiting_thread_serves_ten_thousand_followers_that_no_commit_waits_for() {
    const BLOCKS: u64 = 5;
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path()).unwrap();
    let reader = log.reader();
    let (tell, heard) = tokio::sync::watch::channel(reader.committed());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let follow = |_| {
        let mut heard = heard.clone();
        runtime.spawn(async move {
            heard.wait_for(|committed| committed.head.height() == Height(BLOCKS)).await.unwrap().head.length()
        })
    };
    let followers: Vec<_> = (0..10_000).map(follow).collect();
    let bridge = on_a_thread(move || {
        let mut seen = reader.committed();
        while seen.head.height() < Height(BLOCKS) {
            seen = reader.wait_beyond_height(seen.head.height(), Duration::MAX);
            tell.send_replace(seen.clone());
        }
    });
    // Nothing drives the runtime yet: no follower moves, and every commit returns.
    (1..=BLOCKS).for_each(|height| commit(&mut log, height, &[b"block"]));
    bridge.recv_timeout(WATCHDOG).unwrap();
    for follower in followers {
        assert_eq!(runtime.block_on(follower).unwrap(), 5 * BLOCKS);
    }
}

#[test]
fn a_block_staged_on_an_older_head_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(dir.path()).unwrap();
    let stale = stage(&log, 1, &[b"abc"]);
    commit(&mut log, 1, &[b"xyz"]);
    let refused = log.commit(&stale, AppHash::default(), PipelineId::default());
    assert!(matches!(refused, Err(CommitError::StaleBase { height: 1, .. })), "{refused:?}");
    assert_eq!(fs::read(dir.path().join("sequence.bin")).unwrap(), b"xyz");
    commit(&mut log, 2, &[b"!"]);
}

#[test]
fn a_second_writer_is_refused_and_told_who_holds_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path()).unwrap();
    let message = Log::open(dir.path()).unwrap_err().to_string();
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    drop(log);
    Log::open(dir.path()).unwrap();
}

#[test]
fn a_torn_commit_record_falls_back_to_the_block_before() {
    let dir = tempfile::tempdir().unwrap();
    two_blocks(dir.path());
    // The log starts in the first slot, so block 1 is in the second and block 2 in the first again.
    let mut slots = fs::read(dir.path().join("commit")).unwrap();
    slots[100] ^= 1;
    fs::write(dir.path().join("commit"), slots).unwrap();
    let log = Log::open(dir.path()).unwrap();
    assert_eq!((log.head().height().0, log.head().length()), (1, 11));
    assert_eq!(fs::read(dir.path().join("sequence.bin")).unwrap(), b"first block");
}

#[test]
fn a_shorter_file_is_refused_with_both_lengths_and_left_alone() {
    for (name, bytes) in [("sequence.bin", 22), ("records", 2 * ENTRY_BYTES)] {
        let dir = tempfile::tempdir().unwrap();
        two_blocks(dir.path());
        let path = dir.path().join(name);
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(bytes).unwrap();
        let message = Log::open(dir.path()).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains(&format!("has {bytes} bytes")), "{message}");
        assert_eq!(file.metadata().unwrap().len(), bytes);
    }
}

#[test]
fn a_log_that_is_refused_is_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    two_blocks(dir.path());
    append_garbage(&dir.path().join("sequence.bin"), b"torn append");
    let records = fs::OpenOptions::new().write(true).open(dir.path().join("records")).unwrap();
    records.set_len(2 * ENTRY_BYTES).unwrap();
    let contents = |name| fs::read(dir.path().join(name)).unwrap();
    let before = ["sequence.bin", "records", "commit", "chain"].map(contents);
    assert!(matches!(Log::open(dir.path()), Err(OpenError::DataLost { .. })));
    assert_eq!(["sequence.bin", "records", "commit", "chain"].map(contents), before);
    fs::remove_file(dir.path().join("sequence.bin")).unwrap();
    assert!(matches!(Log::open(dir.path()), Err(OpenError::DataLost { .. })));
    assert!(!dir.path().join("sequence.bin").exists(), "a missing file is not made anew");
}

#[test]
fn a_record_damaged_on_disk_is_not_handed_out() {
    let dir = tempfile::tempdir().unwrap();
    two_blocks(dir.path());
    let log = Log::open(dir.path()).unwrap();
    assert_eq!(log.reader().record(0).unwrap().1, b"first block");
    let mut records = fs::read(dir.path().join("records")).unwrap();
    for (at, byte) in [(15, 0x80), (8, 5), (56, 0)] {
        let good = std::mem::replace(&mut records[at], byte);
        fs::write(dir.path().join("records"), &records).unwrap();
        let refused = log.reader().record(0);
        assert!(matches!(refused, Err(ReadError::Damaged { index: 0 })), "byte {at}: {refused:?}");
        records[at] = good;
    }
    fs::write(dir.path().join("records"), &records).unwrap();
    assert_eq!(log.reader().record(2).unwrap().1, b" block");
}

#[test]
fn damage_in_the_last_block_is_refused() {
    // Of the entries: an offset, a transaction hash, a record hash.
    for (name, at) in
        [("sequence.bin", 11), ("sequence.bin", 22), ("records", 88), ("records", 88 + 30), ("records", 263)]
    {
        let dir = tempfile::tempdir().unwrap();
        two_blocks(dir.path());
        let path = dir.path().join(name);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] ^= 0x80;
        fs::write(&path, bytes).unwrap();
        let refused = Log::open(dir.path());
        assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{name} at {at}: {refused:?}");
    }
}

#[test]
fn missing_files_are_refused_each_by_its_name() {
    type Refused = fn(&OpenError) -> bool;
    let cases: [(&str, Refused); 4] = [
        ("commit", |e| matches!(e, OpenError::CommitFileMissing { .. })),
        ("sequence.bin", |e| matches!(e, OpenError::DataLost { .. })),
        ("records", |e| matches!(e, OpenError::DataLost { .. })),
        ("chain", |e| matches!(e, OpenError::ChainMissing { .. })),
    ];
    for (name, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        two_blocks(dir.path());
        fs::remove_file(dir.path().join(name)).unwrap();
        let refused = Log::open(dir.path()).unwrap_err();
        assert!(expected(&refused), "{name}: {refused}");
    }
}

#[test]
fn a_commit_file_of_garbage_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    two_blocks(dir.path());
    for garbage in [vec![], vec![0xff; 16384], vec![0; 20000]] {
        fs::write(dir.path().join("commit"), garbage).unwrap();
        let refused = Log::open(dir.path());
        assert!(matches!(refused, Err(OpenError::NoWholeSlot { .. })), "{refused:?}");
        assert!(matches!(committed_length(dir.path()), Err(OpenError::NoWholeSlot { .. })));
    }
}

#[test]
fn an_empty_folder_has_no_committed_length() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(committed_length(dir.path()), Err(OpenError::NoLog { .. })));
}
