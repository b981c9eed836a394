//! {{description}}
//!
//! | code | rejected |
//! |---|---|
//! | 1 | the transaction is not UTF-8 |
//! | 2 | there is nothing in it but white space |
//! | 3 | it is longer than `bytes_max` |
#![cfg_attr(target_arch = "wasm32", no_std)]

use dseq_sdk::{Output, Plugin, Refusal, Verdict};

dseq_sdk::params! {
    /// What genesis says to this plugin, as in `{"bytes_max":80}`.
    pub struct Params {
        /// Longest text, in bytes.
        pub bytes_max: u32 = 1024,
        /// Whether white space at the end is left out.
        pub trim: bool = true,
    }
}

/// Lets text in, and nothing else.
pub struct Filter {
    params: Params,
}

impl Plugin for Filter {
    type Params = Params;

    fn init(params: Params) -> Result<Self, Refusal> {
        match params.bytes_max {
            0 => Err(Refusal::new("bytes_max is 0, so no text would do; give at least 1")),
            _ => Ok(Self { params }),
        }
    }

    fn apply(&self, tx: &[u8], out: &mut Output) -> Verdict {
        let Ok(text) = core::str::from_utf8(tx) else {
            return out.reject(1, "the transaction is not UTF-8");
        };
        if text.trim().is_empty() {
            return out.reject(2, "there is nothing in it but white space");
        }
        let kept = if self.params.trim { text.trim_end() } else { text };
        if kept.len() > self.params.bytes_max as usize {
            let (bytes, max) = (kept.len(), self.params.bytes_max);
            return out.reject(3, format_args!("{bytes} bytes; a text has at most {max}"));
        }
        if kept.len() == text.len() {
            return Verdict::Accept;
        }
        out.write(kept.as_bytes());
        Verdict::Replace
    }
}

dseq_sdk::export!(Filter);

#[cfg(test)]
mod tests {
    use dseq_sdk::testing::{Outcome, Tester};

    use super::*;

    #[test]
    fn text_goes_in_without_the_white_space_at_its_end() {
        let filter = Tester::<Filter>::new("{}").unwrap();
        assert_eq!(filter.apply("hello"), Outcome::Unchanged);
        assert_eq!(filter.apply("hello \n"), Outcome::replaced("hello"));
        let filter = Tester::<Filter>::new(r#"{"trim":false}"#).unwrap();
        assert_eq!(filter.apply("hello \n"), Outcome::Unchanged);
    }

    #[test]
    fn each_rejection_says_why() {
        let filter = Tester::<Filter>::new(r#"{"bytes_max":5}"#).unwrap();
        assert_eq!(filter.apply(b"\xff"), Outcome::rejected(1, "the transaction is not UTF-8"));
        assert_eq!(filter.apply(" \n"), Outcome::rejected(2, "there is nothing in it but white space"));
        assert_eq!(filter.apply("hello!"), Outcome::rejected(3, "6 bytes; a text has at most 5"));
    }

    #[test]
    fn params_that_make_no_sense_are_refused() {
        for params in [r#"{"bytes_max":0}"#, r#"{"bytes_max":"5"}"#, r#"{"bytes":5}"#] {
            assert!(Tester::<Filter>::new(params).is_err(), "{params}");
        }
    }
}
