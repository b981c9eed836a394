//! What somebody else wrote reaches no terminal and no log as control characters, whatever command prints it.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dseq::plugin::{Limits, engine_id};
use dseq::printable;
use dseq::types::PluginHash;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tendermint_proto::v0_38::abci::{RequestFinalizeBlock, RequestInitChain, request::Value};

use super::app::App;
use super::plugins::MOODY_WAT;
use super::{dseq, good_genesis, home, run, text};

/// Clears the screen, sets the title, links, goes back to the line's start, begins a line, reorders, hides. The eight-bit
/// CSI is valid UTF-8 here.
const NASTY: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\u{1b}]8;;http://x\u{1b}\\\r\nok: all is well \u{202e}\u{2066}\u{2028}\u{200b}\u{e0041}\u{9b}2J\u{7f}";

/// The same as a string of WAT.
fn nasty_wat() -> String {
    NASTY.bytes().map(|byte| format!("\\{byte:02x}")).collect()
}

/// A plugin that says [`NASTY`]: of its params, of each transaction, or when it panics in init.
fn plugin(init: &str, apply: &str) -> Vec<u8> {
    let (words, length) = (nasty_wat(), NASTY.len());
    let answer = |what: &str| match what {
        "reject" => format!("(i64.const {})", (3_u64 << 48) | (7 << 32) | length as u64),
        "panic" => "unreachable".to_owned(),
        _ => "(i64.const 0x0001_0000_00000000)".to_owned(),
    };
    let place: String = [2000_u32, u32::try_from(length).unwrap()]
        .iter()
        .flat_map(|one| one.to_le_bytes())
        .map(|byte| format!("\\{byte:02x}"))
        .collect();
    let wat = format!(
        r#"(module (memory (export "memory") 1)
          (data (i32.const 2000) "{words}") (data (i32.const 40) "{place}")
          (global (export "dseq_panic") i32 (i32.const 40))
          (func (export "dseq_abi_v1"))
          (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
          (func (export "dseq_output") (result i32) (i32.const 2000))
          (func (export "dseq_init") (param i32) (result i64) {})
          (func (export "dseq_apply") (param i32) (result i64) {}))"#,
        answer(init),
        answer(apply)
    );
    wat::parse_str(wat).unwrap()
}

/// Every line of the program's is one that it wrote: nothing in it is a control, format or hidden character, and none
/// was begun by somebody else.
fn assert_printable(what: &str, said: &str) {
    assert_eq!(printable::text(said), said, "{what}");
    assert!(!said.lines().any(|line| line.starts_with("ok: ")), "{what}: {said}");
}

/// What a command says in both ways; the words must be in it, so that it is known to have said them.
fn check(args: &[&OsStr]) -> String {
    let mut command = dseq(&[]);
    let (_, stdout, stderr) = run(command.args(args));
    let said = stdout + &stderr;
    assert_printable(&format!("{args:?}"), &said);
    assert!(said.contains("u202e") || said.contains("u{202e}"), "{args:?}: {said}");
    said
}

fn write(dir: &Path, name: &str, wasm: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, wasm).unwrap();
    path
}

#[test]
fn a_plugins_words_are_escaped_by_every_command_that_tells_them() {
    let dir = tempfile::tempdir().unwrap();
    let init_rejects = write(dir.path(), "init.wasm", &plugin("reject", "accept"));
    let init_panics = write(dir.path(), "panics.wasm", &plugin("panic", "accept"));
    let rejects = write(dir.path(), "rejects.wasm", &plugin("accept", "reject"));
    let faults = write(dir.path(), "faults.wasm", &plugin("accept", "panic"));
    let lines = write(dir.path(), "lines", b"a\nb\n");
    for file in [&init_rejects, &init_panics] {
        check(&["plugin", "check", text(file)].map(OsStr::new));
        check(&["plugin", "run", text(file), "x"].map(OsStr::new));
        let (home, genesis) = genesis_of(&fs::read(file).unwrap());
        check(&["genesis", "verify", "--file", text(&genesis)].map(OsStr::new));
        let plugin = format!("p={}", text(file));
        check(&["genesis", "set", "--file", text(&genesis), "--plugin", &plugin].map(OsStr::new));
        drop(home);
    }
    for file in [&rejects, &faults] {
        check(&["plugin", "run", text(file), "x"].map(OsStr::new));
        check(&["plugin", "run", text(file), "--lines", text(&lines)].map(OsStr::new));
        let said = check(&["plugin", "run", "--json", text(file), "x"].map(OsStr::new));
        let report: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(report["message"], NASTY, "the same JSON");
    }
}

