//! The sequence root: BLAKE3 of a byte string that only grows, without ever reading it again.
//!
//! BLAKE3 is a binary tree over chunks of 1,024 bytes whose left subtrees are complete. So the hash of
//! everything so far follows from one chaining value for each set bit of the number of finished chunks, plus
//! the bytes of the last chunk. That is all [`BytesFrontier`] keeps: at most 54 chaining values and 1,024 bytes.
//!
//! # Invariants
//!
//! The last chunk (1 to 1,024 bytes, once there is any byte) is never folded into the subtrees, even when it is
//! full: if it ends the sequence it must be hashed as the last one, and only the next byte tells.

use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use serde::{Deserialize, Serialize};

use crate::types::SequenceRoot;

/// Bytes in one BLAKE3 chunk, as an array length.
const CHUNK_LEN: usize = 1024;

/// Bytes in one BLAKE3 chunk.
const CHUNK_BYTES: u64 = CHUNK_LEN as u64;

/// Everything needed to hash on where an append-only byte string left off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BytesFrontier {
    /// Bytes hashed so far.
    length: u64,
    /// Complete subtrees over the chunks before the last one, largest first: one for each set bit of their number.
    subtrees: Vec<ChainingValue>,
    /// The last chunk, unfinished or full. Not stored: it is read back from the sequence itself.
    #[serde(skip)]
    last_chunk: Vec<u8>,
}

/// The bytes given as the last chunk are not as many as the frontier says.
#[derive(Debug, PartialEq, Eq)]
pub struct WrongLastChunk;

impl BytesFrontier {
    /// Bytes hashed so far.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// How many bytes the last chunk has: 0 only for the empty sequence, else 1 to 1,024.
    pub fn last_chunk_len(&self) -> u64 {
        self.length.checked_sub(1).map_or(0, |last_byte| (last_byte % CHUNK_BYTES).saturating_add(1))
    }

    /// Where the last chunk starts: a multiple of 1,024.
    pub fn last_chunk_start(&self) -> u64 {
        self.length.saturating_sub(self.last_chunk_len())
    }

    /// Gives a stored frontier its last chunk back.
    ///
    /// # Errors
    ///
    /// [`WrongLastChunk`] when it is not as long as the frontier says, or the frontier lacks a subtree.
    pub fn restore_last_chunk(&mut self, bytes: Vec<u8>) -> Result<(), WrongLastChunk> {
        let chunks_before = self.last_chunk_start() / CHUNK_BYTES;
        let subtrees_fit = self.subtrees.len() as u64 == u64::from(chunks_before.count_ones());
        if bytes.len() as u64 != self.last_chunk_len() || !subtrees_fit {
            return Err(WrongLastChunk);
        }
        self.last_chunk = bytes;
        Ok(())
    }

