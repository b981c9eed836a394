//! What genesis says about the plugins: limits, and for each plugin its name, hash and params.
//!
//! # Format
//!
//! The pipeline id is SHA-256 over, in this order (integers little-endian):
//!
//! | bytes | what |
//! |---|---|
//! | 19 | `dseq/pipeline-id/v1` |
//! | 32 | engine id |
//! | 8 x 4 | `tx_bytes_max`, `record_bytes_max`, `fuel_max`, `memory_bytes_max` |
//! | 8 | number of plugins |
//! | each: 32, 8, n | plugin hash, length of its params, its params as canonical JSON |

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::limits;
use crate::types::{EngineId, PipelineId, PluginHash};

const PIPELINE_ID_TAG: &[u8; 19] = b"dseq/pipeline-id/v1";

/// The bounds a network sets in genesis; the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Largest transaction, in bytes.
    pub tx_bytes_max: u64,
    /// Largest record, in bytes. It also bounds what each plugin of the pipeline may put out.
    pub record_bytes_max: u64,
    /// Fuel one plugin may spend on one transaction.
    pub fuel_max: u64,
    /// Largest linear memory of a plugin, in bytes; a multiple of 64 KiB.
    pub memory_bytes_max: u64,
}

impl Default for Limits {
    /// 1 MiB transactions, 4 MiB records, 100 million fuel (about a tenth of a second), 16 MiB of memory.
    fn default() -> Self {
        Self {
            tx_bytes_max: 1 << 20,
            record_bytes_max: 4 << 20,
            fuel_max: 100_000_000,
            memory_bytes_max: 16 << 20,
        }
    }
}

/// A limit outside of what a host can promise to every network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// Zero, or above the ceiling.
    #[error("limits.{name} is {value}; it must be from 1 to {ceiling}")]
    OutOfRange {
        /// The limit's name in genesis.
        name: &'static str,
        /// Its value in genesis.
        value: u64,
        /// The largest value a host accepts.
        ceiling: u64,
    },
    /// Memory is handed out in pages.
    #[error("limits.memory_bytes_max is {value}; it must be a multiple of {page} (one wasm page)", page = limits::WASM_PAGE_BYTES)]
    MemoryNotInPages {
        /// Its value in genesis.
        value: u64,
    },
}

impl Limits {
    /// Checks each limit against the host's ceilings.
    ///
    /// # Errors
    ///
    /// The first limit that is zero, above its ceiling, or (memory) not a whole number of pages.
    pub fn validate(&self) -> Result<(), LimitsError> {
        let bounds = [
            ("tx_bytes_max", self.tx_bytes_max, limits::TX_BYTES_CEILING),
            ("record_bytes_max", self.record_bytes_max, limits::RECORD_BYTES_CEILING),
            ("fuel_max", self.fuel_max, limits::FUEL_CEILING),
            ("memory_bytes_max", self.memory_bytes_max, limits::MEMORY_BYTES_CEILING),
        ];
        for (name, value, ceiling) in bounds {
            if value == 0 || value > ceiling {
                return Err(LimitsError::OutOfRange { name, value, ceiling });
            }
        }
        if !self.memory_bytes_max.is_multiple_of(limits::WASM_PAGE_BYTES) {
            return Err(LimitsError::MemoryNotInPages { value: self.memory_bytes_max });
        }
        Ok(())
    }
}

/// A plugin's name: 1 to 32 bytes of `a-z`, `0-9` and `-`, starting with a letter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PluginName(String);

/// A name that cannot be a plugin's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "plugin name {name:?} is not valid; use 1 to {max} characters of a-z, 0-9 and '-', starting with a letter",
    max = limits::PLUGIN_NAME_BYTES_MAX
)]
pub struct PluginNameError {
    /// The name as it was given.
    pub name: String,
}

impl TryFrom<String> for PluginName {
    type Error = PluginNameError;

    fn try_from(name: String) -> Result<Self, PluginNameError> {
        let fits = (1..=limits::PLUGIN_NAME_BYTES_MAX).contains(&(name.len() as u64));
        let first_is_letter = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits && first_is_letter && plain { Ok(Self(name)) } else { Err(PluginNameError { name }) }
    }
}

