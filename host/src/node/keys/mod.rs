//! The keys of a home: shown, backed up, moved to another machine, and restored.
//!
//! - [`archive`]: the file in which they travel;
//! - [`carry`]: `backup`, `move` and `restore`.
//!
//! # Invariants
//!
//! - A backup never holds the record of what the validator signed: that is old with the next block, and an old record makes a
//!   validator sign twice. So a restored backup votes only after `dseq recover`.
//! - A move carries that record, and only from a home that does not run and cannot start again afterwards. So a key that was
//!   moved votes in one place.
//! - A private key is written for its owner alone, and never over a file that is there.

pub mod archive;
pub mod carry;

use serde::Serialize;

use crate::node::engine::data::{DataError, EngineData};
use crate::node::engine::key_files::{self, KeyError};
use crate::node::genesis::file::GenesisFile;
use crate::node::genesis::membership::{self, Part};
use crate::node::home::NodeHome;

/// The public halves of a home's keys, and what they are in its network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The node's id among its peers.
    pub node_id: Option<String>,
    /// Public half of the validator key, in base64; none: it is with a remote signer, or CometBFT has not made it yet.
    pub consensus_key: Option<String>,
    /// The validator's address.
    pub address: Option<String>,
    /// Public half of the checkpoint key, in base64.
    pub checkpoint_key: Option<String>,
    /// Height of the last signature, as the home's record says; none: there is no record.
    pub signed_height: Option<u64>,
    /// The network's name.
    pub chain_id: Option<String>,
    /// The network's validators, and this home's part among them.
    pub part: Option<String>,
}

/// Keys that cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// A key file.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// The record of what was signed.
    #[error("{0}")]
    Data(#[from] DataError),
}

/// Reads them. Nothing private is returned.
///
/// # Errors
///
/// When a file of the home cannot be read.
pub fn show(home: &NodeHome) -> Result<Shown, ShowError> {
    let validator = if key_files::is_remote(home) { None } else { key_files::validator(home)? };
    let data = EngineData::of(home);
    let genesis = GenesisFile::read(&home.genesis_file()).and_then(|file| file.doc()).ok();
    Ok(Shown {
        node_id: key_files::node_id(home)?,
        address: validator.as_ref().and_then(key_files::PublicKey::address),
        consensus_key: validator.map(|key| key.value),
        checkpoint_key: key_files::checkpoint(home)?.map(|key| key.value),
        signed_height: if data.signing_state().exists() { Some(data.signed_height()?) } else { None },
        part: genesis.as_ref().map(|doc| membership::describe(doc, Some(Part::of(home, doc)))),
        chain_id: genesis.map(|doc| doc.chain_id),
    })
}
