//! The commands that write and read, against nodes that a test plays: what goes to standard output, and the exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dseq_client::{Address, TxHash};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::mock::{Log, Node, Reply, Request, nobody};
use super::{dseq, run};

fn at(node: &Node) -> String {
    format!("--node={}", node.address)
}

/// What a command says: exit code, standard output, standard error.
fn said(args: &[&str]) -> (i32, String, String) {
    run(dseq(args).stdin(Stdio::null()))
}

fn receipt(tx: &[u8]) -> Value {
    let hash = TxHash::of(tx).to_string();
    json!({ "index": 3, "offset": 40, "length": tx.len(), "height": 9, "tx_hash": hash, "blake3": "0".repeat(64) })
}

/// A node that does with each transaction what its bytes say.
fn obedient(request: &Request) -> Reply {
    let hash = |tx: &[u8]| TxHash::of(tx).to_string();
    let pending = json!({ "state": "pending", "tx_hash": hash(b"wait") });
    if !request.target.starts_with("/v1/submit") {
        return match request.target.split('?').next().unwrap().rsplit('/').next().unwrap() {
            of if of == hash(b"wait") => Reply::json("200 OK", &pending),
            of if of == hash(b"commit") => {
                Reply::json("200 OK", &json!({ "state": "committed", "receipts": [receipt(b"commit")] }))
            }
            _ if request.target.contains("index=3") => {
                Reply::json("200 OK", &json!({ "receipts": [receipt(b"commit")], "next": null }))
            }
            "receipts" => Reply::problem(404, "not-committed", true, &json!({ "actual": 4 })),
            _ => Reply::problem(404, "unknown-transaction", true, &json!({})),
        };
    }
    match &request.body[..] {
        b"wait" => Reply::json("202 X", &pending),
        b"lose" => Reply::none(),
        b"large" => {
            let members = json!({ "plugin": null, "codespace": "dseq", "code": 2, "limit": 3 });
            Reply::problem(413, "body-too-large", false, &members)
        }
        b"refuse" => Reply::problem(421, "foreign-host", false, &json!({})),
        b"reject" => {
            let members =
                json!({ "plugin": "p", "codespace": "plugin/p", "code": 7, "tx_hash": hash(b"reject") });
            Reply::problem(422, "rejected", false, &members)
        }
        tx => {
            let mut answer = receipt(tx);
            answer["state"] = "committed".into();
            answer["duplicate"] = false.into();
            Reply::json("200 OK", &answer)
        }
    }
}

#[test]
fn each_outcome_of_a_transaction_has_its_line_and_its_exit_code() {
    let node = Node::start(obedient);
    let hash = |tx: &str| TxHash::of(tx.as_bytes()).to_string();
    for (tx, code, begins) in [
        ("commit", 0, "committed  index 3  offset 40  length 6  height 9  tx ".to_owned()),
        ("reject", 4, format!("rejected   tx {}  details of rejected (plugin/p code 7)", hash("reject"))),
        ("wait", 5, format!("pending    tx {}", hash("wait"))),
        ("lose", 5, format!("unknown    tx {}", hash("lose"))),
        ("large", 4, format!("rejected   tx {}  details of body-too-large (dseq code 2)", hash("large"))),
        ("refuse", 1, String::new()),
    ] {
        let (found, stdout, stderr) = said(&["submit", tx, &at(&node), "--timeout", "200ms"]);
        assert_eq!(found, code, "{tx}: {stdout}{stderr}");
        assert!(stdout.starts_with(&begins), "{tx}: {stdout}");
        assert_eq!(stdout.is_empty(), begins.is_empty(), "{tx}: {stdout}");
        assert_eq!(stderr.starts_with("error: "), begins.is_empty(), "{tx}: {stderr}");
        let (found, stdout, _) = said(&["submit", tx, &at(&node), "--timeout", "200ms", "--json"]);
        let object: Value = serde_json::from_str(&stdout).unwrap();
        assert_eq!((found, &object["tx_hash"]), (code, &json!(hash(tx))), "{object}");
    }
    let (_, _, stderr) = said(&["submit", "lose", &at(&node), "--timeout", "200ms"]);
    assert!(
        stderr.contains(&format!("`dseq receipt {} --wait 30s`\nerror: it is not known", hash("lose"))),
        "{stderr}"
    );
    let (code, _, _) = said(&["submit", "wait", "--wait", "checked", &at(&node)]);
    assert_eq!(code, 0, "that much was asked for");
    assert!(node.targets().last().unwrap().starts_with("/v1/submit?wait=checked&"), "{:?}", node.targets());
    let (code, _, stderr) = said(&["submit", "x", &format!("--node={}", nobody())]);
    assert!(code == 6 && stderr.contains("refused"), "{code}: {stderr}");
    let nodes = format!("--node={},{}", nobody(), node.address);
    assert_eq!(said(&["submit", "commit", &nodes]).0, 0, "another node takes it");
}

