//! Writing and reading as users do: the commands, the examples of docs/clients.md as they stand there, while nodes are killed.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use dseq::node::testnet::Node;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::pages::block;
use crate::support::{Testnet, dseq, processes, run, until};

fn http(node: &Node) -> String {
    node.http_url().unwrap().trim_start_matches("http://").to_owned()
}

fn kill(node: &Node) {
    for process in processes(&node.home) {
        process.signal(Signal::KILL).unwrap();
    }
}

/// A program that runs until the test ends, and all that it has written.
struct Running {
    child: Child,
    said: Arc<Mutex<Vec<u8>>>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let said = Arc::<Mutex<Vec<u8>>>::default();
        let (mut stdout, into): (ChildStdout, _) = (child.stdout.take().unwrap(), Arc::clone(&said));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, said }
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&self.said.lock().unwrap()).into_owned()
    }

    fn until_it_says(&self, what: &str) {
        until(what, || self.said().contains(what).then_some(()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn submit(node: &Node, text: &str) {
    let (code, said) = run(&mut dseq(&["submit", "--node", &http(node), "--timeout", "60s", text]));
    assert_eq!(code, 0, "{said}");
}

fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: there is no {program}, so its example is not run");
    }
    found
}

/// Each of them submits, gets its receipt, reads, and follows; what it follows, it sees once, through a restart of its node.
#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn the_examples_for_programs_do_what_the_page_says() {
    let net = Testnet::new();
    net.started();
    let [first, second, ..] = &net.nodes()[..] else { panic!("four nodes") };
    let dir = tempfile::tempdir().unwrap();
    let mut running = Vec::new();
    for (program, heading, file) in [
        ("curl", "Shell", "example.sh"),
        ("python3", "Python", "example.py"),
        ("node", "JavaScript", "example.mjs"),
    ] {
        if !is_installed(program) {
            continue;
        }
        let place = dir.path().join(program);
        fs::create_dir(&place).unwrap();
        fs::write(place.join(file), block("docs/clients.md", heading, 1)).unwrap();
        let interpreter = if program == "curl" { "sh" } else { program };
        let mut command = Command::new(interpreter);
        command.arg(file).current_dir(&place).env("DSEQ_NODE", http(first));
        running.push((heading, Running::start(&mut command)));
    }
    for (heading, example) in &running {
        // The receipt; the record as it was read, and as it was followed.
        example.until_it_says("committed");
        until(heading, || (example.said().matches("hello from").count() >= 2).then_some(()));
    }
    submit(second, "[one]");
    running.iter().for_each(|(_, example)| example.until_it_says("[one]"));
    kill(first);
    submit(second, "[two]");
    net.started();
    submit(first, "[three]");
    for (heading, example) in &running {
        example.until_it_says("[three]");
        let said = example.said();
        let (_, followed) = said.split_once("[one]").unwrap();
        assert_eq!(followed, "[two][three]", "{heading}: {said}");
    }
}

/// The followers of a killed node see each byte once, and every line of a submitter has an outcome that is true.
#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn commands_go_on_at_another_node_when_theirs_is_killed() {
    let net = Testnet::new();
    net.started();
    let nodes = net.nodes();
    let all = nodes.iter().map(http).collect::<Vec<_>>().join(",");
    let copy = tempfile::NamedTempFile::new().unwrap();
    let mut tail = dseq(&["tail", "-f", "--from", "start", "--node", &all, "-o"]);
    let tail = Running::start(tail.arg(copy.path()).stderr(Stdio::inherit()));
    let mut submitting =
        dseq(&["submit", "--lines", "-", "--json", "--concurrency", "8", "--timeout", "20s"])
            .args(["--node", &all])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
    let mut stdin = submitting.stdin.take().unwrap();
    let writing = std::thread::spawn(move || (0..400).try_for_each(|number| writeln!(stdin, "<{number}>")));
    let mut outcomes: Vec<Value> = Vec::new();
    for line in BufReader::new(submitting.stdout.take().unwrap()).lines() {
        outcomes.push(serde_json::from_str(&line.unwrap()).unwrap());
        if outcomes.len() == 100 {
            kill(&nodes[0]);
        }
    }
    writing.join().unwrap().unwrap();
    let code = submitting.wait().unwrap().code();
    assert_eq!(outcomes.len(), 400);
    net.started();
    let sequence = net.settled();
    for (number, outcome) in outcomes.iter().enumerate() {
        let text = format!("<{number}>");
        match outcome["state"].as_str().unwrap() {
            "committed" => {
                let offset = usize::try_from(outcome["offset"].as_u64().unwrap()).unwrap();
                assert_eq!(&sequence[offset..offset + text.len()], text.as_bytes(), "{outcome}");
            }
            // Handed to the node just before it was killed: nobody else may have heard of it.
            "unknown" => assert_eq!(code, Some(5)),
            other => panic!("{other}: {outcome}"),
        }
    }
    assert!(outcomes.iter().filter(|outcome| outcome["state"] == "committed").count() > 350);
    until("whole copy", || (fs::read(copy.path()).unwrap() == sequence).then_some(()));
    kill_process(Pid::from_child(&tail.child), Signal::INT).unwrap();
}

/// What is asked over HTTP is measured and verified as over RPC.
#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn a_load_test_over_http_is_verified() {
    let net = Testnet::new();
    net.started();
    let args =
        ["load", "--via", "http", "--dir", net.dir(), "--requests", "200", "--concurrency", "20", "--json"];
    let output = dseq(&args).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success() && report["good"] == true, "{report}");
    assert_eq!(
        (&report["counts"]["committed"], &report["verification"]["records"]),
        (&200.into(), &200.into())
    );
}
