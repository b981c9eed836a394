//! SIGKILL at every call, and once more during every recovery from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock};

use rustix::process::Signal;

use super::process::{Life, Place, Watched, live};
use super::scenario::{Golden, Which, each, further};
use super::strace::{self, Call, Fault, Point};
use super::support::consensus::Progress;

/// What a crash left: a home, and what consensus knows.
struct Crashed {
    place: Place,
    progress: Progress,
    after: String,
}

/// Calls at which a kill makes a difference.
fn matters(call: &Call) -> bool {
    (call.is_in_home() || call.target == strace::ANSWER) && call.syscall != "pread64"
}

/// The run killed at each of its calls, from the same beginnings every time.
fn crashes() -> &'static [Crashed] {
    static CRASHES: OnceLock<Vec<Crashed>> = OnceLock::new();
    CRASHES.get_or_init(|| {
        let stretches = Which::STRETCHES.into_iter().map(|(which, watched)| {
            let untroubled = which.live(&which.place(), watched, None);
            assert!(untroubled.ended.status.success(), "{untroubled:?}", untroubled = untroubled.ended);
            let points = strace::points(&untroubled.ended.calls, matters);
            strace::say(&format!("{which:?} life, {watched:?}: {} calls to be killed at", points.len()));
            points.into_iter().map(move |point| (which, watched, point)).collect::<Vec<_>>()
        });
        let jobs: Vec<_> = stretches.collect::<Vec<_>>().concat();
        assert_covers_the_design(&jobs);
        let crashed = Mutex::new(Vec::new());
        each(&jobs, |(which, watched, point)| {
            let after = format!("{which:?} life, {watched:?}, killed at {point}");
            let (place, life) = killed_at(point, &after, |point| {
                let place = which.place();
                let life = which.live(&place, *watched, Some((point, Fault::Kill)));
                (place, life)
            });
            crashed.lock().unwrap().push(Crashed { place, progress: life.progress, after });
        });
        crashed.into_inner().unwrap()
    })
}

/// What a life leaves that is killed at this point, or at one beside it if the call is there this time.
fn killed_at(point: &Point, after: &str, live: impl Fn(&Point) -> (Place, Life)) -> (Place, Life) {
    let mut missed = Vec::new();
    for point in strace::about(point) {
        let (place, life) = live(&point);
        let was_killed = life.ended.was_killed_by(Signal::KILL);
        if was_killed && strace::is_met(&life.ended.calls, &point) {
            return (place, life);
        }
        assert!(was_killed || life.ended.status.success(), "{after}: {:?}", life.ended);
        missed.push(point.to_string());
    }
    panic!("{after}: not met at any of {missed:?}");
}

/// A test that kills nowhere would pass: each kind of call that the design needs must be among the points.
fn assert_covers_the_design(jobs: &[(Which, Watched, Point)]) {
    let count = |which, watched, syscall: &str, target: &str| {
        let is = |job: &&(Which, Watched, Point)| {
            let call = &job.2.call;
            job.0 == which && job.1 == watched && call.syscall.starts_with(syscall) && call.target == target
        };
        jobs.iter().filter(is).count()
    };
    use {Watched::*, Which::*};
    // Four blocks, three of them with records, then three with two: each writes and syncs what it has.
    for (which, blocks, with_records) in [(First, 4, 3), (Second, 3, 2)] {
        for syscall in ["pwrite64", "fdatasync"] {
            assert_eq!(count(which, Serving, syscall, "sequence/commit"), blocks, "{which:?} {syscall}");
            for target in ["sequence/sequence.bin", "sequence/records"] {
                assert_eq!(count(which, Serving, syscall, target), with_records, "{syscall} of {target}");
            }
        }
        assert!(count(which, Serving, "sendto", strace::ANSWER) > 2 * blocks, "Finalize and Commit answered");
    }
    // The commit file, the rules and the plugin are put in place whole; the torn tails are cut off.
    for (watched, temporary) in [(Starting, "sequence/commit.partial"), (Serving, "sequence/chain.partial")] {
        for syscall in ["write", "fsync", "rename"] {
            assert_eq!(count(First, watched, syscall, temporary), 1, "{syscall} of {temporary}");
        }
        assert!(count(First, watched, "fsync", "sequence") >= 1, "the folder of {temporary}");
    }
    assert!(count(First, Serving, "fsync", "plugins") >= 1, "the folder of the plugins");
    for target in ["sequence/sequence.bin", "sequence/records"] {
        assert_eq!(count(Second, Starting, "ftruncate", target), 1, "the torn tail of {target}");
    }
}

