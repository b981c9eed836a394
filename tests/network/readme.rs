//! The README's walk-through, run as it is written: from no plugin at all to a network that has it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{dseq, free_base_port, run, workspace_file};

const HEADING: &str = "### Your own, from nothing to a network\n";

/// The only thing that is not as written: ports from this base on may be taken.
const BASE_PORT: u16 = 27_700;

/// The shell commands under the heading, one block after the other.
fn walk_through() -> String {
    let readme = fs::read_to_string(workspace_file("README.md")).unwrap();
    let (_, section) = readme.split_once(HEADING).expect("the heading");
    let section = section.split("\n### ").next().unwrap().split("\n## ").next().unwrap();
    let blocks: Vec<&str> =
        section.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    blocks.concat()
}

/// With ports that are free, those of the RPC included: node 0 has the base's next one, node 1 the fourth.
fn with_ports(commands: &str, base: u16) -> String {
    [0, 1, 4].iter().fold(commands.to_owned(), |text, step| {
        assert!(text.contains(&(BASE_PORT + step).to_string()), "{text}");
        text.replace(&(BASE_PORT + step).to_string(), &(base + step).to_string())
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
fn the_walk_through_of_the_readme_is_what_really_happens() {
    let repository = tempfile::tempdir().unwrap();
    let build = repository.path().join("build");
    fs::create_dir(&build).unwrap();
    // A copy: it looks beside itself for the others, and a link would lead it away.
    fs::copy(env!("CARGO_BIN_EXE_dseq"), build.join("dseq")).unwrap();
    symlink(workspace_file("build/plugins"), build.join("plugins")).unwrap();
    symlink(workspace_file("build/cometbft"), build.join("cometbft")).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let _stopped = Stopped(temp.path().to_owned());
    let commands = with_ports(&walk_through(), free_base_port());
    let (code, said) = run(&mut shell(&commands, repository.path(), temp.path()));
    assert_eq!(code, 0, "{said}");
    assert_promised(&commands, &said);
}
