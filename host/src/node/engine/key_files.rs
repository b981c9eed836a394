//! The key files of a home, in CometBFT's format: where they are, and the public keys in them.
//!
//! | file | key | what it is for |
//! |---|---|---|
//! | `config/priv_validator_key.json` | validator key | votes; whoever has it can vote in the node's name |
//! | `config/node_key.json` | node key | the node's id among its peers |
//! | `config/checkpoint_key.json` | checkpoint key | signs what readers verify; not every home has one |

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::config::EngineConfig;
use crate::node::genesis::document::address_of;
use crate::node::home::NodeHome;

/// Where the validator key is, unless CometBFT's configuration says otherwise.
pub const VALIDATOR_KEY: &str = "config/priv_validator_key.json";
/// Where the node key is, unless CometBFT's configuration says otherwise.
pub const NODE_KEY: &str = "config/node_key.json";
/// Where the checkpoint key is.
pub const CHECKPOINT_KEY: &str = "config/checkpoint_key.json";

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not a key in CometBFT's format.
    #[error("{path} holds no key in CometBFT's format; restore it from a backup", path = path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    ///
    /// Fix the cause that follows the message, usually a missing file, permissions or a full disk, and run the command again.
    #[error("cannot use {path}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl KeyError {
    /// Whether trying again cannot help.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Io { .. })
    }
}

/// A public key as genesis has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Its type, e.g. `tendermint/PubKeyEd25519`.
    pub kind: String,
    /// Its bytes in base64.
    pub value: String,
}

impl PublicKey {
    /// The bytes of an Ed25519 key; none: another kind of key.
    #[must_use]
    pub fn ed25519(&self) -> Option<Vec<u8>> {
        ed25519(&self.value).filter(|_| self.kind == "tendermint/PubKeyEd25519")
    }

    /// The address of an Ed25519 key, in upper-case hexadecimal, as CometBFT names a validator; none: another kind of key.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        Some(data_encoding::HEXUPPER.encode(&address_of(&self.ed25519()?)))
    }
}

/// The bytes of an Ed25519 public key in base64; none: it is something else.
#[must_use]
pub fn ed25519(base64: &str) -> Option<Vec<u8>> {
    data_encoding::BASE64.decode(base64.as_bytes()).ok().filter(|bytes| bytes.len() == 32)
}

/// Whether the validator key is with a remote signer, which keeps the record of what it signed too.
#[must_use]
pub fn is_remote(home: &NodeHome) -> bool {
    EngineConfig::of(home).text(&["priv_validator_laddr"]).is_some_and(|address| !address.is_empty())
}

/// Where the validator key is.
#[must_use]
pub fn validator_path(home: &NodeHome) -> PathBuf {
    home.root().join(EngineConfig::of(home).text(&["priv_validator_key_file"]).unwrap_or(VALIDATOR_KEY))
}

/// Where the node key is.
#[must_use]
pub fn node_path(home: &NodeHome) -> PathBuf {
    home.root().join(EngineConfig::of(home).text(&["node_key_file"]).unwrap_or(NODE_KEY))
}

/// Where the checkpoint key is.
#[must_use]
pub fn checkpoint_path(home: &NodeHome) -> PathBuf {
    home.root().join(CHECKPOINT_KEY)
}

/// The public half of the key with which a home votes; none: there is no such file.
///
/// # Errors
///
/// When it cannot be read, or is no key.
pub fn validator(home: &NodeHome) -> Result<Option<PublicKey>, KeyError> {
    public_half(&validator_path(home))
}

/// The public half of the checkpoint key; none: there is no such file.
///
/// # Errors
///
/// When it cannot be read, or is no key.
pub fn checkpoint(home: &NodeHome) -> Result<Option<PublicKey>, KeyError> {
    public_half(&checkpoint_path(home))
}

fn public_half(path: &Path) -> Result<Option<PublicKey>, KeyError> {
    let Some(key) = read(path)? else { return Ok(None) };
    let text = |field: &str| key["pub_key"][field].as_str().map(str::to_owned);
    match (text("type"), text("value")) {
        (Some(kind), Some(value)) => Ok(Some(PublicKey { kind, value })),
        _ => Err(KeyError::NoKey { path: path.to_owned() }),
    }
}

