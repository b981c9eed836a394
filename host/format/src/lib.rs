//! The formats of a dseq network that others parse or verify, shared by the node, its clients and offline verifiers.
//!
//! No I/O, no clock, no wasm engine; it builds for `wasm32-unknown-unknown`. The receipt, the entry, the app hash and the pipeline
//! id are each a table in their module, with a golden test of their bytes; the roots are BLAKE3 and RFC 6962. All are consensus-visible: changing one makes another network.
//!
//! ```text
//! result of a transaction ── data ──> receipt: height, index, offset, length
//!                                               │        │
//! file `records` ──────────> entry at the index ┘        │
//! file `sequence.bin` ─────> the record's bytes ─────────┘
//!
//! all entries ─────────────> number of records, records root ──┐
//! all bytes ───────────────> length, sequence root ────────────┼──> app hash
//! rules in genesis ────────> pipeline id ──────────────────────┘
//! ```
//!
//! The app hash after a block is in the header of the next block, which more than two thirds of the validators have
//! signed. To check a receipt against that signed hash:
//!
//! 1. Decode the receipt ([`receipt`]) from the `data` of the transaction's result.
//! 2. Read the [`entry`] at the receipt's index (88 bytes each, in a node's file `records`). Its height, offset and length are the receipt's, its transaction hash is
//!    SHA-256 of what you submitted, and its record hash is BLAKE3 of the bytes at that offset.
//! 3. Compute both roots, over all entries ([`records_root`]) and all bytes ([`bytes_root`]) up to the last entry
//!    whose height is the receipt's.
//! 4. Compute the pipeline id ([`rules`]) from genesis: engine id, limits, and each plugin's hash and params (names
//!    are not part of it).
//! 5. Compute the [`app_hash`] from these and compare.
//!
//! ```
//! use dseq_format::app_hash::AppHashInput;
//! use dseq_format::bytes_root::BytesFrontier;
//! use dseq_format::entry::Entry;
//! use dseq_format::receipt::Receipt;
//! use dseq_format::records_root::RecordsFrontier;
//! use dseq_format::rules::{Limits, PipelineSpec};
//! use dseq_format::types::{EngineId, Height, Offset, RecordHash, TxHash};
//!
//! // The network's rules: no plugins, so that every transaction becomes a record as it is.
//! let rules = PipelineSpec { engine: EngineId([0x11; 32]), limits: Limits::default(), plugins: Vec::new() };
//!
//! // What a reader has: the sequence, and an entry for each record.
//! let sequence = b"first, second";
//! let entry = |offset, record: &[u8]| Entry {
//!     offset: Offset(offset),
//!     length: record.len() as u64,
//!     height: Height(1),
//!     tx_hash: TxHash::of(record),
//!     record_hash: RecordHash::of(record),
//! };
//! let entries = [entry(0, b"first, "), entry(7, b"second")];
//!
//! // What the producer of `second` got: its receipt.
//! let data = [1_u64, 1, 7, 6].map(u64::to_le_bytes).concat();
//! let receipt = Receipt::decode(&data).expect("these are 32 bytes");
//! let entry = &entries[usize::try_from(receipt.index)?];
//! assert_eq!((entry.height, entry.offset, entry.length), (receipt.height, receipt.offset, receipt.length));
//! assert_eq!(entry.tx_hash, TxHash::of(b"second"));
//! assert_eq!(entry.record_hash, RecordHash::of(&sequence[7..13]));
//!
//! // What the validators signed.
//! let (mut records, mut bytes) = (RecordsFrontier::default(), BytesFrontier::default());
//! entries.iter().for_each(|entry| records.append(&entry.encode()));
//! bytes.append(sequence);
//! let input = AppHashInput {
//!     length: bytes.length(),
//!     count: records.count(),
//!     sequence_root: bytes.root(),
//!     records_root: records.root(),
//!     pipeline: rules.id(),
//! };
//! assert_eq!(input.hash().to_string(), "dc4a2a7576e094055c778bdbc8368448b4ee35f01eb467bbb95dc8919782c4f4");
//! # Ok::<(), std::num::TryFromIntError>(())
//! ```
//!
//! The modules in reading order:
//!
//! - [`types`] and [`limits`]: newtypes, and the bounds on what genesis may ask for;
//! - [`rules`]: what genesis fixes, and the pipeline id;
//! - [`receipt`] and [`entry`]: where a record is, as its producer and as a reader learn it;
//! - [`bytes_root`] and [`records_root`]: both roots, computed incrementally;
//! - [`app_hash`]: all of it in 32 bytes;
//! - [`json`]: strict JSON (I-JSON, RFC 7493), the format of plugins' parameters;
//! - [`excerpt`] and [`printable`]: foreign text in errors, shortened and safe to print.
#![forbid(unsafe_code)]
#![warn(clippy::disallowed_methods)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod types;

pub mod limits;

pub mod rules;

pub mod receipt;

pub mod entry;

pub mod bytes_root;

pub mod records_root;

pub mod app_hash;

pub mod json;

pub mod excerpt;

pub mod printable;
