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

#[cfg(test)]
mod tests {
    use core::cell::Cell;
    use std::{format, panic};

    use super::*;

    /// Does what its params say, and remembers that it did.
    struct Puppet {
        params: Strings,
        calls: Cell<u16>,
    }

    crate::params! {
        struct Strings {
            verdict: String,
            code: u16 = 1,
            message: String = "".into(),
        }
    }

    impl Plugin for Puppet {
        type Params = Strings;

        fn init(params: Strings) -> Result<Self, Refusal> {
            if params.verdict == "refuse" {
                Err(Refusal::new("not these"))
            } else {
                Ok(Self { params, calls: Cell::new(0) })
            }
        }

        fn apply(&self, _tx: &[u8], out: &mut Output) -> Verdict {
            self.calls.set(self.calls.get() + 1);
            out.write(self.params.message.as_bytes());
            match self.params.verdict.as_str() {
                "accept" => Verdict::Accept,
                "replace" => Verdict::Replace,
                "count" => Verdict::Reject(self.calls.get()),
                "garble" => {
                    out.write(b"\xff");
                    Verdict::Reject(1)
                }
                _ => Verdict::Reject(self.params.code),
            }
        }
    }

    fn puppet(params: &str) -> Tester<Puppet> {
        Tester::new(params).unwrap()
    }

    /// The words with which the tester stops the test.
    fn complaint(params: &str, tx: &str) -> String {
        let judged = panic::catch_unwind(|| puppet(params).apply(tx));
        let words = judged.unwrap_err();
        words
            .downcast_ref::<String>()
            .cloned()
            .unwrap_or_else(|| (*words.downcast_ref::<&str>().unwrap()).into())
    }

    #[test]
    fn a_verdict_is_told_with_its_output() {
        assert_eq!(puppet(r#"{"verdict":"accept","message":"ignored"}"#).apply("tx"), Outcome::Unchanged);
        assert_eq!(puppet(r#"{"verdict":"replace","message":"new"}"#).apply("tx"), Outcome::replaced("new"));
        let rejecting = puppet(r#"{"verdict":"reject","code":999,"message":"no"}"#);
        assert_eq!(rejecting.apply("tx"), Outcome::rejected(999, "no"));
        assert_eq!(puppet(r#"{"verdict":"reject"}"#).apply("tx"), Outcome::rejected(1, ""));
        let refusal = Tester::<Puppet>::new(r#"{"verdict":"refuse"}"#).err().unwrap();
        assert_eq!(refusal.message(), "not these");
    }

    #[test]
    fn nothing_is_remembered_from_one_transaction_to_the_next() {
        let counting = puppet(r#"{"verdict":"count"}"#);
        assert_eq!([(); 3].map(|()| counting.apply("tx")), [(); 3].map(|()| Outcome::rejected(1, "")));
    }

    #[test]
    fn a_long_message_is_cut_where_the_host_cuts_it() {
        let long = format!(r#"{{"verdict":"reject","message":"{}é more"}}"#, "x".repeat(1023));
        assert_eq!(puppet(&long).apply("tx"), Outcome::rejected(1, "x".repeat(1023)));
    }

    #[test]
    fn a_broken_contract_stops_the_test_with_the_reason() {
        for (params, tx, words) in [
            (
                r#"{"verdict":"replace"}"#,
                "tx",
                "the verdict is Replace, but nothing was written to the output",
            ),
            (
                r#"{"verdict":"accept"}"#,
                "",
                "an empty transaction was accepted unchanged, but no record is empty",
            ),
            (r#"{"verdict":"reject","code":0}"#, "tx", "the rejection code is 0; it must be from 1 to 999"),
            (
                r#"{"verdict":"reject","code":1000}"#,
                "tx",
                "the rejection code is 1000; it must be from 1 to 999",
            ),
            (r#"{"verdict":"garble","message":"a"}"#, "tx", "the message is not UTF-8: a\\xff"),
        ] {
            assert_eq!(complaint(params, tx), words);
        }
    }

    #[test]
    fn an_outcome_can_be_read_when_an_assertion_fails() {
        let shown = [Outcome::Unchanged, Outcome::replaced("a\n\u{ff}"), Outcome::rejected(3, "why")];
        assert_eq!(
            format!("{shown:?}"),
            r#"[Unchanged, Replaced(b"a\n\xc3\xbf"), Rejected { code: 3, message: "why" }]"#
        );
    }
}
