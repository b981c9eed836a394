//! `dseq plugin run`: one transaction or many, one plugin or several.

use std::fs;
use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use super::super::{dseq, run, text};
use super::file;

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
    let report: Value = serde_json::from_str(&stdout).unwrap();
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

    for (args, code, words) in
        [(vec!["--hex", "abc"], 2, "is not valid hexadecimal"), (vec![], 2, "required")]
    {
        let (found, _, stderr) = run(dseq(&["plugin", "run", text(&path)]).args(&args));
        assert!(found == code && stderr.contains(words), "{args:?}: {found} {stderr}");
    }
}

#[test]
fn a_transaction_of_a_length_that_no_network_takes_is_refused_before_a_plugin_is_asked() {
    let (_dir, path) = file();
    let (code, stdout, _) = run(&mut dseq(&["plugin", "run", text(&path), ""]));
    assert!(
        code == 1
            && stdout.starts_with("refused    the transaction is empty; a transaction has at least 1 byte\n"),
        "{stdout}"
    );
    let (code, stdout, _) = run(&mut dseq(&["plugin", "run", "--tx-bytes-max", "3", text(&path), "four"]));
    assert!(
        code == 1
            && stdout.starts_with("refused    the transaction has 4 bytes; this network takes at most 3\n"),
        "{stdout}"
    );
}

#[test]
fn a_limit_of_genesis_is_a_flag() {
    let (_dir, path) = file();
    let limited =
        |flag: &str, value: &str, tx: &str| run(&mut dseq(&["plugin", "run", flag, value, text(&path), tx]));
    let (code, stdout, _) = limited("--fuel-max", "2000000", "%");
    assert!(code == 1 && stdout.starts_with("faulted    code 1001: "), "{stdout}");
    let (code, stdout, _) = limited("--record-bytes-max", "3", "~");
    assert!(code == 1 && stdout.starts_with("faulted    code 1013: "), "{stdout}");
    let (code, _, stderr) = limited("--memory-bytes-max", "65536", "x");
    assert!(code == 1 && stderr.contains("2097152"), "{stderr}");
    let (code, _, stderr) = limited("--memory-bytes-max", "65537", "x");
    assert!(
        code == 1 && stderr.contains("limits.memory_bytes_max is 65537; it must be a multiple of 65536"),
        "{stderr}"
    );
}

#[test]
fn many_transactions_are_judged_one_by_one_and_counted() {
    let (dir, path) = file();
    let lines = dir.path().join("lines");
    fs::write(&lines, "hello\n~\n!\n\nlast").unwrap();
    let (code, stdout, stderr) = run(&mut dseq(&["plugin", "run", text(&path), "--lines", text(&lines)]));
    assert_eq!(code, 1, "{stderr}");
    let said: Vec<&str> = stdout.lines().collect();
    assert!(said[0].starts_with("     1  accepted   unchanged; fuel "), "{stdout}");
    assert!(said[1].starts_with("     2  accepted   as 4 bytes: \"wave\"; fuel "), "{stdout}");
    assert!(said[2].starts_with("     3  rejected   code 7: no shouting; fuel "), "{stdout}");
    assert!(said[3].starts_with("     4  refused    the transaction is empty"), "{stdout}");
    assert_eq!(said[6], "5 transactions: 3 accepted, 1 refused, 1 rejected");

    let prefixed = dir.path().join("prefixed");
    fs::write(&prefixed, b"\x05\0\0\0hello\x01\0\0\0!").unwrap();
    let (code, stdout, _) =
        run(&mut dseq(&["plugin", "run", text(&path), "--json", "--length-prefixed", text(&prefixed)]));
    let reports: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, reports.len()), (0, 2), "{stdout}");
    assert_eq!(
        (&reports[0]["verdict"], &reports[0]["record_hex"]),
        (&"accepted".into(), &"68656c6c6f".into())
    );
    assert_eq!((&reports[1]["transaction"], &reports[1]["message"]), (&2.into(), &"no shouting".into()));

    fs::write(&prefixed, b"\x05\0\0\0hello\x09\0\0\0!").unwrap();
    let (code, _, stderr) =
        run(&mut dseq(&["plugin", "run", text(&path), "--length-prefixed", text(&prefixed)]));
    assert_eq!(code, 1);
    assert!(
        stderr.contains("cannot read transaction 2 of ")
            && stderr.contains("its length prefix is 9, but the file ends after 1 more bytes"),
        "{stderr}"
    );
}

#[test]
fn several_plugins_are_a_pipeline_and_the_one_that_rejects_is_named() {
    let (_dir, path) = file();
    let plugin = |name: &str| format!("{name}={}", text(&path));
    let (one, two) = (plugin("one"), plugin("two"));
    let pipeline =
        |args: &[&str]| run(dseq(&["plugin", "run", "--plugin", &one, "--plugin", &two]).args(args));
    // The first makes it "wave", which the second accepts.
    let (code, stdout, stderr) = pipeline(&["~"]);
    assert!(code == 0 && stdout.starts_with("accepted   as 4 bytes: \"wave\"\n"), "{stdout}{stderr}");
    let rows: Vec<Vec<&str>> = stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(rows.iter().any(|row| row.starts_with(&["one", "replaced", "by", "4", "bytes"])), "{stdout}");
    assert!(rows.iter().any(|row| row.starts_with(&["two", "unchanged"])), "{stdout}");
    let (code, stdout, _) = pipeline(&["!"]);
    assert!(code == 0 && stdout.starts_with("rejected   by one, code 7: no shouting\n"), "{stdout}");
    let (code, stdout, _) = pipeline(&["--json", "!"]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["plugin"], report["steps"].as_array().unwrap().len()), (0, &"one".into(), 1));

    // Params find their plugin by its name.
    let (code, _, stderr) = pipeline(&["--params", "two={\"a\":1}", "x"]);
    assert!(
        code == 1 && stderr.contains("plugin two") && stderr.contains("these params are not for me"),
        "{stderr}"
    );
    for (args, words) in [
        (vec!["--params", "{}", "x"], "params \"{}\" must be written name=JSON"),
        (
            vec!["--params", "three={}", "x"],
            "params are given for plugin \"three\", but the pipeline has one, two",
        ),
        (vec!["x.wasm", "x"], "give plugins either as FILE or with --plugin, not both"),
        (vec!["x", "--hex", "00"], "give transactions in only one way"),
    ] {
        let (code, _, stderr) = pipeline(&args);
        assert!(code == 2 && stderr.contains(words), "{args:?}: {code} {stderr}");
    }
}

#[test]
fn memory_is_told_beside_fuel() {
    let (_dir, path) = file();
    let (_, stdout, _) = run(&mut dseq(&["plugin", "run", "--json", text(&path), "x"]));
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["memory_bytes"], 32 * 65_536);
}

#[test]
fn words_of_a_plugin_move_no_cursor() {
    let (dir, path) = file();
    let words = wat::parse_str(crate::plugins::MOODY_WAT.replace("no shouting", "\\1b[2J\\0ago on!"));
    fs::write(&path, words.unwrap()).unwrap();
    let lines = dir.path().join("lines");
    fs::write(&lines, "!\n").unwrap();
    let (code, stdout, _) = run(&mut dseq(&["plugin", "run", text(&path), "--lines", text(&lines)]));
    assert_eq!(code, 0);
    assert!(stdout.starts_with("     1  rejected   code 7: \\u001b[2J\\ngo on!; fuel "), "{stdout}");
}
