//! `dseq health` of nodes that a test plays: what it prints, what it counts, and what it says of one that does not answer.

use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use dseq::node::home::NodeHome;
use dseq::node::process::ProcessId;
use dseq::node::process::running::{Restart, Running};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::mock::{Node, Reply};
use super::{dseq, fill, run, text};

fn node(checks: &Value) -> Node {
    let body = json!({ "checks": checks });
    Node::start(move |request| {
        assert_eq!(request.target, "/health");
        // As of one that is not well, which is no error of HTTP here.
        Reply::json("503 Service Unavailable", &body)
    })
}

fn well() -> Node {
    node(&json!([{ "name": "abci", "state": "ok" }]))
}

fn with_a_warning() -> Node {
    node(&json!([
        { "name": "abci", "state": "ok" },
        { "name": "disk", "state": "warning", "reason": "2.1 GB are free" },
        { "name": "agreement", "state": "unknown", "reason": "no peer was compared yet" },
        { "name": "signing\u{1b}[2J", "state": "warning" },
    ]))
}

/// What `dseq health` says of nodes, which are called `node0` and so on in the text.
fn said(nodes: &[&Node], more: &[&str]) -> (i32, String) {
    let addresses: Vec<String> = nodes.iter().map(|node| node.address.to_string()).collect();
    let (code, mut stdout, stderr) = run(dseq(&["health", "--url"]).args(&addresses).args(more));
    assert_eq!(stderr, "");
    for (number, address) in addresses.iter().enumerate() {
        stdout = stdout.replace(address, &format!("node{number}"));
    }
    (code, stdout)
}

#[test]
fn each_node_is_said_to_be_well_or_why_it_is_not() {
    let nodes = [&well(), &with_a_warning()];
    let reasons = "  warning  disk: 2.1 GB are free\n  unknown  agreement: no peer was compared yet\n  \
                   warning  signing\\u001b[2J: it does not say why\n";
    assert_eq!(said(&nodes, &[]), (1, format!("http://node0: healthy\nhttp://node1: unhealthy\n{reasons}")));
    assert_eq!(
        said(&nodes, &["--ready"]),
        (0, format!("http://node0: ready\nhttp://node1: ready\n{reasons}"))
    );
    let without = ["--exclude", "disk", "--exclude", "signing\u{1b}[2J"];
    assert_eq!(
        said(&nodes, &without),
        (0, format!("http://node0: healthy\nhttp://node1: healthy\n{reasons}"))
    );
    assert_eq!(said(&nodes, &["--exclude", "disk"]).0, 1);
    let failed = node(&json!([{ "name": "abci", "state": "failed", "reason": "CometBFT has ended" }]));
    let expected = "http://node0: not ready\n  failed   abci: CometBFT has ended\n";
    assert_eq!(said(&[&failed], &["--ready"]), (1, expected.to_owned()));
    let (code, json) = said(&nodes[..1], &["--json"]);
    let expected =
        json!([{ "node": "http://node0", "healthy": true, "checks": [{ "name": "abci", "state": "ok" }] }]);
    assert_eq!((code, serde_json::from_str::<Value>(&json).unwrap()), (0, expected));
}

