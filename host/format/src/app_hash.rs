//! The app hash: what consensus agrees on after each block.
//!
//! # Format
//!
//! SHA-256 over, in this order (integers little-endian):
//!
//! | bytes | what |
//! |---|---|
//! | 16 | `dseq/app-hash/v1` |
//! | 8 | length of the sequence in bytes |
//! | 8 | number of records |
//! | 32 | sequence root: BLAKE3 of the whole sequence |
//! | 32 | records root: RFC 6962 SHA-256 Merkle root over the records' entries |
//! | 32 | pipeline id |
//!
//! The height is not in it, so a block without records leaves it as it was and an idle network makes no blocks.

use sha2::{Digest, Sha256};

use crate::types::{AppHash, PipelineId, RecordsRoot, SequenceRoot};

/// What tells this app hash from others: its version.
pub const TAG: &[u8; 16] = b"dseq/app-hash/v1";

/// What an app hash is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppHashInput {
    /// Length of the sequence, in bytes.
    pub length: u64,
    /// Number of records.
    pub count: u64,
    /// BLAKE3 of the whole sequence.
    pub sequence_root: SequenceRoot,
    /// RFC 6962 Merkle root over the records' entries.
    pub records_root: RecordsRoot,
    /// The rules.
    pub pipeline: PipelineId,
}

impl AppHashInput {
    /// Hashes the values as the table above says.
    #[must_use]
    pub fn hash(&self) -> AppHash {
        let hash = Sha256::new()
            .chain_update(TAG)
            .chain_update(self.length.to_le_bytes())
            .chain_update(self.count.to_le_bytes())
            .chain_update(self.sequence_root.0)
            .chain_update(self.records_root.0)
            .chain_update(self.pipeline.0);
        AppHash(hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// The app hash is what consensus agrees on: a change here is a new network, and goes under "Consensus-breaking" in
    /// the changelog.
    #[test]
    fn golden_app_hash() {
        let input = AppHashInput {
            length: 0x0102,
            count: 3,
            sequence_root: SequenceRoot([0xaa; 32]),
            records_root: RecordsRoot([0xbb; 32]),
            pipeline: PipelineId([0xcc; 32]),
        };
        let table = [
            "647365712f6170702d686173682f7631",
            "0201000000000000",
            "0300000000000000",
            &"aa".repeat(32),
            &"bb".repeat(32),
            &"cc".repeat(32),
        ];
        let bytes = HEXLOWER.decode(table.concat().as_bytes()).unwrap();
        assert_eq!(input.hash(), AppHash(Sha256::digest(&bytes).into()));
        assert_eq!(
            input.hash().to_string(),
            "f63fbf50a151dbeed1b5b722626250332eb21e0aa65cd1eea2a28af9923a26ee"
        );
    }
}
