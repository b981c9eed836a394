//! What people compare before they join a network: SHA-256 of its file, in hexadecimal or as words.
//!
//! # Format
//!
//! The digest is over the file as canonical JSON (RFC 8785), so its layout does not matter. Eleven words of the English list of
//! BIP-39 stand for the first 121 bits, eleven bits each, the highest first.

use std::fmt;

use bip39::Language;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// How many words a fingerprint has. Not twelve, which would look like the words of a wallet.
const WORDS: usize = 11;
/// How many bits a word stands for: the list has 2048.
const WORD_BITS: usize = 11;

/// The fingerprint of a network's file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of strict JSON ([`crate::json::read`]).
    #[must_use]
    #[allow(clippy::missing_panics_doc, reason = "it does not: strict JSON has a canonical form")]
    pub fn of(document: &Value) -> Self {
        let canonical = serde_json_canonicalizer::to_vec(document);
        Self(Sha256::digest(canonical.expect("strict JSON has a canonical form")).into())
    }

    /// The words, with hyphens between them: one word for a shell.
    #[must_use]
    pub fn words(&self) -> String {
        let bit =
            |at: usize| usize::from(self.0.get(at / 8).is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1));
        let word = |index: usize| {
            let from = index * WORD_BITS;
            let number = (from..from + WORD_BITS).fold(0, |number, at| number << 1 | bit(at));
            Language::English.word_list().get(number).copied().unwrap_or_default()
        };
        (0..WORDS).map(word).collect::<Vec<_>>().join("-")
    }
}

impl fmt::Display for Fingerprint {
    /// All 64 digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The fingerprint that somebody expects, in either form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// All of it.
    Hex(String),
    /// Its words, with hyphens between them.
    Words(String),
}

/// A text that is no fingerprint.
#[derive(Debug, thiserror::Error)]
#[error("a fingerprint is {WORDS} words or 64 hexadecimal digits, as `dseq network show` prints them; {why}")]
pub struct NoFingerprint {
    why: String,
}

impl Expected {
    /// Whether a file has it.
    #[must_use]
    pub fn is(&self, found: &Fingerprint) -> bool {
        match self {
            Self::Hex(text) => *text == found.to_string(),
            Self::Words(text) => *text == found.words(),
        }
    }
}

impl std::str::FromStr for Expected {
    type Err = NoFingerprint;

    /// Reads it as people write it: in any case, words with blanks or hyphens between them.
    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        let text = text.trim().to_lowercase();
        if text.bytes().all(|byte| byte.is_ascii_hexdigit()) && !text.is_empty() {
            let why = || NoFingerprint { why: format!("these are {} digits", text.len()) };
            return if text.len() == 64 { Ok(Self::Hex(text)) } else { Err(why()) };
        }
        let words: Vec<&str> = text
            .split(|one: char| one == '-' || one.is_whitespace())
            .filter(|word| !word.is_empty())
            .collect();
        if let Some(unknown) = words.iter().find(|word| Language::English.find_word(word).is_none()) {
            let unknown: String = unknown.chars().take(40).collect();
            return Err(NoFingerprint { why: format!("{unknown:?} is none of its words") });
        }
        if words.len() != WORDS {
            return Err(NoFingerprint { why: format!("these are {} words", words.len()) });
        }
        Ok(Self::Words(words.join("-")))
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Hex(text) | Self::Words(text)) = self;
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A change here means that members who compare fingerprints of different versions of this program cannot agree.
    #[test]
    fn the_words_are_the_first_121_bits() {
        let zero = Fingerprint([0; 32]);
        assert_eq!(zero.words(), ["abandon"; 11].join("-"));
        let ones = Fingerprint([0xff; 32]);
        assert_eq!(ones.words(), ["zoo"; 11].join("-"));
        let mut one = [0; 32];
        one[15] = 0x80;
        assert!(Fingerprint(one).words().ends_with("-abandon-ability"), "bit 120 is the last that counts");
        one[15] = 0x40;
        assert_eq!(Fingerprint(one).words(), zero.words());
    }

    #[test]
    fn the_layout_of_a_file_does_not_matter_and_each_value_does() {
        let read = |text: &str| Fingerprint::of(&serde_json::from_str(text).unwrap());
        let one = read(r#"{"a":1,"b":[2]}"#);
        assert_eq!(one, read("{ \"b\": [ 2 ],\n \"a\": 1 }"));
        assert_ne!(one, Fingerprint::of(&json!({ "a": 1, "b": [3] })));
        let canonical = data_encoding::HEXLOWER.encode(&Sha256::digest(br#"{"a":1,"b":[2]}"#));
        assert_eq!(one.to_string(), canonical);
    }

    #[test]
    fn it_is_expected_as_people_write_it() {
        let found = Fingerprint::of(&json!({}));
        for text in [
            found.to_string(),
            found.to_string().to_uppercase(),
            found.words(),
            found.words().replace('-', " "),
            format!(" {} \n", found.words().replace('-', "  ").to_uppercase()),
        ] {
            let expected: Expected = text.parse().unwrap();
            assert!(expected.is(&found) && !expected.is(&Fingerprint::of(&json!([]))), "{text}");
        }
        for (text, why) in [
            ("", "these are 0 words"),
            ("abcd", "these are 4 digits"),
            ("zoo zoo", "these are 2 words"),
            ("zoo-zooo", "\"zooo\" is none of its words"),
        ] {
            let said = text.parse::<Expected>().unwrap_err().to_string();
            assert!(said.ends_with(why), "{said}");
        }
    }
}
