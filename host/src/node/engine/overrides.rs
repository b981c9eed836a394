//! Putting the values of `networks/` over the files that CometBFT generates, and failing where they don't fit.
//!
//! CometBFT ignores a key it does not know. A setting that was renamed would thus be lost without a word, so
//! each key must already be in the generated file, with a value of the same kind.

use toml_edit::{DocumentMut, Item, Table, Value};

/// What every node changes in `config.toml`.
pub const COMMON_CONFIG: &str = include_str!("../../../../networks/common/cometbft.toml");
/// What every node changes in `genesis.json`.
pub const COMMON_GENESIS: &str = include_str!("../../../../networks/common/genesis.toml");
/// What the nodes of a local network change in `config.toml`.
pub const LOCAL_CONFIG: &str = include_str!("../../../../networks/local/cometbft.toml");
/// What the nodes of a network over long distances change in `config.toml`.
pub const WIDE_CONFIG: &str = include_str!("../../../../networks/wide/cometbft.toml");

/// A value that cannot be put over a generated file.
#[derive(Debug, thiserror::Error)]
pub enum OverrideError {
    /// Not TOML.
    ///
    /// Report it, with the command that was run.
    #[error("cannot parse")]
    NotToml(#[from] toml_edit::TomlError),
    /// CometBFT's file has no such key.
    ///
    /// Put the key back into `config/config.toml`, as CometBFT's own file has it; in a new home, use the CometBFT that
    /// comes with dseq.
    #[error("CometBFT's file has no key {key:?}; is it another version than {version}?", version = crate::node::engine::cometbft::VERSION)]
    UnknownKey {
        /// The whole key.
        key: String,
    },
    /// CometBFT's file has another kind of value there.
    ///
    /// Correct its value in `config/config.toml`; in a new home, use the CometBFT that comes with dseq.
    #[error("{key:?} has another kind in CometBFT's file ({theirs}) than the value that dseq sets ({ours})")]
    OtherKind {
        /// The whole key.
        key: String,
        /// Kind of the new value.
        ours: &'static str,
        /// Kind of the present value.
        theirs: &'static str,
    },
}

/// Puts the values of `overrides` (TOML) into `config`, keeping its comments and layout.
///
/// # Errors
///
/// When a key is not there already, or has another kind of value.
pub fn apply_to_toml(config: &mut DocumentMut, overrides: &str) -> Result<(), OverrideError> {
    let overrides: DocumentMut = overrides.parse()?;
    for (path, value) in leaves(overrides.as_table()) {
        set(config, &path, value)?;
    }
    Ok(())
}

/// Sets one key, e.g. `["p2p", "laddr"]`, that must be there already.
///
/// # Errors
///
/// When the key is not there, or has another kind of value.
pub fn set(config: &mut DocumentMut, path: &[&str], mut value: Value) -> Result<(), OverrideError> {
    let key = || path.join(".");
    let mut item = config.as_item_mut();
    for part in path {
        item = item.get_mut(part).ok_or_else(|| OverrideError::UnknownKey { key: key() })?;
    }
    let Item::Value(present) = item else { return Err(OverrideError::UnknownKey { key: key() }) };
    if present.type_name() != value.type_name() {
        return Err(OverrideError::OtherKind {
            key: key(),
            ours: value.type_name(),
            theirs: present.type_name(),
        });
    }
    *value.decor_mut() = present.decor().clone();
    *present = value;
    Ok(())
}

/// Puts the values of `overrides` (TOML) into JSON. CometBFT writes its 64-bit integers as strings there.
///
/// # Errors
///
/// When a key is not there already, or has another kind of value.
pub fn apply_to_json(json: &mut serde_json::Value, overrides: &str) -> Result<(), OverrideError> {
    let overrides: DocumentMut = overrides.parse()?;
    for (path, value) in leaves(overrides.as_table()) {
        let key = path.join(".");
        let mut target = &mut *json;
        for part in &path {
            target = target.get_mut(part).ok_or_else(|| OverrideError::UnknownKey { key: key.clone() })?;
        }
        *target = match (&*target, &value) {
            (serde_json::Value::String(_), Value::Integer(number)) => number.value().to_string().into(),
            (serde_json::Value::String(_), Value::String(text)) => text.value().as_str().into(),
            (serde_json::Value::Bool(_), Value::Boolean(flag)) => (*flag.value()).into(),
            (theirs, ours) => {
                let theirs = if theirs.is_object() { "table" } else { "value of another kind" };
                return Err(OverrideError::OtherKind { key, ours: ours.type_name(), theirs });
            }
        };
    }
    Ok(())
}

/// Every plain value below a table, with the path that leads to it.
fn leaves(table: &Table) -> Vec<(Vec<&str>, Value)> {
    table
        .get_values()
        .into_iter()
        .map(|(path, value)| (path.into_iter().map(toml_edit::Key::get).collect(), bare(value)))
        .collect()
}

/// The value without the blanks and comments around it.
fn bare(value: &Value) -> Value {
    let mut value = value.clone();
    value.decor_mut().clear();
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENERATED: &str =
        "name = \"x\"\n\n# The p2p part.\n[p2p]\n# Peers.\npex = true # why not\nrate = 5\n";

    fn apply(overrides: &str) -> Result<String, String> {
        let mut config: DocumentMut = GENERATED.parse().unwrap();
        apply_to_toml(&mut config, overrides).map_err(|err| err.to_string())?;
        Ok(config.to_string())
    }

    #[test]
    fn values_are_replaced_and_comments_stay() {
        let expected = GENERATED.replace("true", "false").replace('5', "7");
        assert_eq!(apply("# reason\np2p.pex = false\n[p2p]\nrate = 7\n").ok(), None, "p2p twice is not TOML");
        assert_eq!(apply("# reason\np2p.pex = false\n\n# more\np2p.rate = 7\n").unwrap(), expected);
    }

    #[test]
    fn a_key_that_cometbft_does_not_have_is_refused_by_name() {
        assert!(apply("p2p.pexx = false").unwrap_err().contains("no key \"p2p.pexx\""));
        assert!(apply("p3p.pex = false").unwrap_err().contains("no key \"p3p.pex\""));
        assert!(apply("p2p = 1").unwrap_err().contains("no key \"p2p\""));
    }

    #[test]
    fn a_value_of_another_kind_is_refused() {
        assert_eq!(
            apply("p2p.rate = \"7\"").unwrap_err(),
            "\"p2p.rate\" has another kind in CometBFT's file (integer) than the value that dseq sets (string)"
        );
    }

    #[test]
    fn integers_become_the_strings_that_genesis_has() {
        let mut json =
            serde_json::json!({ "consensus_params": { "block": { "max_bytes": "1", "max_gas": "-1" } } });
        apply_to_json(&mut json, COMMON_GENESIS).unwrap();
        assert_eq!(json["consensus_params"]["block"]["max_bytes"], "4194304");
        assert!(apply_to_json(&mut json, "consensus_params.block.size = 1").is_err());
        assert!(apply_to_json(&mut json, "consensus_params.block = 1").is_err());
    }
}
