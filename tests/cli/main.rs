//! The real program, called as people and supervisors call it; no CometBFT needed.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic, as its tests may")]

mod configuration;
mod node;
mod supervision;

use std::path::Path;
use std::process::{Command, Output};

/// `dseq` with this environment's `DSEQ_*` variables out of the way.
fn dseq(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dseq"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DSEQ_")) {
        command.env_remove(name);
    }
    command.args(args);
    command
}

fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A home as far as the app needs one: the app learns its genesis from CometBFT.
fn home() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("config")).unwrap();
    std::fs::write(dir.path().join("config/genesis.json"), "{}").unwrap();
    dir
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
