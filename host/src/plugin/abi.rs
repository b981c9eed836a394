//! The contract with a plugin, and this side's part of its arithmetic: names, answers, ranges.
#![doc = include_str!("../../../guest-sdk/abi-v1.md")]

use std::ops::{Range, RangeInclusive};

use super::fault::Fault;

/// The exported memory.
pub(super) const MEMORY: &str = "memory";
/// Says that the module speaks this ABI.
pub(super) const MARKER: &str = "dseq_abi_v1";
/// Asks for a buffer for input.
pub(super) const BUFFER: &str = "dseq_buffer";
/// Hands over the params.
pub(super) const INIT: &str = "dseq_init";
/// Hands over the transaction.
pub(super) const APPLY: &str = "dseq_apply";
/// Asks where the output lies.
pub(super) const OUTPUT: &str = "dseq_output";

/// Where the plugin says why it panicked; may be missing.
pub(super) const PANIC: &str = "dseq_panic";

/// Codes a plugin may reject with. Those below and above are the host's.
pub(super) const REJECT_CODES: RangeInclusive<u16> = 1..=999;

/// An answer of `dseq_init` or `dseq_apply`, unpacked. Its lengths are not yet checked against anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Accept unchanged.
    Accept,
    /// Replace by `len` bytes of output, at least 1.
    Replace { len: u32 },
    /// Reject with a code from [`REJECT_CODES`] and a message of `len` bytes.
    Reject { code: u16, len: u32 },
}

impl Answer {
    /// Unpacks an answer.
    pub(super) fn unpack(packed: i64) -> Result<Self, Fault> {
        let [l0, l1, l2, l3, c0, c1, kind, zero] = packed.to_le_bytes();
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        let code = u16::from_le_bytes([c0, c1]);
        match (zero, kind, code, len) {
            (0, 1, 0, 0) => Ok(Self::Accept),
            (0, 2, 0, 0) => Err(Fault::OutputEmpty),
            (0, 2, 0, _) => Ok(Self::Replace { len }),
            (0, 3, _, _) if REJECT_CODES.contains(&code) => Ok(Self::Reject { code, len }),
            (0, 3, _, _) => Err(Fault::BadRejectCode),
            _ => Err(Fault::BadVerdict),
        }
    }
}

/// The bytes `start..start + len` of a memory of `memory_len` bytes; `None` when any of them lies outside.
pub(super) fn range(memory_len: usize, start: i32, len: u32) -> Option<Range<usize>> {
    let start = usize::try_from(start.cast_unsigned()).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    (end <= memory_len).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the SDK's `abi::pack` writes; its test has the same numbers.
    #[test]
    fn an_answer_is_unpacked_as_the_table_says() {
        assert_eq!(Answer::unpack(0x0001_0000_0000_0000), Ok(Answer::Accept));
        assert_eq!(Answer::unpack(0x0002_0000_0102_0304), Ok(Answer::Replace { len: 0x0102_0304 }));
        assert_eq!(Answer::unpack(0x0003_03e7_0000_0005), Ok(Answer::Reject { code: 999, len: 5 }));
        assert_eq!(Answer::unpack(0x0003_0001_0000_0000), Ok(Answer::Reject { code: 1, len: 0 }));
    }

    #[test]
    fn what_the_table_does_not_say_is_a_fault() {
        assert_eq!(Answer::unpack(0x0002_0000_0000_0000), Err(Fault::OutputEmpty));
        assert_eq!(Answer::unpack(0x0003_0000_0000_0000), Err(Fault::BadRejectCode));
        assert_eq!(Answer::unpack(0x0003_03e8_0000_0000), Err(Fault::BadRejectCode));
        for packed in [
            0,
            1,
            -1,
            i64::MIN,
            0x0001_0000_0000_0001,
            0x0001_0001_0000_0000,
            0x0002_0001_0000_0001,
            0x0004_0000_0000_0000,
            0x0101_0000_0000_0000,
        ] {
            assert_eq!(Answer::unpack(packed), Err(Fault::BadVerdict), "{packed:#x}");
        }
    }

    #[test]
    fn a_range_lies_wholly_inside_or_nowhere() {
        assert_eq!(range(10, 0, 10), Some(0..10));
        assert_eq!(range(10, 10, 0), Some(10..10));
        assert_eq!(range(10, 1, 10), None);
        assert_eq!(range(10, 11, 0), None);
        assert_eq!(range(10, -1, 1), None);
        assert_eq!(range(10, -1, u32::MAX), None);
        assert_eq!(range(65536, 65535, u32::MAX), None);
    }
}
