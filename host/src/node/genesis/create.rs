//! Making node homes: CometBFT's files, one genesis for all of them, the plugins it pins.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::node::address::Address;
use crate::node::config;
use crate::node::engine::cometbft::CometBft;
use crate::node::engine::config::{EngineConfig, EngineConfigError};
use crate::node::engine::overrides::{self, OverrideError};
use crate::node::genesis::RulesError;
use crate::node::genesis::document::CHAIN_ID_BYTES_MAX;
use crate::node::genesis::rules::{self, Plugin};
use crate::node::home::NodeHome;
use crate::node::shell;

/// Where one node listens, and where its peers find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Where other nodes find it.
    pub peer: Address,
    /// Where it listens for them.
    pub p2p: Address,
    /// CometBFT's RPC.
    pub rpc: Address,
    /// CometBFT's metrics.
    pub metrics: Address,
    /// Our HTTP.
    pub http: SocketAddr,
}

/// What all nodes of a new network share.
#[derive(Clone, Debug)]
pub struct NetworkSpec {
    /// The chain id; none: one is made up.
    pub chain_id: Option<String>,
    /// The pipeline, in its order.
    pub plugins: Vec<Plugin>,
    /// What is put over CometBFT's configuration, in this order.
    pub config_overrides: &'static [&'static str],
}

/// One node of a new network.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its home; must not exist.
    pub home: NodeHome,
    /// Its name among its peers.
    pub moniker: String,
    /// Its addresses; none: CometBFT's own.
    pub addresses: Option<Addresses>,
}

