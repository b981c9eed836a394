//! ENOSPC and EIO at every call on the log's and the plugins' files.

use tendermint_proto::v0_38::abci::{
    RequestCommit, RequestFinalizeBlock, request::Value as Ask, response::Value as Answer,
};

use super::process::{Ended, Life, Place, Process, Watched};
use super::scenario::{Golden, Which, each};
use super::strace::{self, Call, Fault, Point};
use super::support::client::frame;
use super::support::consensus::Progress;

/// Each error, what the system calls it, and what a node must tell its owner to do.
const ERRORS: [(&str, &str, &str); 2] = [
    ("ENOSPC", "No space left on device", "free some space, then start again"),
    ("EIO", "Input/output error", "check the disk and the permissions of that path, then start again"),
];

/// The one failure that a node lives with: the pid in the lock file is for people, and the lock does not depend on it.
fn is_harmless(call: &Call) -> bool {
    call.target == "sequence/LOCK" && ["ftruncate", "write"].contains(&call.syscall.as_str())
}

/// Whether the call only reads: a full disk is no reason for it to fail.
fn reads(call: &Call) -> bool {
    call.syscall == "pread64" || (call.syscall.starts_with("open") && !call.creates())
}

#[test]
fn when_any_call_fails_the_node_says_so_stops_without_an_answer_and_recovers_unaided() {
    if strace::is_skipped() {
        return;
    }
    let mut jobs = Vec::new();
    for (which, watched) in Which::STRETCHES {
        let untroubled = which.live(&which.place(), watched, None);
        let points = strace::points(&untroubled.ended.calls, Call::is_in_state);
        strace::say(&format!("{which:?} life, {watched:?}: {} calls to fail", points.len()));
        assert!(points.len() > 10, "a node that starts or serves uses its files");
        for point in points {
            let errors = &ERRORS[usize::from(reads(&point.call))..];
            jobs.extend(errors.iter().map(|error| (which, watched, point.clone(), error)));
        }
    }
    let harmless = jobs.iter().filter(|job| is_harmless(&job.2.call)).count();
    assert!(harmless * 5 < jobs.len(), "{harmless} of {} failures count as harmless", jobs.len());
    each(&jobs, |(which, watched, point, (errno, cause, remedy))| {
        let place = which.place();
        let life = which.live(&place, *watched, Some((point, Fault::Error(errno))));
        let after = format!("{which:?} life, {watched:?}, {errno} for {point}");
        let injected = life.ended.calls.iter().filter(|call| call.line.ends_with("(INJECTED)"));
        let [injected] = injected.collect::<Vec<_>>()[..] else { panic!("{after}: not met once") };
        if is_harmless(&point.call) {
            assert!(life.ended.status.success(), "{after}: {:?}", life.ended);
        } else {
            assert_stopped(*which, &life, point, &after);
            let destination = injected.destination(&place.home).unwrap_or(injected.target.clone());
            let names = [&injected.target, &destination].map(|name| strace::absolute(name, &place.home));
            let words = &life.ended.words;
            assert!(names.iter().any(|name| words.contains(&*name.to_string_lossy())), "{after}: {words}");
            assert!(words.contains(cause) && words.contains(remedy), "{after}: {words}");
        }
        Golden::get().assert_recovers(&place, life.progress, &after);
    });
}

/// The node has ended by itself, as something that may pass, and has answered nothing after the failure.
fn assert_stopped(which: Which, life: &Life, point: &Point, after: &str) {
    assert_eq!(life.ended.status.code(), Some(1), "{after}: {:?}", life.ended);
    // Info, in the first life InitChain, then FinalizeBlock and Commit of each block.
    let before_blocks = if which == Which::First { 2 } else { 1 };
    let commits = point.answers_before.saturating_sub(before_blocks) / 2;
    let answered = which.progress().answered + i64::try_from(commits).unwrap();
    assert_eq!(life.progress.answered, answered, "{after}: it went on to answer");
}

/// The first life with a failing call in the commit of block 3; more blocks are sent at once and on a second connection.
fn poisoned(point: &Point) -> (Progress, Vec<Answer>, Ended, Place) {
    let golden = Golden::get();
    let place = Which::First.place();
    let mut process = Process::start(&place);
    let (mut client, mut other) = (process.connect().unwrap(), process.connect().unwrap());
    assert_eq!(other.echo("there"), "there", "the second connection is served");
    let mut progress = Progress::default();
    process.attach(Some((point, Fault::Error("EIO"))));
    golden.chain.try_follow(&mut client, 2, &mut progress).unwrap();
    let (third, fourth) = (&golden.chain.blocks[2].txs, &golden.chain.blocks[3].txs);
    let finalize =
        |txs: &Vec<_>, height| RequestFinalizeBlock { txs: txs.clone(), height, ..Default::default() };
    // A node that took its failed commit for done, or tried it again, would answer some of these Commits.
    for (txs, height) in [(third, 3), (third, 3), (fourth, 4)] {
        for request in [Ask::FinalizeBlock(finalize(txs, height)), Ask::Commit(RequestCommit {})] {
            // The node may be gone already.
            let _ = client.try_send_raw(&frame(request));
        }
    }
    progress.sent = 3;
    let answers = client.receive_to_end();
    assert!(other.try_call(Ask::Commit(RequestCommit {})).is_err(), "the other connection was answered");
    (progress, answers, process.ended(), place)
}

#[test]
fn after_a_failed_sync_a_node_takes_no_further_commit() {
    if strace::is_skipped() {
        return;
    }
    let untroubled = Which::First.live(&Which::First.place(), Watched::Serving, None);
    let commits = |call: &Call| call.syscall == "fdatasync" && call.is_in_state();
    let points = strace::points(&untroubled.ended.calls, commits);
    // Block 1: two data files and the commit record; block 2: the commit record; then block 3.
    let third = &points[4..7];
    let targets: Vec<&str> = third.iter().map(|point| point.call.target.as_str()).collect();
    assert_eq!(targets, ["sequence/sequence.bin", "sequence/records", "sequence/commit"]);
    for point in third {
        let (progress, answers, ended, place) = poisoned(point);
        assert!(
            matches!(&answers[..], [] | [Answer::FinalizeBlock(_)]),
            "{answers:?} after a failing {point}, {ended:?}"
        );
        assert_eq!(ended.status.code(), Some(1), "{point}: {ended:?}");
        Golden::get().assert_recovers(&place, progress, &format!("poisoned by {point}"));
    }
}
