//! The README's first commands and the walk-through of docs/plugins.md, run as they are written.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use dseq::node::testnet::Network;

use crate::page_commands::with_ports_of;
use crate::support::{dseq, free_base_port, plugin, run, workspace_file};

/// The blocks of shell commands under a heading of a page.
fn blocks(page: &str, heading: &str) -> Vec<String> {
    let page = fs::read_to_string(workspace_file(page)).unwrap();
    let (_, section) = page.split_once(&format!("## {heading}\n")).expect("the heading");
    let section = section.split("\n## ").next().unwrap();
    section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// With other ports, which are free: node 0 has its RPC on the one after the base, node 1 on the fourth.
fn with_ports(commands: &str, written: u16, base: u16) -> String {
    [0, 1, 4].iter().fold(commands.to_owned(), |text, step| {
        text.replace(&(written + step).to_string(), &(base + step).to_string())
    })
}

/// What the comments promise: each a line of the output, in this order, with anything in place of `...`.
fn assert_promised(commands: &str, said: &str) {
    let mut lines = said.lines();
    for promised in commands.lines().filter_map(|line| line.strip_prefix("# ")) {
        assert!(lines.any(|line| is_as(line, promised)), "nothing, from there on, like: {promised}\n{said}");
    }
}

fn is_as(line: &str, promised: &str) -> bool {
    let mut parts = promised.split("...");
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    parts.all(|part| {
        let found = rest.split_once(part);
        rest = found.map_or(rest, |(_, rest)| rest);
        found.is_some()
    }) && (rest.is_empty() || promised.ends_with("..."))
}

/// Stops the network that the commands leave behind when one of them fails.
struct Stopped(PathBuf);

impl Drop for Stopped {
    fn drop(&mut self) {
        for place in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let net = place.path().join("notes/net");
            if net.is_dir() {
                let (_, said) = run(&mut dseq(&["testnet", "stop", "--dir", net.to_str().unwrap()]));
                eprintln!("{said}");
            }
        }
    }
}

/// Stops this network.
struct StoppedNetwork(String);

impl Drop for StoppedNetwork {
    fn drop(&mut self) {
        let (_, said) = run(&mut dseq(&["testnet", "stop", "--dir", &self.0]));
        eprintln!("{said}");
    }
}

/// A shell as people's: without what the cargo that runs the tests, or its user, has set for them.
fn shell(commands: &str, dir: &Path, temp: &Path) -> Command {
    let mut shell = Command::new("sh");
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let of_cargo = name.starts_with("CARGO_") && name != "CARGO_HOME";
        if of_cargo || name.starts_with("DSEQ_") || name == "RUSTUP_TOOLCHAIN" {
            shell.env_remove(name);
        }
    }
    shell.args(["-euc", commands]).current_dir(dir).env("TMPDIR", temp);
    shell
}

#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn the_walk_through_for_plugin_authors_is_what_really_happens() {
    let repository = tempfile::tempdir().unwrap();
    let build = repository.path().join("build");
    fs::create_dir(&build).unwrap();
    // A copy: it looks beside itself for the others, and a link would lead it away.
    fs::copy(env!("CARGO_BIN_EXE_dseq"), build.join("dseq")).unwrap();
    symlink(workspace_file("build/plugins"), build.join("plugins")).unwrap();
    symlink(workspace_file("build/cometbft"), build.join("cometbft")).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let _stopped = Stopped(temp.path().to_owned());
    let walk_through = blocks("docs/plugins.md", "From an empty folder to a network").concat();
    let commands = with_ports(&walk_through, 27_700, free_base_port());
    let (code, said) = run(&mut shell(&commands, repository.path(), temp.path()));
    assert_eq!(code, 0, "{said}");
    assert_promised(&commands, &said);
}

/// The command, repeated until all nodes have so many bytes: they commit a block one after the other, and a script asks
/// sooner than people do.
fn until_all_have(bytes: u64, checksum: &str) -> String {
    format!(
        "said=$(mktemp); for turn in $(seq 100); do {checksum} >$said; \
         ! grep -q '4 nodes, {bytes} bytes' $said || break; sleep 0.1; done; cat $said"
    )
}

/// But for ports, folder and `make`, which is for the whole repository.
#[test]
#[ignore = "needs CometBFT; run by make e2e"]
fn the_first_commands_of_the_readme_do_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let net = dir.path().join("localnet");
    let net = net.to_str().unwrap();
    let _stopped = StoppedNetwork(net.to_owned());
    let base = free_base_port();
    let start = ["testnet", "start", "--dir", net, "--base-port", &base.to_string(), "--plugin", &plugin()];
    let (code, said) = run(&mut dseq(&start));
    assert_eq!(code, 0, "{said}");
    let nodes = Network::open(Path::new(net)).unwrap().nodes().unwrap();
    let [_, http, rpc] = &blocks("README.md", "Try it")[..] else { panic!("three blocks") };
    let dseq = env!("CARGO_BIN_EXE_dseq");
    let checksum = format!("{dseq} checksum --dir {net}");
    let all = format!("{http}{rpc}{}", until_all_have(49, &checksum));
    // An answer does not end its line.
    let commands = with_ports_of(&nodes, &all.replace("/v1/submit  ", "/v1/submit; echo  "))
        .replace("make checksum", &until_all_have(35, &checksum))
        .replace("build/localnet", net);
    let (code, said) = run(Command::new("sh").args(["-euc", &commands]));
    assert_eq!(code, 0, "{said}");
    assert_promised(&commands, &said);
    assert!(said.contains("4 nodes, 49 bytes"), "ten and four bytes more: {said}");
}