#[test]
fn what_is_no_report_of_ours_is_never_well() {
    let page = || Reply::new("200 OK", "content-type: text/html\r\n", b"<html>welcome</html>");
    let other = |answer: fn() -> Reply| Node::start(move |_| answer());
    let no_report = |of: &str| {
        format!(
            "http://node0: unhealthy\n  failed   runs: http://node0/health answered {of}, which is no report of dseq's\n"
        )
    };
    let page = other(page);
    assert_eq!(said(&[&page], &[]), (1, no_report("<html>welcome</html>")));
    assert_eq!(said(&[&node(&json!([]))], &[]), (1, no_report(r#"{"checks":[]}"#)));
    let (code, text) = said(&[&other(Reply::none)], &[]);
    assert!(code == 1 && text.contains("failed   runs: no answer from http://node0/health: "), "{text}");
    // Nobody is sent elsewhere to ask there.
    let elsewhere = well();
    let to = format!("location: http://{}/health\r\n", elsewhere.address);
    let redirects = Node::start(move |_| Reply::new("302 Found", &to, b""));
    assert_eq!(said(&[&redirects], &[]).0, 1);
    assert!(elsewhere.targets().is_empty());
}

#[test]
fn who_waits_is_answered_as_soon_as_all_are_well() {
    let asked = AtomicU32::new(0);
    let late = Node::start(move |_| {
        let state = if asked.fetch_add(1, SeqCst) < 2 { "failed" } else { "ok" };
        Reply::json("200 OK", &json!({ "checks": [{ "name": "abci", "state": state }] }))
    });
    assert_eq!(said(&[&late, &well()], &["--wait", "10m"]).0, 0);
    assert_eq!(late.targets().len(), 3);
    assert_eq!(said(&[&with_a_warning()], &["--wait", "300ms"]).0, 1);
}

/// A process that does nothing, and ends with the test.
struct Idle(Child);

impl Idle {
    fn start() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }

    fn id(&self) -> ProcessId {
        ProcessId::of(self.0.id()).unwrap()
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// What is said of a home that is run by these processes.
fn of_home(home: &Path, running: &Running, more: &[&str]) -> String {
    running.write(&NodeHome::new(home)).unwrap();
    let (_, stdout, stderr) = run(dseq(&["health", "--home", text(home)]).args(more));
    assert_eq!(stderr, "");
    stdout.replace(text(home), "home")
}

#[test]
fn of_a_home_it_is_said_what_its_processes_do_when_nobody_answers() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path();
    fill(home);
    std::fs::create_dir(home.join("run")).unwrap();
    let process = Idle::start();
    let id = process.id();
    let starts = Running { by_testnet: false, supervisor: id, app: None, cometbft: None, restart: None };
    let why = "CometBFT ended with exit code 1";
    let restart = Some(Restart::now(why.to_owned(), 1));
    let is = |running: &Running| {
        let said = of_home(home, running, &[]);
        let said =
            said.strip_prefix("home: unhealthy\n  failed   runs: ").unwrap_or_else(|| panic!("{said}"));
        said.lines().next().unwrap().to_owned()
    };
    assert_eq!(is(&starts), "the node starts");
    assert_eq!(is(&Running { app: Some(id), ..starts.clone() }), "the node starts");
    let restarts = Running { restart: restart.clone(), ..starts.clone() };
    assert_eq!(is(&restarts), format!("the node restarts: {why}"));
    let again = Running { app: Some(id), ..restarts.clone() };
    assert_eq!(is(&again), format!("the node starts again, after: {why}"));
    let runs = Running { app: Some(id), cometbft: Some(id), ..starts.clone() };
    let no_http = "the node runs and does not answer: it serves no HTTP: set `http` in its dseq.toml";
    assert_eq!(is(&runs), no_http);
    let stopped = Idle::start();
    stopped.id().signal(Signal::STOP).unwrap();
    let pid = stopped.id().pid;
    let frozen = Running { app: Some(stopped.id()), ..runs.clone() };
    assert_eq!(is(&frozen), format!("the app is stopped by a signal; continue it with `kill -CONT {pid}`"));

    // One that answers, and was restarted.
    let node = well();
    let with = |failures, at: u64| Running {
        restart: Some(Restart { failures, at, ..Restart::now(why.to_owned(), 1) }),
        ..runs.clone()
    };
    let at = node.address.to_string();
    let text = of_home(home, &with(3, u64::MAX), &["--http", &at]);
    assert_eq!(text, format!("home: healthy\n  restarted 0 s ago, 3 times in a row: {why}\n"));
    assert_eq!(of_home(home, &with(3, 0), &["--http", &at]), "home: healthy\n", "that was long ago");
    drop(process);
    let text = of_home(home, &runs, &[]);
    assert!(text.contains("failed   runs: the node does not run (it serves no HTTP"), "{text}");
}
