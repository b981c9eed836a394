//! The pages of docs/run, run as they are written on a node of a real network: examined, backed up, lost, recovered, moved.
//!
//! `dseq start` in a page is a node that is started; everything else is run by a shell.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dseq::node::engine::rpc::Rpc;
use dseq::node::home::NodeHome;
use dseq::node::keys;
use dseq::node::testnet::Node;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    PATIENCE, Testnet, ask, dseq, gallery, processes, receipt, refusal, run, until, workspace_file,
};

/// What stands in the pages, and which places of this test it means.
struct Pages {
    dir: tempfile::TempDir,
    home: PathBuf,
}

impl Pages {
    fn new(home: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for place in ["bin", "safe", "usb", "new"] {
            fs::create_dir(dir.path().join(place)).unwrap();
        }
        for place in ["bin", "new"] {
            // A copy: a link would lead it away from the CometBFT beside it.
            fs::copy(env!("CARGO_BIN_EXE_dseq"), dir.path().join(place).join("dseq")).unwrap();
        }
        symlink(workspace_file("build/cometbft"), dir.path().join("bin/cometbft")).unwrap();
        Self { dir, home: home.to_owned() }
    }

    fn place(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Runs the block of a page with this number, without the start of the node; its exit code and what it said.
    fn run(&self, page: &str, block: usize) -> (i32, String) {
        let text = fs::read_to_string(workspace_file(&format!("docs/run/{page}.md"))).unwrap();
        assert!(text.lines().count() <= 40, "{page} is longer than a page");
        let block = text.split("```sh\n").nth(block).expect("a block").split("```").next().unwrap();
        let commands =
            block.lines().filter(|line| !line.starts_with("dseq start ")).collect::<Vec<_>>().join("\n");
        let commands = commands
            .replace("/var/lib/dseq", self.home.to_str().unwrap())
            .replace("/mnt/safe", &self.place("safe"))
            .replace("/mnt/usb", &self.place("usb"))
            .replace("/opt/dseq-new", &self.place("new"));
        let mut shell = Command::new("sh");
        let path = format!("{}:{}", self.place("bin"), std::env::var("PATH").unwrap());
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DSEQ_")) {
            shell.env_remove(name);
        }
        run(shell.args(["-euc", &commands]).env("PATH", path))
    }

    /// The same, which must succeed.
    fn succeeds(&self, page: &str, block: usize) -> String {
        let (code, said) = self.run(page, block);
        assert_eq!(code, 0, "{page}, block {block}: {said}");
        said
    }
}

pub(crate) fn stop(node: &Node) {
    let ids = processes(&node.home);
    ids[0].signal(Signal::TERM).unwrap();
    assert!(ids.iter().all(|id| id.wait_gone(PATIENCE)));
}

pub(crate) fn rpc(node: &Node) -> Rpc {
    Rpc::at(node.rpc_url(), Duration::from_secs(10))
}

pub(crate) fn submit(node: &Node, text: &str) {
    let answer = ask(node.ports.rpc, &format!("broadcast_tx_commit?tx=\"{text}\"")).unwrap();
    assert!(receipt(&answer).is_some(), "{answer}");
}

/// Does something while transactions come at a node, as on a network that is used.
fn while_used<T>(node: &Node, work: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let producing = scope.spawn(|| {
            for number in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let _ = ask(node.ports.rpc, &format!("broadcast_tx_sync?tx=\"<{number}>\""));
                std::thread::sleep(Duration::from_millis(400));
            }
        });
        // It ends with the work, even if that panics.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let over = Over(&is_over);
        let done = work();
        drop(over);
        producing.join().unwrap();
        done
    })
}

/// The heights that a validator has signed, after one and up to another.
fn signed(rpc: &Rpc, address: &str, after: u64, to: u64) -> Vec<u64> {
    let is_signer = |height: &u64| rpc.commit(*height).unwrap().is_signed_by(address);
    (after + 1..=to).filter(is_signer).collect()
}

/// The height up to which a recovered validator signs nothing, as the command says.
fn votes_above(said: &str) -> u64 {
    let (_, rest) = said.split_once("It votes again for blocks above ").unwrap_or_else(|| panic!("{said}"));
    rest.split(':').next().unwrap().parse().unwrap()
}

fn status(net: &Testnet) -> (i32, Value) {
    let output = dseq(&["status", "--json", "--dir", net.dir()]).output().unwrap();
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
}

