//! The genesis that a node began with, and what becomes of a file that says something else.
//!
//! CometBFT copies the genesis file into its databases when it first starts and never reads it again. So a node keeps
//! its own copy, `data/genesis.json`, beside the databases that were made from it.
//!
//! # Invariants
//!
//! - While nothing is committed, the file counts: what CometBFT made from another one is removed.
//! - Afterwards a file that says something else is refused. It is never ignored.
//! - No validator signs twice for one height of one chain id: the record of what it signed is cleared only when the
//!   chain id, which every signature covers, is another one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use toml_edit::DocumentMut;

use super::genesis_file::{GenesisFile, NetworkId};
use super::home::NodeHome;
use super::rules::RulesError;
use super::shell;
use crate::plugin::PipelineSpec;
use crate::sequence::{self, Chain, OpenError};
use crate::types::Height;

/// What CometBFT makes from a genesis, in its folder of databases; the same as `cometbft reset-state` removes.
const MADE_FROM_GENESIS: &[&str] = &["blockstore.db", "state.db", "evidence.db", "tx_index.db", "cs.wal"];

/// The record of a validator that has signed nothing, as CometBFT writes it.
const NOTHING_SIGNED: &str = "{\n  \"height\": \"0\",\n  \"round\": 0,\n  \"step\": 0\n}";

