//! The real `dseq`, called as people call it.

use std::process::{Command, Output};

/// `dseq` with this environment's `DSEQ_*` variables out of the way, and without HTTP unless a test or `dseq testnet` sets
/// its address: tests that run at once would all take the default port.
pub(crate) fn dseq(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dseq"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("DSEQ_")) {
        command.env_remove(name);
    }
    command.env("DSEQ_HTTP", "off").args(args);
    command
}

/// Runs it to its end: exit code, standard output, standard error.
pub(crate) fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}
