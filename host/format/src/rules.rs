//! The rules of a network, fixed by genesis: engine, limits, and each plugin's name, hash and params; and their id.
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

use crate::excerpt::{Excerpt, words};
use crate::json::{self, JsonError};
use crate::limits;
use crate::types::{EngineId, PipelineId, PluginHash};

/// What tells this pipeline id from others: its version.
pub const PIPELINE_ID_TAG: &[u8; 19] = b"dseq/pipeline-id/v1";

/// The bounds a network sets in genesis; the same on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Maximum size of a transaction, in bytes. Default: 1 MiB; ceiling: [`limits::TX_BYTES_CEILING`].
    ///
    /// A longer one is rejected by CheckTx, with codespace `dseq` and code 2, and in a proposal voted against. The engine's
    /// blocks must have room for one (`block.max_bytes`), or the genesis is refused.
    pub tx_bytes_max: u64,
    /// Maximum size of a record, and of the output of each plugin of the pipeline, in bytes. Default: 4 MiB; ceiling:
    /// [`limits::RECORD_BYTES_CEILING`].
    ///
    /// A plugin that returns more has broken its contract: its transaction is rejected with code 1013. Without plugins a
    /// transaction is its record, so this must not be less than `tx_bytes_max`.
    pub record_bytes_max: u64,
    /// Maximum fuel that one plugin may spend on one transaction, and as much again on init. Default: 400 million; ceiling,
    /// for all plugins together: [`limits::FUEL_CEILING`].
    ///
    /// A plugin that needs more is stopped, and its transaction is rejected with code 1001. A block holds as much as two such
    /// transactions: with a larger limit, or more memory, a block may take longer to compute than CometBFT waits for one.
    pub fuel_max: u64,
    /// Maximum linear memory of a plugin, in bytes; a multiple of 64 KiB. Default: 6 MiB; ceiling:
    /// [`limits::MEMORY_BYTES_CEILING`].
    ///
    /// `memory.grow` beyond it fails as WebAssembly defines it, by returning -1; what the plugin makes of that is up to it
    /// (plugins in Rust panic). A module whose memory is larger from the start is refused. Loads are slower in a larger memory.
    pub memory_bytes_max: u64,
}

