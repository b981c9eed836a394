//! CometBFT's `config.toml`: the one reader of it, what of it concerns us, and our changes to it.

use std::fs;
use std::io;
use std::path::PathBuf;

use toml_edit::{DocumentMut, Item, Value};

use super::overrides::{self, OverrideError};
use crate::atomic_file;
use crate::node::home::{HomeError, NodeHome};

/// The one mempool that checks transactions with our app, and so takes any.
const MEMPOOL: &str = "flood";

/// CometBFT's configuration in a home.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    path: PathBuf,
    toml: DocumentMut,
}

/// A `config.toml` that cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum EngineConfigError {
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
    /// Not TOML.
    ///
    /// Correct it at the line that the message names.
    #[error("{path} is not valid TOML: {source}", path = path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<toml_edit::TomlError>,
    },
    /// Our values do not fit it.
    ///
    /// Correct the file as the cause that follows the message says.
    #[error("cannot apply our values to {path}", path = path.display())]
    Override {
        /// The file.
        path: PathBuf,
        /// Why.
        source: OverrideError,
    },
}

impl EngineConfig {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is not TOML.
    pub fn read(home: &NodeHome) -> Result<Self, EngineConfigError> {
        let path = home.cometbft_config();
        let text = fs::read_to_string(&path)
            .map_err(|source| EngineConfigError::Io { path: path.clone(), source })?;
        match text.parse() {
            Ok(toml) => Ok(Self { path, toml }),
            Err(err) => Err(EngineConfigError::NotToml { path, source: Box::new(err) }),
        }
    }

    /// Reads it; one that cannot be understood, which CometBFT itself says best, sets nothing.
    #[must_use]
    pub fn of(home: &NodeHome) -> Self {
        Self::read(home)
            .unwrap_or_else(|_| Self { path: home.cometbft_config(), toml: DocumentMut::default() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// What is under a key, e.g. `["p2p", "laddr"]`.
    #[must_use]
    pub fn get(&self, key: &[&str]) -> Option<&Item> {
        key.iter().try_fold(self.toml.as_item(), |item, part| item.get(*part))
    }

    /// The string under a key.
    #[must_use]
    pub fn text(&self, key: &[&str]) -> Option<&str> {
        self.get(key)?.as_str()
    }

    /// The node's name among its peers, if it has one.
    #[must_use]
    pub fn moniker(&self) -> Option<&str> {
        self.text(&["moniker"]).filter(|name| !name.is_empty())
    }

    /// Whether CometBFT is set to serve metrics.
    #[must_use]
    pub fn serves_metrics(&self) -> bool {
        self.get(&["instrumentation", "prometheus"]).and_then(Item::as_bool).unwrap_or(false)
    }

    /// Sets a key that is there already.
    ///
    /// # Errors
    ///
    /// When it is not there, or has another kind of value.
    pub fn set(&mut self, key: &[&str], value: impl Into<Value>) -> Result<(), EngineConfigError> {
        let set = overrides::set(&mut self.toml, key, value.into());
        set.map_err(|source| EngineConfigError::Override { path: self.path.clone(), source })
    }

    /// Sets the keys of `overrides` (TOML), which must be there already.
    ///
    /// # Errors
    ///
    /// When one is not there, or has another kind of value.
    pub fn apply(&mut self, overrides: &str) -> Result<(), EngineConfigError> {
        let applied = overrides::apply_to_toml(&mut self.toml, overrides);
        applied.map_err(|source| EngineConfigError::Override { path: self.path.clone(), source })
    }

    /// Writes it back: whole, or not at all.
    ///
    /// # Errors
    ///
    /// When the file system refuses.
    pub fn write(&self) -> Result<(), EngineConfigError> {
        atomic_file::replace(&self.path, self.toml.to_string().as_bytes())
            .map_err(|err| EngineConfigError::Io { path: self.path.clone(), source: err.into() })
    }
}

/// Refuses a home whose CometBFT would run without the mempool that we need.
///
/// With `app` the node ends, or makes no blocks; with `nop` it runs and accepts no transaction.
///
/// # Errors
///
/// When another mempool is set.
pub fn check_mempool(home: &NodeHome) -> Result<(), HomeError> {
    match EngineConfig::of(home).text(&["mempool", "type"]) {
        // CometBFT takes an empty one as the default.
        Some(found) if !found.is_empty() && found != MEMPOOL => {
            let found = found.to_owned();
            Err(HomeError::Mempool { path: home.cometbft_config(), found, needed: MEMPOOL })
        }
        _ => Ok(()),
    }
}

/// Sets CometBFT to serve metrics from its next start on.
///
/// # Errors
///
/// When the configuration cannot be read, is not CometBFT's, or cannot be written.
pub fn serve_metrics(home: &NodeHome) -> Result<(), EngineConfigError> {
    let mut config = EngineConfig::read(home)?;
    config.set(&["instrumentation", "prometheus"], true)?;
    config.write()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(config: &str) -> (tempfile::TempDir, NodeHome) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("config")).unwrap();
        let home = NodeHome::new(dir.path());
        fs::write(home.cometbft_config(), config).unwrap();
        (dir, home)
    }

    #[test]
    fn only_the_mempool_that_asks_our_app_is_taken() {
        let check = |config: &str| {
            let (_dir, home) = home(config);
            check_mempool(&home).map_err(|err| err.to_string())
        };
        for config in ["", "[mempool]\n", "[mempool]\ntype = \"flood\"\n", "[mempool]\ntype = \"\"\n"] {
            assert_eq!(check(config), Ok(()), "{config}");
        }
        for other in ["app", "nop"] {
            let said = check(&format!("[mempool]\ntype = \"{other}\"\n")).unwrap_err();
            let expected = format!("config.toml: mempool.type is \"{other}\"; it must be \"flood\"");
            assert!(said.contains(&expected), "{said}");
        }
    }

    #[test]
    fn metrics_are_turned_on_and_nothing_else_is_changed() {
        let config = "# Ours.\nmoniker = \"x\"\n\n[instrumentation]\n# Why.\nprometheus = false # not yet\n";
        let (_dir, home) = home(config);
        assert!(!EngineConfig::of(&home).serves_metrics());
        serve_metrics(&home).unwrap();
        assert!(EngineConfig::of(&home).serves_metrics());
        let expected = config.replace("false", "true");
        assert_eq!(fs::read_to_string(home.cometbft_config()).unwrap(), expected);
        fs::write(home.cometbft_config(), "[p2p]\n").unwrap();
        let err = serve_metrics(&home).unwrap_err();
        let EngineConfigError::Override { source, .. } = err else { panic!("{err}") };
        assert!(source.to_string().contains("instrumentation.prometheus"), "{source}");
    }
}
