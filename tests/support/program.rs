//! The real `dseq`, called as people call it.

use std::process::{Command, Output};

/// `dseq` with the variables of this environment out of the way that it would heed, and without HTTP unless a test or `dseq
/// testnet` sets its address: tests that run at once would all take the default port.
pub(crate) fn dseq(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dseq"));
    let is_heeded = |name: &str| name.starts_with("DSEQ_") || name.starts_with("OTEL_") || name == "RUST_LOG";
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_heeded(&name.to_string_lossy())) {
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
