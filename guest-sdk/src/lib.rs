//! Write dseq plugins in Rust: implement [`Plugin`], name it to [`export!`], build for `wasm32-unknown-unknown`.
//!
//! A plugin decides about one transaction at a time: accept it unchanged, replace it by other bytes, or
//! reject it with a code and a message for its producer. It sees its params and the transaction, nothing
//! else: no clock, no height, no earlier transaction. Every transaction meets a fresh copy of the plugin,
//! so nothing a plugin remembers survives; what it computes is the same on every node.
//!
//! A complete plugin, which makes each transaction a line of text, and its test:
//!
//! ```
//! use dseq_sdk::{Output, Plugin, Refusal, Verdict};
//!
//! dseq_sdk::params! {
//!     /// What a genesis file may say, as in `{"bytes_max":80}`.
//!     pub struct Params {
//!         /// Longest line, in bytes, without its line feed.
//!         pub bytes_max: u32 = 4096,
//!     }
//! }
//!
//! pub struct Lines {
//!     bytes_max: usize,
//! }
//!
//! impl Plugin for Lines {
//!     type Params = Params;
//!
//!     fn init(params: Params) -> Result<Self, Refusal> {
//!         match params.bytes_max {
//!             0 => Err(Refusal::new("bytes_max is 0, so no line would do; give at least 1")),
//!             bytes_max => Ok(Lines { bytes_max: bytes_max as usize }),
//!         }
//!     }
//!
//!     fn apply(&self, tx: &[u8], out: &mut Output) -> Verdict {
//!         let line = tx.strip_suffix(b"\n").unwrap_or(tx);
//!         if line.contains(&b'\n') {
//!             return out.reject(1, "a line feed inside of the line");
//!         }
//!         if line.len() > self.bytes_max {
//!             return out.reject(2, format_args!("{} bytes; a line has at most {}", line.len(), self.bytes_max));
//!         }
//!         if line.len() < tx.len() {
//!             return Verdict::Accept;
//!         }
//!         out.write(line);
//!         out.write(b"\n");
//!         Verdict::Replace
//!     }
//! }
//!
//! dseq_sdk::export!(Lines);
//!
//! // A plugin is plain Rust, and its tests are plain `cargo test`: this is the body of a #[test].
//! use dseq_sdk::testing::{Outcome, Tester};
//!
//! let lines = Tester::<Lines>::new(r#"{ "bytes_max": 5 }"#).unwrap();
//! assert_eq!(lines.apply("hello"), Outcome::replaced("hello\n"));
//! assert_eq!(lines.apply("hello\n"), Outcome::Unchanged);
//! assert_eq!(lines.apply("a\nb"), Outcome::rejected(1, "a line feed inside of the line"));
//! assert_eq!(lines.apply("too long"), Outcome::rejected(2, "8 bytes; a line has at most 5"));
//!
//! let refusal = Tester::<Lines>::new(r#"{ "bytes_max": "5" }"#).err().unwrap();
//! assert_eq!(
//!     refusal.message(),
//!     r#"bytes_max: expected an integer from 0 to 4294967295, found "5""#
//! );
//! ```
//!
//! Its `Cargo.toml` says `crate-type = ["cdylib", "rlib"]`: the first is the wasm, the second the tests.
//!
//! In reading order: [`Plugin`] is what a plugin is; [`params!`] makes a struct of what genesis may say to it;
//! [`testing`] judges transactions as the host would; [`abi`] is the contract with the host, byte by byte.
//!
//! # Panics
//!
//! A panic rejects the transaction, and its words reach the producer with file and line. The file's name is the path the
//! compiler was given: `--remap-path-prefix` keeps folders of your machine out of it.
//!
//! # Without the standard library
//!
//! The feature `std` is on by default. A plugin that does without it is smaller: take the crate with
//! `default-features = false` and begin the plugin's with `#![cfg_attr(target_arch = "wasm32", no_std)]`. The SDK then
//! brings the panic handler; the allocator it brings in any case. Such a plugin can also be built for `wasm32v1-none`, and
//! then uses nothing but WebAssembly's first version; its copies are loops, and cost more fuel.
//!
//! # What the file says of itself
//!
//! [`export!`] puts name, version and description from the plugin's `Cargo.toml`, and the SDK's version, into the custom
//! section `dseq_plugin`: `dseq plugin inspect` shows them.
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
#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod abi;
#[cfg(target_arch = "wasm32")]
mod arena;
#[cfg(target_arch = "wasm32")]
mod guest;
mod json;
mod metadata;
#[cfg(any(target_arch = "wasm32", test))]
mod panic;
mod params;
mod plugin;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
#[cfg(target_arch = "wasm32")]
mod unshared;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub use guest::Guest;
pub use json::Value;
pub use params::{Param, ParamError, Params};
pub use plugin::{Output, Plugin, Refusal, Verdict};

/// What the macros name.
#[doc(hidden)]
pub mod macros {
    pub use crate::metadata::{SDK_VERSION, encode, encoded_len};
    pub use crate::params::{field_name, or_default, required};
}

/// Exports a [`Plugin`] to the host. Once for each plugin crate; does nothing off wasm.
#[macro_export]
macro_rules! export {
    ($plugin:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            const METADATA: [&str; 4] = [
                ::core::env!("CARGO_PKG_NAME"),
                ::core::env!("CARGO_PKG_VERSION"),
                $crate::macros::SDK_VERSION,
                ::core::env!("CARGO_PKG_DESCRIPTION"),
            ];

            #[unsafe(link_section = "dseq_plugin")]
            static SECTION: [u8; $crate::macros::encoded_len(METADATA)] = $crate::macros::encode(METADATA);

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
