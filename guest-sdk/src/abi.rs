//! ABI v1 as a plugin sees it: how an answer is packed. The host's own copy of this table, with every export and
//! rule, is `host/src/plugin/abi.rs`.
//!
//! # Format
//!
//! `dseq_init` and `dseq_apply` answer with 64 bits:
//!
//! | bits | what |
//! |---|---|
//! | 0-31 | length of the output in bytes: the record, or the message |
//! | 32-47 | rejection code, 1 to 999; 0 unless rejected |
//! | 48-55 | 1 accept unchanged, 2 replace, 3 reject |
//! | 56-63 | 0 |

use crate::Verdict;

/// Packs a verdict and the length of the output that goes with it.
#[must_use]
pub const fn pack(verdict: Verdict, output_len: u32) -> u64 {
    let (kind, code, len) = match verdict {
        Verdict::Accept => (1, 0, 0),
        Verdict::Replace => (2, 0, output_len),
        Verdict::Reject(code) => (3, code, output_len),
    };
    (kind << 48) | ((code as u64) << 32) | len as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_packed_as_the_table_says() {
        assert_eq!(pack(Verdict::Accept, 77), 0x0001_0000_0000_0000);
        assert_eq!(pack(Verdict::Replace, 0x0102_0304), 0x0002_0000_0102_0304);
        assert_eq!(pack(Verdict::Reject(999), 5), 0x0003_03e7_0000_0005);
    }
}
