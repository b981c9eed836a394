//! What of CometBFT's `config.toml` concerns us: the kind of its mempool, and whether it serves metrics.

use std::fs;
use std::io;

use toml_edit::DocumentMut;

use crate::atomic_file;
use crate::node::engine::overrides::{self, OverrideError};
use crate::node::home::{HomeError, NodeHome};

/// The one mempool that checks transactions with our app, and so takes any.
const MEMPOOL: &str = "flood";

/// Refuses a home whose CometBFT would run without the mempool that we need.
///
/// With `app` the node ends, or makes no blocks; with `nop` it runs and takes no transaction.
///
/// # Errors
///
/// When another mempool is set.
pub fn check_mempool(home: &NodeHome) -> Result<(), HomeError> {
    let found = read(home).and_then(|config| Some(config.get("mempool")?.get("type")?.as_str()?.to_owned()));
    match found {
        // CometBFT takes an empty one as the default.
        Some(found) if !found.is_empty() && found != MEMPOOL => {
            Err(HomeError::Mempool { path: home.cometbft_config(), found, needed: MEMPOOL })
        }
        _ => Ok(()),
    }
}

/// Whether CometBFT is set to serve metrics.
#[must_use]
pub fn serves_metrics(home: &NodeHome) -> bool {
    let prometheus = |config: DocumentMut| config.get("instrumentation")?.get("prometheus")?.as_bool();
    read(home).and_then(prometheus).unwrap_or(false)
}

/// Metrics that cannot be turned on.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The file system refused.
    #[error("cannot change it")]
    Io(#[from] io::Error),
    /// Not TOML.
    #[error("cannot parse it")]
    NotToml(#[from] toml_edit::TomlError),
    /// There is no such setting.
    #[error("{0}")]
    Setting(#[from] OverrideError),
}

/// Sets CometBFT to serve metrics from its next start on.
///
/// # Errors
///
/// When the configuration cannot be read, is not CometBFT's, or cannot be written.
pub fn serve_metrics(home: &NodeHome) -> Result<(), MetricsError> {
    let path = home.cometbft_config();
    let mut config: DocumentMut = fs::read_to_string(&path)?.parse()?;
    overrides::set(&mut config, &["instrumentation", "prometheus"], true.into())?;
    Ok(atomic_file::replace(&path, config.to_string().as_bytes()).map_err(io::Error::from)?)
}

/// The configuration; none if it cannot be understood, which CometBFT itself says best.
fn read(home: &NodeHome) -> Option<DocumentMut> {
    fs::read_to_string(home.cometbft_config()).ok()?.parse().ok()
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
        assert!(!serves_metrics(&home));
        serve_metrics(&home).unwrap();
        assert!(serves_metrics(&home));
        let expected = config.replace("false", "true");
        assert_eq!(fs::read_to_string(home.cometbft_config()).unwrap(), expected);
        fs::write(home.cometbft_config(), "[p2p]\n").unwrap();
        assert!(serve_metrics(&home).unwrap_err().to_string().contains("instrumentation.prometheus"));
    }
}
