//! One record's entry: where its bytes lie and what they are.
//!
//! # Format
//!
//! The `records` file is these entries one after the other; the same bytes are the record's leaf in the records
//! root, so their layout is consensus-visible. Integers are little-endian.
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | offset of the record's first byte in the sequence |
//! | 8..16 | its length in bytes, at least 1 |
//! | 16..24 | height of the block it came in |
//! | 24..56 | SHA-256 of the transaction its producer submitted |
//! | 56..88 | BLAKE3 of the record's bytes |

use std::ops::Range;

use crate::types::{Height, Offset, RecordHash, TxHash};

/// Length of an encoded entry in bytes, as an array length.
const ENTRY_LEN: usize = 88;

/// Length of an encoded entry in bytes.
pub const ENTRY_BYTES: u64 = ENTRY_LEN as u64;

/// What the log knows about one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where the record starts.
    pub offset: Offset,
    /// How many bytes it has, at least 1.
    pub length: u64,
    /// The block it came in.
    pub height: Height,
    /// The transaction its producer submitted.
    pub tx_hash: TxHash,
    /// Hash of the record's bytes.
    pub record_hash: RecordHash,
}

impl Entry {
    /// Encodes the entry as the table above says.
    #[must_use]
    pub fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut out = [0; ENTRY_LEN];
        out[0..8].copy_from_slice(&self.offset.0.to_le_bytes());
        out[8..16].copy_from_slice(&self.length.to_le_bytes());
        out[16..24].copy_from_slice(&self.height.0.to_le_bytes());
        out[24..56].copy_from_slice(&self.tx_hash.0);
        out[56..88].copy_from_slice(&self.record_hash.0);
        out
    }

    /// Decodes an entry; every 88 bytes are one.
    #[must_use]
    pub fn decode(bytes: &[u8; ENTRY_LEN]) -> Self {
        fn part<const N: usize>(bytes: &[u8; ENTRY_LEN], range: Range<usize>) -> [u8; N] {
            let mut part = [0; N];
            part.copy_from_slice(&bytes[range]);
            part
        }
        Self {
            offset: Offset(u64::from_le_bytes(part(bytes, 0..8))),
            length: u64::from_le_bytes(part(bytes, 8..16)),
            height: Height(u64::from_le_bytes(part(bytes, 16..24))),
            tx_hash: TxHash(part(bytes, 24..56)),
            record_hash: RecordHash(part(bytes, 56..88)),
        }
    }

    /// Where the entry with this index stands in the `records` file. One that no file can hold comes out as an
    /// offset that no file has, so that using it fails and never finds another entry.
    #[must_use]
    pub fn place(index: u64) -> u64 {
        index.saturating_mul(ENTRY_BYTES)
    }

    /// An empty place for an encoded entry.
    #[must_use]
    pub fn buffer() -> [u8; ENTRY_LEN] {
        [0; ENTRY_LEN]
    }

    /// The offset just after the record; `None` where it would not fit in 64 bits (never in a real log).
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        self.offset.0.checked_add(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of this table is consensus-breaking: every records root changes with it.
    #[test]
    fn golden_entry_bytes() {
        let entry = Entry {
            offset: Offset(0x0102),
            length: 3,
            height: Height(4),
            tx_hash: TxHash([0xaa; 32]),
            record_hash: RecordHash([0xbb; 32]),
        };
        let bytes = entry.encode();
        let expected = format!(
            "{}{}{}{}{}",
            "0201000000000000",
            "0300000000000000",
            "0400000000000000",
            "aa".repeat(32),
            "bb".repeat(32)
        );
        assert_eq!(data_encoding::HEXLOWER.encode(&bytes), expected);
        assert_eq!(Entry::decode(&bytes), entry);
    }
}
