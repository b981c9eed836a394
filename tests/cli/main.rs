//! The real program, called as people and supervisors call it; no CometBFT needed.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic, as its tests may")]

mod app;
#[path = "../support/client.rs"]
mod client;
mod configuration;
mod genesis;
mod node;
mod plugin;
#[path = "../support/plugins.rs"]
mod plugins;
mod printing;
#[path = "../support/program.rs"]
mod program;
mod supervision;
mod supervisor;
mod testnet;

use std::path::Path;

use program::{dseq, run};

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