#[test]
fn a_transaction_comes_from_wherever_it_is_given() {
    let node = Node::start(obedient);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tx");
    std::fs::write(&file, b"\0\xff").unwrap();
    let binary = TxHash::of(b"\0\xff").to_string();
    for args in
        [&["--hex", "00ff"][..], &["--file", file.to_str().unwrap()], &["--input", file.to_str().unwrap()]]
    {
        let (code, stdout, stderr) = said(&[&["submit", &at(&node)], args].concat());
        assert!(code == 0 && stdout.contains(&binary), "{args:?}: {stdout}{stderr}");
    }
    let (code, stdout, _) = run(dseq(&["submit", &at(&node)]).stdin(std::fs::File::open(&file).unwrap()));
    assert!(code == 0 && stdout.contains(&binary), "standard input: {stdout}");
    // Longer than any network takes, and sparse.
    std::fs::File::options().write(true).open(&file).unwrap().set_len((64 << 20) + 1).unwrap();
    let before = node.targets().len();
    let (code, stdout, stderr) = said(&["submit", &at(&node), "--file", file.to_str().unwrap()]);
    assert!(
        code == 4 && stdout.starts_with("rejected   the transaction has more than 67108864 bytes"),
        "{stderr}"
    );
    assert_eq!(node.targets().len(), before, "nothing was sent");
    for bad in [&["--hex", "0"][..], &["--hex", "00", "text"]] {
        assert_eq!(said(&[&["submit", &at(&node)], bad].concat()).0, 2, "{bad:?}");
    }
    for bad in [&["submit", "x", "--node", "localhost"][..], &["submit", "x", "--node", "https://a:1"]] {
        let (code, _, stderr) = said(bad);
        assert!(code == 2 && stderr.contains("expected HOST:PORT"), "{stderr}");
    }
}

/// Runs a command with this on standard input.
fn fed(args: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(input).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    run(dseq(args).stdin(file))
}

#[test]
fn lines_are_answered_in_their_order_and_the_worst_decides_the_exit_code() {
    let node = Node::start(obedient);
    let lines = |input: &str, more: &[&str]| {
        fed(&[&["submit", "--lines", "-", &at(&node), "--timeout", "300ms"], more].concat(), input.as_bytes())
    };
    let (code, stdout, stderr) = lines("commit\none\n\ntwo", &["--json"]);
    assert_eq!((code, stderr.as_str()), (0, "4 committed\n"));
    let hashes: Vec<Value> =
        stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["tx_hash"].clone()).collect();
    assert_eq!(hashes, ["commit", "one", "", "two"].map(|tx| json!(TxHash::of(tx.as_bytes()).to_string())));
    let (code, stdout, stderr) = lines("commit\nreject\none\n", &[]);
    assert_eq!((code, stdout.lines().count(), stderr.as_str()), (4, 3, "2 committed, 1 rejected\n"));
    assert_eq!(lines("reject\nwait\n", &[]).0, 5);
    // One that is too long for the network is its own fault, and none of those that follow.
    let (code, stdout, stderr) = lines("commit\nlarge\none\n", &["--concurrency", "1"]);
    assert_eq!((code, stdout.lines().count(), stderr.as_str()), (4, 3, "2 committed, 1 rejected\n"));
    // What follows a transaction that could not be handed in is not sent, but for what is under way.
    let many = format!("one\nrefuse\n{}", "two\n".repeat(1000));
    let (code, stdout, stderr) = lines(&many, &["--concurrency", "2"]);
    assert!(code == 1 && stdout.lines().count() < 20, "{code}: {stderr}");
    assert!(stderr.contains("1 failed\nstopped: what follows was not sent"), "{stderr}");
    assert_eq!(lines("", &[]).0, 0);
    // One that no network takes ends the input, and what was sent before it is reported.
    let long = format!("commit\none\n{}\ntwo\n", "x".repeat((64 << 20) + 1));
    let (code, stdout, stderr) = lines(&long, &[]);
    assert_eq!((code, stdout.lines().count()), (1, 2), "{stderr}");
    let begins =
        "2 committed\nstopped: what follows was not sent\nerror: cannot read transaction 3 of standard input";
    assert!(
        stderr.starts_with(begins) && stderr.contains("67108864 bytes, the maximum of any network"),
        "{stderr}"
    );
    // What is open of those before matters more.
    let (code, stdout, stderr) = lines(&format!("wait\n{long}"), &[]);
    assert_eq!(
        (code, stdout.lines().next().unwrap_or_default().split(' ').next()),
        (5, Some("pending")),
        "{stderr}"
    );
    assert!(stderr.contains("error: "), "{stderr}");
}

