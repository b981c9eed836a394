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

use crate::sequence::Head;
use crate::types::{AppHash, PipelineId};

const TAG: &[u8; 16] = b"dseq/app-hash/v1";

/// The app hash of a log under the given rules.
#[must_use]
pub fn app_hash(head: &Head, pipeline: PipelineId) -> AppHash {
    let hash = Sha256::new()
        .chain_update(TAG)
        .chain_update(head.length().to_le_bytes())
        .chain_update(head.count().to_le_bytes())
        .chain_update(head.sequence_root().0)
        .chain_update(head.records_root().0)
        .chain_update(pipeline.0);
    AppHash(hash.finalize().into())
}