/// A second node with the same key is noticed by the blocks it signs, and the recovery leaves its record alone.
fn a_key_that_votes_elsewhere_is_noticed(pages: &Pages, net: &Testnet, used: &Node) {
    let copy = PathBuf::from(pages.place("copy"));
    let archive = pages.place("safe/dseq-keys.json");
    let copy_text = copy.to_str().unwrap();
    let (code, said) = run(&mut dseq(&["keys", "restore", &archive, "--home", copy_text]));
    assert_eq!(code, 0, "{said}");
    let home = NodeHome::open(&copy).unwrap();
    // Peers know the other one by its id, and it has the ports.
    fs::remove_file(copy.join("config/node_key.json")).unwrap();
    let mut config = fs::read_to_string(home.cometbft_config()).unwrap();
    for (port, other) in [(net.base_port + 7, net.base_port + 10), (net.base_port + 8, net.base_port + 11)] {
        config = config.replace(&format!(":{port}\""), &format!(":{other}\""));
    }
    fs::write(home.cometbft_config(), config).unwrap();
    let recover = || run(dseq(&["recover", "--home", copy_text]).env("DSEQ_HTTP", "off"));
    let (code, said) = while_used(used, recover);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("another node votes with the same key now"), "{said}");
    assert!(
        !copy.join("data/priv_validator_state.json").exists() && refusal(&home).contains("must catch up")
    );
}

/// The keys go to another home; the one they were in does not start any more.
fn moved(pages: &Pages, net: &Testnet, node: &Node) {
    let (code, said) = pages.run("move", 1);
    assert!(code == 1 && said.contains("runs (pid "), "{said}");
    stop(node);
    pages.succeeds("move", 1);
    let old = node.home.root().with_extension("old");
    fs::rename(node.home.root(), &old).unwrap();
    assert!(refusal(&NodeHome::new(&old)).contains("were moved away"));
    pages.succeeds("move", 2);
    net.started();
    submit(node, "four\\n");
    net.settled();
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn the_pages_about_running_a_node_do_what_they_say() {
    let net = Testnet::with(vec!["--plugin".to_owned(), gallery("lines")]);
    net.started();
    let nodes = net.nodes();
    let [first, .., node] = &nodes[..] else { panic!("four nodes") };
    let pages = Pages::new(node.home.root());
    let address = keys::show(&node.home).unwrap().address.unwrap();
    submit(first, "one\\n");

    // A node that runs well, its keys, and its backup.
    let said = pages.succeeds("doctor", 1);
    assert!(said.contains("key copies") && !said.contains("FAILED"), "{said}");
    pages.succeeds("backup", 1);
    let shown = pages.succeeds("backup", 2);
    assert!(shown.contains(&address) && !shown.contains("priv_key"), "{shown}");
    pages.succeeds("upgrade", 1);
    pages.succeeds("upgrade", 2);
    // Right after the start, a node may still be connecting to the last of its peers.
    until("the network is healthy", || (status(&net).0 == 0).then_some(()));
    pages.succeeds("upgrade", 3);
    assert_eq!(status(&net).0, 0);
    a_key_that_votes_elsewhere_is_noticed(&pages, &net, first);

    // Everything is lost but the backup.
    stop(node);
    let lost_at = rpc(first).status().unwrap().height;
    fs::remove_dir_all(node.home.root()).unwrap();
    let said = while_used(first, || pages.succeeds("restore", 1));
    let above = votes_above(&said);
    assert!(said.contains("caught up. Waiting for two blocks") && above > lost_at, "{said}");
    net.started();
    let voted = while_used(first, || {
        until("vote of the recovered validator", || {
            let height = rpc(first).status().unwrap().height;
            signed(&rpc(first), &address, above, height).first().copied()
        })
    });
    assert!(voted > above);
    // It may have signed the block that was under way when it was stopped.
    assert_eq!(signed(&rpc(first), &address, lost_at + 1, above), Vec::<u64>::new());
    submit(node, "two\\n");
    net.settled();

    // Only CometBFT's data is lost: the node says so, and does not loop.
    stop(node);
    let (code, whole) = status(&net);
    assert_eq!((code, &whole["network"]["state"]), (1, &"degraded".into()), "{whole}");
    fs::remove_dir_all(node.home.data_dir()).unwrap();
    let said = refusal(&node.home);
    assert!(
        said.contains("priv_validator_state.json is missing") && said.contains("dseq recover --home"),
        "{said}"
    );
    let (code, said) = pages.run("doctor", 1);
    assert!(code == 1 && said.contains("FAILED   data"), "{said}");
    let said = while_used(first, || pages.succeeds("lost-disk", 1));
    assert!(said.contains("moved aside: ") && votes_above(&said) > above, "{said}");
    net.started();
    submit(node, "three\\n");
    net.settled();

    // Only the sequence is lost: it is rebuilt.
    stop(node);
    fs::remove_dir_all(node.home.sequence_dir()).unwrap();
    net.started();
    net.settled();

    moved(&pages, &net, node);

    // Two of four are no quorum.
    stop(node);
    stop(&nodes[2]);
    let (code, whole) = status(&net);
    assert_eq!((code, &whole["network"]["state"]), (2, &"no-quorum".into()), "{whole}");
    net.started();
    let sequence = net.settled();
    let text = String::from_utf8(sequence).unwrap();
    assert!(["one\n", "two\n", "three\n", "four\n"].iter().all(|line| text.contains(line)), "{text}");
}
