//! `dseq status` of nodes that a test plays: what it prints is compared whole.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};

use dseq::node::process::ProcessId;

use super::doctor::{Network, http};
use super::network::node_id;
use super::played::{Played, Says};
use super::{dseq, fill, run, text};

/// Addresses at which nobody listens.
const NOBODY: [&str; 2] = ["127.0.0.1:1", "127.0.0.1:2"];

/// Four nodes with the same records, `change`d before they are asked.
fn four(change: impl Fn(usize, &mut Says)) -> Vec<Played> {
    let node = |number| {
        let mut says = Says::one_of_four(number);
        says.records = vec!["hello", "a longer record", "tab\tand \u{1b}[2J"];
        says.height = 12_345;
        change(number, &mut says);
        Played::start(says)
    };
    (0..4).map(node).collect()
}

/// What `dseq status` prints of nodes at these addresses. A port that the system chose is shown as the number of its node, as wide
/// as the address.
fn status(addresses: &[&str], more: &[&str]) -> (i32, String) {
    let (code, mut said, stderr) = run(dseq(&["status", "--node", &addresses.join(",")]).args(more));
    assert_eq!(stderr, "");
    for (number, address) in addresses.iter().enumerate().filter(|(_, address)| !NOBODY.contains(address)) {
        let width = address.len();
        said = said.replace(address, &format!("{:->width$}", format!("node{number}")));
    }
    (code, said)
}

fn addresses(nodes: &[Played]) -> Vec<&str> {
    nodes.iter().map(|node| node.rpc.as_str()).collect()
}

/// That what was printed is what is expected, but for the line break before it.
fn assert_says(found: &str, expected: &str) {
    assert_eq!(found, &expected[1..], "it printed:\n{found}");
}

