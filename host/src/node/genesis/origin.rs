//! The genesis that a node began with, and what becomes of a file that says something else.
//!
//! CometBFT copies the genesis file into its databases when it first starts and never reads it again. So a node keeps
//! its own copy, `data/genesis.json`, beside the databases that were made from it.
//!
//! # Invariants
//!
//! - While nothing is committed, the file counts: what CometBFT made from another one is moved aside, never deleted.
//! - Afterwards a file that says something else is refused. It is never ignored.
//! - Only a copy that says something else is evidence of a change: without a copy, nothing is moved.
//! - No validator signs twice for one height of one chain id, which every signature covers. One that has signed begins
//!   anew only with another chain id, and never returns to the one it left: the record of what it signed stays, and is on
//!   disk before CometBFT's own is cleared. So a crash at any point leaves either the one or the other.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::node::engine::data::{DataError, EngineData};
use crate::node::genesis::RulesError;
use crate::node::genesis::file::{GenesisFile, NetworkId};
use crate::node::home::NodeHome;
use crate::node::shell;
use crate::plugin::PipelineSpec;
use crate::sequence::{self, Chain, OpenError};
use crate::types::Height;

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
         home with `dseq init` and `dseq network join`",
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
        "{path} has {found}, but this node began with {began}. Put the genesis back that it began with; to take part in another network, make another home with `dseq init` and `dseq network join`",
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
         {chain_id:?}, and must not sign for it twice. Put that genesis back: cp {kept} {file}. Or give the changed one a \
         chain_id that this home never used, on all nodes",
        path = path.display(), kept = shell::word(kept), file = shell::word(path)
    )]
    Signed {
        /// The genesis file.
        path: PathBuf,
        /// Its chain id.
        chain_id: String,
        /// Height of the last signature.
        height: u64,
        /// The copy of the genesis before.
        kept: PathBuf,
    },
    /// The same, after the node has begun with another chain id in between.
    #[error(
        "{path} has chain_id {chain_id:?}, but this validator has already signed for height {height} of that chain, before \
         its genesis was changed to another one ({record} says so), and must not sign for it twice. Give the genesis a \
         chain_id that this home never used, on all nodes. To take part in chain {chain_id:?}, make another home with \
         `dseq init`: it has a key of its own",
        path = path.display(), record = record.display()
    )]
    Left {
        /// The genesis file.
        path: PathBuf,
        /// Its chain id.
        chain_id: String,
        /// Height of the last signature.
        height: u64,
        /// Where that is recorded.
        record: PathBuf,
    },
    /// The log of the sequence cannot be read.
    #[error("{0}")]
    Log(#[from] OpenError),
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

impl From<DataError> for OriginError {
    fn from(DataError { path, source }: DataError) -> Self {
        Self::Io { path, source }
    }
}

impl OriginError {
    /// Whether starting again cannot help.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Io { .. } | Self::Log(_) | Self::Rules(RulesError::Io { .. }))
    }

    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}

/// Holds the genesis file against what the node began with. While nothing is committed, whatever CometBFT made from
/// another genesis is moved aside, so that it takes this one; its keys stay.
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
    let data = EngineData::of(home);
    // The sequence may have been moved away, to be replayed from CometBFT's blocks.
    let has_blocks = height > Height(0) || data.has_blocks()?;
    if !has_blocks {
        genesis.check()?;
        refuse_left(genesis, &data)?;
    }
    match kept {
        Some(kept) if kept.network_id() == genesis.network_id() => return Ok(()),
        Some(kept) if has_blocks => return refuse_other(home, genesis, &kept),
        Some(kept) => renew(genesis, &kept, &data)?,
        None => refuse_other_rules(genesis, chain.as_ref())?,
    }
    fs::create_dir_all(home.data_dir()).map_err(OriginError::io(&home.data_dir()))?;
    Ok(genesis.write_to(&home.kept_genesis())?)
}

/// Refuses a genesis that is not the one a node with committed blocks began with. Changes nothing.
///
/// # Errors
///
/// [`OriginError::Other`] or [`OriginError::OtherRules`]; or when the node's files cannot be read.
pub fn check(home: &NodeHome, genesis: &GenesisFile) -> Result<(), OriginError> {
    if !has_blocks(home)? {
        return Ok(());
    }
    match read_kept(home)? {
        Some(kept) => refuse_other(home, genesis, &kept),
        None => refuse_other_rules(genesis, committed(home)?.1.as_ref()),
    }
}

fn refuse_other(home: &NodeHome, genesis: &GenesisFile, kept: &GenesisFile) -> Result<(), OriginError> {
    let (found, began) = (genesis.network_id(), kept.network_id());
    if found == began {
        return Ok(());
    }
    Err(OriginError::Other { path: genesis.path().to_owned(), found, began, kept: home.kept_genesis() })
}

fn read_kept(home: &NodeHome) -> Result<Option<GenesisFile>, OriginError> {
    let path = home.kept_genesis();
    if !path.try_exists().map_err(OriginError::io(&path))? {
        return Ok(None);
    }
    Ok(Some(GenesisFile::read(&path)?))
}

/// Refuses a chain id that this validator has signed for and left.
fn refuse_left(genesis: &GenesisFile, data: &EngineData) -> Result<(), OriginError> {
    let Some((record, height)) = data.left_chain(genesis.chain_id())? else { return Ok(()) };
    let (path, chain_id) = (genesis.path().to_owned(), genesis.chain_id().to_owned());
    Err(OriginError::Left { path, chain_id, height, record })
}

/// Refuses a genesis whose chain id or rules are not those that the node keeps: all that is known without a copy.
fn refuse_other_rules(genesis: &GenesisFile, chain: Option<&Chain>) -> Result<(), OriginError> {
    let Some(chain) = chain else { return Ok(()) };
    let rules = genesis.rules()?.pipeline;
    if genesis.chain_id() == chain.chain_id && rules == chain.pipeline {
        return Ok(());
    }
    let described =
        |chain_id: &str, rules: &PipelineSpec| format!("chain id {chain_id:?} and pipeline {}", rules.id());
    Err(OriginError::OtherRules {
        path: genesis.path().to_owned(),
        found: described(genesis.chain_id(), &rules),
        began: described(&chain.chain_id, &chain.pipeline),
    })
}

/// Makes CometBFT take a genesis anew in place of the one in `kept`.
fn renew(genesis: &GenesisFile, kept: &GenesisFile, data: &EngineData) -> Result<(), OriginError> {
    if kept.chain_id() == genesis.chain_id() {
        let height = data.signed_height()?;
        if height > 0 {
            let (path, chain_id) = (genesis.path().to_owned(), genesis.chain_id().to_owned());
            return Err(OriginError::Signed { path, chain_id, height, kept: kept.path().to_owned() });
        }
    } else {
        data.leave_chain(kept.chain_id())?;
    }
    let folders = data.set_aside(&format!("replaced-{}", kept.network_id()))?;
    let folders: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let moved = match folders.as_slice() {
        [] => String::new(),
        folders => format!(
            "; what it had made of network {} is in {}, to be removed once the new one has committed a block",
            kept.network_id(),
            folders.join(" and ")
        ),
    };
    tracing::warn!(
        "{} was changed and nothing is committed yet: CometBFT begins anew with network {}{moved}",
        genesis.path().display(),
        genesis.network_id()
    );
    Ok(())
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
/// When its log or CometBFT's block store cannot be read.
pub fn has_blocks(home: &NodeHome) -> Result<bool, OriginError> {
    Ok(committed(home)?.0 > Height(0) || EngineData::of(home).has_blocks()?)
}
