//! No memory is left behind: not by transactions, not by plugins that come and go.
//!
//! Measured in a process of its own, so that no other test disturbs it: the test starts this very program again, for the
//! one ignored test that does the work.

use std::process::Command;

use dseq::plugin::{Limits, Pipeline, on_large_stack};

use super::suite::{self, Hostile};
use super::{admit, run, txs};

/// Repetitions of each module's transactions.
const REPETITIONS: usize = 10_000;

/// How often each short module, refused or not, is taken in and dropped again.
const ADMISSIONS: usize = 10;

/// What memory may grow by between the first repetitions and the last, in KiB: some 16 bytes for each, when allocators
/// keep a little by themselves.
const GROWTH_KIB_MAX: u64 = 16 << 10;

#[test]
fn ten_thousand_repetitions_leave_no_memory_behind() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "left_behind::in_a_process_of_its_own", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
}

#[test]
#[ignore = "started by the test above"]
fn in_a_process_of_its_own() {
    let all = suite::all();
    // Little fuel, so that the endless ones end soon.
    let limits = Limits { fuel_max: 50_000, ..Limits::default() };
    let admitted = |hostile: &Hostile| admit(&hostile.wasm, limits).ok();
    let pipelines: Vec<(&Hostile, Pipeline)> =
        all.iter().filter_map(|hostile| admitted(hostile).map(|pipeline| (hostile, pipeline))).collect();
    assert_grows_little("transactions", REPETITIONS, |repetition| {
        for (hostile, pipeline) in &pipelines {
            let txs = txs(hostile);
            run(pipeline, &txs[repetition % txs.len()].0);
        }
    });
    drop(pipelines);
    assert_grows_little("admissions", ADMISSIONS, |_| {
        all.iter().filter(|hostile| hostile.wasm.len() < 1_000).map(admitted).for_each(drop);
    });
}

/// Measures after a tenth of the repetitions and after so many more.
fn assert_grows_little(what: &str, repetitions: usize, work: impl Fn(usize) + Sync) {
    let repeat = |times| on_large_stack(|| (0..times).for_each(&work)).unwrap();
    repeat(repetitions.div_ceil(10));
    let before = resident_kib();
    repeat(repetitions);
    let after = resident_kib();
    println!("{repetitions} repetitions of all {what}: {before} KiB before, {after} KiB after");
    assert!(after <= before + GROWTH_KIB_MAX, "{before} KiB became {after} KiB by {what}");
}

/// Memory of this process that is backed by anything now, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
