//! A receipt: where a transaction's record landed.
//!
//! # Format
//!
//! A receipt is the `data` of an accepted transaction's result; it enters consensus through LastResultsHash.
//! Integers are little-endian.
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | height of the block |
//! | 8..16 | index of the record in the whole log, from 0 |
//! | 16..24 | offset of its first byte |
//! | 24..32 | its length in bytes |

use crate::types::{Height, Offset};

/// Length of an encoded receipt in bytes, as an array length.
const RECEIPT_LEN: usize = 32;

/// Where a record landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The block the record came in.
    pub height: Height,
    /// The record's index in the whole log, from 0.
    pub index: u64,
    /// Offset of its first byte.
    pub offset: Offset,
    /// Its length in bytes.
    pub length: u64,
}

impl Receipt {
    /// Encodes the receipt as the table above says.
    #[must_use]
    pub fn encode(&self) -> [u8; RECEIPT_LEN] {
        let mut out = [0; RECEIPT_LEN];
        let fields = [self.height.0, self.index, self.offset.0, self.length];
        for (place, field) in out.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        out
    }

    /// Decodes a receipt; every 32 bytes are one, and nothing else is.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (fields, rest) = bytes.as_chunks();
        let [height, index, offset, length] = *fields else { return None };
        let [height, index, offset, length] = [height, index, offset, length].map(u64::from_le_bytes);
        rest.is_empty().then_some(Self { height: Height(height), index, offset: Offset(offset), length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of this table is consensus-breaking: every results hash changes with it.
    #[test]
    fn golden_receipt_bytes() {
        let receipt = Receipt { height: Height(1), index: 2, offset: Offset(0x0304), length: u64::MAX };
        let bytes = receipt.encode();
        let expected =
            ["0100000000000000", "0200000000000000", "0403000000000000", "ffffffffffffffff"].concat();
        assert_eq!(data_encoding::HEXLOWER.encode(&bytes), expected);
        assert_eq!(Receipt::decode(&bytes), Some(receipt));
        assert_eq!(Receipt::decode(&bytes[1..]), None);
        assert_eq!(Receipt::decode(&[&bytes[..], b"x"].concat()), None);
    }
}
