//! Making a member's home: its keys, where it listens, and the file that others get.
//!
//! CometBFT makes the keys, each in a file that only its owner can read. Its genesis is removed: it would be a network of
//! this node alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::Value;

use super::keys::PublicKeys;
use super::member::Keys;
use super::{Member, NetworkError};
use crate::node::address::Address;
use crate::node::config;
use crate::node::engine::cometbft::CometBft;
use crate::node::engine::config::EngineConfig;
use crate::node::engine::overrides;
use crate::node::genesis::{self, GenesisError};
use crate::node::home::NodeHome;

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// For its peers.
    pub p2p: Address,
    /// CometBFT's RPC.
    pub rpc: Address,
    /// CometBFT's metrics, which are off until they are turned on.
    pub metrics: Address,
    /// Our HTTP; none: the default, which `dseq.toml` then leaves open.
    pub http: Option<SocketAddr>,
}

/// A member that is to be made.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// What people call it.
    pub name: String,
    /// Where its peers reach it.
    pub address: Address,
    /// Where it listens.
    pub listen: Listen,
    /// Whether it is to be a full node, without a vote.
    pub observer: bool,
}

/// Fills a new home, which is in no network yet, and answers what others may know of it.
///
/// # Errors
///
/// When CometBFT cannot make its files, or they do not take our values.
pub fn make_home(cometbft: &CometBft, home: &NodeHome, new: &NewMember) -> Result<Member, NetworkError> {
    genesis::run(cometbft, home, "init")?;
    let genesis = home.genesis_file();
    fs::remove_file(&genesis).map_err(NetworkError::io(&genesis))?;
    make_checkpoint_key(cometbft, home)?;
    let Listen { p2p, rpc, metrics, http } = &new.listen;
    let mut engine = EngineConfig::read(home)?;
    engine.apply(overrides::COMMON_CONFIG)?;
    engine.set(&["moniker"], new.name.as_str())?;
    engine.set(&["p2p", "laddr"], format!("tcp://{p2p}"))?;
    engine.set(&["rpc", "laddr"], format!("tcp://{rpc}"))?;
    engine.set(&["instrumentation", "prometheus_listen_addr"], metrics.to_string())?;
    engine.write()?;
    let template = config::template();
    let own = match http {
        Some(http) => config::with(&template, &config::HTTP, &http.to_string()),
        None => template,
    };
    write(&home.config_file(), own.as_bytes())?;
    let plugins = home.plugins_dir();
    fs::create_dir_all(&plugins).map_err(NetworkError::io(&plugins))?;
    let PublicKeys { consensus, checkpoint, node_id } = PublicKeys::of(home)?;
    let mut member =
        Member::new(new.name.clone(), Keys { node_id, consensus, checkpoint }, &new.address, new.observer);
    let http = http.unwrap_or(config::HTTP_DEFAULT);
    member.http = reached(&Address::new(http.ip().to_string(), http.port()), &new.address);
    member.rpc = reached(rpc, &new.address);
    member.write(&home.member_file())?;
    Ok(member)
}

/// Where others reach what listens here, if they do; `at` is where they reach the node.
fn reached(listens: &Address, at: &Address) -> Option<String> {
    let is_open = |address: &Address| address.host == "0.0.0.0" || address.host == "::";
    if is_open(listens) {
        return Some(Address::new(at.host.clone(), listens.port).to_string());
    }
    // On one machine all of them are within reach.
    (!listens.is_loopback() || at.is_loopback()).then(|| listens.to_string())
}

/// Makes the key for checkpoints: one like those of validators, in a file that only its owner can read.
fn make_checkpoint_key(cometbft: &CometBft, home: &NodeHome) -> Result<(), NetworkError> {
    const COMMAND: &str = "gen-validator";
    let said = genesis::run(cometbft, home, COMMAND)?;
    let printed: Option<Value> = serde_json::from_str(&said).ok();
    let key =
        printed.as_ref().and_then(|printed| printed.get("Key")).filter(|key| key["priv_key"].is_object());
    let Some(key) = key else {
        // What it printed may be a key: it is not repeated.
        let (command, said) = (genesis::words(cometbft, home, COMMAND), format!("{} bytes", said.len()));
        return Err(GenesisError::Unexpected { command, said }.into());
    };
    let path = home.checkpoint_key();
    let io = || NetworkError::io(&path);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(io())?;
    file.write_all(format!("{key:#}\n").as_bytes()).and_then(|()| file.sync_all()).map_err(io())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), NetworkError> {
    let written: io::Result<()> = fs::write(path, bytes);
    written.map_err(NetworkError::io(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_told_only_what_they_can_reach() {
        let at = Address::new("alice.example", 26656);
        for (listens, expected) in [
            ("127.0.0.1:6900", None),
            ("[::1]:6900", None),
            ("0.0.0.0:6900", Some("alice.example:6900")),
            ("[::]:6900", Some("alice.example:6900")),
            ("10.0.0.1:6900", Some("10.0.0.1:6900")),
        ] {
            let listens = Address::parse(listens).unwrap();
            assert_eq!(reached(&listens, &at).as_deref(), expected, "{listens}");
        }
        let here = Address::loopback(26656);
        assert_eq!(reached(&Address::loopback(6900), &here).as_deref(), Some("127.0.0.1:6900"));
    }
}
