//! One record is one line, so that the sequence is a text file: what `grep`, `tail -f` and every language's line reader
//! work on.
//!
//! | code | rejected |
//! |---|---|
//! | 1 | a line feed before the last byte |
//! | 2 | more than `line_bytes_max` bytes |
//!
//! A line ends with a line feed and with nothing else. A carriage return before it is a byte of the line like any other,
//! and a line may be empty: what a line's bytes mean is for another plugin to say.
#![cfg_attr(target_arch = "wasm32", no_std)]

use dseq_sdk::{Output, Plugin, Refusal, Verdict};

dseq_sdk::params! {
    /// What genesis may say.
    pub struct Params {
        /// Longest line in bytes, its line feed not counted; as long as a transaction may be if it is not there.
        pub line_bytes_max: Option<u32>,
    }
}

/// See the crate's documentation.
pub struct Lines {
    line_bytes_max: Option<usize>,
}

impl Plugin for Lines {
    type Params = Params;

    fn init(params: Params) -> Result<Self, Refusal> {
        if params.line_bytes_max == Some(0) {
            return Err(Refusal::new(
                "line_bytes_max is 0, which leaves room for empty lines only; give at least 1",
            ));
        }
        Ok(Self { line_bytes_max: params.line_bytes_max.map(|max| max as usize) })
    }

    fn apply(&self, tx: &[u8], out: &mut Output) -> Verdict {
        let line = tx.strip_suffix(b"\n").unwrap_or(tx);
        // The search that stops at the first one takes five times as long: only for those who want to know.
        if line.contains(&b'\n') {
            let place = line.iter().take_while(|byte| **byte != b'\n').count();
            return out.reject(
                1,
                format_args!(
                    "a line feed at byte {place}; a record is one line, and only its last byte may be one"
                ),
            );
        }
        if let Some(max) = self.line_bytes_max.filter(|max| line.len() > *max) {
            let len = line.len();
            return out.reject(2, format_args!("the line has {len} bytes; at most {max} are allowed"));
        }
        if line.len() < tx.len() {
            return Verdict::Accept;
        }
        out.write(line);
        out.write(b"\n");
        Verdict::Replace
    }
}

dseq_sdk::export!(Lines);

#[cfg(test)]
mod tests {
    use dseq_sdk::testing::{Outcome, Tester};

    use super::*;

    fn lines() -> Tester<Lines> {
        Tester::new("{}").unwrap()
    }

    #[test]
    fn a_line_gets_its_line_feed_unless_it_has_one() {
        assert_eq!(lines().apply("a line"), Outcome::replaced("a line\n"));
        assert_eq!(lines().apply("a line\n"), Outcome::Unchanged);
    }

    #[test]
    fn a_line_may_be_empty_and_hold_any_byte_but_a_line_feed() {
        assert_eq!(lines().apply("\n"), Outcome::Unchanged);
        assert_eq!(lines().apply("dos\r\n"), Outcome::Unchanged);
        let any: Vec<u8> = (0..=255).filter(|byte| *byte != b'\n').collect();
        let mut line = any.clone();
        line.push(b'\n');
        assert_eq!(lines().apply(any), Outcome::replaced(line));
    }

    #[test]
    fn the_first_line_feed_inside_is_named() {
        for (tx, place) in [("a\nb\nc\n", 1), ("\n\n", 0), ("ab\nc", 2)] {
            let words = format!(
                "a line feed at byte {place}; a record is one line, and only its last byte may be one"
            );
            assert_eq!(lines().apply(tx), Outcome::rejected(1, words));
        }
    }

    #[test]
    fn a_line_may_be_as_long_as_genesis_says_without_its_line_feed() {
        let lines = Tester::<Lines>::new(r#"{"line_bytes_max":3}"#).unwrap();
        assert_eq!(lines.apply("abc"), Outcome::replaced("abc\n"));
        assert_eq!(lines.apply("abc\n"), Outcome::Unchanged);
        let long = Outcome::rejected(2, "the line has 4 bytes; at most 3 are allowed");
        assert_eq!(lines.apply("abcd"), long);
        assert_eq!(lines.apply("abcd\n"), long);
    }

    #[test]
    fn no_room_at_all_is_refused() {
        let refusal = Tester::<Lines>::new(r#"{"line_bytes_max":0}"#).err().unwrap();
        assert_eq!(
            refusal.message(),
            "line_bytes_max is 0, which leaves room for empty lines only; give at least 1"
        );
    }
}
