//! The contract with the host, and this side's part of its arithmetic: how an answer is packed.
#![doc = include_str!("../abi-v1.md")]

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
