//! Homes for nodes on hosts of their own. Each host here is an address of this machine's loopback.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use dseq::node::home::NodeHome;
use dseq::node::process::ProcessId;
use rustix::process::Signal;

use crate::support::{ask_at, dseq, run, until};

/// A node that ends with the test.
struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(id) = ProcessId::of(self.0.id()) {
            let _ = id.signal(Signal::TERM);
        }
        let _ = self.0.wait();
    }
}

/// Starts it on the address of its host alone, since on one machine only one can listen on all.
fn start(home: &Path, host: &str) -> Node {
    let home = NodeHome::new(home);
    let config = fs::read_to_string(home.cometbft_config()).unwrap();
    assert!(
        config.contains("laddr = \"tcp://0.0.0.0:26657\"")
            && config.contains("laddr = \"tcp://0.0.0.0:26656\"")
    );
    fs::write(home.cometbft_config(), config.replace("0.0.0.0", host)).unwrap();
    let log = fs::File::create(home.app_log()).unwrap();
    let mut command = dseq(&["start", "--home", home.root().to_str().unwrap()]);
    Node(command.stdin(Stdio::null()).stderr(log).spawn().unwrap())
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn nodes_on_hosts_of_their_own_find_each_other_and_agree() {
    let dir = tempfile::tempdir().unwrap();
    let net = dir.path().join("net");
    let pid = std::process::id();
    let hosts = [1, 2, 3].map(|node| format!("127.{}.{}.{node}", 100 + pid / 250 % 100, pid % 250));
    let init = |hosts: &[&String]| {
        let mut command = dseq(&["testnet", "init", "--dir", net.to_str().unwrap()]);
        // As in a container, which has no folder for temporary files.
        command.env("TMPDIR", net.join("absent"));
        run(command.args(hosts.iter().flat_map(|host| ["--host", host.as_str()])))
    };
    let all: Vec<&String> = hosts.iter().collect();
    let (code, said) = init(&all);
    assert!(code == 0 && said.contains(&format!("http://{}:26657", hosts[2])), "{said}");

    let genesis = fs::read(NodeHome::new(&net.join(&hosts[0])).genesis_file()).unwrap();
    let (code, said) = init(&all);
    assert!(
        code == 0 && said.ends_with("holds the homes of these hosts already; nothing was changed.\n"),
        "{said}"
    );
    let (code, said) = init(&all[..2]);
    assert!(code == 1 && said.contains("is there already, with "), "{said}");
    assert_eq!(genesis, fs::read(NodeHome::new(&net.join(&hosts[0])).genesis_file()).unwrap());

    let _nodes: Vec<Node> = hosts.iter().map(|host| start(&net.join(host), host)).collect();
    // Its answer does not wait for the others, who may not be connected yet.
    until("answer", || {
        let answer = ask_at(&hosts[0], 26657, "broadcast_tx_sync?tx=\"hello\"")?;
        (answer["result"]["code"] == 0).then_some(())
    });
    for host in &hosts {
        let home = NodeHome::new(&net.join(host));
        until("bytes on each node", || {
            (fs::read(home.sequence_dir().join("sequence.bin")).ok()? == b"hello").then_some(())
        });
    }
}
