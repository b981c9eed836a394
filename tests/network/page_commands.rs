//! The commands on all pages, run as they are written: those that no test of their own runs, and that the page does not mark as
//! `not run`. That each command is one of these is checked by `tests/reference/book.rs`.
//!
//! One network of four nodes stands for the one of `make start`, which starts it and builds nothing here. Ports are replaced by free
//! ones, and so is the name of the network's folder. Commands that never end, such as followers, get some seconds.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use dseq::node::testnet::Node;

use crate::pages::{Block, blocks, pages};
use crate::support::{Testnet, run, workspace_file};

/// The program, from wherever it is called. What follows is stopped after some seconds, as by Ctrl-C; a second network gets the ports
/// of the first, which the page has stopped.
const DSEQ: &str = r#"#!/bin/sh
case " $* " in
    *" -f "* | *" --follow "*)
        timeout --signal=INT 3 "$REAL_DSEQ" "$@" || [ $? = 124 ]
        exit ;;
    " testnet start "*) exec "$REAL_DSEQ" "$@" --base-port "$BASE_PORT" ;;
esac
exec "$REAL_DSEQ" "$@"
"#;

/// curl, which fails where it is not answered with success. What is written may be rejected: the page says so.
const CURL: &str = r#"#!/bin/sh
case " $* " in
    *live=*) "$REAL_CURL" --fail-with-body --max-time 3 "$@" || [ $? = 28 ] ;;
    *broadcast_tx_commit* | *--data-binary*) exec "$REAL_CURL" --max-time 60 "$@" ;;
    *) exec "$REAL_CURL" --fail-with-body --max-time 60 "$@" ;;
esac
"#;

/// make, for which everything is built.
const MAKE: &str = "#!/bin/sh\nexec \"$REAL_MAKE\" --old-file=build \"$@\"\n";

/// Somebody's program that writes transactions.
const PRODUCER: &str = "#!/bin/sh\nprintf 'one\\ntwo\\nthree\\n'\n";

/// A folder as the repository's after `make start`.
struct Place {
    dir: tempfile::TempDir,
    curl: String,
    make: String,
}

/// Where a program is, or says that what needs it is skipped.
fn found(program: &str) -> Option<String> {
    let (code, path) = run(Command::new("sh").args(["-c", &format!("command -v {program}")]));
    if code != 0 {
        eprintln!("SKIPPED: {program} is not installed");
    }
    (code == 0).then(|| path.trim().to_owned())
}

impl Place {
    fn new(net: &Testnet) -> Option<Self> {
        let place = Self { dir: tempfile::tempdir().unwrap(), curl: found("curl")?, make: found("make")? };
        let build = place.path("build");
        fs::create_dir_all(place.path("bin")).unwrap();
        fs::create_dir_all(&build).unwrap();
        for name in ["Makefile", "networks", "rust-toolchain.toml"] {
            symlink(workspace_file(name), place.path(name)).unwrap();
        }
        for name in ["plugins", "cometbft"] {
            symlink(workspace_file(&format!("build/{name}")), build.join(name)).unwrap();
        }
        symlink(net.dir(), build.join("localnet")).unwrap();
        for (name, text) in [
            ("bin/dseq", DSEQ),
            ("build/dseq", DSEQ),
            ("bin/curl", CURL),
            ("bin/make", MAKE),
            ("bin/producer", PRODUCER),
        ] {
            place.program(name, text);
        }
        Some(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Written by another process: while we had it open, a test beside this one might fork, and the kernel does not run a file that
    /// anybody has open for writing.
    fn program(&self, name: &str, text: &str) {
        let mut shell = Command::new("sh");
        shell.args(["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", text]).arg(self.path(name));
        assert!(shell.status().unwrap().success());
    }

    /// A shell here, as people's: without what the cargo or make that runs the tests has set.
    fn shell(&self, commands: &str, net: &Testnet) -> Command {
        let mut shell = Command::new("sh");
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["CARGO_", "DSEQ_", "MAKE", "MFLAGS"].iter().any(|start| name.starts_with(start)) {
                shell.env_remove(name);
            }
        }
        let path = std::env::var("PATH").unwrap();
        shell
            .args(["-euc", commands])
            .current_dir(self.dir.path())
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("HOME", self.dir.path())
            .env("REAL_DSEQ", env!("CARGO_BIN_EXE_dseq"))
            .env("REAL_CURL", &self.curl)
            .env("REAL_MAKE", &self.make)
            .env("DSEQ_COMETBFT", workspace_file("build/cometbft"))
            .env("DSEQ_NODE", format!("localhost:{}", net.nodes()[0].ports.http))
            .env("BASE_PORT", net.base_port.to_string());
        shell
    }
}

/// The text with the ports of these nodes in place of those of `make start`.
pub(crate) fn with_ports_of(nodes: &[Node], text: &str) -> String {
    let mut text = text.to_owned();
    for (number, node) in nodes.iter().enumerate() {
        let number = u16::try_from(number).unwrap();
        let rpc = if number == 0 { 26_657 } else { 26_658 + 2 * number };
        for (written, found) in [(rpc, node.ports.rpc), (6900 + number, node.ports.http)] {
            for host in ["localhost", "127.0.0.1"] {
                text = text.replace(&format!("{host}:{written}"), &format!("{host}:{found}"));
            }
        }
    }
    text
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn the_commands_of_every_page_work() {
    let net = Testnet::new();
    let Some(place) = Place::new(&net) else { return };
    net.started();
    let is_ours = |block: &Block| block.language == "sh" && block.not_run.is_none() && block.run_by.is_none();
    let ours: Vec<Block> = pages().iter().flat_map(|page| blocks(page)).filter(is_ours).collect();
    assert!(ours.len() >= 10, "{} blocks", ours.len());
    let folder = Path::new(net.dir()).file_name().unwrap().to_str().unwrap();
    for block in ours {
        if block.text.contains("pkill") && found("pkill").is_none() {
            continue;
        }
        let commands = with_ports_of(&net.nodes(), &block.text);
        let commands = commands.replace("/localnet/node2'", &format!("/{folder}/node2'"));
        let commands = commands.replace("/tmp/", &format!("{}/", place.dir.path().display()));
        // What they print may be any bytes.
        let output = place.shell(&commands, &net).output().unwrap();
        let said = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (said(&output.stdout), said(&output.stderr));
        let place = format!("{}:{}", block.page, block.line);
        assert!(output.status.success(), "{place}: {}\n{commands}\n{stdout}\n{stderr}", output.status);
        if commands.contains("make stop") {
            net.started();
        }
    }
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn makes_targets_for_a_running_network_work() {
    let net = Testnet::new();
    let Some(place) = Place::new(&net) else { return };
    net.started();
    for (target, says) in [
        ("load-quick", "each of the 10 committed transactions"),
        ("load-medium", "each of the 100 committed transactions"),
        ("load-heavy", "each of the 1,000 committed transactions"),
        ("load NODES=localhost:26657 REQUESTS=50 CONCURRENCY=5", "each of the 50 committed transactions"),
        ("checksum", "IDENTICAL: 4 nodes"),
        ("status", "All 4 nodes accept transactions."),
        ("logs", "node3"),
    ] {
        let commands = with_ports_of(&net.nodes(), &format!("make {target}"));
        let (code, said) = run(&mut place.shell(&commands, &net));
        assert!(code == 0 && said.contains(says), "make {target}: {code}\n{said}");
    }
}
