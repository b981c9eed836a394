//! `dseq plugin`: modules and transactions, without a network.

mod bench;
mod goldens;
mod inspect;
mod project;
mod regex;
mod replay;
mod run;

use std::fs;
use std::path::PathBuf;

use super::plugins::moody;
use super::{dseq, run, text};

fn file() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("moody.wasm");
    fs::write(&path, moody()).unwrap();
    (dir, path)
}

#[test]
fn a_hash_is_what_sha256sum_prints() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.wasm");
    fs::write(&path, "hello world").unwrap();
    let (code, stdout, _) = run(&mut dseq(&["plugin", "hash", text(&path)]));
    let sum = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
    assert_eq!((code, stdout), (0, format!("{sum}  {}\n", text(&path))));
}

#[test]
fn a_good_plugin_is_told_how_much_of_each_limit_it_uses() {
    let (_dir, path) = file();
    let (code, stdout, stderr) = run(&mut dseq(&["plugin", "check", "--json", text(&path)]));
    assert_eq!(code, 0, "{stderr}");
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["bytes"], moody().len());
    let limits = report["limits"].as_array().unwrap();
    let of = |what: &str, of_functions: bool| {
        let same = |one: &&serde_json::Value| one["what"] == what && one["item"].is_null() != of_functions;
        limits.iter().find(same).unwrap_or_else(|| panic!("no {what} in {stdout}"))
    };
    assert_eq!(
        (&of("functions", false)["found"], &of("functions", false)["max"]),
        (&5.into(), &10_000.into())
    );
    assert_eq!(of("data segments", false)["found"], 3);
    // Functions are numbered in the order of the text: dseq_apply is the last, and has three values.
    assert_eq!(of("parameters and locals", true)["found"], 3);
    assert_eq!(of("parameters and locals", true)["item"], "function 4");
    assert_eq!(of("loops within loops", true)["found"], 1);
    assert_eq!(
        (&of("bytes", false)["found"], &of("bytes", false)["max"]),
        (&report["bytes"], &4_194_304.into())
    );
    assert_eq!(
        (&of("bytes of name", true)["found"], &of("bytes of name", true)["item"]),
        (&11.into(), &"export 1".into())
    );
    let memory = of("bytes of memory at first (genesis)", false);
    assert_eq!((&memory["found"], &memory["max"]), (&2_097_152.into(), &6_291_456.into()));
    let init = of("fuel of init (genesis)", false);
    assert_eq!((&init["found"], &init["max"]), (&report["init_fuel"], &400_000_000.into()));
    let (code, stdout, _) = run(&mut dseq(&["plugin", "check", text(&path)]));
    assert!(code == 0 && stdout.contains(" is admitted\n"), "{stdout}");
}

/// 35 KiB within every limit that is checked beforehand: 1,200 values that are kept for one of the two places a table leads to.
/// Without that limit it took 25 seconds and 1.6 GiB.
#[test]
fn a_module_that_takes_too_much_to_compile_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("torn.wasm");
    let all = |text: &dyn Fn(usize) -> String| (0..1_200).map(text).collect::<String>();
    let module = format!(
        "(module (memory 1) (global $way (mut i32) (i32.const 0)) (func (local {}) {}
           (block (block (br_table {} (global.get $way))) i32.const 0 i64.const 0 {} i64.store)))",
        "i64 ".repeat(1_200),
        all(&|n| format!("(local.set {n} (i64.load offset={} (i32.const 0)))", 8 * n)),
        "0 1 ".repeat(9_995),
        all(&|n| format!("(local.get {n}) i64.xor ")),
    );
    fs::write(&path, wat::parse_str(module).unwrap()).unwrap();
    let (code, _, stderr) = run(&mut dseq(&["plugin", "check", text(&path)]));
    assert_eq!(code, 1, "{stderr}");
    let words = "compiling it takes more than 400 MiB of memory, the most that is allowed";
    assert!(stderr.contains(words), "{stderr}");
}

/// As under `ulimit -v`, or in a container with such a bound.
#[test]
fn too_few_addresses_are_said_with_what_to_do() {
    let (_dir, path) = file();
    let mut command = std::process::Command::new("prlimit");
    command.args(["--as=4000000000", env!("CARGO_BIN_EXE_dseq"), "plugin", "check", text(&path)]);
    let (code, _, stderr) = run(&mut command);
    assert_eq!(code, 1, "{stderr}");
    for words in [
        "this process may have 4000000000 in all",
        "ulimit -v unlimited",
        "LimitAS=infinity",
        "small-address-space",
    ] {
        assert!(stderr.contains(words), "{words}: {stderr}");
    }
}

#[test]
fn a_plugin_that_no_network_takes_is_refused_with_the_reason() {
    let (dir, path) = file();
    let (code, _, stderr) = run(&mut dseq(&["plugin", "check", "--params", "{\"a\":1}", text(&path)]));
    assert_eq!(code, 1);
    assert!(stderr.contains("these params are not for me"), "{stderr}");
    let (code, _, stderr) = run(&mut dseq(&["plugin", "check", "--params", "{", text(&path)]));
    assert!(code == 2 && stderr.starts_with("error: --params {: params is invalid JSON: EOF"), "{stderr}");
    let twice = ["plugin", "check", "--params", "{\"a\":1,\"a\":1}", text(&path)];
    let (code, _, stderr) = run(&mut dseq(&twice));
    assert!(code == 2 && stderr.contains("params.a is a duplicate key"), "{stderr}");
    let importing = dir.path().join("importing.wasm");
    fs::write(&importing, wat::parse_str(r#"(module (import "env" "now" (func)))"#).unwrap()).unwrap();
    let (code, _, stderr) = run(&mut dseq(&["plugin", "check", text(&importing)]));
    assert!(code == 1 && stderr.contains(r#"imports "env" "now", but a plugin has no imports"#), "{stderr}");
}