/// A genesis with which this home cannot start.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// Nobody could start with it.
    #[error("{0}")]
    Rules(#[from] RulesError),
    /// The node is part of another network.
    #[error(
        "{path} is the genesis of network {found}, but this node began with network {began} and has committed blocks of \
         it. Put the genesis back that it began with: cp {kept} {file}. To take part in network {found}, make another \
         home with `dseq init` and copy {path} into it",
        path = path.display(), kept = shell::word(kept), file = shell::word(path)
    )]
    Other {
        /// The genesis file.
        path: PathBuf,
        /// The network in it.
        found: NetworkId,
        /// The network the node began with.
        began: NetworkId,
        /// The copy of the genesis it began with.
        kept: PathBuf,
    },
    /// The same, where an older version of this program kept only the rules.
    #[error(
        "{path} has {found}, but this node began with {began} and has committed blocks of it. Put the genesis back that it \
         began with; to take part in another network, make another home with `dseq init` and copy {path} into it",
        path = path.display()
    )]
    OtherRules {
        /// The genesis file.
        path: PathBuf,
        /// Chain id and pipeline in it.
        found: String,
        /// Those the node began with.
        began: String,
    },
    /// It would sign twice for one height.
    #[error(
        "{path} was changed, but under the genesis before this validator has already signed for height {height} of chain \
         {chain_id:?}, and must not sign for it twice. Put that genesis back, or give the changed one another chain_id, on \
         all nodes",
        path = path.display()
    )]
    Signed {
        /// The genesis file.
        path: PathBuf,
        /// Its chain id.
        chain_id: String,
        /// Height of the last signature.
        height: u64,
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

impl OriginError {
    /// Whether starting again cannot help.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Io { .. } | Self::Rules(RulesError::Io { .. }))
    }

    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Holds the genesis file against what the node began with. While nothing is committed, whatever CometBFT made from
/// another genesis is removed, so that it takes this one; its keys stay.
///
/// To be called while neither CometBFT nor the app runs.
///
/// # Errors
///
/// When the node cannot start with this genesis: see [`OriginError`].
pub fn settle(home: &NodeHome, genesis: &GenesisFile) -> Result<(), OriginError> {
    // A log that cannot be read is the app's to refuse, in its words.
    let Ok((height, chain)) = committed(home) else { return Ok(()) };
    let kept = read_kept(home)?;
    let engine = Engine::of(home);
    // A sequence that was moved away, to be replayed, has committed blocks too: they are CometBFT's.
    let has_blocks = height > Height(0) || chain.is_none() && engine.has_run_consensus();
    let is_kept = kept.as_ref().is_some_and(|kept| kept.network_id() == genesis.network_id());
    if is_kept {
        return if has_blocks { Ok(()) } else { Ok(genesis.check().map(drop)?) };
    }
    if has_blocks {
        refuse_other(home, genesis, kept.as_ref(), chain.as_ref())?;
    } else {
        genesis.check()?;
        if kept.is_some() || engine.has_state() {
            renew(home, genesis, kept.as_ref(), chain.as_ref(), &engine)?;
        }
    }
    fs::create_dir_all(home.data_dir()).map_err(OriginError::io(&home.data_dir()))?;
    Ok(genesis.write_to(&home.kept_genesis())?)
}

fn read_kept(home: &NodeHome) -> Result<Option<GenesisFile>, OriginError> {
    let path = home.kept_genesis();
    if !path.try_exists().map_err(OriginError::io(&path))? {
        return Ok(None);
    }
    Ok(Some(GenesisFile::read(&path)?))
}

/// Refuses a genesis that is not the one the blocks were made under, as far as that is known.
fn refuse_other(
    home: &NodeHome,
    genesis: &GenesisFile,
    kept: Option<&GenesisFile>,
    chain: Option<&Chain>,
) -> Result<(), OriginError> {
    if let Some(kept) = kept {
        return Err(OriginError::Other {
            path: genesis.path().to_owned(),
            found: genesis.network_id(),
            began: kept.network_id(),
            kept: home.kept_genesis(),
        });
    }
    match chain {
        Some(chain) if !is_of(genesis, chain)? => {
            let told = |chain_id: &str, rules: &PipelineSpec| {
                format!("chain id {chain_id:?} and pipeline {}", rules.id())
            };
            Err(OriginError::OtherRules {
                path: genesis.path().to_owned(),
                found: told(genesis.chain_id(), &genesis.rules()?.pipeline),
                began: told(&chain.chain_id, &chain.pipeline),
            })
        }
        _ => Ok(()),
    }
}

/// Whether a genesis has the chain id and the rules that the node keeps.
fn is_of(genesis: &GenesisFile, chain: &Chain) -> Result<bool, RulesError> {
    Ok(genesis.chain_id() == chain.chain_id && genesis.rules()?.pipeline == chain.pipeline)
}

/// Makes CometBFT take a genesis anew.
fn renew(
    home: &NodeHome,
    genesis: &GenesisFile,
    kept: Option<&GenesisFile>,
    chain: Option<&Chain>,
    engine: &Engine,
) -> Result<(), OriginError> {
    let height = engine.signed_height()?;
    let before = kept.map(GenesisFile::chain_id).or(chain.map(|chain| chain.chain_id.as_str()));
    let is_other_chain = before.is_some_and(|before| before != genesis.chain_id());
    if height > 0 && !is_other_chain {
        // An older version kept only the rules: if they are these, so is the genesis, as far as anybody knows.
        if let (None, Some(chain)) = (kept, chain)
            && is_of(genesis, chain)?
        {
            return Ok(());
        }
        let (path, chain_id) = (genesis.path().to_owned(), genesis.chain_id().to_owned());
        return Err(OriginError::Signed { path, chain_id, height });
    }
    engine.remove()?;
    if height > 0 {
        engine.clear_signed()?;
    }
    tracing::warn!(
        "{} was changed and nothing is committed yet: CometBFT begins anew with network {}",
        home.genesis_file().display(),
        genesis.network_id()
    );
    Ok(())
}

/// CometBFT's files that depend on genesis, where its configuration has them.
struct Engine {
    databases: PathBuf,
    signed: PathBuf,
}

impl Engine {
    /// Reads the configuration; what it does not say is as CometBFT has it by itself.
    fn of(home: &NodeHome) -> Self {
        let text = fs::read_to_string(home.cometbft_config()).unwrap_or_default();
        let config: DocumentMut = text.parse().unwrap_or_default();
        let path = |key: &str, default: &str| {
            home.root().join(config.get(key).and_then(|item| item.as_str()).unwrap_or(default))
        };
        Self {
            databases: path("db_dir", "data"),
            signed: path("priv_validator_state_file", "data/priv_validator_state.json"),
        }
    }

    fn has_state(&self) -> bool {
        self.databases.join("state.db").exists()
    }

    /// Whether it got beyond the handshake: it writes its log from then on.
    fn has_run_consensus(&self) -> bool {
        self.databases.join("cs.wal").exists()
    }

    fn remove(&self) -> Result<(), OriginError> {
        for name in MADE_FROM_GENESIS {
            let path = self.databases.join(name);
            match fs::remove_dir_all(&path) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(OriginError::io(&path)(err)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Height of this validator's last signature; 0 if there is none.
    fn signed_height(&self) -> Result<u64, OriginError> {
        let text = match fs::read(&self.signed) {
            Ok(text) => text,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(err) => return Err(OriginError::io(&self.signed)(err)),
        };
        let invalid =
            |why: &str| OriginError::io(&self.signed)(io::Error::new(io::ErrorKind::InvalidData, why));
        let state: Value = serde_json::from_slice(&text).map_err(|err| invalid(&err.to_string()))?;
        state["height"].as_str().and_then(|height| height.parse().ok()).ok_or_else(|| invalid("no height"))
    }

    fn clear_signed(&self) -> Result<(), OriginError> {
        let partial = self.signed.with_extension("json.partial");
        let written = fs::write(&partial, NOTHING_SIGNED).and_then(|()| fs::rename(&partial, &self.signed));
        written.map_err(OriginError::io(&self.signed))
    }
}

/// Height of the last committed block, and the rules that the node keeps.
fn committed(home: &NodeHome) -> Result<(Height, Option<Chain>), OpenError> {
    let dir = home.sequence_dir();
    let height = match sequence::committed_head(&dir) {
        Ok(head) => head.height(),
        Err(OpenError::NoLog { .. }) => Height(0),
        Err(err) => return Err(err),
    };
    Ok((height, sequence::chain_of(&dir)?))
}

/// Whether a home has committed blocks, or cannot tell; its genesis is fixed then.
///
/// # Errors
///
/// When its log cannot be read.
pub fn has_blocks(home: &NodeHome) -> Result<bool, OpenError> {
    let (height, chain) = committed(home)?;
    Ok(height > Height(0) || chain.is_none() && Engine::of(home).has_run_consensus())
}