impl Default for Limits {
    /// 1 MiB transactions, 4 MiB records, 400 million fuel (at most 1 s of one 2020s core), 6 MiB of memory.
    ///
    /// What the plugins of this repository take for transactions of 1 MiB: `signed` 208 million units and 2.2 MiB, `hex`
    /// 224 million and 1.6 MiB, `lines` 25 million and 3.2 MiB. `json` takes 575 million and 5.2 MiB for an array of
    /// readings, so the longest that it accepts by default has some 0.69 MiB.
    fn default() -> Self {
        Self {
            tx_bytes_max: 1 << 20,
            record_bytes_max: 4 << 20,
            fuel_max: 400_000_000,
            memory_bytes_max: 6 << 20,
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
    pub name: Excerpt,
}

impl TryFrom<String> for PluginName {
    type Error = PluginNameError;

    fn try_from(name: String) -> Result<Self, PluginNameError> {
        let fits = (1..=limits::PLUGIN_NAME_BYTES_MAX).contains(&(name.len() as u64));
        let first_is_letter = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if fits && first_is_letter && plain {
            Ok(Self(name))
        } else {
            Err(PluginNameError { name: Excerpt::of(&name) })
        }
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
#[serde(try_from = "String", into = "String")]
pub struct CanonicalJson(String);

/// Params that are not strict JSON, or have no canonical form or too long a one.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalJsonError {
    /// Not strict JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A value RFC 8785 cannot write.
    ///
    /// Report it, with the command that was run.
    #[error("params have no canonical form (RFC 8785): {}", words(.0))]
    NotCanonical(#[from] serde_json::Error),
    /// Too long once written.
    #[error("params are {bytes} bytes as canonical JSON; at most {max} are allowed", max = limits::PARAMS_BYTES_MAX)]
    TooLong {
        /// Length of the canonical form.
        bytes: u64,
    },
    /// Another spelling where only the canonical one may be.
    ///
    /// Write them as the message shows.
    #[error("params are not in their canonical form (RFC 8785), which is {canonical}")]
    Spelling {
        /// How they are written canonically.
        canonical: Excerpt,
    },
}

impl Default for CanonicalJson {
    /// The empty object: no params.
    fn default() -> Self {
        Self("{}".to_owned())
    }
}

impl TryFrom<String> for CanonicalJson {
    type Error = CanonicalJsonError;

    /// Takes a text that is canonical already, as the node's own copy of the rules has it.
    fn try_from(text: String) -> Result<Self, CanonicalJsonError> {
        let canonical = Self::parse(&text)?;
        if canonical.0 == text {
            Ok(canonical)
        } else {
            Err(CanonicalJsonError::Spelling { canonical: Excerpt::of(&canonical.0) })
        }
    }
}

impl From<CanonicalJson> for String {
    fn from(params: CanonicalJson) -> Self {
        params.0
    }
}

impl CanonicalJson {
    /// Parses JSON as somebody wrote it. There is no other constructor: a value that another parser made of a text does not
    /// show what that parser dropped or rounded.
    ///
    /// # Errors
    ///
    /// When the text is not strict JSON ([`json::read`]), has no canonical form or one longer than
    /// [`limits::PARAMS_BYTES_MAX`].
    pub fn parse(text: &str) -> Result<Self, CanonicalJsonError> {
        let value = json::read(text, "params", limits::PARAMS_DEPTH_MAX)?;
        let text = serde_json_canonicalizer::to_string(&value)?;
        let bytes = text.len() as u64;
        if bytes > limits::PARAMS_BYTES_MAX {
            return Err(CanonicalJsonError::TooLong { bytes });
        }
        Ok(Self(text))
    }

    /// The value it is the canonical form of.
    #[must_use]
    #[allow(
        clippy::missing_panics_doc,
        reason = "it does not: every one of them was read before it was written"
    )]
    pub fn value(&self) -> serde_json::Value {
        let value = json::read(&self.0, "params", limits::PARAMS_DEPTH_MAX);
        value.expect("the canonical form of strict JSON is strict JSON")
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
    /// The parameters it is initialized with.
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
        let one = CanonicalJson::parse(r#"{ "b": 1.0, "a": [true, null], "\u0063": -0 }"#).unwrap();
        assert_eq!(one, CanonicalJson::parse(r#"{"a":[true,null],"b":1,"c":0.0}"#).unwrap());
        assert_eq!(one.as_str(), r#"{"a":[true,null],"b":1,"c":0}"#);
        let numbers = CanonicalJson::parse("[1e21,1000000000000000000000,1e300,0.5]").unwrap();
        assert_eq!(numbers.as_str(), "[1e+21,1e+21,1e+300,0.5]");
    }

    #[test]
    fn params_that_are_not_strict_json_are_refused() {
        let refusal = |text| CanonicalJson::parse(text).unwrap_err().to_string();
        assert!(refusal("{").starts_with("params is invalid JSON: EOF while parsing an object at line 1"));
        assert!(refusal(r#"{"a":{"b":1,"b":1}}"#).starts_with("params.a.b is a duplicate key"));
        assert!(refusal("9007199254740993").starts_with("params is the integer 9007199254740993, which"));
        assert_eq!(
            refusal(&format!("\"{}\"", "x".repeat(65536))),
            "params are 65538 bytes as canonical JSON; at most 65536 are allowed"
        );
    }

    /// The node's own copy of the rules is read so.
    #[test]
    fn only_the_canonical_text_is_taken_for_canonical() {
        let taken = |text: &str| postcard::from_bytes::<CanonicalJson>(&postcard::to_stdvec(text).unwrap());
        assert_eq!(taken(r#"{"a":1e+21}"#).unwrap(), CanonicalJson::parse(r#"{"a":1e21}"#).unwrap());
        for text in ["{ }", r#"{"b":1,"a":1}"#, "1.0", r#"{"a":1,"a":1}"#, "1e400", ""] {
            assert!(taken(text).is_err(), "{text}");
        }
    }

    #[test]
    fn params_nest_as_deeply_as_the_limit_says() {
        let nested = |depth: u64| {
            let depth = usize::try_from(depth).unwrap();
            "[".repeat(depth) + &"]".repeat(depth)
        };
        let deepest = CanonicalJson::parse(&nested(limits::PARAMS_DEPTH_MAX)).unwrap();
        assert_eq!(deepest.value().to_string(), deepest.as_str());
        let message = CanonicalJson::parse(&nested(limits::PARAMS_DEPTH_MAX + 1)).unwrap_err().to_string();
        assert!(message.starts_with("params is nested too deeply; at most 123 "), "{message}");
    }

    /// The pipeline id is part of every app hash: a change here is consensus-breaking. (Computed a second time from
    /// the table above with Python's hashlib.)
    #[test]
    fn golden_pipeline_id() {
        let plugin = |name: &str, byte, params| PluginSpec {
            name: PluginName::try_from(name.to_owned()).unwrap(),
            sha256: PluginHash([byte; 32]),
            params: CanonicalJson::parse(params).unwrap(),
        };
        let limits = Limits { tx_bytes_max: 1, record_bytes_max: 2, fuel_max: 3, memory_bytes_max: 65_536 };
        let plugins = vec![plugin("one", 0x22, "{}"), plugin("two", 0x33, r#"{"a": [1, "x"]}"#)];
        let spec = PipelineSpec { engine: EngineId([0x11; 32]), limits, plugins };
        assert_eq!(spec.id().to_string(), "bbec544c2dac949f3c17affe5280bda5230c7dca0d37375ec06d71fc3f8bc75f");
    }

    #[test]
    fn every_limit_is_bounded_by_name() {
        let limits = Limits { fuel_max: 0, ..Limits::default() };
        assert_eq!(
            limits.validate().unwrap_err().to_string(),
            "limits.fuel_max is 0; it must be from 1 to 2000000000"
        );
        let limits = Limits { memory_bytes_max: 65537, ..Limits::default() };
        assert!(limits.validate().unwrap_err().to_string().contains("multiple of 65536"));
        assert_eq!(Limits::default().validate(), Ok(()));
    }
}
