//! The real program, called as people and supervisors call it; no CometBFT needed.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic, as its tests may")]

mod app;
mod ask_health;
#[path = "../support/client.rs"]
mod client;
mod clients;
mod configuration;
mod copied_home;
mod copies;
mod doctor;
mod engine;
mod engine_failures;
mod genesis;
mod genesis_changed;
mod genesis_checked;
#[path = "../support/genesis_table.rs"]
mod genesis_table;
mod health;
mod http;
mod logs;
#[path = "../../host/client/tests/nodes/mock.rs"]
mod mock;
mod monitoring;
mod network;
mod node;
#[path = "../support/otlp.rs"]
mod otlp;
#[path = "../support/pages.rs"]
#[allow(dead_code, reason = "tests/reference uses the rest")]
mod pages;
mod permissions;
mod places;
mod played;
mod plugin;
#[path = "../support/plugins.rs"]
mod plugins;
mod printing;
#[path = "../support/program.rs"]
mod program;
mod status;
mod supervision;
mod supervisor;
mod terminal;
mod testnet;
mod testnet_init;
mod testnet_start;
mod traces;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use program::{dseq, run};

/// A home as far as `dseq` needs one: the app learns its genesis from CometBFT.
fn home() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path());
    dir
}

/// Writes the files of a home with a good genesis, which has one validator and no plugins.
fn fill(home: &Path) {
    std::fs::create_dir_all(home.join("config")).unwrap();
    std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(home.join("config/genesis.json"), good_genesis().to_string()).unwrap();
    std::fs::write(home.join("config/config.toml"), config_with("")).unwrap();
}

/// CometBFT's configuration as far as it is looked at, with more in its `[rpc]`.
fn config_with(rpc: &str) -> String {
    format!("[mempool]\nmax_tx_bytes = 1\nmax_txs_bytes = 1\n[rpc]\nmax_body_bytes = 1\n{rpc}\n")
}

/// A genesis that CometBFT and the app take.
fn good_genesis() -> serde_json::Value {
    serde_json::json!({
        "genesis_time": "2026-01-31T12:00:00Z",
        "chain_id": "c",
        "initial_height": "1",
        "consensus_params": {
            "block": { "max_bytes": "4194304", "max_gas": "-1" },
            "evidence": { "max_age_num_blocks": "100000", "max_age_duration": "172800000000000", "max_bytes": "1048576" },
            "validator": { "pub_key_types": ["ed25519"] },
            "version": { "app": "0" },
            "abci": { "vote_extensions_enable_height": "0" },
        },
        "validators": [{ "pub_key": public_key(1), "power": "10", "name": "" }],
        "app_hash": "",
        "app_state": { "dseq": {
            "engine": dseq::plugin::engine_id().to_string(),
            "limits": dseq::plugin::Limits::default(),
            "pipeline": [],
        } },
    })
}

/// A validator's key as genesis has it.
fn public_key(byte: u8) -> serde_json::Value {
    let value = data_encoding::BASE64.encode(&[byte; 32]);
    serde_json::json!({ "type": "tendermint/PubKeyEd25519", "value": value })
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