#[test]
fn a_receipt_is_found_or_the_exit_code_says_why_not() {
    let node = Node::start(obedient);
    let hash = |tx: &str| TxHash::of(tx.as_bytes()).to_string();
    for (what, code, begins) in [
        (&[hash("commit").as_str()][..], 0, "committed  index 3  offset 40"),
        (&[&hash("wait")], 5, "pending    tx "),
        (&[&hash("never"), "--wait", "100ms"], 3, "unknown    tx "),
        (&["--index", "3"], 0, "committed  index 3  offset 40"),
        (&["--offset", "99"], 3, ""),
        (&["--height", "7"], 3, ""),
    ] {
        let (found, stdout, stderr) = said(&[&["receipt", &at(&node)], what].concat());
        assert_eq!(found, code, "{what:?}: {stdout}{stderr}");
        assert!(stdout.starts_with(begins) && stdout.is_empty() == begins.is_empty(), "{what:?}: {stdout}");
    }
    let (_, stdout, _) = said(&["receipt", &hash("commit"), "--json", &at(&node)]);
    let object: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&object["state"], &object["receipts"][0]), (&json!("committed"), &receipt(b"commit")));
    for bad in [&["receipt"][..], &["receipt", "abc"], &["receipt", "--index", "1", "--offset", "2"]] {
        assert_eq!(said(bad).0, 2, "{bad:?}");
    }
}

#[test]
fn bytes_are_data_on_standard_output_and_the_range_is_said_beside_it() {
    let bytes: Vec<u8> = (0..=255).collect();
    let node = Log::new(&bytes, 200).node();
    let read = |args: &[&str]| {
        let output = dseq(&[&["read", &at(&node)], args].concat()).stdin(Stdio::null()).output().unwrap();
        (output.status.code().unwrap(), output.stdout, String::from_utf8(output.stderr).unwrap())
    };
    let all = "bytes 0 to 199 (200 of 200 bytes)\n".to_owned();
    assert_eq!(read(&[]), (0, bytes[..200].to_vec(), all));
    assert_eq!(read(&["--from", "-5"]).1, bytes[195..200]);
    assert_eq!(read(&["--from", "10", "--until", "-150"]).1, bytes[10..50]);
    assert_eq!(read(&["--from", "10", "--bytes", "3"]).1, bytes[10..13]);
    assert_eq!(read(&["--from", "190", "--until", "1000"]).1, bytes[190..200]);
    let (code, stdout, stderr) = read(&["--from", "end"]);
    assert_eq!(
        (code, stdout.len(), stderr.as_str()),
        (0, 0, "no bytes at offset 200 (the sequence has 200 bytes)\n")
    );
    let (code, _, stderr) = read(&["--from", "201"]);
    assert!(
        code == 3 && stderr.contains("201 is beyond the end of the sequence, which has 200 bytes"),
        "{stderr}"
    );
    assert_eq!(read(&["--from", "10", "--until", "5"]).0, 2);
    let (_, dump, _) = read(&["--from", "60", "--bytes", "18", "--hex"]);
    let expected = "        60  3c 3d 3e 3f 40 41 42 43  44 45 46 47 48 49 4a 4b  |<=>?@ABCDEFGHIJK|\n        76  4c 4d                                             |LM|\n";
    assert_eq!(String::from_utf8(dump).unwrap(), expected);
    let (_, line, _) = read(&["--from", "60", "--bytes", "2", "--json"]);
    let object: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(object, json!({ "offset": 60, "length": 2, "data": "PD0=" }));
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out");
    let (code, stdout, _) = read(&["-o", file.to_str().unwrap()]);
    assert_eq!((code, stdout.len(), std::fs::read(&file).unwrap()), (0, 0, bytes[..200].to_vec()));
    let (code, _, stderr) = said(&["read", &format!("--node={}", nobody())]);
    assert!(code == 6 && stderr.contains("cannot connect"), "{code}: {stderr}");
}

