//! Which of an instance's memory a call may have changed, in pieces.
//!
//! # Limits
//!
//! Kept for memories of up to [`RESTORED_MEMORY_BYTES_MAX`](limits::RESTORED_MEMORY_BYTES_MAX): one bit of 32 for each
//! piece.

use std::ops::Range;

use crate::limits;

/// How often an address is halved to come to its piece: pieces have 4 KiB.
pub(in crate::plugin) const PIECE_SHIFT: u32 = 12;

/// A touched piece stands for so many bytes before it and behind it too: so one mark covers all stores near it, and a
/// store may begin in one piece and end in the next.
pub(in crate::plugin) const REACH_BYTES: u32 = 512;

const PIECE_BYTES: usize = 1 << PIECE_SHIFT;

const _: () = assert!(
    limits::RESTORED_MEMORY_BYTES_MAX == (u32::BITS as u64) << PIECE_SHIFT,
    "each piece of the largest memory has its bit"
);

/// The pieces that were touched: the lowest bit is that of the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::plugin) struct Touched(u32);

impl Touched {
    /// As a plugin's marks say.
    pub(in crate::plugin) fn marked(bits: i32) -> Self {
        Self(bits.cast_unsigned())
    }

    /// The piece of an address. (Beyond the last piece it is any other: no such address is ever put back.)
    pub(in crate::plugin) fn at(address: u32) -> Self {
        Self(1_u32.wrapping_shl(address >> PIECE_SHIFT))
    }

    /// The pieces of these bytes; all, if any of them has none.
    pub(in crate::plugin) fn all_of(bytes: &Range<usize>) -> Self {
        let Some(last) = bytes.end.checked_sub(1).filter(|last| bytes.start <= *last) else {
            return Self::default();
        };
        let [first, last] = [bytes.start, last].map(|byte| u32::try_from(byte >> PIECE_SHIFT).ok());
        let from = |piece: Option<u32>| piece.and_then(|piece| u32::MAX.checked_shl(piece));
        match (from(first), from(last)) {
            (Some(from_first), Some(from_last)) => Self(from_first & !(from_last << 1)),
            _ => Self(u32::MAX),
        }
    }

    /// These, and those.
    pub(in crate::plugin) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of those are among these.
    pub(in crate::plugin) fn covers(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// As a number whose bits are those of the pieces.
    pub(in crate::plugin) fn bits(self) -> i32 {
        self.0.cast_signed()
    }

    /// Where a memory of `memory_len` bytes may have changed: the touched pieces with their reach. Neighbours are one.
    pub(in crate::plugin) fn ranges(self, memory_len: usize) -> impl Iterator<Item = Range<usize>> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let first = (left != 0).then(|| left.trailing_zeros())?;
            let behind = first.saturating_add((left >> first).trailing_ones());
            left &= u32::MAX.checked_shl(behind).unwrap_or(0);
            let [start, end] = [first, behind].map(|piece| (piece as usize).saturating_mul(PIECE_BYTES));
            let reach = REACH_BYTES as usize;
            let end = end.saturating_add(reach).min(memory_len);
            Some(start.saturating_sub(reach).min(end)..end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: usize = 128 << 10;

    /// Start and end of each range.
    fn ranges(bits: u32, memory_len: usize) -> Vec<(usize, usize)> {
        Touched(bits).ranges(memory_len).map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn bytes_touch_the_pieces_they_lie_in() {
        for (bytes, pieces) in [
            (0..0, 0),
            (5000..5000, 0),
            (0..1, 1),
            (4095..4096, 1),
            (4095..4097, 0b11),
            (4096..12288, 0b110),
            (MEMORY - 1..MEMORY, 1 << 31),
            (0..MEMORY, u32::MAX),
            (MEMORY - 1..MEMORY + 1, u32::MAX),
        ] {
            assert_eq!(Touched::all_of(&bytes), Touched(pieces), "{bytes:?}");
        }
        assert_eq!(Touched::at(4096).and(Touched::at(8191)), Touched(0b10));
    }

    #[test]
    fn what_is_put_back_is_each_run_of_pieces_and_what_lies_near_it() {
        for (pieces, expected) in [
            (0, &[][..]),
            (1, &[(0, 4608)]),
            (0b1_0110, &[(3584, 12_800), (15_872, 20_992)]),
            (1 << 31, &[(126_464, MEMORY)]),
            (u32::MAX, &[(0, MEMORY)]),
        ] {
            assert_eq!(ranges(pieces, MEMORY), expected, "{pieces:b}");
        }
        assert_eq!(ranges(0b11 << 15, 65_536), [(60_928, 65_536)]);
        assert_eq!(ranges(1 << 31, 65_536), [(65_536, 65_536)], "beyond the memory");
    }
}
