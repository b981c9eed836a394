//! The public halves of a home's keys.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::NetworkError;
use crate::node::genesis::document::address_of;
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
        Ok(Self {
            consensus: public(&home.consensus_key())?,
            checkpoint: public(&home.checkpoint_key())?,
            node_id: node_id(&home.node_key())?,
        })
    }
}

/// The public key in a file as CometBFT writes it for validators.
fn public(path: &Path) -> Result<String, NetworkError> {
    let key = read(path)?;
    let text = key["pub_key"]["value"].as_str().filter(|text| is_public_key(text));
    text.map(str::to_owned).ok_or_else(|| damaged(path))
}

/// Whether a text is the base64 of an Ed25519 key.
pub(super) fn is_public_key(text: &str) -> bool {
    data_encoding::BASE64.decode(text.as_bytes()).is_ok_and(|bytes| bytes.len() == 32)
}

/// A node's id: the first 20 bytes of the SHA-256 of its public key, which is the second half of the private one.
fn node_id(path: &Path) -> Result<String, NetworkError> {
    let key = read(path)?;
    let bytes = key["priv_key"]["value"].as_str();
    let bytes = bytes.and_then(|text| data_encoding::BASE64.decode(text.as_bytes()).ok());
    let public = bytes.as_deref().filter(|bytes| bytes.len() == 64).and_then(|bytes| bytes.get(32..));
    Ok(data_encoding::HEXLOWER.encode(&address_of(public.ok_or_else(|| damaged(path))?)))
}

fn read(path: &Path) -> Result<Value, NetworkError> {
    let bytes = fs::read(path).map_err(NetworkError::io(path))?;
    serde_json::from_slice(&bytes).map_err(|_| damaged(path))
}

fn damaged(path: &Path) -> NetworkError {
    NetworkError::KeyFile { path: path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_node_is_what_cometbft_makes_of_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node_key.json");
        // `cometbft gen-node-key` printed the id for this key.
        let key = "2F2J2t6N3gK1/9fEX0br0KozJKfmgGApYGTo1BXy25Frybi2qTvZY880h7RBPlisIhy31oeQ4RLB1uDabcmA2A==";
        fs::write(&path, format!(r#"{{"priv_key":{{"type":"tendermint/PrivKeyEd25519","value":"{key}"}}}}"#))
            .unwrap();
        assert_eq!(node_id(&path).unwrap(), "8df6939dbdabd7f06d8051e5edd34efcb1079dda");
        fs::write(&path, r#"{"priv_key":{"value":"AAAA"}}"#).unwrap();
        assert!(node_id(&path).unwrap_err().to_string().contains("is damaged"));
    }
}