#[test]
fn names_in_a_module_and_names_of_files_are_escaped() {
    let dir = tempfile::tempdir().unwrap();
    let name = nasty_wat();
    let import = wat::parse_str(format!(r#"(module (import "env" "{name}" (func)))"#)).unwrap();
    let twice = format!(r#"(module (func $f) (export "{name}" (func $f)) (export "{name}" (func $f)))"#);
    for (file, wasm) in [("import.wasm", import), ("twice.wasm", wat::parse_str(twice).unwrap())] {
        let file = write(dir.path(), file, &wasm);
        check(&["plugin", "check", text(&file)].map(OsStr::new));
        check(&["plugin", "inspect", text(&file)].map(OsStr::new));
        let said = check(&["plugin", "inspect", "--json", text(&file)].map(OsStr::new));
        let report: serde_json::Value = serde_json::from_str(&said).unwrap();
        let names = report["imports"].as_array().into_iter().chain(report["exports"].as_array()).flatten();
        assert!(names.into_iter().any(|one| one["name"] == NASTY), "{said}");
    }
    // A slash would be a folder, and a line break in a file's name is the file owner's own.
    let named = dir.path().join(OsStr::from_bytes(NASTY.replace(['/', '\n'], "").as_bytes()));
    fs::write(&named, plugin("accept", "reject")).unwrap();
    for args in [
        &["plugin", "check"][..],
        &["plugin", "inspect"],
        &["plugin", "hash"],
        &["plugin", "check", "too-many"],
    ] {
        let mut all: Vec<&OsStr> = args.iter().map(OsStr::new).collect();
        all.push(named.as_os_str());
        check(&all);
    }
}

/// A genesis file that pins this plugin and carries it.
fn genesis_of(wasm: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = home();
    let path = dir.path().join("config/genesis.json");
    fs::write(&path, genesis_json(wasm).to_string()).unwrap();
    (dir, path)
}

fn app_state(wasm: &[u8]) -> serde_json::Value {
    let sha256 = PluginHash::of(wasm).to_string();
    let plugin =
        json!({ "name": "p", "sha256": sha256, "params": {}, "wasm": data_encoding::BASE64.encode(wasm) });
    json!({ "dseq": { "engine": engine_id().to_string(), "limits": Limits::default(), "pipeline": [plugin] } })
}

fn genesis_json(wasm: &[u8]) -> serde_json::Value {
    let mut genesis = good_genesis();
    genesis["app_state"] = app_state(wasm);
    genesis
}

/// The app is given this genesis by CometBFT, and says why it does not take it.
fn refusal_of_the_app(log_format: &str, chain_id: &str, wasm: &[u8]) -> String {
    let home = home();
    let App { mut child, mut client } = App::with_log(home.path(), log_format);
    let init = RequestInitChain {
        chain_id: chain_id.to_owned(),
        initial_height: 1,
        app_state_bytes: app_state(wasm).to_string().into_bytes().into(),
        ..Default::default()
    };
    // An app that refuses it ends; one that does not is asked to.
    let _ = client.try_call(Value::InitChain(init));
    let _ = kill_process(Pid::from_child(&child), Signal::TERM);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    child.wait().unwrap();
    said
}

#[test]
fn a_node_escapes_what_genesis_and_its_plugins_say_in_each_log_format() {
    for log_format in ["text", "json", "logfmt"] {
        for (init, chain_id) in [("reject", "c"), ("panic", "c"), ("accept", NASTY)] {
            let said = refusal_of_the_app(log_format, chain_id, &plugin(init, "accept"));
            assert_printable(log_format, &said);
            assert!(said.contains("u202e") || said.contains("u{202e}"), "{init}: {said}");
        }
    }
}

#[test]
fn logs_settings_and_misspelt_arguments_are_escaped() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("network.json"), json!({ "nodes": 1, "base_port": 29_000 }).to_string())
        .unwrap();
    fs::create_dir_all(dir.path().join("node0/config")).unwrap();
    fs::write(
        dir.path().join("node0/config/genesis.json"),
        genesis_json(&plugin("accept", "accept")).to_string(),
    )
    .unwrap();
    let node = dseq::node::home::NodeHome::new(&dir.path().join("node0"));
    let genesis_file = node.genesis_file();
    for log in [node.app_log(), node.cometbft_log()] {
        fs::create_dir_all(log.parent().unwrap()).unwrap();
        fs::write(log, format!("E[..] {NASTY}\n")).unwrap();
    }
    check(&["testnet", "logs", "--dir", text(dir.path())].map(OsStr::new));
    let genesis = text(&genesis_file);
    // What is on the command line is the caller's own; where it breaks a line, it does so.
    let nasty = &NASTY.replace('\n', "");
    check(&["testnet", "logs", "--dir", text(dir.path()), nasty].map(OsStr::new));
    check(
        &["config", "show", "--home", text(node.root()), "--abci", &format!("unix:///{nasty}")]
            .map(OsStr::new),
    );
    check(&["config", "show", "--home", text(node.root()), "--log-format", nasty].map(OsStr::new));
    check(&["config", "show", &format!("--{nasty}")].map(OsStr::new));
    check(&["genesis", "set", "--file", genesis, "--limit", nasty].map(OsStr::new));
    check(&["genesis", "set", "--file", genesis, "--plugin", nasty].map(OsStr::new));
    let wasm = write(dir.path(), "p.wasm", &plugin("accept", "accept"));
    check(&["plugin", "check", text(&wasm), "--params", nasty].map(OsStr::new));
}

/// The producer's log is safe to print too, and what it costs to say something does not depend on how it is shown.
#[test]
fn a_plugins_words_are_escaped_in_the_log_of_a_result_and_cost_what_they_did() {
    let answer = |words: &str| {
        let home = home();
        let mut app = App::start(home.path());
        let wasm = wat::parse_str(MOODY_WAT.replace("no shouting", words)).unwrap();
        app.init(&app_state(&wasm));
        let checked = app.client.check_tx(&b"!"[..]);
        let finalize = RequestFinalizeBlock { height: 1, txs: vec![b"!"[..].into()], ..Default::default() };
        let result = app.client.finalize_block(finalize).tx_results.remove(0);
        app.stop("ERROR");
        assert_eq!((&checked.log, checked.gas_used), (&result.log, result.gas_used));
        (result.log, result.gas_used)
    };
    let (log, gas) = answer("no shouting");
    assert_eq!(log, "no shouting");
    // As many bytes.
    assert_eq!(answer("\\1b[2J\\0ago on!"), ("\\u001b[2J\\ngo on!".to_owned(), gas));
}

/// One place prints: what is printed elsewhere does not pass it.
#[test]
fn nothing_else_in_the_program_prints() {
    let prints = ["println!", "print!(", "stdout()", "stderr()", "dbg!"];
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_source = path.extension().is_some_and(|extension| extension == "rs");
            if path.is_dir() {
                folders.push(path);
            } else if is_source && path.file_name() != Some("lib.rs".as_ref()) {
                let source = fs::read_to_string(&path).unwrap();
                if prints.iter().any(|print| source.contains(print)) {
                    found.push(path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_owned());
                }
            }
        }
    }
    found.sort();
    // The live views draw; what they draw passes `printable` line by line.
    let drawing = ["src/cli/load/progress.rs", "src/cli/status/mod.rs", "src/cli/status/screen.rs"];
    // Bytes that a reader asked for go out as they are, to a terminal only if it asked for that; and it is looked whether the
    // receipts go to a terminal.
    let data = ["src/cli/client/data.rs", "src/cli/client/submit.rs"];
    let mut known: Vec<&Path> = ["src/cli/mod.rs", "src/cli/print.rs"]
        .into_iter()
        .chain(drawing)
        .chain(data)
        .map(Path::new)
        .collect();
    known.sort();
    assert_eq!(found, known, "print with `say`, or log, so that it is escaped");
}
