//! Plugins under `cargo test`: judged as the host would, without wasm.
//!
//! A [`Tester`] is given params as a genesis file has them, and transactions; it answers with [`Outcome`]s, which are made
//! to be compared:
//!
//! ```
//! use dseq_sdk::testing::{Outcome, Tester};
//! # use dseq_sdk::{Output, Plugin, Refusal, Verdict};
//! # struct Shout;
//! # impl Plugin for Shout {
//! #     type Params = ();
//! #     fn init((): ()) -> Result<Self, Refusal> { Ok(Shout) }
//! #     fn apply(&self, tx: &[u8], out: &mut Output) -> Verdict {
//! #         if tx == b"?" { return out.reject(7, "no questions"); }
//! #         out.write(&tx.to_ascii_uppercase());
//! #         Verdict::Replace
//! #     }
//! # }
//!
//! let shout = Tester::<Shout>::new("{}").unwrap();
//! assert_eq!(shout.apply("hey"), Outcome::replaced("HEY"));
//! assert_eq!(shout.apply(b"\xff"), Outcome::replaced(b"\xff"));
//! assert_eq!(shout.apply("?"), Outcome::rejected(7, "no questions"));
//! ```
//!
//! What only the wasm has is not tested here: fuel, memory, the limits in genesis. `dseq plugin test` runs the wasm.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use crate::{Output, Params, Plugin, Refusal, Verdict};

/// Longest message a producer is told, in bytes. The host cuts a longer one.
const MESSAGE_BYTES_MAX: usize = 1024;

/// What became of a transaction.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The record is the transaction itself.
    Unchanged,
    /// The record is these bytes.
    Replaced(Vec<u8>),
    /// There is no record.
    Rejected {
        /// The plugin's code.
        code: u16,
        /// The plugin's words to the producer.
        message: String,
    },
}

impl Outcome {
    /// A transaction replaced by `record`.
    pub fn replaced(record: impl AsRef<[u8]>) -> Self {
        Self::Replaced(record.as_ref().to_vec())
    }

    /// A transaction rejected with this code and message.
    pub fn rejected(code: u16, message: impl Into<String>) -> Self {
        Self::Rejected { code, message: message.into() }
    }
}

/// Bytes are shown as text where they are, so that a failed assertion can be read.
impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchanged => f.write_str("Unchanged"),
            Self::Replaced(record) => write!(f, "Replaced(b\"{}\")", record.escape_ascii()),
            Self::Rejected { code, message } => {
                f.debug_struct("Rejected").field("code", code).field("message", message).finish()
            }
        }
    }
}

/// A plugin with its params.
pub struct Tester<P> {
    params: String,
    plugin: PhantomData<P>,
}

impl<P: Plugin> Tester<P> {
    /// Tells the plugin its params: JSON, as in a genesis file.
    ///
    /// # Errors
    ///
    /// The plugin's refusal of its params.
    pub fn new(params: &str) -> Result<Self, Refusal> {
        make::<P>(params)?;
        Ok(Self { params: params.to_owned(), plugin: PhantomData })
    }

    /// Has the plugin judge one transaction. As in a network each meets a fresh copy of it, right after init.
    ///
    /// # Panics
    ///
    /// When the plugin breaks its contract (in a network that is a fault, which rejects the transaction): an empty record,
    /// a code that is not from 1 to 999, a message that is not UTF-8, a different answer to the same params.
    #[track_caller]
    pub fn apply(&self, tx: impl AsRef<[u8]>) -> Outcome {
        let plugin = match make::<P>(&self.params) {
            Ok(plugin) => plugin,
            Err(refusal) => panic!("init accepted these params before, and now refuses them: {refusal}"),
        };
        let (tx, mut out) = (tx.as_ref(), Output::default());
        match plugin.apply(tx, &mut out) {
            Verdict::Accept => {
                assert!(
                    !tx.is_empty(),
                    "an empty transaction was accepted unchanged, but no record is empty"
                );
                Outcome::Unchanged
            }
            Verdict::Replace => {
                assert!(!out.0.is_empty(), "the verdict is Replace, but nothing was written to the output");
                Outcome::Replaced(out.0)
            }
            Verdict::Reject(code) => {
                assert!((1..=999).contains(&code), "the rejection code is {code}; it must be from 1 to 999");
                Outcome::Rejected { code, message: message(out.0) }
            }
        }
    }
}

fn make<P: Plugin>(params: &str) -> Result<P, Refusal> {
    P::init(P::Params::parse(params.as_bytes())?)
}

/// The message as its producer sees it.
#[track_caller]
fn message(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(mut message) => {
            message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
            message
        }
        Err(error) => panic!("the message is not UTF-8: {}", error.as_bytes().escape_ascii()),
    }
}
