//! Newtypes for what must not be mixed: heights, offsets, fuel and the many 32-byte hashes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::excerpt::Excerpt;

/// A block height. CometBFT sends it as `i64`; the first block is 1 unless genesis says otherwise.
///
/// 0 means "before the first block".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Height(pub u64);

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Position of a byte in the sequence, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Offset(pub u64);

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Units of wasm work, as the engine charges them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fuel(pub u64);

impl fmt::Display for Fuel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that should have been 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits (32 bytes), found {found:?}")]
pub struct ParseHashError {
    /// The text as it was given.
    pub found: Excerpt,
}

macro_rules! hash_newtypes {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseHashError;

            fn from_str(text: &str) -> Result<Self, ParseHashError> {
                let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
                bytes
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(Self)
                    .ok_or_else(|| ParseHashError { found: Excerpt::of(text) })
            }
        }
    )*};
}

hash_newtypes! {
    /// SHA-256 of a transaction's bytes, as CometBFT computes it.
    TxHash;
    /// BLAKE3 of one record's bytes.
    RecordHash;
    /// BLAKE3 of the whole sequence: what `b3sum sequence.bin` prints.
    SequenceRoot;
    /// RFC 6962 SHA-256 Merkle root over one leaf for each record.
    RecordsRoot;
    /// SHA-256 of a plugin's `.wasm` file.
    PluginHash;
    /// SHA-256 over everything about the wasm engine that can change a result.
    EngineId;
    /// SHA-256 over engine id, limits, plugin hashes and params: the rules of the network.
    PipelineId;
    /// What consensus agrees on after each block.
    AppHash;
}

impl TxHash {
    /// Hashes a transaction's bytes.
    #[must_use]
    pub fn of(tx: &[u8]) -> Self {
        use sha2::Digest;
        Self(sha2::Sha256::digest(tx).into())
    }
}

impl PluginHash {
    /// Hashes the bytes of a `.wasm` file.
    #[must_use]
    pub fn of(wasm: &[u8]) -> Self {
        use sha2::Digest;
        Self(sha2::Sha256::digest(wasm).into())
    }
}

impl RecordHash {
    /// Hashes a record's bytes.
    #[must_use]
    pub fn of(record: &[u8]) -> Self {
        Self(*blake3::hash(record).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_survives_its_text() {
        let hash = TxHash::of(b"abc");
        assert_eq!(hash.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(hash.to_string().parse::<TxHash>(), Ok(hash));
    }

    #[test]
    fn a_hash_of_the_wrong_length_is_refused_with_what_was_found() {
        let err = "abcd".parse::<TxHash>().unwrap_err();
        assert_eq!(err.to_string(), "expected 64 hexadecimal digits (32 bytes), found \"abcd\"");
    }
}
