//! The public halves of a home's keys, all of which a member must have.

use std::io;
use std::path::{Path, PathBuf};

use super::NetworkError;
use crate::node::engine::key_files::{self, KeyError, PublicKey};
use crate::node::home::NodeHome;

/// The public keys of a home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PublicKeys {
    /// Base64 of the key with which it votes.
    pub(super) consensus: String,
    /// Base64 of the key with which it signs checkpoints.
    pub(super) checkpoint: String,
    /// Its id among its peers, which follows from its P2P key.
    pub(super) node_id: String,
}

impl PublicKeys {
    /// Reads the key files of a home.
    pub(super) fn of(home: &NodeHome) -> Result<Self, NetworkError> {
        let ed25519 = |key: PublicKey, path: PathBuf| match key.ed25519() {
            Some(_) => Ok(key.value),
            None => Err(NetworkError::KeyFile { path }),
        };
        let (consensus, checkpoint) = (key_files::validator_path(home), key_files::checkpoint_path(home));
        let (of_validator, of_checkpoints) = (
            present(key_files::validator(home), &consensus)?,
            present(key_files::checkpoint(home), &checkpoint)?,
        );
        Ok(Self {
            consensus: ed25519(of_validator, consensus)?,
            checkpoint: ed25519(of_checkpoints, checkpoint)?,
            node_id: present(key_files::node_id(home), &key_files::node_path(home))?,
        })
    }
}

fn present<T>(found: Result<Option<T>, KeyError>, path: &Path) -> Result<T, NetworkError> {
    match found {
        Ok(found) => found.ok_or_else(|| NetworkError::io(path)(io::ErrorKind::NotFound.into())),
        Err(KeyError::NoKey { path }) => Err(NetworkError::KeyFile { path }),
        Err(KeyError::Io { path, source }) => Err(NetworkError::io(&path)(source)),
    }
}
