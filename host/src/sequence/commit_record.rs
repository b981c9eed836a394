//! The commit record: the few bytes that decide what of the log's files is true.
//!
//! # Format
//!
//! The `commit` file is two slots of 8,192 bytes. Commits go to the slots in turn, so the one before the last is
//! still whole while the last is being written. A slot, integers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `dseqcmt1` |
//! | 8..12 | n, length of the payload |
//! | 12..12+n | [`CommitRecord`] in postcard |
//! | then 32 | BLAKE3 of all bytes before |
//!
//! A slot that fails its magic, length, hash or decoding was torn by a crash: it counts as not written.

use dseq_format::records_root::RecordsFrontier;
use serde::{Deserialize, Serialize};

use super::head::Head;
use crate::types::{AppHash, Height, PipelineId};

/// Length of one slot in bytes, as an array length.
pub(super) const SLOT_LEN: usize = 8192;

/// Length of one slot in bytes.
pub(super) const SLOT_BYTES: u64 = SLOT_LEN as u64;

/// What a slot begins with: the format and its version.
pub(super) const MAGIC: &[u8; 8] = b"dseqcmt1";
const PAYLOAD_AT: usize = 12;
const HASH_LEN: usize = 32;

// Two records frontiers and one bytes frontier of at most 64 hashes each, their lengths, and the fixed fields.
const _: () =
    assert!(PAYLOAD_AT + 3 * 64 * 32 + 512 + HASH_LEN <= SLOT_LEN, "a commit record must fit in a slot");

/// What Commit makes durable after the block's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CommitRecord {
    /// The log after the block.
    pub(super) head: Head,
    /// What consensus agreed on after the block.
    pub(super) app_hash: AppHash,
    /// The rules the block was made under.
    pub(super) pipeline: PipelineId,
    /// Records before the last block that added records: recovery verifies everything from here on.
    pub(super) tail_records: RecordsFrontier,
}

/// Which of the two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    First,
    Second,
}

impl Slot {
    pub(super) fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    /// Where the slot starts in the `commit` file.
    pub(super) fn offset(self) -> u64 {
        match self {
            Self::First => 0,
            Self::Second => SLOT_BYTES,
        }
    }
}

impl CommitRecord {
    /// The record as a whole slot.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut slot = Vec::with_capacity(SLOT_LEN);
        slot.extend_from_slice(MAGIC);
        slot.extend_from_slice(&[0; 4]);
        let mut slot =
            postcard::to_extend(self, slot).expect("a Vec takes any bytes and the record has no maps");
        let payload_len = slot[PAYLOAD_AT..].len();
        let payload_len = u32::try_from(payload_len).expect("the assertion above bounds it");
        slot[8..PAYLOAD_AT].copy_from_slice(&payload_len.to_le_bytes());
        let hash = blake3::hash(&slot);
        slot.extend_from_slice(hash.as_bytes());
        slot.resize(SLOT_LEN, 0);
        slot
    }

    /// The record in a slot; `None` if the slot was never written or was torn.
    pub(super) fn decode(slot: &[u8]) -> Option<Self> {
        let (magic, rest) = slot.split_first_chunk::<8>()?;
        let (payload_len, rest) = rest.split_first_chunk::<4>()?;
        let payload_len = usize::try_from(u32::from_le_bytes(*payload_len)).ok()?;
        let payload = rest.get(..payload_len)?;
        let hash = rest.get(payload_len..payload_len.checked_add(HASH_LEN)?)?;
        let hashed = slot.get(..PAYLOAD_AT.checked_add(payload_len)?)?;
        if magic != MAGIC || blake3::hash(hashed).as_bytes() != hash {
            return None;
        }
        let record: Self = postcard::from_bytes(payload).ok()?;
        (record.tail_records.is_well_formed() && record.head.records.is_well_formed()).then_some(record)
    }

    /// What a slot that is not whole says of its height, if it can still be read: a hint for people.
    pub(super) fn claimed_height(slot: &[u8]) -> Option<Height> {
        let (magic, rest) = slot.split_first_chunk::<8>()?;
        let (_, payload) = rest.split_first_chunk::<4>()?;
        let (height, _) = postcard::take_from_bytes(payload).ok()?;
        (magic == MAGIC).then_some(height)
    }

    /// The newest valid record of both slots, and its slot.
    pub(super) fn newest(file: &[u8]) -> Option<(Self, Slot)> {
        let slot = |slot: Slot| {
            let start = usize::try_from(slot.offset()).ok()?;
            let record = Self::decode(file.get(start..start.checked_add(SLOT_LEN)?)?)?;
            Some((record, slot))
        };
        match (slot(Slot::First), slot(Slot::Second)) {
            (Some(first), Some(second)) if second.0.head.height > first.0.head.height => Some(second),
            (Some(first), _) => Some(first),
            (None, second) => second,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(height: u64) -> CommitRecord {
        CommitRecord {
            head: Head { height: Height(height), ..Head::default() },
            app_hash: AppHash([7; 32]),
            pipeline: PipelineId([9; 32]),
            tail_records: RecordsFrontier::default(),
        }
    }

    #[test]
    fn the_newest_whole_slot_wins() {
        let both = [record(4).encode(), record(5).encode()].concat();
        assert_eq!(CommitRecord::newest(&both), Some((record(5), Slot::Second)));
        let both = [record(6).encode(), record(5).encode()].concat();
        assert_eq!(CommitRecord::newest(&both), Some((record(6), Slot::First)));
    }

    #[test]
    fn a_slot_torn_at_any_byte_counts_as_not_written() {
        let whole = record(5).encode();
        let used = PAYLOAD_AT + usize::from(whole[8]) + HASH_LEN;
        for torn in 0..used {
            let mut both = [record(4).encode(), whole.clone()].concat();
            both[SLOT_LEN + torn] ^= 1;
            assert_eq!(CommitRecord::newest(&both), Some((record(4), Slot::First)), "byte {torn}");
            both.truncate(SLOT_LEN + torn);
            assert_eq!(CommitRecord::newest(&both), Some((record(4), Slot::First)), "cut at {torn}");
        }
    }

    #[test]
    fn no_whole_slot_is_no_record() {
        assert_eq!(CommitRecord::newest(&[]), None);
        assert_eq!(CommitRecord::newest(&[0; 2 * SLOT_LEN]), None);
        assert_eq!(CommitRecord::newest(&[255; 2 * SLOT_LEN]), None);
    }
}