impl From<PluginName> for String {
    fn from(name: PluginName) -> Self {
        name.0
    }
}

impl PluginName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PluginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// JSON in its canonical form (RFC 8785): the same value is always the same bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanonicalJson(String);

/// Params that have no canonical form, or too long a one.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalJsonError {
    /// A value RFC 8785 cannot write.
    #[error("params have no canonical form (RFC 8785): {0}")]
    NotCanonical(#[from] serde_json::Error),
    /// RFC 8785 writes numbers as doubles, which would silently change this one.
    #[error(
        "params hold the integer {value}, which canonical JSON (RFC 8785) cannot keep; integers go from -{max} to {max}: \
         write it as a string",
        max = JSON_INTEGER_MAX
    )]
    Integer {
        /// The number as it was given.
        value: String,
    },
    /// Too long once written.
    #[error("params are {bytes} bytes as canonical JSON; at most {max} are allowed", max = limits::PARAMS_BYTES_MAX)]
    TooLong {
        /// Length of the canonical form.
        bytes: u64,
    },
}

/// The largest integer up to which a double keeps every one: 2^53 - 1.
const JSON_INTEGER_MAX: u64 = (1 << 53) - 1;

/// From here on canonical JSON writes numbers with an exponent, and what reads them again takes them for floats.
const JSON_EXPONENT_MIN: f64 = 1e21;

/// The first integer in `value` that a double does not keep, or that would be one once it is written: a float like 1e16
/// would be refused when its canonical form is read again.
fn inexact_integer(value: &serde_json::Value) -> Option<String> {
    use serde_json::Value;
    match value {
        Value::Number(number) => {
            let magnitude = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            let is_inexact = magnitude.map_or_else(
                || {
                    let float = number.as_f64().unwrap_or_default().abs();
                    float > JSON_INTEGER_MAX as f64 && float < JSON_EXPONENT_MIN
                },
                |magnitude| magnitude > JSON_INTEGER_MAX,
            );
            is_inexact.then(|| number.to_string())
        }
        Value::Array(items) => items.iter().find_map(inexact_integer),
        Value::Object(fields) => fields.iter().find_map(|(_, field)| inexact_integer(field)),
        Value::Null | Value::Bool(_) | Value::String(_) => None,
    }
}

impl Default for CanonicalJson {
    /// The empty object: no params.
    fn default() -> Self {
        Self("{}".to_owned())
    }
}

impl CanonicalJson {
    /// Writes a JSON value in its canonical form.
    ///
    /// # Errors
    ///
    /// When the value has no canonical form, holds an integer beyond 2^53 - 1 or is longer than [`limits::PARAMS_BYTES_MAX`].
    pub fn new(value: &serde_json::Value) -> Result<Self, CanonicalJsonError> {
        if let Some(value) = inexact_integer(value) {
            return Err(CanonicalJsonError::Integer { value });
        }
        let text = serde_json_canonicalizer::to_string(value)?;
        let bytes = text.len() as u64;
        if bytes > limits::PARAMS_BYTES_MAX {
            return Err(CanonicalJsonError::TooLong { bytes });
        }
        Ok(Self(text))
    }

    /// The value it is the canonical form of.
    #[must_use]
    pub fn value(&self) -> serde_json::Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One plugin of the pipeline, as genesis pins it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginSpec {
    /// Its name; part of the codespace of its rejections.
    pub name: PluginName,
    /// SHA-256 of its `.wasm` file.
    pub sha256: PluginHash,
    /// What the plugin is told at init.
    pub params: CanonicalJson,
}

/// The rules of the network: engine, limits and plugins in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineSpec {
    /// The engine the network agreed on.
    pub engine: EngineId,
    /// The bounds the network agreed on.
    pub limits: Limits,
    /// The plugins; each one's output is the next one's input. None at all: every transaction is
    /// accepted unchanged.
    pub plugins: Vec<PluginSpec>,
}

