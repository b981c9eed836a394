//! `dseq plugin inspect`: modules that a network would take, and others.

use std::fs;

use serde_json::Value;

use super::super::{dseq, run, text};
use super::file;
use crate::plugins::moody;

#[test]
fn a_plugin_is_shown_with_all_its_parts() {
    let (_dir, path) = file();
    let (code, stdout, stderr) = run(&mut dseq(&["plugin", "inspect", text(&path)]));
    assert_eq!(code, 0, "{stderr}");
    for line in [
        "functions   5, ",
        "memory      32 pages (2097152 bytes), no maximum\n",
        "globals     1, 1 of them mutable\n",
        "data        3 segments, 42 bytes\n",
        "features    none\n",
        "validation  valid; ",
    ] {
        assert!(stdout.contains(line), "{line:?} is not in {stdout}");
    }
    let export = |line: &str| {
        line.split_whitespace().collect::<Vec<_>>().join(" ") == "dseq_apply function (i32) -> i64"
    };
    assert!(stdout.lines().any(export), "{stdout}");
    let (code, stdout, _) = run(&mut dseq(&["plugin", "inspect", "--json", text(&path)]));
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["bytes"], &report["functions"]), (0, &moody().len().into(), &5.into()));
    assert_eq!((&report["memories"][0]["initial"], &report["refused"]), (&32.into(), &Value::Null));
}

#[test]
fn a_module_that_no_network_takes_is_shown_all_the_same_with_the_reason() {
    let (dir, path) = file();
    let other = dir.path().join("other.wasm");
    let wat = r#"(module (import "env" "n\u{7}ow" (func (param i64))) (memory 1) (func (drop (i8x16.splat (i32.const 1)))))"#;
    fs::write(&other, wat::parse_str(wat).unwrap()).unwrap();
    let (code, stdout, _) = run(&mut dseq(&["plugin", "inspect", text(&other)]));
    assert_eq!(code, 0);
    assert!(
        stdout.contains("simd (not allowed)") && stdout.contains("validation  refused: imports \"env\" "),
        "{stdout}"
    );
    assert!(stdout.contains("env n\\u0007ow") && !stdout.contains('\u{7}'), "{stdout}");

    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 20);
    fs::write(&other, bytes).unwrap();
    let (code, stdout, _) = run(&mut dseq(&["plugin", "inspect", text(&other)]));
    assert!(code == 0 && stdout.contains("problem     unexpected end"), "{stdout}");
    assert!(stdout.contains("dseq_apply"), "what comes before the damage is shown: {stdout}");

    fs::write(&other, "no module at all").unwrap();
    let (code, stdout, _) = run(&mut dseq(&["plugin", "inspect", text(&other)]));
    assert!(code == 0 && stdout.contains("problem     "), "{stdout}");
    assert!(stdout.contains("validation  refused: not a module this engine accepts: "), "{stdout}");
    let (code, _, stderr) = run(&mut dseq(&["plugin", "inspect", "/nowhere.wasm"]));
    assert!(code == 1 && stderr.contains("cannot read /nowhere.wasm"), "{stderr}");
}
