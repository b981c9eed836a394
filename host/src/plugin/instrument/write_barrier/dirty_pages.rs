//! The dirty pages of an instance's memory: those that a call may have changed. Pages have 4 KiB here, not the 64 KiB that
//! WebAssembly's have.
//!
//! # Limits
//!
//! Kept for memories of up to [`RESET_MEMORY_BYTES_MAX`](limits::RESET_MEMORY_BYTES_MAX): one bit of 32 for each
//! page.

use std::ops::Range;

use crate::limits;

/// Binary logarithm of a page's length in bytes.
pub(in crate::plugin) const PAGE_SHIFT: u32 = 12;

/// A dirty page stands for so many bytes before it and behind it too: so one barrier covers all stores near it, and a
/// store may begin in one page and end in the next.
pub(in crate::plugin) const MARGIN_BYTES: u32 = 512;

const PAGE_BYTES: usize = 1 << PAGE_SHIFT;

const _: () = assert!(
    limits::RESET_MEMORY_BYTES_MAX == (u32::BITS as u64) << PAGE_SHIFT,
    "each page of the largest memory has its bit"
);

/// A set of pages: the lowest bit is that of the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::plugin) struct DirtyPages(u32);

impl DirtyPages {
    /// As a plugin's barriers have recorded them.
    pub(in crate::plugin) fn from_bits(bits: i32) -> Self {
        Self(bits.cast_unsigned())
    }

    /// The page of an address. (Beyond the last page it is any other: no memory that is reset has such an address.)
    pub(in crate::plugin) fn of_address(address: u32) -> Self {
        Self(1_u32.wrapping_shl(address >> PAGE_SHIFT))
    }

    /// The pages of these bytes; all, if any of them has none.
    pub(in crate::plugin) fn of_range(bytes: &Range<usize>) -> Self {
        let Some(last) = bytes.end.checked_sub(1).filter(|last| bytes.start <= *last) else {
            return Self::default();
        };
        let [first, last] = [bytes.start, last].map(|byte| u32::try_from(byte >> PAGE_SHIFT).ok());
        let from = |page: Option<u32>| page.and_then(|page| u32::MAX.checked_shl(page));
        match (from(first), from(last)) {
            (Some(from_first), Some(from_last)) => Self(from_first & !(from_last << 1)),
            _ => Self(u32::MAX),
        }
    }

    /// The pages of both.
    pub(in crate::plugin) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all pages of `other` are among these.
    pub(in crate::plugin) fn contains(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// As a number whose bits are those of the pages.
    pub(in crate::plugin) fn bits(self) -> i32 {
        self.0.cast_signed()
    }

    /// Where a memory of `memory_len` bytes may have changed: the dirty pages with their margins. Neighbours are one range.
    pub(in crate::plugin) fn ranges(self, memory_len: usize) -> impl Iterator<Item = Range<usize>> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let first = (left != 0).then(|| left.trailing_zeros())?;
            let behind = first.saturating_add((left >> first).trailing_ones());
            left &= u32::MAX.checked_shl(behind).unwrap_or(0);
            let [start, end] = [first, behind].map(|page| (page as usize).saturating_mul(PAGE_BYTES));
            let margin = MARGIN_BYTES as usize;
            let end = end.saturating_add(margin).min(memory_len);
            Some(start.saturating_sub(margin).min(end)..end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: usize = 128 << 10;

    /// Start and end of each range.
    fn ranges(bits: u32, memory_len: usize) -> Vec<(usize, usize)> {
        DirtyPages(bits).ranges(memory_len).map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn bytes_lie_in_their_pages() {
        for (bytes, pages) in [
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
            assert_eq!(DirtyPages::of_range(&bytes), DirtyPages(pages), "{bytes:?}");
        }
        assert_eq!(DirtyPages::of_address(4096).union(DirtyPages::of_address(8191)), DirtyPages(0b10));
    }

    #[test]
    fn what_is_reset_is_each_run_of_pages_with_its_margins() {
        for (pages, expected) in [
            (0, &[][..]),
            (1, &[(0, 4608)]),
            (0b1_0110, &[(3584, 12_800), (15_872, 20_992)]),
            (1 << 31, &[(126_464, MEMORY)]),
            (u32::MAX, &[(0, MEMORY)]),
        ] {
            assert_eq!(ranges(pages, MEMORY), expected, "{pages:b}");
        }
        assert_eq!(ranges(0b11 << 15, 65_536), [(60_928, 65_536)]);
        assert_eq!(ranges(1 << 31, 65_536), [(65_536, 65_536)], "beyond the memory");
    }
}
