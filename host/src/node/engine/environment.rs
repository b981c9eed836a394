//! CometBFT's settings that follow from the limits in genesis: passed in its environment at each start, on every node alike.
//!
//! A transaction that one node takes and another does not costs more than that transaction: the second node drops the
//! first as a peer. So these are not for `config.toml`; the environment wins over it, as long as the file has the key.

use std::path::PathBuf;

use super::config::{EngineConfig, EngineConfigError};
use crate::node::home::NodeHome;
use crate::plugin::Limits;

/// Maximum number of bytes above `tx_bytes_max` with which a transaction still reaches the app, which refuses it with a
/// code and a message of its own.
const OVERSIZE_BYTES: u64 = 1 << 20;

/// Room in an RPC request around the transaction, in bytes.
const RPC_OVERHEAD_BYTES: u64 = 256 << 10;

/// A variable of CometBFT's environment: one of its settings and the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its table and key in `config.toml`.
    pub key: (&'static str, &'static str),
    /// Its value.
    pub value: u64,
}

impl Variable {
    /// Its name in CometBFT's environment.
    #[must_use]
    pub fn name(&self) -> String {
        let (table, key) = self.key;
        format!("CMT_{}_{}", table.to_uppercase(), key.to_uppercase())
    }
}

/// Settings that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// CometBFT takes a setting from its environment only if the file has it too.
    #[error(
        "{path} lacks {table}.{key}; add it with any value: dseq overrides it, but CometBFT ignores an override of a \
         setting that its file lacks",
        path = path.display()
    )]
    Absent {
        /// CometBFT's file.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// The key.
        key: &'static str,
    },
    /// The file cannot be read.
    #[error("{0}")]
    Config(#[from] EngineConfigError),
}

/// What CometBFT must be given for these limits, whatever its file in this home says.
///
/// # Errors
///
/// When the file cannot be read, or lacks a setting.
pub fn for_limits(home: &NodeHome, limits: &Limits) -> Result<Vec<Variable>, EnvironmentError> {
    let config = EngineConfig::read(home)?;
    let number = |table: &'static str, key: &'static str| {
        let absent = || EnvironmentError::Absent { path: config.path().to_owned(), table, key };
        let item = config.get(&[table, key]).ok_or_else(absent)?;
        Ok::<_, EnvironmentError>(
            item.as_integer().and_then(|number| u64::try_from(number).ok()).unwrap_or(0),
        )
    };
    let tx_bytes_max = limits.tx_bytes_max.saturating_add(limits.tx_bytes_max.min(OVERSIZE_BYTES));
    // Hexadecimal doubles a transaction.
    let body_bytes_max = tx_bytes_max.saturating_mul(2).saturating_add(RPC_OVERHEAD_BYTES);
    number("mempool", "max_tx_bytes")?;
    // How many transactions wait is for the node's owner to say, but one has to have room.
    let waiting_bytes_max = number("mempool", "max_txs_bytes")?.max(tx_bytes_max);
    let body_bytes_max = number("rpc", "max_body_bytes")?.max(body_bytes_max);
    let variable = |table, key, value| Variable { key: (table, key), value };
    Ok(vec![
        variable("mempool", "max_tx_bytes", tx_bytes_max),
        variable("mempool", "max_txs_bytes", waiting_bytes_max),
        variable("rpc", "max_body_bytes", body_bytes_max),
    ])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use toml_edit::DocumentMut;

    use super::*;
    use crate::node::engine::overrides;

    fn home(config: &str) -> (tempfile::TempDir, NodeHome) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("config")).unwrap();
        fs::write(dir.path().join("config/config.toml"), config).unwrap();
        let home = NodeHome::new(dir.path());
        (dir, home)
    }

    fn derived(config: &str, tx_bytes_max: u64) -> Vec<(String, u64)> {
        let (_dir, home) = home(config);
        let limits = Limits { tx_bytes_max, ..Limits::default() };
        for_limits(&home, &limits).unwrap().iter().map(|one| (one.name(), one.value)).collect()
    }

    const CONFIG: &str =
        "[rpc]\nmax_body_bytes = 7\n[mempool]\nmax_tx_bytes = 7\nmax_txs_bytes = 1073741824\n";

    #[test]
    fn what_must_hold_a_transaction_follows_from_its_limit_and_not_from_the_file() {
        let expected = [
            ("CMT_MEMPOOL_MAX_TX_BYTES", (64 << 20) + (1 << 20)),
            ("CMT_MEMPOOL_MAX_TXS_BYTES", 1 << 30),
            ("CMT_RPC_MAX_BODY_BYTES", 2 * (65 << 20) + (256 << 10)),
        ];
        assert_eq!(derived(CONFIG, 64 << 20), expected.map(|(name, value)| (name.to_owned(), value)));
        let small = derived(&CONFIG.replace("1073741824", "5"), 100);
        assert_eq!(small[0].1, 200);
        assert_eq!(small[1].1, 200, "one transaction has room in the mempool");
    }

    #[test]
    fn with_the_default_limits_it_is_what_the_file_of_a_new_home_says() {
        let common: DocumentMut = overrides::COMMON_CONFIG.parse().unwrap();
        let number = |table: &str, key: &str| common[table][key].as_integer().unwrap();
        let found = derived(CONFIG, Limits::default().tx_bytes_max);
        assert_eq!(i64::try_from(found[0].1).unwrap(), number("mempool", "max_tx_bytes"));
        assert_eq!(i64::try_from(found[2].1).unwrap(), number("rpc", "max_body_bytes"));
    }

    #[test]
    fn a_setting_that_the_file_lacks_is_refused_because_cometbft_would_ignore_ours() {
        for (line, name) in [
            ("max_tx_bytes = 7\n", "mempool.max_tx_bytes"),
            ("max_txs_bytes = 1073741824\n", "mempool.max_txs_bytes"),
            ("max_body_bytes = 7\n", "rpc.max_body_bytes"),
        ] {
            let (_dir, home) = home(&CONFIG.replace(line, ""));
            let message = for_limits(&home, &Limits::default()).unwrap_err().to_string();
            assert!(message.contains(&format!("lacks {name}; add it with any value")), "{message}");
        }
    }
}