    /// Hashes `data` after everything before it.
    ///
    /// # Panics
    ///
    /// When all of it together has 2^64 bytes or more.
    pub fn append(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let taken = if self.last_chunk.is_empty() {
                self.append_subtree(data).unwrap_or_else(|| self.fill_last_chunk(data))
            } else {
                self.fill_last_chunk(data)
            };
            data = &data[taken..];
        }
    }

    /// Copies bytes into the last chunk; seals it first if it is full. Returns how many bytes it took.
    fn fill_last_chunk(&mut self, data: &[u8]) -> usize {
        let room = CHUNK_LEN.saturating_sub(self.last_chunk.len());
        if room == 0 {
            let start = self.last_chunk_start();
            let mut hasher = blake3::Hasher::new();
            hasher.set_input_offset(start).update(&self.last_chunk);
            self.push_subtree(hasher.finalize_non_root(), start / CHUNK_BYTES, 0);
            self.last_chunk.clear();
            return 0;
        }
        let taken = data.len().min(room);
        self.last_chunk.extend_from_slice(&data[..taken]);
        self.advance(taken);
        taken
    }

    fn advance(&mut self, bytes: usize) {
        self.length =
            self.length.checked_add(bytes as u64).expect("a sequence is at most 2^63 - 1 bytes long");
    }

    /// Hashes the largest complete subtree that can start here and leaves at least one byte for the last chunk.
    fn append_subtree(&mut self, data: &[u8]) -> Option<usize> {
        let whole_chunks = (data.len() as u64).saturating_sub(1) / CHUNK_BYTES;
        let level_of_data = whole_chunks.checked_ilog2()?;
        let sealed_before = self.length / CHUNK_BYTES;
        // A subtree of 2^level chunks must start at a multiple of 2^level; at 0 any size may start.
        let level = level_of_data.min(sealed_before.trailing_zeros());
        let taken = usize::try_from(CHUNK_BYTES << level).ok()?;
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(self.length).update(&data[..taken]);
        self.push_subtree(hasher.finalize_non_root(), sealed_before, level);
        self.advance(taken);
        Some(taken)
    }

    /// Adds a subtree of `2^level` chunks after `sealed_before` chunks, merging equals like a binary counter.
    fn push_subtree(&mut self, mut value: ChainingValue, sealed_before: u64, level: u32) {
        for _ in 0..(sealed_before >> level).trailing_ones() {
            let left = self.subtrees.pop().expect("there is one subtree for each set bit of the chunk count");
            value = merge_subtrees_non_root(&left, &value, Mode::Hash);
        }
        self.subtrees.push(value);
    }

    /// BLAKE3 of everything so far.
    pub fn root(&self) -> SequenceRoot {
        let Some((largest, rest)) = self.subtrees.split_first() else {
            return SequenceRoot(*blake3::hash(&self.last_chunk).as_bytes());
        };
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(self.last_chunk_start()).update(&self.last_chunk);
        let mut right = hasher.finalize_non_root();
        for left in rest.iter().rev() {
            right = merge_subtrees_non_root(left, &right, Mode::Hash);
        }
        SequenceRoot(*merge_subtrees_root(largest, &right, Mode::Hash).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| u8::try_from(i % 251).unwrap()).collect()
    }

    fn naive(bytes: &[u8]) -> SequenceRoot {
        SequenceRoot(*blake3::hash(bytes).as_bytes())
    }

    #[test]
    fn the_root_is_blake3_at_every_chunk_boundary() {
        for chunks in 0..=17 {
            for len in [chunks * 1024, chunks * 1024 + 1, (chunks * 1024_usize).saturating_sub(1)] {
                let bytes = pattern(len);
                let mut at_once = BytesFrontier::default();
                at_once.append(&bytes);
                assert_eq!(at_once.root(), naive(&bytes), "{len} bytes at once");
                let mut one_by_one = BytesFrontier::default();
                bytes.iter().for_each(|byte| one_by_one.append(&[*byte]));
                assert_eq!(one_by_one, at_once, "{len} bytes one by one");
            }
        }
    }

    proptest! {
        #[test]
        fn any_split_and_any_restart_give_blake3_of_the_whole(
            pieces in proptest::collection::vec((0usize..5000, any::<bool>()), 0..12),
        ) {
            let bytes = pattern(pieces.iter().map(|piece| piece.0).sum());
            let mut frontier = BytesFrontier::default();
            let mut at = 0;
            for (len, restart) in pieces {
                frontier.append(&bytes[at..at + len]);
                at += len;
                if restart {
                    let stored = postcard::to_stdvec(&frontier).unwrap();
                    frontier = postcard::from_bytes(&stored).unwrap();
                    let last = usize::try_from(frontier.last_chunk_len()).unwrap();
                    frontier.restore_last_chunk(bytes[at - last..at].to_vec()).unwrap();
                }
                prop_assert_eq!(frontier.root(), naive(&bytes[..at]));
            }
        }
    }

    #[test]
    fn a_last_chunk_of_the_wrong_length_is_refused() {
        let mut frontier = BytesFrontier::default();
        frontier.append(&pattern(1500));
        assert_eq!(frontier.restore_last_chunk(vec![0; 475]), Err(WrongLastChunk));
        assert_eq!(frontier.restore_last_chunk(pattern(1500)[1024..].to_vec()), Ok(()));
    }
}
