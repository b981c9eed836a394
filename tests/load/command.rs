//! `dseq load` itself, against the same nodes: its files, its report, and its exit code.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use super::fake::{Deed, Fake};
use super::honest;

/// Exit code, and standard output.
fn dseq_load(fake: &Fake, args: &[&str]) -> (i32, String) {
    let nodes: Vec<String> = fake.nodes.iter().map(ToString::to_string).collect();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dseq"));
    let Output { status, stdout, stderr } =
        command.args(["load", "--node", &nodes.join(",")]).args(args).output().unwrap();
    assert_eq!(String::from_utf8(stderr).unwrap(), "");
    (status.code().unwrap(), String::from_utf8(stdout).unwrap())
}

#[test]
fn a_good_run_is_summed_up_and_its_files_are_written() {
    let fake = Fake::new(2, |_| Deed::Commit, honest);
    let dir = tempfile::tempdir().unwrap();
    let files =
        ["rows.csv", "latency.hgrm", "report.html"].map(|name| dir.path().join(name).display().to_string());
    let [csv, hgrm, html] = &files;
    let args = ["--requests", "40", "--size", "48..300", "--csv", csv, "--hgrm", hgrm, "--report", html];
    let (code, said) = dseq_load(&fake, &args);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(code, 0, "{said}");
    assert_eq!(lines[0], "40 transactions of 48 to 300 bytes to 2 nodes, closed loop, 10 at once");
    assert!(lines[2].starts_with("committed               40   "), "{said}");
    let wrote = files.each_ref().map(|file| format!("wrote {file}"));
    assert_eq!(lines[lines.len() - 3..], wrote);
    let kept = "Verified: each of the 40 committed transactions is in the sequence of both nodes exactly once, where its receipt says.";
    assert_eq!(lines[lines.len() - 4], kept);
    let [csv, hgrm, html] = files.map(|file| fs::read_to_string(file).unwrap());
    assert_eq!(csv.lines().count(), 41, "a heading, and a row for each");
    assert!(hgrm.contains("Percentile") && html.contains("<html"));
}

#[test]
fn a_run_of_which_nothing_was_committed_fails_also_as_json() {
    let fake = Fake::new(1, |_| Deed::RejectInCheck, honest);
    let (code, said) = dseq_load(&fake, &["--requests", "5", "--json"]);
    let found: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &found["good"], &found["counts"]["rejected"]), (1, &false.into(), &5.into()));
}

#[test]
fn a_search_ends_at_the_first_rate_if_that_is_too_much_already() {
    let fake = Fake::new(2, |_| Deed::Commit, honest);
    let bound = ["--find-max", "--duration", "1s", "--rate", "20", "--p99-max", "1ms"];
    let (code, said) = dseq_load(&fake, &bound);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((code, lines.len()), (1, 4), "{said}");
    assert!(lines[1].starts_with("      20.0") && lines[1].contains("   yes   p99 is "), "{said}");
    let (begin, end) =
        ("Carries less than the first rate: at 20.0 tx/s p99 is ", ". Begin lower with --rate.");
    assert!(lines[3].starts_with(begin) && lines[3].ends_with(end), "{said}");
}