#[test]
fn a_network_that_is_fine() {
    let nodes = four(|_, _| {});
    let (code, said) = status(&addresses(&nodes), &[]);
    assert_says(
        &said,
        r"
                 ----------node0       ----------node1       ----------node2       ----------node3
state                    running               running               running               running
height                    12,345                12,345                12,345                12,345
length                      32 B                  32 B                  32 B                  32 B
records                        3                     3                     3                     3
app hash        0a0a0a0a0a0a0a0a      0a0a0a0a0a0a0a0a      0a0a0a0a0a0a0a0a      0a0a0a0a0a0a0a0a
peers                          3                     3                     3                     3
mempool                     0 tx                  0 tx                  0 tx                  0 tx
disk free                      -                     -                     -                     -
agreement                   same                  same                  same                  same

last records of ----------node0, the newest first
2  12 B  tab\tand \u001b[2J
1  15 B  a longer record
0   5 B  hello

network: fine; validators with voting power 40 of 40 are up; signed twice in the last 100 blocks: nobody
",
    );
    assert_eq!(code, 0);
}

#[test]
fn a_network_with_a_node_behind_one_that_differs_and_one_that_does_not_answer() {
    let nodes = four(|number, says| match number {
        1 => {
            says.app_hash = "1b".repeat(32);
            says.signed_twice = Some((12_300, "V3".to_owned()));
        }
        2 => {
            (says.height, says.catching_up) = (12_338, true);
        }
        _ => (says.disk_low, says.waiting) = (true, 1_200),
    });
    nodes[1].change(|says| says.height += 1);
    let mut addresses = addresses(&nodes);
    addresses[3] = NOBODY[0];
    let (code, said) = status(&addresses, &["--hex", "-n", "2"]);
    assert_says(
        &said,
        r"
                 ----------node0       ----------node1       ----------node2           127.0.0.1:1
state                    running               running           catching up             no answer
height                    12,345                12,346                12,338                     -
length                      32 B                  32 B                  32 B                     -
records                        3                     3                     3                     -
app hash        0a0a0a0a0a0a0a0a      1b1b1b1b1b1b1b1b      0a0a0a0a0a0a0a0a                     -
peers                          3                     3                     3                     -
mempool                 1,200 tx                  0 tx                  0 tx                     -
disk free                    LOW                     -                     -                     -
agreement                   same               DIFFERS                  same                     -

----------node2: it fetches blocks from its peers
127.0.0.1:1: no answer from http://127.0.0.1:1/status: io: Connection refused (os error 111)

last records of ----------node0, the newest first
2  12 B  74616209616e64201b5b324a
1  15 B  61206c6f6e676572207265636f7264

network: DEGRADED; validators with voting power 30 of 40 are up; signed twice in the last 100 blocks: see below
  ----------node1: its app hash differs from the others'
  ----------node2: catching up
  ----------node2: 8 blocks behind
  127.0.0.1:1: no answer
  validator V3 signed twice, as block 12300 proves
",
    );
    assert_eq!(code, 1);
}

#[test]
fn a_network_without_a_quorum_and_one_of_which_nobody_answers() {
    let nodes = four(|number, says| {
        says.peers.retain(|(id, _, _)| id == "id0" || id == "id1");
        says.reason = (number == 1).then_some("its disk is nearly full");
    });
    let mut addresses = addresses(&nodes);
    addresses[2..].copy_from_slice(&NOBODY);
    let (code, said) = status(&addresses, &["-n", "0"]);
    assert_says(
        &said,
        r"
                 ----------node0       ----------node1           127.0.0.1:1           127.0.0.1:2
state                    running             not ready             no answer             no answer
height                    12,345                12,345                     -                     -
length                      32 B                  32 B                     -                     -
records                        3                     3                     -                     -
app hash        0a0a0a0a0a0a0a0a      0a0a0a0a0a0a0a0a                     -                     -
peers                          1                     1                     -                     -
mempool                     0 tx                  0 tx                     -                     -
disk free                      -                     -                     -                     -
agreement                   same                  same                     -                     -

----------node1: its disk is nearly full
127.0.0.1:1: no answer from http://127.0.0.1:1/status: io: Connection refused (os error 111)
127.0.0.1:2: no answer from http://127.0.0.1:2/status: io: Connection refused (os error 111)

network: NO QUORUM; validators with voting power 20 of 40 are up; signed twice in the last 100 blocks: nobody
  validators with voting power 20 of 40 are up; a block takes more than two thirds
  ----------node1: not ready
  127.0.0.1:1: no answer
  127.0.0.1:2: no answer
",
    );
    assert_eq!(code, 2);
    let (code, said) = status(&NOBODY, &[]);
    assert_says(
        &said,
        r"
                     127.0.0.1:1           127.0.0.1:2
state                  no answer             no answer
height                         -                     -
length                         -                     -
records                        -                     -
app hash                       -                     -
peers                          -                     -
mempool                        -                     -
disk free                      -                     -
agreement                      -                     -

127.0.0.1:1: no answer from http://127.0.0.1:1/status: io: Connection refused (os error 111)
127.0.0.1:2: no answer from http://127.0.0.1:2/status: io: Connection refused (os error 111)

network: NO ANSWER; its state is unknown here
  no node answers
  127.0.0.1:1: no answer
  127.0.0.1:2: no answer
",
    );
    assert_eq!(code, 2);
}

#[test]
fn as_json_each_node_has_all_that_the_table_shows() {
    let nodes = four(|number, says| says.signed_twice = (number == 0).then(|| (12_345, "V3".to_owned())));
    let addresses = [nodes[0].rpc.as_str(), NOBODY[0]];
    let (code, said) = status(&addresses, &["--json", "-n", "1", "--hex"]);
    let found: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(code, 1, "{said}");
    let network = json!({
        "state": "degraded", "power_up": 10, "power_of_all": 40,
        "reasons": [
            "127.0.0.1:1: no answer",
            "validator V3 signed twice, as block 12345 proves",
            "validators with voting power 10 of 40 are seen; whether the other peers vote is not known",
        ],
    });
    assert_eq!(found["network"], network);
    assert_eq!(found["signed_twice"], json!([{ "block": 12_345, "validator": "V3" }]));
    let node = json!({
        "node": "----------node0", "rpc": "http://----------node0", "state": "running", "reason": null, "height": 12_345,
        "length": 32, "records": 3, "app_hash": "0a".repeat(32), "peers": 3, "mempool": 0, "disk_free_bytes": null,
        "disk_low": false, "id": "id0", "power": 10, "validator": "V0", "agreement": "unknown", "checks": [],
    });
    assert_eq!(found["nodes"][0], node);
    assert_eq!(
        (&found["nodes"][1]["state"], &found["nodes"][1]["height"]),
        (&"no-answer".into(), &Value::Null)
    );
    assert_eq!(
        found["last_records"],
        json!([{ "index": 2, "bytes": 12, "hex": "74616209616e64201b5b324a" }])
    );
}

#[test]
fn without_a_terminal_followed_nodes_are_lines_until_a_signal_comes() {
    let nodes = four(|number, says| says.catching_up = number == 1);
    let addresses = [nodes[0].rpc.as_str(), nodes[1].rpc.as_str(), NOBODY[0]];
    let mut command = dseq(&["status", "--follow", "--node", &addresses.join(",")]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    // Open until it has ended: it may write once more.
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let lines: Vec<String> = said.by_ref().take(3).map(Result::unwrap).collect();
    ProcessId::of(child.id()).unwrap().signal(Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success());
    // A rate is there from the second look on.
    let hash = "0a".repeat(8);
    let node = |state: &str, reason: &str| {
        format!(
            "{state} height=12345 length=32 records=3 rate= app_hash={hash} peers=3 mempool=0 disk_free=- agreement=same{reason}"
        )
    };
    let expected = [node("running", ""), node("catching-up", " reason=\"it fetches blocks from its peers\"")];
    for ((line, address), expected) in lines.iter().zip(addresses).zip(expected) {
        let line = line.replace("rate=-", "rate=").replace("rate=0.0", "rate=");
        assert_eq!(line, format!("{address} {expected}"));
    }
    let silent = "127.0.0.1:1 no-answer reason=\"no answer from http://127.0.0.1:1/status: ";
    assert!(lines[2].starts_with(silent), "{}", lines[2]);
}

#[test]
fn of_a_home_alone_the_nodes_it_is_connected_to_are_asked() {
    let nodes = four(|_, _| {});
    nodes[0].change(|says| {
        says.peers[0].2 = Some(nodes[1].rpc.clone());
        says.peers[1].1 = "a node with a name that is far too long for a column".to_owned();
        says.peers[1].2 = Some(nodes[2].rpc.clone());
    });
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    let with = |rpc: &str| {
        fs::write(dir.path().join("config/config.toml"), format!("moniker = \"me\"\n{rpc}")).unwrap();
    };
    with(&format!("rpc.laddr = \"tcp://{}\"\n", nodes[0].rpc));
    let (code, said, stderr) = run(&mut dseq(&["status", "--home", text(dir.path())]));
    let head: Vec<&str> = said.lines().take(2).collect();
    let names = "                              me                 node1  a node with a nam...";
    assert_eq!(
        head,
        [names, "state                    running               running               running"],
        "{stderr}"
    );
    let own = said.lines().find_map(|line| line.strip_prefix("disk free")).unwrap();
    let shown: Vec<&str> = own.split_whitespace().collect();
    assert!(shown.len() == 4 && shown[0].parse::<f64>().unwrap() > 0.0 && shown[2..] == ["-", "-"], "{own}");
    assert!(
        code == 0 && said.contains("\nnetwork: fine; validators with voting power 30 of 40 are up;"),
        "{said}"
    );

    with("");
    let (code, _, stderr) = run(&mut dseq(&["status", "--home", text(dir.path())]));
    assert!(
        code == 1 && stderr.ends_with("names no address of CometBFT's RPC; set rpc.laddr there\n"),
        "{stderr}"
    );
}

#[test]
fn of_a_home_in_a_network_each_member_is_known_by_its_name_and_what_its_node_finds_is_said() {
    let network = Network::new();
    let home = text(network.home.root());
    let status = || {
        let (code, said, stderr) = run(&mut dseq(&["status", "--home", home]));
        assert_eq!(stderr, "");
        let (table, whole) = said.split_once("\nnetwork: ").unwrap();
        let names: Vec<String> =
            table.lines().next().unwrap().split_whitespace().map(str::to_owned).collect();
        assert_eq!(names, ["alice", "bob", "carol"], "dave's RPC is for nobody");
        (code, whole.to_owned())
    };
    let power = |up: u64| {
        format!(
            "validators with voting power {up} of 40 are up; signed twice in the last 100 blocks: nobody\n"
        )
    };
    // Dave counts as up: the others are connected to him.
    assert_eq!(status(), (0, format!("fine; {}", power(40))));
    let answers = http(json!([
        { "name": "runs", "state": "ok" },
        { "name": "disk", "state": "warning", "reason": "2.1 GB are free" },
        { "name": "signing", "state": "warning", "reason": "validator dave is up, and its signature is in no block, of 20" },
    ]));
    fs::write(network.home.config_file(), format!("http = \"{}\"\n", answers.address)).unwrap();
    (0..3)
        .for_each(|number| network.change(number, |says| says.peers.retain(|(id, _, _)| *id != node_id(3))));
    let reasons = "  alice: disk: 2.1 GB are free\n  \
                   alice says: validator dave is up, and its signature is in no block, of 20\n  \
                   dave: no node that answers is connected to it\n  \
                   validators with voting power 10 of 40 are not seen\n";
    assert_eq!(status(), (1, format!("DEGRADED; {}{reasons}", power(30))));

    network.stop();
    (1..3)
        .for_each(|number| network.change(number, |says| says.peers.retain(|(id, _, _)| *id != node_id(0))));
    let reasons = "  validators with voting power 20 of 40 are up; a block takes more than two thirds\n  \
                   alice: stopped\n  alice: no node that answers is connected to it\n  \
                   dave: no node that answers is connected to it\n";
    assert_eq!(status(), (2, format!("NO QUORUM; {}{reasons}", power(20))));
}

#[test]
fn a_local_network_that_does_not_run_is_said_to_be_stopped() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("network.json"), json!({ "nodes": 2, "base_port": 29_180 }).to_string())
        .unwrap();
    for node in ["node0", "node1"] {
        fill(&dir.path().join(node));
    }
    let (code, said, _) = run(&mut dseq(&["status", "--dir", text(dir.path())]));
    assert_says(
        &said,
        r"
                           node0                 node1
state                    stopped               stopped
height                         -                     -
length                         -                     -
records                        -                     -
app hash                       -                     -
peers                          -                     -
mempool                        -                     -
disk free                      -                     -
agreement                      -                     -

node0: it does not run
node1: it does not run

network: NO ANSWER; its state is unknown here
  no node answers
  node0: stopped
  node1: stopped
",
    );
    assert_eq!(code, 2);
}
