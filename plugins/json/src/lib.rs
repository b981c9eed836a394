//! Valid JSON only, and its canonical form (RFC 8785) as the record: the same document is always the same bytes.
//!
//! | code | rejected |
//! |---|---|
//! | 1 | not JSON (RFC 8259) |
//! | 2 | not UTF-8 |
//! | 3 | a field that is there twice in one object |
//! | 4 | arrays and objects within each other deeper than `depth_max` |
//! | 5 | a number that the canonical form cannot keep |
//! | 6 | a string that holds half of a character |
//! | 7 | a required field is not there |
//!
//! Each message begins with the byte it is about, counted from 0.
//!
//! In reading order: `canonical` reads a document and puts its pieces together; `text` and `number` are the two kinds
//! of values that have many spellings; `fields` knows their order; [`Problem`] has the words for what is wrong.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod canonical;
mod fields;
mod number;
mod problem;
mod text;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dseq_sdk::{Output, Plugin, Refusal, Verdict};

pub use canonical::{Canonical, Rules, canonical};
pub use problem::Problem;

/// The largest `depth_max`: what the readers of most languages go down to, so that whoever reads the sequence can.
pub const DEPTH_CEILING: u32 = 128;

dseq_sdk::params! {
    /// What genesis may say.
    pub struct Params {
        /// Most arrays and objects within each other, from 1 to [`DEPTH_CEILING`].
        pub depth_max: u32 = 64,
        /// Whether a record ends with a line feed, so that the sequence is JSON lines.
        pub line_feed: bool = true,
        /// Fields that every document must have. With any, it must be an object.
        pub required: Vec<String> = Vec::new(),
    }
}

/// See the crate's documentation.
pub struct Json {
    rules: Rules,
    line_feed: bool,
}

impl Plugin for Json {
    type Params = Params;

    fn init(params: Params) -> Result<Self, Refusal> {
        let Params { depth_max, line_feed, required } = params;
        if !(1..=DEPTH_CEILING).contains(&depth_max) {
            return Err(Refusal::new(format!(
                "depth_max is {depth_max}; it must be from 1 to {DEPTH_CEILING}"
            )));
        }
        Ok(Self { rules: Rules { depth_max, required }, line_feed })
    }

    fn apply(&self, tx: &[u8], out: &mut Output) -> Verdict {
        let document = match canonical(tx, &self.rules) {
            Ok(document) => document,
            Err(problem) => return out.reject(problem.code(), problem),
        };
        let as_it_is = if self.line_feed { tx.strip_suffix(b"\n") } else { Some(tx) };
        if as_it_is.is_some_and(|tx| document.is(tx)) {
            return Verdict::Accept;
        }
        document.pieces(|piece| out.write(piece));
        if self.line_feed {
            out.write(b"\n");
        }
        Verdict::Replace
    }
}

dseq_sdk::export!(Json);

#[cfg(test)]
mod tests {
    use dseq_sdk::testing::{Outcome, Tester};

    use super::*;

    fn with(params: &str) -> Tester<Json> {
        Tester::new(params).unwrap()
    }

    #[test]
    fn a_record_is_a_line() {
        assert_eq!(with("{}").apply(r#"{"b": 1, "a": 2}"#), Outcome::replaced("{\"a\":2,\"b\":1}\n"));
        assert_eq!(with("{}").apply("[1]"), Outcome::replaced("[1]\n"));
        assert_eq!(with("{}").apply("[1]\n"), Outcome::Unchanged);
        assert_eq!(with("{}").apply("[1]\n\n"), Outcome::replaced("[1]\n"));
    }

    #[test]
    fn without_line_feeds_a_record_is_the_canonical_form_alone() {
        let json = with(r#"{"line_feed":false}"#);
        assert_eq!(json.apply("[1]"), Outcome::Unchanged);
        assert_eq!(json.apply("[1]\n"), Outcome::replaced("[1]"));
    }

    /// Same length, and every byte but the order of two fields the same.
    #[test]
    fn fields_out_of_order_are_a_change() {
        let json = with(r#"{"line_feed":false}"#);
        assert_eq!(json.apply(r#"{"b":1,"a":1}"#), Outcome::replaced(r#"{"a":1,"b":1}"#));
    }

    #[test]
    fn what_is_no_json_is_rejected_in_words() {
        let words = "byte 1: expected nothing after the document, found 's'";
        assert_eq!(with("{}").apply("1st"), Outcome::rejected(1, words));
        let json = with(r#"{"required":["id"]}"#);
        assert_eq!(
            json.apply("{}"),
            Outcome::rejected(7, "byte 0: this object lacks the required field \"id\"")
        );
        let shallow = with(r#"{"depth_max":1}"#);
        let words = "byte 1: arrays and objects within each other deeper than 1, which is depth_max";
        assert_eq!(shallow.apply("[[]]"), Outcome::rejected(4, words));
    }

    #[test]
    fn a_depth_nobody_can_read_is_refused() {
        for depth in [0, 129] {
            let refusal = Tester::<Json>::new(&format!(r#"{{"depth_max":{depth}}}"#)).err().unwrap();
            assert_eq!(refusal.message(), format!("depth_max is {depth}; it must be from 1 to 128"));
        }
        assert_eq!(with(r#"{"depth_max":128}"#).apply("1"), Outcome::replaced("1\n"));
    }
}
