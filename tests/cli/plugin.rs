//! `dseq plugin`: modules and single transactions, without a network.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

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
    let (code, stdout, _) = run(&mut dseq(&["plugin", "check", text(&path)]));
    assert!(code == 0 && stdout.contains(" is admitted\n"), "{stdout}");
}

#[test]
fn a_plugin_that_no_network_takes_is_refused_with_the_reason() {
    let (dir, path) = file();
    let (code, _, stderr) = run(&mut dseq(&["plugin", "check", "--params", "{\"a\":1}", text(&path)]));
    assert_eq!(code, 1);
    assert!(stderr.contains("these params are not for me"), "{stderr}");
    let (code, _, stderr) = run(&mut dseq(&["plugin", "check", "--params", "{", text(&path)]));
    assert!(code == 1 && stderr.starts_with("error: --params is no JSON: {"), "{stderr}");
    let importing = dir.path().join("importing.wasm");
    fs::write(&importing, wat::parse_str(r#"(module (import "env" "now" (func)))"#).unwrap()).unwrap();
    let (code, _, stderr) = run(&mut dseq(&["plugin", "check", text(&importing)]));
    assert!(code == 1 && stderr.contains(r#"imports "env" "now", but a plugin has no imports"#), "{stderr}");
}

#[test]
fn a_transaction_is_judged_as_a_node_would() {
    let (dir, path) = file();
    let input = dir.path().join("tx");
    fs::write(&input, "~").unwrap();
    for (args, expected_code, expected) in [
        (vec!["hello"], 0, "accepted   unchanged\nfuel       "),
        (vec!["~"], 0, "accepted   as 4 bytes: \"wave\"\n"),
        (vec!["--hex", "0x7e"], 0, "accepted   as 4 bytes: \"wave\"\n"),
        (vec!["--input", text(&input)], 0, "accepted   as 4 bytes: \"wave\"\n"),
        (vec!["!"], 0, "rejected   code 7: no shouting\n"),
        (vec!["@"], 1, "faulted    code 1000: "),
    ] {
        let (code, stdout, stderr) = run(dseq(&["plugin", "run", text(&path)]).args(&args));
        assert_eq!(code, expected_code, "{args:?}: {stderr}");
        assert!(stdout.starts_with(expected), "{args:?}: {stdout}");
    }
    let (code, stdout, _) = run(&mut dseq(&["plugin", "run", "--json", text(&path), "!"]));
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["verdict"], &report["code"]), (0, &"rejected".into(), &7.into()));
    assert!(report["fuel"].as_u64().unwrap() > 0, "{report}");
}

#[test]
fn a_transaction_comes_from_standard_input_too_and_a_bad_one_is_refused() {
    let (_dir, path) = file();
    let mut command = dseq(&["plugin", "run", text(&path), "--input", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"~\xff").unwrap();
    let stdout = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(stdout.starts_with("accepted   as 4 bytes: \"wave\"\n"), "{stdout}");

    for (args, code, words) in [
        (vec![""], 1, "the transaction has 0 bytes; a network takes 1 to 1048576"),
        (vec!["--hex", "abc"], 1, "is not made of pairs of hexadecimal digits"),
        (vec![], 2, "required"),
    ] {
        let (found, _, stderr) = run(dseq(&["plugin", "run", text(&path)]).args(&args));
        assert!(found == code && stderr.contains(words), "{args:?}: {found} {stderr}");
    }
}
