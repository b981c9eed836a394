//! The ring of recent bytes and entries that all followers share.
//!
//! # Limits
//!
//! It is bounded by [`RECENT_BYTES_MAX`] and [`RECENT_CHUNKS_MAX`].

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::sequence::{ENTRIES_READ_MAX, ENTRY_BYTES, Entry, Prefix, ReadError};

/// Maximum size of the bytes that the ring keeps, and of the entries. It is what 10 MB/s bring in more than a second: a follower
/// that is further behind is not live any more, and reads from the file.
const RECENT_BYTES_MAX: u64 = 16 << 20;
/// Maximum number of chunks in the ring; each block brings one at least.
const RECENT_CHUNKS_MAX: usize = 4096;
/// Maximum size of a chunk, in bytes. A follower that stalls keeps one alive, though the ring has dropped it.
const CHUNK_BYTES_MAX: usize = 64 << 10;

/// The newest bytes and entries.
pub(super) struct Recent {
    bytes: Mutex<Ring>,
    entries: Mutex<Ring>,
}

impl Recent {
    pub(super) fn after(prefix: &Prefix) -> Self {
        let ring = |end| Mutex::new(Ring { end, ..Ring::default() });
        Self { bytes: ring(prefix.length()), entries: ring(Entry::place(prefix.count())) }
    }

    pub(super) fn bytes(&self) -> MutexGuard<'_, Ring> {
        // A poisoned ring may have lost a chunk, which `get` notices: chunks are found by where they start.
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn entries(&self) -> MutexGuard<'_, Ring> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn clear(&self, prefix: &Prefix) {
        *self.bytes() = Ring { end: prefix.length(), ..Ring::default() };
        *self.entries() = Ring { end: Entry::place(prefix.count()), ..Ring::default() };
    }

    /// Reads what `after` has more than `before`, or the end of it.
    pub(super) fn extend(&self, before: &Prefix, after: &Prefix) -> Result<(), ReadError> {
        let mut start = before.length().max(after.length().saturating_sub(RECENT_BYTES_MAX));
        while start < after.length() {
            let size = usize::try_from(after.length().saturating_sub(start)).unwrap_or(CHUNK_BYTES_MAX);
            let mut bytes = vec![0; size.min(CHUNK_BYTES_MAX)];
            after.read(start, &mut bytes)?;
            let end = start.saturating_add(bytes.len() as u64);
            self.bytes().push(start, bytes.into());
            start = end;
        }
        let most = RECENT_BYTES_MAX / ENTRY_BYTES;
        let mut index = before.count().max(after.count().saturating_sub(most));
        while index < after.count() {
            let entries =
                after.entries(index..after.count().min(index.saturating_add(ENTRIES_READ_MAX as u64)))?;
            let encoded: Vec<[u8; _]> = entries.iter().map(Entry::encode).collect();
            for (at, chunk) in encoded.chunks(CHUNK_BYTES_MAX / Entry::buffer().len()).enumerate() {
                let before = at.saturating_mul(CHUNK_BYTES_MAX / Entry::buffer().len()) as u64;
                let place = Entry::place(index.saturating_add(before));
                self.entries().push(place, Bytes::copy_from_slice(chunk.as_flattened()));
            }
            index = index.saturating_add(entries.len() as u64);
        }
        Ok(())
    }
}

/// The end of something that only grows, in chunks.
#[derive(Default)]
pub(super) struct Ring {
    /// Chunks by where they start, without gaps between them.
    chunks: VecDeque<(u64, Bytes)>,
    /// Where the last one ends.
    end: u64,
    /// Size of all of them.
    size: u64,
}

impl Ring {
    fn push(&mut self, start: u64, chunk: Bytes) {
        if start != self.end {
            self.chunks.clear();
            self.size = 0;
        }
        let size = chunk.len() as u64;
        self.end = start.saturating_add(size);
        self.size = self.size.saturating_add(size);
        self.chunks.push_back((start, chunk));
        while self.size > RECENT_BYTES_MAX || self.chunks.len() > RECENT_CHUNKS_MAX {
            let dropped = self.chunks.pop_front().map_or(0, |(_, chunk)| chunk.len() as u64);
            self.size = self.size.saturating_sub(dropped);
        }
    }

    /// Up to `wanted` bytes from `start` on, if those are still here, and a chunk's size at most. What one chunk has is not
    /// copied.
    pub(super) fn get(&self, start: u64, wanted: usize) -> Option<Bytes> {
        let wanted = wanted.min(CHUNK_BYTES_MAX);
        let at = self.chunks.partition_point(|(begins, _)| *begins <= start).checked_sub(1)?;
        let (begins, chunk) = self.chunks.get(at)?;
        let within = usize::try_from(start.checked_sub(*begins)?).ok()?;
        let first = chunk.get(within..).filter(|rest| !rest.is_empty())?;
        let mut further = self.chunks.range(at.saturating_add(1)..);
        if first.len() >= wanted || further.len() == 0 {
            return Some(chunk.slice(within..within.saturating_add(wanted).min(chunk.len())));
        }
        let mut copied = Vec::with_capacity(wanted);
        copied.extend_from_slice(first);
        while copied.len() < wanted
            && let Some((_, chunk)) = further.next()
        {
            let room = wanted.saturating_sub(copied.len());
            copied.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        Some(copied.into())
    }
}
