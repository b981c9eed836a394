//! The log of a node as its operator meets it: formats, levels, CometBFT's lines, and all nodes' logs as one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use dseq::abci::transport::ListenAddr;
use dseq::node::engine::cometbft::VERSION;
use serde_json::{Value, json};

use super::app::{App, init};
use super::client::Client;
use super::pages::block;
use super::plugins::moody_genesis;
use super::supervisor::{Supervisor, said, stand_in, stop, until};
use super::{dseq, fill, home, run, text};

/// What an app says that refuses its log.
fn refusal(format: &str) -> String {
    let home = home();
    fs::create_dir(home.path().join("sequence")).unwrap();
    fs::write(home.path().join("sequence/sequence.bin"), "bytes nobody committed").unwrap();
    let (code, _, stderr) = run(&mut dseq(&["serve", "--home", text(home.path()), "--log-format", format]));
    assert_eq!(code, 78, "{stderr}");
    stderr
}

#[test]
fn the_reason_why_a_node_ends_is_its_last_line_in_the_format_of_the_log() {
    let reason = "no commit file beside it";
    let last = |said: &str| said.lines().last().unwrap().to_owned();
    let text = last(&refusal("text"));
    assert!(text.starts_with("error: ") && text.contains(reason), "{text}");
    let json = refusal("json");
    let lines: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let line = lines.last().unwrap();
    assert!(line["level"] == "ERROR" && line["message"].as_str().unwrap().contains(reason), "{line}");
    let logfmt = last(&refusal("logfmt"));
    assert!(
        logfmt.starts_with("timestamp=") && logfmt.contains(" level=ERROR ") && logfmt.contains(reason),
        "{logfmt}"
    );
}

#[test]
fn a_refused_transaction_is_logged_at_debug_by_its_hash_and_first_bytes() {
    let home = home();
    let mut app = App::start_with(home.path(), "json", &[("RUST_LOG", "dseq::abci::service=debug")]);
    app.init(&moody_genesis());
    let tx = [b"!".repeat(100), b"secret".to_vec()].concat();
    assert_ne!(app.client.check_tx(tx.clone()).code, 0);
    let said = app.stop("DEBUG");
    let [line] = said.as_slice() else { panic!("{said:?}") };
    assert_eq!(line["tx"], dseq::types::TxHash::of(&tx).to_string());
    assert_eq!(line["begins"], format!("{}...", "21".repeat(32)));
    let folder = home.path().file_name().unwrap().to_str().unwrap();
    assert_eq!((&line["node"], &line["codespace"]), (&json!(folder), &json!("plugin/moody")));
}

#[test]
fn a_bad_directive_is_said_and_the_others_count() {
    let home = home();
    let mut app = App::start_with(home.path(), "json", &[("RUST_LOG", "dseq=loud,debug")]);
    // Answered by a connection that has said, at debug, that it is open.
    app.client.echo("x");
    drop(app.client);
    let mut child = app.child;
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM)
        .unwrap();
    let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    child.wait().unwrap();
    assert!(said.contains("\"directive\":\"dseq=loud\"") && said.contains("\"level\":\"DEBUG\""), "{said}");
}

/// A supervisor with this stand-in for CometBFT, that logs in JSON.
fn supervise(home: &Path, script: &str, directives: &str) -> Supervisor {
    let cometbft = stand_in(home, VERSION, script);
    let mut command = dseq(&["start", "--log-format", "json", "--cometbft", text(&cometbft)]);
    Supervisor::with(home, command.env("RUST_LOG", directives).env("TZ", "Asia/Tokyo"))
}

/// The lines of CometBFT's in a log, once there are so many.
fn relayed(home: &Path, count: usize) -> Vec<Value> {
    until(home, "line of CometBFT's", || {
        let said = said(home);
        let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let lines: Vec<_> = lines.filter(|line| line["component"] == "cometbft").collect();
        (lines.len() >= count).then_some(lines)
    })
}

#[test]
fn cometbfts_errors_are_carried_into_the_nodes_log_with_their_fields_and_all_else_if_asked() {
    let lines = format!(
        "I[2026-11-26|15:01:13.752] {:<44} module=p2p peer=x\nE[2026-11-26|15:01:14.000] {:<44} module=p2p height=7 err=\"a b\"\n",
        "Added peer", "dialing failed"
    );
    let script = |home: &Path| {
        fs::write(home.join("lines"), &lines).unwrap();
        format!("cat {}; echo $TZ > {}; exec sleep 1000", text(&home.join("lines")), text(&home.join("zone")))
    };
    let one = home();
    let supervisor = supervise(one.path(), &script(one.path()), "");
    let found = relayed(one.path(), 1);
    let folder = one.path().file_name().unwrap().to_str().unwrap();
    let expected = json!({
        "timestamp": "2026-11-26T15:01:14.000Z", "level": "ERROR", "target": "cometbft", "node": folder,
        "message": "dialing failed", "component": "cometbft", "module": "p2p", "height": 7, "err": "a b",
    });
    assert_eq!(found, [expected]);
    assert_eq!(fs::read_to_string(one.path().join("zone")).unwrap(), "UTC\n", "its timestamps have no zone");
    assert!(fs::read_to_string(one.path().join("cometbft.log")).unwrap().contains("Added peer"));
    stop(supervisor);

    let all = home();
    let supervisor = supervise(all.path(), &script(all.path()), "cometbft=info");
    let found = relayed(all.path(), 2);
    assert_eq!((&found[0]["level"], &found[0]["peer"]), (&json!("INFO"), &json!("x")));
    stop(supervisor);
}

