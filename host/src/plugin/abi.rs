//! ABI v1: the contract between the host and a plugin. The SDK's mirror of it is `guest-sdk/src/abi.rs`.
//!
//! # Format
//!
//! A plugin is a core wasm module without imports. It exports:
//!
//! | export | type | what |
//! |---|---|---|
//! | `memory` | memory | its one linear memory |
//! | `dseq_abi_v1` | `() -> ()` | says which ABI this is; never called |
//! | `dseq_buffer` | `(len: i32) -> i32` | where the host may write `len` bytes of input |
//! | `dseq_init` | `(params_len: i32) -> i64` | takes the params in the buffer; accepts or rejects them |
//! | `dseq_apply` | `(tx_len: i32) -> i64` | takes the transaction in the buffer; answers with its verdict |
//! | `dseq_output` | `() -> i32` | where the output lies that the answer spoke of |
//! | `dseq_panic` | immutable global, i32; may be missing | where 8 bytes lie: address and length of the words about a panic |
//!
//! Other exports are allowed and ignored. In a fresh instance the host calls `dseq_buffer`, writes the
//! params, calls `dseq_init`; then `dseq_buffer`, writes the transaction, calls `dseq_apply`; and
//! `dseq_output` only after an answer whose length is not 0. For the next transaction the instance is a fresh one
//! again, or is put back to where it was after `dseq_init`, which no plugin can tell apart. All numbers are unsigned,
//! whatever wasm calls them.
//!
//! An answer is 64 bits:
//!
//! | bits | what |
//! |---|---|
//! | 0-31 | length of the output in bytes |
//! | 32-47 | rejection code, 1 to 999; 0 unless rejected |
//! | 48-55 | 1 accept unchanged, 2 replace, 3 reject |
//! | 56-63 | 0 |
//!
//! After an `unreachable` the host reads what `dseq_panic` points to, two little-endian 32-bit numbers and the UTF-8 text
//! they tell of, as the fault's message. It calls nothing for it; a range outside of the memory is no message.
//!
//! Accept unchanged has length 0. Replace has the record's length, at least 1; `dseq_init` may not answer it.
//! Reject has the length of a UTF-8 message, which may be 0. Any other answer is a fault.

use std::ops::{Range, RangeInclusive};

use super::fault::Fault;

/// The exported memory.
pub(super) const MEMORY: &str = "memory";
/// Says that the module speaks this ABI.
pub(super) const MARKER: &str = "dseq_abi_v1";
/// Asks for room to write input.
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
