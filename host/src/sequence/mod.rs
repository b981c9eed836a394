//! The log: staged records, append, digests, recovery.
//!
//! # Format
//!
//! A folder with five files, written by nothing but this module:
//!
//! | file | what |
//! |---|---|
//! | `sequence.bin` | the sequence and nothing else: plain bytes |
//! | `records` | one [`Entry`] of 88 bytes for each record |
//! | `commit` | two slots of a commit record: how much of the two files above is committed |
//! | `chain` | the node's own copy of the rules, from InitChain on ([`Chain`]) |
//! | `LOCK` | held by the process that writes |
//!
//! # Durability
//!
//! Only [`Log::commit`] persists blocks: append bytes and entries, fdatasync both, write the other slot of the
//! commit record, fdatasync, publish. When it returns, the block survives a power cut; until then, no [`Reader`]
//! sees it (who reads the file itself may). A failed write or sync is never retried: what the page cache holds after one is unknown. The log is
//! poisoned instead, and the process must end; opening again starts from the disk. Opening syncs the folder and the
//! one it is in, so that the files' names are as durable as what is in them.
//!
//! # Recovery
//!
//! [`Log::open`] takes the newer of the slots that are not torn. Longer files are truncated to it (a commit was cut short
//! before it was answered); if one is shorter, the node refuses to start, because committed bytes are missing. The records of the last block that
//! added any are verified byte by byte. Being behind CometBFT is harmless: it replays the missing blocks.
//!
//! # Limits
//!
//! Neither a commit nor an open costs more when the sequence is longer.
#![warn(clippy::disallowed_methods)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod chain;
mod commit_record;
mod files;
mod head;
mod log;
mod lookup;
mod prefix;
mod published;
mod reader;
mod recovery;

pub use dseq_format::entry::{ENTRY_BYTES, Entry};
pub use dseq_format::receipt::Receipt;

pub use chain::{CHAIN_FILE, Chain};
pub use files::IoError;
pub use head::{HashedRecord, Head, SequenceFull, Staged, Staging};
pub use log::{CommitError, CommitStep, Log};
pub(crate) use lookup::as_text;
pub use lookup::{FoundRecord, Place};
pub use prefix::Prefix;
pub use reader::{Committed, ENTRIES_READ_MAX, ReadError, Reader};
pub use recovery::{OpenError, chain_of, committed_head, committed_length};

/// The formats of the log's own files, each with its version, by what they are of.
pub const FORMATS: [(&str, &[u8]); 2] = [("commit record", commit_record::MAGIC), ("rules", chain::MAGIC)];

/// Name of the file that is the sequence.
pub const SEQUENCE_FILE: &str = "sequence.bin";