/// The log of a node that is started by a command of the page, with a stand-in for CometBFT. It refuses a transaction, and a plugin
/// faults; it is stopped once its log has what is awaited.
fn logged_by(command: &str, awaited: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let node = dir.path().join("node");
    fill(&node);
    let line = format!("I[2026-11-26|15:01:13.752] {:<44} module=p2p peer=x\n", "Added peer");
    fs::write(node.join("line"), line).unwrap();
    let engine = stand_in(&node, VERSION, &format!("cat {}; exec sleep 1000", text(&node.join("line"))));
    symlink(env!("CARGO_BIN_EXE_dseq"), dir.path().join("dseq")).unwrap();
    let path = format!("{}:{}", text(dir.path()), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-euc", &format!("exec env {command}")]).current_dir(dir.path()).env_clear();
    shell.env("PATH", path).env("DSEQ_COMETBFT", engine).env("DSEQ_HTTP", "off");
    let mut supervisor = Supervisor::by(&node, &mut shell);
    let socket = ListenAddr::Unix(node.join("run/abci.sock"));
    let mut client = until(&node, "app", || Client::try_connect(&socket).ok());
    init(&mut client, &moody_genesis());
    assert_ne!(client.check_tx("!").code, 0);
    assert_ne!(client.check_tx("@").code, 0);
    until(&node, awaited, || said(&node).contains(awaited).then_some(()));
    drop(client);
    assert_eq!(supervisor.asked_to_stop(), Some(0), "{}", said(&node));
    said(&node)
}

#[test]
fn the_directives_of_the_page_decide_what_is_logged() {
    let page = block("docs/logs.md", "Levels", 1);
    let [plugins, cometbft, not_transport] = page.lines().collect::<Vec<_>>()[..] else { panic!("{page}") };
    let lines =
        ["genesis accepted", "plugin faulted", "transaction refused", "connection open", "Added peer"];
    for (command, awaited, expected) in [
        (plugins, "plugin faulted", [true, true, false, false, false]),
        (cometbft, "Added peer", [true, false, false, false, true]),
        (not_transport, "transaction refused", [true, true, true, false, false]),
    ] {
        let said = logged_by(command, awaited);
        assert_eq!(lines.map(|line| said.contains(line)), expected, "{command}: {said}");
    }
}

#[test]
fn the_logs_of_a_network_are_one_in_order_of_time_and_level() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("network.json"), json!({ "nodes": 2, "base_port": 29_000 }).to_string())
        .unwrap();
    for node in ["node0", "node1"] {
        fill(&dir.path().join(node));
    }
    let at = |node: &str, file: &str| dir.path().join(node).join(file);
    fs::write(
        at("node0", "dseq.log"),
        "2026-11-26T15:00:01.000000Z  INFO first\n2026-11-26T15:00:04.000000Z  WARN last\n",
    )
    .unwrap();
    fs::write(
        at("node1", "dseq.log"),
        "{\"timestamp\":\"2026-11-26T15:00:02.000000Z\",\"level\":\"INFO\"}\n",
    )
    .unwrap();
    fs::write(at("node1", "cometbft.log"), "E[2026-11-26|15:00:03.000] third\npart of it\n").unwrap();
    let logs = |more: &[&str]| {
        let mut command: Command = dseq(&["testnet", "logs", "--dir", text(dir.path())]);
        let (code, stdout, stderr) = run(command.args(more));
        assert_eq!(code, 0, "{stderr}");
        stdout
    };
    let third = "node1 cometbft | E[2026-11-26|15:00:03.000] third\nnode1 cometbft | part of it\n";
    let last = "node0 dseq     | 2026-11-26T15:00:04.000000Z  WARN last\n";
    let all = format!(
        "node0 dseq     | 2026-11-26T15:00:01.000000Z  INFO first\n\
         node1 dseq     | {{\"timestamp\":\"2026-11-26T15:00:02.000000Z\",\"level\":\"INFO\"}}\n{third}{last}"
    );
    assert_eq!(logs(&[]), all);
    assert_eq!(logs(&["--level", "warn"]), format!("{third}{last}"));
    assert_eq!(logs(&["--level", "error", "1"]), third);
    let (code, _, stderr) =
        run(&mut dseq(&["testnet", "logs", "--dir", text(dir.path()), "--level", "loud"]));
    assert!(code == 2 && stderr.contains("error, warn, info, debug, trace"), "{stderr}");
}
