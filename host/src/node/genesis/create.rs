//! Making a network's genesis: CometBFT's own, with our consensus parameters, validators and rules in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::node::engine::cometbft::CometBft;
use crate::node::engine::config::EngineConfigError;
use crate::node::engine::overrides::{self, OverrideError};
use crate::node::genesis::RulesError;
use crate::node::genesis::document::{CHAIN_ID_BYTES_MAX, address_of};
use crate::node::genesis::file::GenesisFile;
use crate::node::genesis::rules::{self, Plugin};
use crate::node::home::NodeHome;
use crate::node::home::new_home::{NewHome, NewHomeError};
use crate::node::shell;

/// The voting power of each validator.
const POWER: &str = "10";

/// What all nodes of a new network share.
#[derive(Clone, Copy, Debug)]
pub struct NetworkSpec<'a> {
    /// The chain id; none: one is made up.
    pub chain_id: Option<&'a str>,
    /// The pipeline, in its order.
    pub plugins: &'a [Plugin],
    /// Limits, each written `name=NUMBER`; the others have their defaults.
    pub limits: &'a [String],
    /// Whether the plugins' bytes are in the genesis.
    pub inline: bool,
}

/// One of those who decide from the first block on.
#[derive(Clone, Debug)]
pub struct Founder {
    /// Its name among the others.
    pub name: String,
    /// Base64 of its public Ed25519 key.
    pub key: String,
}

/// A genesis or a home that could not be made.
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
    /// A key that is none.
    ///
    /// Report it, with the command that was run.
    #[error("the key of {name} is not the base64 of an Ed25519 key")]
    Key {
        /// Whose it is.
        name: String,
    },
    /// CometBFT could not do its part.
    ///
    /// Correct what it says. If the program is not CometBFT, name one with `--cometbft` or `DSEQ_COMETBFT`.
    #[error("`{command}` failed: {said}")]
    CometBft {
        /// What was run.
        command: String,
        /// What it said.
        said: String,
    },
    /// The values in `networks/` do not fit CometBFT's files.
    ///
    /// Use the CometBFT that comes with dseq (`make build`, the package or the archive).
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
    /// There is no place for CometBFT to make one.
    #[error("{0}")]
    Place(#[from] NewHomeError),
    /// What CometBFT printed is not as expected.
    ///
    /// Use the CometBFT that comes with dseq (`make build`, the package or the archive).
    #[error("`{command}` did not print what was expected of it: {said}")]
    Unexpected {
        /// What was run.
        command: String,
        /// What it printed.
        said: String,
    },
    /// The file system refused.
    ///
    /// Fix the cause that follows the message, usually a missing file, permissions or a full disk, and run the command again.
    #[error("cannot use {path}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Makes the genesis of a new network that [`check`] has passed, with each founder a validator of equal power. CometBFT works in a
/// folder below `scratch`, which is removed again.
///
/// # Errors
///
/// When the limits make no sense, or CometBFT's genesis can't be made or doesn't take our values.
pub fn create(
    cometbft: &CometBft,
    spec: &NetworkSpec<'_>,
    founders: &[Founder],
    scratch: &Path,
) -> Result<Value, GenesisError> {
    let mut genesis = generated(cometbft, scratch)?;
    let validators = founders.iter().map(validator).collect::<Result<Vec<_>, _>>()?;
    let chain_id = spec.chain_id.map_or_else(|| made_up_chain_id(&validators), str::to_owned);
    genesis["chain_id"] = chain_id.into();
    genesis["initial_height"] = "1".into();
    genesis["validators"] = validators.into();
    genesis["app_state"] = rules::app_state(spec.plugins, spec.inline);
    if spec.limits.is_empty() {
        return Ok(genesis);
    }
    let mut file = GenesisFile::of(Path::new("the new genesis"), genesis)?;
    file.set_limits(spec.limits)?;
    file.admit(|wanted| rules::wasm_of(spec.plugins, wanted))?;
    Ok(file.into_value())
}

/// Checks all that can be checked before anything is made: a plugin that no node would run, or that refuses its params.
///
/// # Errors
///
/// [`GenesisError::ChainId`], or what is wrong with a plugin.
pub fn check(spec: &NetworkSpec<'_>) -> Result<(), GenesisError> {
    if let Some(bytes) = spec.chain_id.map(str::len)
        && !(1..=CHAIN_ID_BYTES_MAX).contains(&bytes)
    {
        return Err(GenesisError::ChainId { bytes });
    }
    rules::admit(spec.plugins)?;
    Ok(())
}

/// The genesis that CometBFT generates, with our consensus parameters. Not made in a folder for temporary files: a container
/// may have none, and others could have made what is there.
fn generated(cometbft: &CometBft, scratch: &Path) -> Result<Value, GenesisError> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let unique = format!(".dseq-genesis-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let place = NewHome::prepare(&scratch.join(unique).join("home"))?;
    let home = NodeHome::new(place.partial());
    run(cometbft, &home, "init")?;
    let path = home.genesis_file();
    let io = |source| GenesisError::Io { path: path.clone(), source };
    let mut genesis: Value =
        serde_json::from_slice(&fs::read(&path).map_err(io)?).map_err(|err| io(err.into()))?;
    overrides::apply_to_json(&mut genesis, overrides::COMMON_GENESIS)
        .map_err(|source| GenesisError::Override { path: path.clone(), source })?;
    Ok(genesis)
}

fn validator(founder: &Founder) -> Result<Value, GenesisError> {
    let Founder { name, key } = founder;
    let bytes = data_encoding::BASE64.decode(key.as_bytes()).ok().filter(|bytes| bytes.len() == 32);
    let address = address_of(&bytes.ok_or_else(|| GenesisError::Key { name: name.clone() })?);
    Ok(json!({
        "address": data_encoding::HEXUPPER.encode(&address),
        "pub_key": { "type": "tendermint/PubKeyEd25519", "value": key },
        "power": POWER,
        "name": name,
    }))
}

/// Two networks must not share a chain id, or the signatures of one count in the other.
fn made_up_chain_id(validators: &[Value]) -> String {
    let address = validators.first().and_then(|first| first["address"].as_str()).unwrap_or_default();
    format!("dseq-{}", address.get(..8).unwrap_or(address).to_lowercase())
}

/// Runs a subcommand of CometBFT's in a home, and returns what it prints.
pub(crate) fn run(cometbft: &CometBft, home: &NodeHome, subcommand: &str) -> Result<String, GenesisError> {
    let failed = |said: String| GenesisError::CometBft { command: words(cometbft, home, subcommand), said };
    let output =
        cometbft.command(home.root()).arg(subcommand).output().map_err(|err| failed(err.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command that [`run`] runs, as people type it.
pub(crate) fn words(cometbft: &CometBft, home: &NodeHome, subcommand: &str) -> String {
    format!("{} {subcommand} --home {}", shell::word(cometbft.path()), shell::word(home.root()))
}
