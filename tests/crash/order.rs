//! The order of writes, syncs and answers: what a power cut may leave, where a kill cannot tell.
//!
//! # Invariants
//!
//! 1. At an answer, nothing written is unsynced, and no name made is unsynced in its folder.
//! 2. A commit record is written when the data it speaks of is synced, never over the record before it.
//! 3. A file is renamed into place when what is in it is synced.
//! 4. A start syncs the folders, whoever made the names in them: their maker may have been killed before it did.

use std::collections::BTreeSet;
use std::path::Path;

use super::process::{Place, Process};
use super::scenario::{Golden, Which};
use super::strace::{self, ANSWER, Call};
use super::support::consensus::Progress;

/// What is not yet certain to survive a power cut.
#[derive(Default)]
struct Volatile {
    /// Files with unsynced content.
    content: BTreeSet<String>,
    /// Names unsynced in their folders.
    names: BTreeSet<String>,
    /// Every file there is.
    present: BTreeSet<String>,
    /// Where the last commit record was written.
    slot: Option<u64>,
    /// Commit records, renames and answers that were looked at.
    checked: usize,
}

impl Volatile {
    /// The first of the invariants that the calls break, or how much there was to check.
    fn check(calls: &[Call], place: &Place, present: BTreeSet<String>) -> Result<usize, String> {
        let mut volatile = Self { present, ..Self::default() };
        // Invariant 4: until a folder is synced, its names are not.
        volatile.names.extend(["sequence".to_owned(), "sequence/commit".to_owned()]);
        for call in calls.iter().filter(|call| !call.failed()) {
            volatile.step(call, &place.home).map_err(|broken| format!("{broken} at {}", call.line))?;
        }
        Ok(volatile.checked)
    }

    fn step(&mut self, call: &Call, home: &Path) -> Result<(), String> {
        if call.target == ANSWER {
            return self.answer();
        }
        if !call.is_in_home() || call.target == "sequence/LOCK" || call.target.starts_with("run") {
            return Ok(());
        }
        let target = call.target.clone();
        match call.syscall.as_str() {
            "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" | "ftruncate" | "fallocate" => {
                if target == "sequence/commit" {
                    self.commit_record(call)?;
                }
                self.content.insert(target);
            }
            "fsync" | "fdatasync" => {
                self.content.remove(&target);
                self.names.retain(|name| folder(name) != target);
            }
            name if name.starts_with("mkdir") || (call.creates() && !self.present.contains(&target)) => {
                self.names.insert(target.clone());
                self.present.insert(target);
            }
            name if name.starts_with("rename") => self.rename(call, home)?,
            _ => {}
        }
        Ok(())
    }

    fn answer(&mut self) -> Result<(), String> {
        self.checked += 1;
        if self.content.is_empty() && self.names.is_empty() {
            return Ok(());
        }
        Err(format!("answered with unsynced content {:?} and unsynced names {:?}", self.content, self.names))
    }

    fn commit_record(&mut self, call: &Call) -> Result<(), String> {
        self.checked += 1;
        let data = ["sequence/sequence.bin", "sequence/records"];
        if let Some(file) = data.iter().find(|file| self.content.contains(**file)) {
            return Err(format!("commit record before its data in {file}"));
        }
        // A start writes the newest record again where it is; from then on they alternate.
        let slot = call.last_number();
        if self.slot.is_some() && self.slot == slot {
            return Err("commit record over the one before it".to_owned());
        }
        self.slot = slot;
        Ok(())
    }

    fn rename(&mut self, call: &Call, home: &Path) -> Result<(), String> {
        self.checked += 1;
        let destination = call.destination(home).expect("a rename has two paths");
        if self.content.contains(&call.target) {
            return Err("renamed before it was synced".to_owned());
        }
        self.names.remove(&call.target);
        self.present.remove(&call.target);
        self.names.insert(destination.clone());
        self.present.insert(destination);
        Ok(())
    }
}

/// The folder a name is in.
fn folder(name: &str) -> &str {
    name.rsplit_once('/').map_or(".", |(folder, _)| folder)
}

/// All calls of one life, and the files it found.
fn traced(which: Which) -> (Place, BTreeSet<String>, Vec<Call>) {
    let place = which.place();
    let mut present = BTreeSet::new();
    for dir in ["sequence", "plugins"] {
        for file in std::fs::read_dir(place.home.join(dir)).into_iter().flatten().map(Result::unwrap) {
            present.insert(format!("{dir}/{}", file.file_name().to_str().unwrap()));
        }
    }
    let mut process = Process::start_traced(&place, None);
    let mut client = process.connect().unwrap();
    Golden::get().chain.try_follow(&mut client, which.height(), &mut Progress::default()).unwrap();
    drop(client);
    process.terminate();
    let ended = process.ended();
    assert!(ended.status.success(), "{ended:?}");
    (place, present, ended.calls)
}

#[test]
fn whatever_an_answer_promises_was_synced_before_it() {
    if strace::is_skipped() {
        return;
    }
    // Answers to Info, InitChain and each block's two; a commit record at the start and for each block; renames of the
    // commit file, the plugin and the rules.
    for (which, checked) in [(Which::First, 10 + 5 + 3), (Which::Second, 7 + 4)] {
        let (place, present, calls) = traced(which);
        assert_eq!(Volatile::check(&calls, &place, present), Ok(checked), "{which:?} life");
    }
}

#[test]
fn the_check_of_the_order_notices_every_sync_that_is_left_out() {
    if strace::is_skipped() {
        return;
    }
    let (place, present, calls) = traced(Which::First);
    assert!(Volatile::check(&calls, &place, present.clone()).is_ok());
    let first_answer = calls.iter().position(|call| call.target == ANSWER).expect("Info is answered");
    let syncs = |call: &Call| call.syscall.contains("sync") && call.is_in_home();
    let syncs: Vec<usize> = (first_answer..calls.len()).filter(|at| syncs(&calls[*at])).collect();
    // The plugin and its folders, the rules and their folder, then three syncs for a block with records and one without.
    assert!(syncs.len() > 4 + 3 * 3, "{}", syncs.len());
    for left_out in syncs {
        let mut fewer = calls.clone();
        let sync = fewer.remove(left_out);
        assert!(Volatile::check(&fewer, &place, present.clone()).is_err(), "not noticed: {}", sync.line);
    }
}

#[test]
fn the_check_of_the_order_notices_a_commit_record_that_comes_too_early_or_to_the_wrong_slot() {
    if strace::is_skipped() {
        return;
    }
    let (place, present, calls) = traced(Which::First);
    let records: Vec<usize> = (0..calls.len())
        .filter(|at| calls[*at].syscall == "pwrite64" && calls[*at].target == "sequence/commit")
        .collect();
    // Before the sync of the second data file. Calls of other threads may stand between the two.
    let is_sync = |at: &usize| calls[*at].syscall.contains("sync") && calls[*at].is_in_home();
    let sync = (0..records[1]).rfind(is_sync).expect("data is synced");
    let mut early = calls.clone();
    early.swap(records[1], sync);
    let broken = Volatile::check(&early, &place, present.clone()).unwrap_err();
    assert!(broken.contains("commit record before its data"), "{broken}");
    let mut same_slot = calls.clone();
    same_slot[records[2]].line = calls[records[1]].line.clone();
    let broken = Volatile::check(&same_slot, &place, present).unwrap_err();
    assert!(broken.contains("over the one before it"), "{broken}");
}