/// Lets a node recover, once for each different state: from equal files and equal answers, a recovery is equal.
fn assert_recovers(place: &Place, progress: Progress, after: &str) {
    static SEEN: Mutex<BTreeSet<(Progress, [u8; 32])>> = Mutex::new(BTreeSet::new());
    if SEEN.lock().unwrap().insert((progress, content(place))) {
        Golden::get().assert_recovers(place, progress, after);
    }
}

#[test]
fn killed_at_every_call_of_a_run_the_node_recovers_unaided() {
    if strace::is_skipped() {
        return;
    }
    each(crashes(), |crashed| {
        assert_recovers(&crashed.place.copy(), crashed.progress, &crashed.after);
    });
}

/// The crashes that left different things behind. A recovery begins the same on equal ones.
fn distinct() -> Vec<&'static Crashed> {
    let mut distinct = BTreeMap::new();
    for crashed in crashes() {
        distinct.entry((crashed.progress, content(&crashed.place))).or_insert(crashed);
    }
    distinct.into_values().collect()
}

/// A hash of the names and bytes of everything that must survive; the pid in the lock file is not part of it.
fn content(place: &Place) -> [u8; 32] {
    let mut files = Vec::new();
    for dir in ["sequence", "plugins"] {
        for file in std::fs::read_dir(place.home.join(dir)).into_iter().flatten().map(Result::unwrap) {
            let name = file.file_name().into_string().unwrap();
            let bytes = if name == "LOCK" { Vec::new() } else { std::fs::read(file.path()).unwrap() };
            files.push((format!("{dir}/{name}"), bytes));
        }
    }
    files.sort();
    *blake3::hash(&postcard::to_stdvec(&files).unwrap()).as_bytes()
}

#[test]
fn killed_again_during_the_recovery_from_a_kill_the_node_recovers_unaided() {
    if strace::is_skipped() {
        return;
    }
    let golden = Golden::get();
    let distinct = distinct();
    let jobs = Mutex::new(Vec::new());
    each(&distinct, |crashed| {
        for watched in [Watched::Starting, Watched::Serving] {
            let life = live(&crashed.place.copy(), &golden.chain, recovered(crashed), watched, None);
            assert!(life.ended.status.success(), "recovery after {}: {:?}", crashed.after, life.ended);
            for point in strace::points(&life.ended.calls, matters) {
                jobs.lock().unwrap().push((*crashed, watched, point));
            }
        }
    });
    let jobs = jobs.into_inner().unwrap();
    let (first, second) = (distinct.len(), jobs.len());
    strace::say(&format!(
        "{first} kills leave something different; {second} calls in the recoveries from them"
    ));
    assert!(second > 10 * first, "a recovery writes more");
    each(&jobs, |(crashed, watched, point)| {
        let after = format!("{}; then {watched:?}, killed at {point}", crashed.after);
        let (place, life) = killed_at(point, &after, |point| {
            let place = crashed.place.copy();
            let life = live(&place, &golden.chain, recovered(crashed), *watched, Some((point, Fault::Kill)));
            (place, life)
        });
        assert_recovers(&place, further(crashed.progress, life.progress), &after);
    });
}

/// The height at which a node has recovered: everything that was sent, or the first block.
fn recovered(crashed: &Crashed) -> i64 {
    crashed.progress.sent.max(1)
}
