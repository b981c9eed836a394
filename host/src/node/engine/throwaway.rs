//! Running CometBFT with a key that is thrown away, so that a validator gets every block and cannot vote.
//!
//! # Invariants
//!
//! CometBFT never opens the home's own validator key: its environment names other files, and a configuration
//! that would make it ignore that is refused.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use super::config::{EngineConfig, EngineConfigError};
use crate::node::home::NodeHome;

/// The settings that say where the key and the record of what it signed are, and the file that stands in for each.
const FILES: [(&str, &str); 2] =
    [("priv_validator_key_file", "key.json"), ("priv_validator_state_file", "state.json")];

/// A configuration with which CometBFT would use the home's own key all the same.
#[derive(Debug, thiserror::Error)]
pub enum ThrowawayError {
    /// CometBFT takes a setting from its environment only if the file has it too.
    #[error("{path} lacks {key}, so CometBFT could not be kept from using the validator key; add it as CometBFT's own file has it", path = path.display())]
    Absent {
        /// CometBFT's file.
        path: PathBuf,
        /// The key.
        key: &'static str,
    },
    /// A remote signer would sign.
    ///
    /// Run `dseq start`: it gets the blocks, and there is nothing else to recover.
    #[error("{path} sets priv_validator_laddr, so a remote signer votes for this node; it keeps its own record of what it signed", path = path.display())]
    Remote {
        /// CometBFT's file.
        path: PathBuf,
    },
    /// The configuration cannot be read.
    #[error("{0}")]
    Config(#[from] EngineConfigError),
    /// The folder for the other key cannot be made.
    ///
    /// Fix the cause that follows the message, usually a missing file, permissions or a full disk, and run the command again.
    #[error("cannot use {path}", path = path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Makes room for a key that is thrown away, and returns the variables with which CometBFT makes and uses it.
///
/// # Errors
///
/// When CometBFT would use the home's own key all the same, or the room cannot be made.
pub fn environment(home: &NodeHome) -> Result<Vec<(String, PathBuf)>, ThrowawayError> {
    let config = EngineConfig::read(home)?;
    let path = || config.path().to_owned();
    if config.text(&["priv_validator_laddr"]).is_some_and(|address| !address.is_empty()) {
        return Err(ThrowawayError::Remote { path: path() });
    }
    if let Some((key, _)) = FILES.into_iter().find(|(key, _)| config.text(&[key]).is_none()) {
        return Err(ThrowawayError::Absent { path: path(), key });
    }
    let folder = home.run_dir().join("throwaway-key");
    let io = |source| ThrowawayError::Io { path: folder.clone(), source };
    match fs::remove_dir_all(&folder) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(io(err)),
        _ => {}
    }
    DirBuilder::new().mode(0o700).recursive(true).create(&folder).map_err(io)?;
    Ok(FILES
        .into_iter()
        .map(|(key, file)| (format!("CMT_{}", key.to_uppercase()), folder.join(file)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(config: &str) -> Result<Vec<(String, PathBuf)>, String> {
        let dir = tempfile::tempdir().unwrap();
        let home = NodeHome::new(dir.path());
        fs::create_dir(dir.path().join("config")).unwrap();
        fs::write(home.cometbft_config(), config).unwrap();
        environment(&home).map_err(|err| err.to_string())
    }

    #[test]
    fn a_configuration_that_would_ignore_it_is_refused() {
        let both = "priv_validator_key_file = \"k\"\npriv_validator_state_file = \"s\"\n";
        let names: Vec<String> = made(both).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["CMT_PRIV_VALIDATOR_KEY_FILE", "CMT_PRIV_VALIDATOR_STATE_FILE"]);
        let refused = made("priv_validator_key_file = \"k\"\n").unwrap_err();
        assert!(refused.contains("lacks priv_validator_state_file"), "{refused}");
        let refused = made(&format!("{both}priv_validator_laddr = \"tcp://127.0.0.1:1\"\n")).unwrap_err();
        assert!(refused.contains("a remote signer votes"), "{refused}");
    }
}