impl PipelineSpec {
    /// The hash of the rules, part of every app hash.
    #[must_use]
    pub fn id(&self) -> PipelineId {
        let mut hash = Sha256::new();
        hash.update(PIPELINE_ID_TAG);
        hash.update(self.engine.0);
        for limit in [
            self.limits.tx_bytes_max,
            self.limits.record_bytes_max,
            self.limits.fuel_max,
            self.limits.memory_bytes_max,
        ] {
            hash.update(limit.to_le_bytes());
        }
        hash.update((self.plugins.len() as u64).to_le_bytes());
        for plugin in &self.plugins {
            hash.update(plugin.sha256.0);
            hash.update((plugin.params.0.len() as u64).to_le_bytes());
            hash.update(plugin.params.0.as_bytes());
        }
        PipelineId(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for name in ["passthrough", "a", "length-prefix", "x9"] {
            assert!(PluginName::try_from(name.to_owned()).is_ok(), "{name}");
        }
        for name in ["", "A", "9x", "-a", "a b", "a/b", &"a".repeat(33)] {
            assert!(PluginName::try_from(name.to_owned()).is_err(), "{name}");
        }
    }

    #[test]
    fn params_are_the_same_bytes_whatever_their_spelling() {
        let one = serde_json::from_str(r#"{ "b": 1.0, "a": [true, null] }"#).unwrap();
        let two = serde_json::from_str(r#"{"a":[true,null],"b":1}"#).unwrap();
        let one = CanonicalJson::new(&one).unwrap();
        assert_eq!(one, CanonicalJson::new(&two).unwrap());
        assert_eq!(one.as_str(), r#"{"a":[true,null],"b":1}"#);
    }

    #[test]
    fn an_integer_that_would_change_is_refused_wherever_it_stands() {
        for text in [
            "9007199254740992",
            r#"{"a":[1,{"b":-9007199254740993}]}"#,
            "18446744073709551615",
            "100000000000000000001",
            "-1e16",
            "999999999999999900000.0",
        ] {
            let message = CanonicalJson::new(&serde_json::from_str(text).unwrap()).unwrap_err().to_string();
            assert!(message.contains("from -9007199254740991 to 9007199254740991"), "{text}: {message}");
        }
        let float = CanonicalJson::new(&serde_json::json!([1e21, 1e300, 0.5])).unwrap();
        assert_eq!(float.as_str(), "[1e+21,1e+300,0.5]");
        let largest = serde_json::json!([9_007_199_254_740_991_u64, -9_007_199_254_740_991_i64]);
        assert_eq!(CanonicalJson::new(&largest).unwrap().as_str(), "[9007199254740991,-9007199254740991]");
    }

    /// The pipeline id is part of every app hash: a change here is consensus-breaking. (Computed a second time from
    /// the table above with Python's hashlib.)
    #[test]
    fn golden_pipeline_id() {
        let plugin = |name: &str, byte, params| PluginSpec {
            name: PluginName::try_from(name.to_owned()).unwrap(),
            sha256: PluginHash([byte; 32]),
            params: CanonicalJson::new(&params).unwrap(),
        };
        let limits = Limits { tx_bytes_max: 1, record_bytes_max: 2, fuel_max: 3, memory_bytes_max: 65_536 };
        let plugins = vec![
            plugin("one", 0x22, serde_json::json!({})),
            plugin("two", 0x33, serde_json::json!({"a": [1, "x"]})),
        ];
        let spec = PipelineSpec { engine: EngineId([0x11; 32]), limits, plugins };
        assert_eq!(spec.id().to_string(), "bbec544c2dac949f3c17affe5280bda5230c7dca0d37375ec06d71fc3f8bc75f");
    }

    #[test]
    fn every_limit_is_bounded_by_name() {
        let limits = Limits { fuel_max: 0, ..Limits::default() };
        assert_eq!(
            limits.validate().unwrap_err().to_string(),
            "limits.fuel_max is 0; it must be from 1 to 10000000000"
        );
        let limits = Limits { memory_bytes_max: 65537, ..Limits::default() };
        assert!(limits.validate().unwrap_err().to_string().contains("multiple of 65536"));
        assert_eq!(Limits::default().validate(), Ok(()));
    }
}