/// The node's id among its peers: the beginning of its public key's SHA-256, in hexadecimal; none: there is no such file.
///
/// # Errors
///
/// When it cannot be read, or is no key.
pub fn node_id(home: &NodeHome) -> Result<Option<String>, KeyError> {
    let path = node_path(home);
    let Some(key) = read(&path)? else { return Ok(None) };
    // The second half of an Ed25519 key as Go has it is its public key.
    let bytes =
        key["priv_key"]["value"].as_str().and_then(|text| data_encoding::BASE64.decode(text.as_bytes()).ok());
    match bytes.as_deref().and_then(|bytes| bytes.get(32..)) {
        Some(public) if public.len() == 32 => Ok(Some(data_encoding::HEXLOWER.encode(&address_of(public)))),
        _ => Err(KeyError::NoKey { path }),
    }
}

fn read(path: &Path) -> Result<Option<Value>, KeyError> {
    match fs::read(path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(key) => Ok(Some(key)),
            Err(_) => Err(KeyError::NoKey { path: path.to_owned() }),
        },
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(KeyError::Io { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
pub(in crate::node) mod tests {
    use super::*;
    use crate::atomic_file;

    /// Gives a home a validator key and a node key made of one byte.
    pub(in crate::node) fn write_keys(home: &NodeHome, byte: u8) {
        fs::create_dir_all(home.root().join("config")).unwrap();
        let base64 = |bytes: &[u8]| data_encoding::BASE64.encode(bytes);
        let (private, public) = (base64(&[byte; 64]), base64(&[byte; 32]));
        let validator = format!(
            "{{\"pub_key\":{{\"type\":\"tendermint/PubKeyEd25519\",\"value\":\"{public}\"}},\
             \"priv_key\":{{\"type\":\"tendermint/PrivKeyEd25519\",\"value\":\"{private}\"}}}}"
        );
        let node =
            format!("{{\"priv_key\":{{\"type\":\"tendermint/PrivKeyEd25519\",\"value\":\"{private}\"}}}}");
        for (name, text) in [(VALIDATOR_KEY, validator), (NODE_KEY, node)] {
            let path = home.root().join(name);
            let _ = fs::remove_file(&path);
            atomic_file::create_private(&path, text.as_bytes()).unwrap();
        }
    }

    #[test]
    fn the_id_of_a_node_is_what_cometbft_makes_of_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let home = NodeHome::new(dir.path());
        write_keys(&home, 1);
        // `cometbft gen-node-key` printed the id for this key.
        let key = "2F2J2t6N3gK1/9fEX0br0KozJKfmgGApYGTo1BXy25Frybi2qTvZY880h7RBPlisIhy31oeQ4RLB1uDabcmA2A==";
        fs::write(
            node_path(&home),
            format!(r#"{{"priv_key":{{"type":"tendermint/PrivKeyEd25519","value":"{key}"}}}}"#),
        )
        .unwrap();
        assert_eq!(node_id(&home).unwrap().as_deref(), Some("8df6939dbdabd7f06d8051e5edd34efcb1079dda"));
        fs::write(node_path(&home), r#"{"priv_key":{"value":"AAAA"}}"#).unwrap();
        assert!(matches!(node_id(&home), Err(KeyError::NoKey { .. })));
    }

    #[test]
    fn public_keys_are_read_and_what_is_no_key_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let home = NodeHome::new(dir.path());
        assert!(validator(&home).unwrap().is_none() && node_id(&home).unwrap().is_none());
        write_keys(&home, 1);
        let address = validator(&home).unwrap().unwrap().address().unwrap();
        // Both are the beginning of the same digest.
        assert_eq!(node_id(&home).unwrap().unwrap().to_uppercase(), address);
        fs::write(validator_path(&home), "{}").unwrap();
        fs::write(node_path(&home), "x").unwrap();
        assert!(matches!(validator(&home), Err(KeyError::NoKey { .. })));
        assert!(matches!(node_id(&home), Err(KeyError::NoKey { .. })));
    }
}