/// A network that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// The rules cannot be made.
    #[error("{0}")]
    Rules(#[from] RulesError),
    /// A chain id that CometBFT does not take.
    #[error("the chain id is {bytes} bytes long; it must have 1 to {CHAIN_ID_BYTES_MAX}")]
    ChainId {
        /// Its length.
        bytes: usize,
    },
    /// CometBFT could not do its part.
    #[error("`{command}` failed: {said}")]
    CometBft {
        /// What was run.
        command: String,
        /// What it said.
        said: String,
    },
    /// The values in `networks/` do not fit CometBFT's files.
    #[error("cannot apply our values to {path}", path = path.display())]
    Override {
        /// The generated file.
        path: PathBuf,
        /// Why.
        source: OverrideError,
    },
    /// CometBFT's configuration cannot be used.
    #[error("{0}")]
    EngineConfig(#[from] EngineConfigError),
    /// A generated file is not as expected.
    #[error("{path} has no {what}", path = path.display())]
    Unexpected {
        /// The file.
        path: PathBuf,
        /// What was looked for in it.
        what: &'static str,
    },
    /// The file system refused.
    #[error("cannot use {path}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Makes the homes of a new network's members, each a validator of equal power.
///
/// # Errors
///
/// When a plugin cannot be used, or CometBFT's files can't be made or don't take our values.
pub fn create(cometbft: &CometBft, spec: &NetworkSpec, members: &[Member]) -> Result<(), GenesisError> {
    if let Some(bytes) = spec.chain_id.as_ref().map(String::len)
        && !(1..=CHAIN_ID_BYTES_MAX).contains(&bytes)
    {
        return Err(GenesisError::ChainId { bytes });
    }
    // Before anything is made: a plugin that no node would run, or that refuses its params.
    rules::admit(&spec.plugins)?;
    for member in members {
        run(cometbft, &member.home, "init")?;
    }
    let peers = peers(cometbft, members)?;
    let genesis = genesis(spec, members)?;
    for (index, member) in members.iter().enumerate() {
        let others: Vec<&str> =
            peers.iter().enumerate().filter(|(i, _)| *i != index).map(|(_, peer)| peer.as_str()).collect();
        write_config(spec, member, &others.join(","))?;
        write(&member.home.genesis_file(), &genesis)?;
        write(&member.home.config_file(), own_config(member).as_bytes())?;
        make_dir(&member.home.plugins_dir())?;
        for plugin in &spec.plugins {
            write(&member.home.plugins_dir().join(format!("{}.wasm", plugin.name)), &plugin.wasm)?;
        }
    }
    Ok(())
}

/// The genesis that all members share: CometBFT's, with every member a validator and our app state.
fn genesis(spec: &NetworkSpec, members: &[Member]) -> Result<Vec<u8>, GenesisError> {
    let Some(first) = members.first() else { return Ok(Vec::new()) };
    let path = first.home.genesis_file();
    let mut genesis = read_json(&path)?;
    overrides::apply_to_json(&mut genesis, overrides::COMMON_GENESIS)
        .map_err(|source| GenesisError::Override { path: path.clone(), source })?;
    let mut validators = Vec::new();
    for member in members {
        validators.push(validator(member)?);
    }
    let chain_id = match &spec.chain_id {
        Some(chain_id) => chain_id.clone(),
        None => made_up_chain_id(&validators),
    };
    genesis["chain_id"] = chain_id.into();
    genesis["initial_height"] = "1".into();
    genesis["validators"] = validators.into();
    genesis["app_state"] = rules::app_state(&spec.plugins);
    let mut text = serde_json::to_vec_pretty(&genesis)
        .map_err(|err| GenesisError::Io { path: path.clone(), source: err.into() })?;
    text.push(b'\n');
    Ok(text)
}

fn validator(member: &Member) -> Result<Value, GenesisError> {
    let path = member.home.root().join("config/priv_validator_key.json");
    let key = read_json(&path)?;
    let field = |what| key.get(what).cloned().ok_or(GenesisError::Unexpected { path: path.clone(), what });
    Ok(json!({
        "address": field("address")?,
        "pub_key": field("pub_key")?,
        "power": "10",
        "name": member.moniker,
    }))
}

/// Two networks must not share a chain id, or the signatures of one count in the other.
fn made_up_chain_id(validators: &[Value]) -> String {
    let address = validators.first().and_then(|first| first["address"].as_str()).unwrap_or_default();
    format!("dseq-{}", address.get(..8).unwrap_or(address).to_lowercase())
}

/// `id@host:port` of each member; empty when the members have no addresses of their own.
fn peers(cometbft: &CometBft, members: &[Member]) -> Result<Vec<String>, GenesisError> {
    let mut peers = Vec::new();
    for member in members {
        if let Some(addresses) = &member.addresses {
            let id = run(cometbft, &member.home, "show-node-id")?;
            peers.push(format!("{}@{}", id.trim(), addresses.peer));
        }
    }
    Ok(peers)
}

fn write_config(spec: &NetworkSpec, member: &Member, peers: &str) -> Result<(), EngineConfigError> {
    let mut config = EngineConfig::read(&member.home)?;
    for overrides in spec.config_overrides {
        config.apply(overrides)?;
    }
    config.set(&["moniker"], member.moniker.as_str())?;
    if let Some(Addresses { p2p, rpc, metrics, .. }) = &member.addresses {
        config.set(&["p2p", "laddr"], format!("tcp://{p2p}"))?;
        config.set(&["rpc", "laddr"], format!("tcp://{rpc}"))?;
        config.set(&["instrumentation", "prometheus_listen_addr"], metrics.to_string())?;
        config.set(&["p2p", "persistent_peers"], peers)?;
    }
    config.write()
}

/// The text of the member's `dseq.toml`.
fn own_config(member: &Member) -> String {
    let template = config::template();
    match &member.addresses {
        Some(addresses) => config::with(&template, &config::HTTP, &addresses.http.to_string()),
        None => template,
    }
}

/// Runs a subcommand of CometBFT's in a home, and returns what it prints.
pub(crate) fn run(cometbft: &CometBft, home: &NodeHome, subcommand: &str) -> Result<String, GenesisError> {
    let failed = |said: String| GenesisError::CometBft {
        command: format!("{} {subcommand} --home {}", shell::word(cometbft.path()), shell::word(home.root())),
        said,
    };
    let output =
        cometbft.command(home.root()).arg(subcommand).output().map_err(|err| failed(err.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn read_json(path: &Path) -> Result<Value, GenesisError> {
    let io = |source| GenesisError::Io { path: path.to_owned(), source };
    serde_json::from_slice(&fs::read(path).map_err(io)?).map_err(|err| io(err.into()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), GenesisError> {
    fs::write(path, bytes).map_err(|source| GenesisError::Io { path: path.to_owned(), source })
}

fn make_dir(path: &Path) -> Result<(), GenesisError> {
    fs::create_dir_all(path).map_err(|source| GenesisError::Io { path: path.to_owned(), source })
}