#[test]
fn whoever_has_read_enough_ends_a_command_quietly() {
    let bytes = vec![b'x'; 1 << 20];
    let log = Log::new(&bytes, 1 << 20);
    let node = log.node();
    // A pipe holds less; a follower has nothing more to write.
    for args in [&["read"][..], &["tail", "-f"]] {
        let mut child = spawn(&[args, &[&at(&node)]].concat());
        child.stdout.take().unwrap().read_exact(&mut [0; 100]).unwrap();
        let (code, stderr) = ended(child);
        assert!(code == Some(0) && !stderr.contains("error"), "{args:?}: {stderr}");
    }
}

fn spawn(args: &[&str]) -> Child {
    let mut command = dseq(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the end; the exit code and what is left of standard error.
fn ended(mut child: Child) -> (Option<i32>, String) {
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (child.wait().unwrap().code(), stderr)
}

#[test]
fn a_tail_goes_on_at_another_node_until_it_is_stopped() {
    let bytes: Vec<u8> = (0..3000_usize).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let logs = [Log::new(&bytes, 1000), Log::new(&bytes, 1000)];
    let nodes = logs.each_ref().map(Log::node);
    let both = format!("{},{}", nodes[0].address, nodes[1].address);
    let mut child = spawn(&["tail", "-f", "--from", "start", "--node", &both]);
    let mut stdout = child.stdout.take().unwrap();
    let mut take = |count: usize| {
        let mut taken = vec![0; count];
        stdout.read_exact(&mut taken).unwrap();
        taken
    };
    assert_eq!(take(1000), bytes[..1000]);
    logs[0].busy.store(true, Ordering::SeqCst);
    logs.iter().for_each(|log| log.commit(2000));
    assert_eq!(take(1000), bytes[1000..2000]);
    logs.iter().for_each(|log| log.commit(3000));
    assert_eq!(take(1000), bytes[2000..]);
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(stderr.next().unwrap(), "2 of 2 nodes answer, and agree at 1000 bytes");
    assert_eq!(stderr.next().unwrap(), "following from offset 0; Ctrl-C ends it");
    assert_eq!(
        stderr.next().unwrap(),
        format!("{}: details of too-many-connections (too-many-connections)", nodes[0].address)
    );
    let expected =
        format!("reading from {} at offset 1000; its last 1000 bytes are the same", nodes[1].address);
    assert_eq!(stderr.next().unwrap(), expected);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(stderr.next().unwrap(), "stopped at offset 3000; --from 3000 goes on there");
    assert_eq!((stderr.next(), child.wait().unwrap().code()), (None, Some(0)));
}

#[test]
fn a_tail_that_goes_on_adds_to_its_file() {
    let bytes: Vec<u8> = (0..500_usize).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let log = Log::new(&bytes, 500);
    let (node, dir) = (log.node(), tempfile::tempdir().unwrap());
    let file = dir.path().join("copy");
    std::fs::write(&file, &bytes[..200]).unwrap();
    let name = file.to_str().unwrap();
    let mut child = spawn(&["tail", "-f", "--from", "200", "-o", name, "--node", &node.address.to_string()]);
    while std::fs::metadata(&file).unwrap().len() < 500 {
        std::thread::sleep(Duration::from_millis(10));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(std::fs::read(&file).unwrap(), bytes);
}

#[test]
fn nodes_that_disagree_have_an_exit_code_of_their_own() {
    let (mut bytes, length) = (vec![b'x'; 500], 500);
    let one = Log::new(&bytes, length);
    bytes[7] = b'y';
    let other = Log::new(&bytes, length);
    let addresses = |logs: [&Arc<Log>; 2]| -> (Vec<Node>, String) {
        let nodes = logs.map(Log::node);
        let text: Vec<String> = nodes.iter().map(|node| node.address.to_string()).collect();
        (nodes.into(), text.join(","))
    };
    let (_nodes, both) = addresses([&one, &other]);
    let (code, stdout, stderr) = said(&["tail", "-f", "--node", &both]);
    assert_eq!((code, stdout.as_str()), (7, ""), "{stderr}");
    assert!(stderr.starts_with("error: nodes disagree: the 500 bytes of "), "{stderr}");
    // It is noticed when the second one is needed, too.
    one.cut_next.store(true, Ordering::SeqCst);
    let (code, _, stderr) = said(&["read", "--node", &both]);
    assert!(code == 7 && stderr.contains("byte 7 is not the same at"), "{code}: {stderr}");
}

#[test]
fn the_nodes_may_be_in_the_environment() {
    let node = Log::new(b"abc", 3).node();
    let Node { address, .. } = &node;
    let (_, stdout, _) = run(dseq(&["read"]).env("DSEQ_NODE", address.to_string()));
    assert_eq!(stdout, "abc");
    let nobody: Address = nobody();
    let (_, stdout, _) = run(dseq(&["read"]).env("DSEQ_NODE", format!("{nobody},{address}")));
    assert_eq!(stdout, "abc");
}

#[test]
fn completions_and_manual_pages_name_every_command() {
    let commands = ["submit", "read", "tail", "receipt", "testnet", "plugin"];
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, script, _) = said(&["completions", shell]);
        assert!(code == 0 && commands.iter().all(|command| script.contains(command)), "{shell}");
        assert!(!script.contains("\\u00"), "{shell}: a character was escaped");
    }
    let (code, page, _) = said(&["man"]);
    assert!(code == 0 && page.contains(".TH dseq 1") && page.contains("dseq\\-submit(1)"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("man/man1");
    let (code, stdout, _) = said(&["man", target.to_str().unwrap()]);
    assert!(code == 0 && stdout.starts_with("wrote "), "{stdout}");
    for page in ["dseq.1", "dseq-submit.1", "dseq-testnet-start.1"] {
        let text = std::fs::read_to_string(target.join(page)).unwrap();
        assert!(text.contains("Examples:") || page.contains("start"), "{page}: {text}");
    }
}

/// The first block of docs/clients.md under this heading.
fn example(heading: &str) -> &'static str {
    let (_, section) = include_str!("../../docs/clients.md").split_once(&format!("### {heading}\n")).unwrap();
    let (_, block) = section.split_once("```").unwrap();
    block.split_once('\n').unwrap().1.split("```").next().unwrap()
}

/// A node that commits what it is given, but for the first time, when it is too busy.
fn busy_at_first() -> Node {
    let (is_free, log) = (AtomicBool::new(false), Mutex::new(Log::new(b"", 0)));
    Node::start(move |request| {
        let mut log = log.lock().unwrap();
        if request.target.starts_with("/v1/submit") {
            if !is_free.swap(true, Ordering::SeqCst) {
                return Reply::problem(503, "mempool-full", true, &json!({}));
            }
            *log = Log::new(&request.body, request.body.len() as u64);
        }
        let mut receipt = receipt(&log.bytes);
        (receipt["index"], receipt["offset"]) = (0.into(), 0.into());
        match request.target.split(['?', '/']).nth(2) {
            Some("submit") => {
                (receipt["state"], receipt["duplicate"]) = ("committed".into(), false.into());
                Reply::json("200 OK", &receipt)
            }
            Some("receipts") => {
                Reply::json("200 OK", &json!({ "state": "committed", "receipts": [receipt] }))
            }
            _ => log.answer(request),
        }
    })
}

#[test]
fn the_examples_for_programs_try_again_when_a_node_is_busy() {
    for (program, heading) in [("sh", "Shell"), ("python3", "Python"), ("node", "JavaScript")] {
        let tool = if program == "sh" { "curl" } else { program };
        if Command::new(tool).arg("--version").output().is_err() {
            eprintln!("SKIPPED: there is no {tool}, so its example is not run");
            continue;
        }
        let (node, dir) = (busy_at_first(), tempfile::tempdir().unwrap());
        let file = if program == "node" { "example.mjs" } else { "example" };
        std::fs::write(dir.path().join(file), example(heading)).unwrap();
        let mut command = Command::new(program);
        command.arg(file).current_dir(dir.path()).env("DSEQ_NODE", node.address.to_string());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let (mut said, mut some) = (String::new(), [0; 4096]);
        // The record as it was read, and as it was followed.
        while said.matches("hello from").count() < 2 {
            let count = child.stdout.as_mut().unwrap().read(&mut some).unwrap();
            assert!(count > 0, "{heading} ended after: {said}");
            said.push_str(&String::from_utf8_lossy(&some[..count]));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(said.contains("committed"), "{heading}: {said}");
        let submitted = node.targets().iter().filter(|target| target.starts_with("/v1/submit")).count();
        assert_eq!(submitted, 2, "{heading}: {said}");
    }
}
