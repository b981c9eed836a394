//! The node's own copy of the rules, kept from InitChain on.
//!
//! CometBFT hands over genesis once; a restarted node must know its rules without it.
//!
//! # Format
//!
//! The `chain` file: `dseqchn1`, then [`Chain`] in postcard, then BLAKE3 of all bytes before.

use serde::{Deserialize, Serialize};

use crate::rules::PipelineSpec;
use crate::types::Height;

/// Name of the file with the rules, in the log's folder.
pub const CHAIN_FILE: &str = "chain";

/// What its file begins with: the format and its version.
pub(super) const MAGIC: &[u8; 8] = b"dseqchn1";
const HASH_LEN: usize = 32;

/// What InitChain fixed for this network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The network's name in genesis.
    pub chain_id: String,
    /// Height of the first block.
    pub initial_height: Height,
    /// Engine, limits and plugins.
    pub pipeline: PipelineSpec,
}

impl Chain {
    pub(super) fn encode(&self) -> Vec<u8> {
        let bytes = postcard::to_extend(self, MAGIC.to_vec());
        let mut bytes = bytes.expect("a Vec takes any bytes and the rules have no maps");
        let hash = blake3::hash(&bytes);
        bytes.extend_from_slice(hash.as_bytes());
        bytes
    }

    pub(super) fn decode(file: &[u8]) -> Option<Self> {
        let (hashed, hash) = file.split_at_checked(file.len().checked_sub(HASH_LEN)?)?;
        if blake3::hash(hashed).as_bytes() != hash {
            return None;
        }
        postcard::from_bytes(hashed.strip_prefix(MAGIC)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{CanonicalJson, Limits, PluginName, PluginSpec};
    use crate::types::{EngineId, PluginHash};

    #[test]
    fn the_rules_survive_the_file_and_any_flipped_bit_is_noticed() {
        let plugin = PluginSpec {
            name: PluginName::try_from("lines".to_owned()).unwrap(),
            sha256: PluginHash([3; 32]),
            params: CanonicalJson::parse(r#"{"max":5}"#).unwrap(),
        };
        let pipeline =
            PipelineSpec { engine: EngineId([1; 32]), limits: Limits::default(), plugins: vec![plugin] };
        let chain = Chain { chain_id: "test-1".to_owned(), initial_height: Height(1), pipeline };
        let file = chain.encode();
        assert_eq!(Chain::decode(&file), Some(chain));
        for at in 0..file.len() {
            let mut torn = file.clone();
            torn[at] ^= 1;
            assert_eq!(Chain::decode(&torn), None, "byte {at}");
            assert_eq!(Chain::decode(&file[..at]), None, "cut at {at}");
        }
    }
}
