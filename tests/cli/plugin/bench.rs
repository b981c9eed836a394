//! `dseq plugin bench`: what is measured, never how fast it was.

use std::fs;

use serde_json::Value;

use super::super::{dseq, run, text};
use super::file;

#[test]
fn both_plugins_judge_the_same_transactions_as_often_as_asked() {
    let (dir, path) = file();
    let lines = dir.path().join("lines");
    fs::write(&lines, "hello\n~\n!\n").unwrap();
    let bench = |args: &[&str]| {
        run(dseq(&["plugin", "bench", text(&path), "--against", text(&path), "--count", "90"]).args(args))
    };
    let (code, stdout, stderr) = bench(&["--json", "--lines", text(&lines)]);
    assert_eq!(code, 0, "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&report["transactions"], &report["bytes"]), (&90.into(), &1.into()));
    assert_eq!(report["verdicts"], serde_json::json!({ "accepted": 60, "rejected": 30 }));
    // The same plugin on both sides takes the same fuel, whatever time it takes.
    assert_eq!(report["subject"]["fuel"], report["against"]["fuel"]);
    assert!(report["subject"]["fuel"]["p50"].as_u64().unwrap() > 0, "{report}");
    for side in ["subject", "against"] {
        let us = |key: &str| report[side]["microseconds"][key].as_f64().unwrap();
        assert!(
            us("p50") > 0.0 && us("p50") <= us("p90") && us("p90") <= us("p99") && us("p99") <= us("max")
        );
        assert!(report[side]["per_second"].as_f64().unwrap() > 0.0, "{report}");
    }
    assert!(report["ratio"].as_f64().unwrap() > 0.0, "{report}");

    let (code, stdout, _) = bench(&[]);
    assert_eq!(code, 0);
    assert!(stdout.starts_with("90 transactions of 256 bytes (median): 90 accepted\n"), "{stdout}");
    assert!(stdout.contains("\nratio  "), "{stdout}");
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let (dir, path) = file();
    let bench = |args: &[&str]| run(dseq(&["plugin", "bench", text(&path)]).args(args));
    let (code, _, stderr) = bench(&["--against", "/nowhere.wasm"]);
    assert!(code == 1 && stderr.contains("give one with --against FILE"), "{stderr}");
    let (code, _, stderr) = bench(&["--against", text(&path), ""]);
    assert!(code == 1 && stderr.contains("a transaction is refused: the transaction is empty"), "{stderr}");
    let empty = dir.path().join("empty");
    fs::write(&empty, "").unwrap();
    let (code, _, stderr) = bench(&["--against", text(&path), "--lines", text(&empty)]);
    assert!(code == 1 && stderr.contains("the input has no transactions"), "{stderr}");
    let (code, _, stderr) = bench(&["--count", "0"]);
    assert!(code == 2 && stderr.contains("--count"), "{stderr}");
}
