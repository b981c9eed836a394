//! Write dseq plugins in Rust: implement [`Plugin`], name it to [`export!`], build for `wasm32-unknown-unknown`.
//!
//! A plugin decides about one transaction at a time: accept it unchanged, replace it by other bytes, or
//! reject it with a code and a message for its producer. It sees its params and the transaction, nothing
//! else: no clock, no height, no earlier transaction. Every transaction meets a fresh copy of the plugin,
//! so nothing a plugin remembers survives; what it computes is the same on every node.
//!
//! A complete plugin, which makes each transaction a line of text:
//!
//! ```
//! use dseq_sdk::{Output, Plugin, Refusal, Verdict};
//!
//! pub struct Lines;
//!
//! impl Plugin for Lines {
//!     fn init(params: &str) -> Result<Self, Refusal> {
//!         if params == "{}" { Ok(Lines) } else { Err(Refusal::new("lines takes no params")) }
//!     }
//!
//!     fn apply(&self, tx: &[u8], out: &mut Output) -> Verdict {
//!         match tx.split_last() {
//!             Some((b'\n', line)) if !line.contains(&b'\n') => Verdict::Accept,
//!             _ if tx.contains(&b'\n') => out.reject(1, "a line feed inside of the line"),
//!             _ => {
//!                 out.write(tx);
//!                 out.write(b"\n");
//!                 Verdict::Replace
//!             }
//!         }
//!     }
//! }
//!
//! dseq_sdk::export!(Lines);
//!
//! // A plugin is plain Rust: its tests run natively.
//! let lines = Lines::init("{}").unwrap();
//! let mut out = Output::default();
//! assert_eq!(lines.apply(b"hello", &mut out), Verdict::Replace);
//! assert_eq!(out.as_bytes(), b"hello\n");
//!
//! let mut out = Output::default();
//! assert_eq!(lines.apply(b"a\nb", &mut out), Verdict::Reject(1));
//! assert_eq!(out.as_bytes(), b"a line feed inside of the line");
//! ```
//!
//! Its `Cargo.toml` says `crate-type = ["cdylib", "rlib"]`: the first is the wasm, the second the tests.
//!
//! # Limits
//!
//! Memory a plugin allocates is handed out in a row and given back when the transaction is judged, not before; keep
//! that in mind if you allocate in a loop.
//!
//! The network's genesis bounds a plugin's fuel, memory and output. A plugin that traps (a panic is a
//! trap), runs out of fuel or puts out too much has *faulted*: its transaction is rejected with a fixed
//! code, on every node alike.
#![no_std]

extern crate alloc;

pub mod abi;
#[cfg(target_arch = "wasm32")]
mod arena;
#[cfg(target_arch = "wasm32")]
mod guest;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use guest::Guest;

/// What a network runs on each transaction.
pub trait Plugin: Sized {
    /// Makes the plugin from its params in genesis, given as canonical JSON (RFC 8785); `{}` if it has none.
    ///
    /// # Errors
    ///
    /// Params the plugin cannot work with. Every node then refuses to start the network with these words.
    fn init(params: &str) -> Result<Self, Refusal>;

    /// Decides about one transaction. What is left in `out` is the record of [`Verdict::Replace`] or the
    /// message of [`Verdict::Reject`]; [`Verdict::Accept`] ignores it.
    fn apply(&self, tx: &[u8], out: &mut Output) -> Verdict;
}

/// A plugin's decision about one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The record is the transaction itself; nothing is copied.
    Accept,
    /// The record is what was written to the output: at least one byte.
    Replace,
    /// No record. The code is from 1 to 999 and the plugin's own; what was written to the output is the
    /// message to the producer, as UTF-8.
    Reject(u16),
}

/// Why a plugin will not work with its params.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    /// A refusal in words for whoever writes the genesis file.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// The words.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Refusal {}

/// Where a plugin writes a record or a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output(Vec<u8>);

impl Output {
    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What was written so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Rejects: puts `message` in place of whatever was written. `code` is from 1 to 999.
    pub fn reject(&mut self, code: u16, message: impl fmt::Display) -> Verdict {
        self.clear();
        // Writing to an output cannot fail; an error could only be the message's own, and then the part
        // written before it is all there is to say.
        let _ = write!(self, "{message}");
        Verdict::Reject(code)
    }
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}

/// Exports a [`Plugin`] to the host. Once for each plugin crate; does nothing off wasm.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            static GUEST: $crate::Guest<$plugin> = $crate::Guest::new();

            #[unsafe(no_mangle)]
            extern "C" fn dseq_abi_v1() {}

            #[unsafe(no_mangle)]
            extern "C" fn dseq_buffer(len: u32) -> u32 {
                GUEST.buffer(len)
            }

            #[unsafe(no_mangle)]
            extern "C" fn dseq_init(params_len: u32) -> u64 {
                GUEST.init(params_len)
            }

            #[unsafe(no_mangle)]
            extern "C" fn dseq_apply(tx_len: u32) -> u64 {
                GUEST.apply(tx_len)
            }

            #[unsafe(no_mangle)]
            extern "C" fn dseq_output() -> u32 {
                GUEST.output()
            }
        };
    };
}
