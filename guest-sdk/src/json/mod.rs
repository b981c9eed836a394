//! A small strict reader of JSON (RFC 8259), for params.
//!
//! The host hands over canonical JSON (RFC 8785), which is JSON without white space, with fields in order. The reader
//! also takes white space and any order, so that tests can be written as genesis files are.
//!
//! # Cost
//!
//! A transaction is charged for init as well, so params are read in one pass: it checks the syntax and takes down where
//! each value stands, and whoever asks for one is told from that. Nothing is looked for in the text again.
//!
//! # Limits
//!
//! Lists and objects nest at most [`DEPTH_MAX`] deep: the reader calls itself for each, and a plugin's stack is small.
//! Integers go from -(2^53 - 1) to 2^53 - 1, as in genesis: canonical JSON keeps no larger one.

mod cursor;
mod string;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

pub(crate) use cursor::SyntaxError;
use cursor::{Cursor, Node};

/// How deep lists and objects may nest.
const DEPTH_MAX: u32 = 32;

/// The largest integer that canonical JSON keeps.
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// How much of a value is told when it is not what was expected, in bytes.
const TOLD_BYTES_MAX: usize = 60;

/// A whole text that is JSON, and where each of its values stands.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    text: &'a str,
    /// One at least.
    nodes: Vec<Node>,
}

impl<'a> Document<'a> {
    /// Checks a whole text and takes it as one value.
    pub(crate) fn parse(text: &'a str) -> Result<Self, SyntaxError> {
        Ok(Self { text, nodes: cursor::nodes(text)? })
    }

    pub(crate) fn value(&self) -> Value<'_> {
        Value { document: self, place: 0 }
    }
}

/// One JSON value of the params, its syntax already checked. What [`Param`](crate::Param) reads.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    document: &'a Document<'a>,
    /// Which of the document's nodes it is.
    place: usize,
}

/// Shows the value as it was written, a long one cut.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text();
        let told = text.get(..text.floor_char_boundary(TOLD_BYTES_MAX)).unwrap_or(text);
        f.write_str(told)?;
        if told.len() < text.len() { write!(f, "... ({} bytes)", text.len()) } else { Ok(()) }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl<'a> Value<'a> {
    fn node(self) -> Node {
        self.document.nodes[self.place]
    }

    /// The value and nothing around it.
    fn text(self) -> &'a str {
        let Node { start, end, .. } = self.node();
        self.document.text.get(start..end).unwrap_or_default()
    }

    fn opens_with(self, first: u8) -> bool {
        self.document.text.as_bytes().get(self.node().start) == Some(&first)
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.text() == "null"
    }

    /// It, if it is `true` or `false`.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        match self.text() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// It, if it is an integer from 0 to 2^53 - 1, written without fraction and exponent.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        self.text().parse().ok().filter(|integer| *integer <= INTEGER_MAX)
    }

    /// It, if it is an integer from -(2^53 - 1) to 2^53 - 1, written without fraction and exponent.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        self.text().parse().ok().filter(|integer: &i64| integer.unsigned_abs() <= INTEGER_MAX)
    }

    /// What it says, if it is a string.
    #[must_use]
    pub fn as_string(self) -> Option<String> {
        self.said().map(Cow::into_owned)
    }

    /// What it says, if it is a string; without escapes that is a piece of the text.
    pub(crate) fn said(self) -> Option<Cow<'a, str>> {
        if !self.opens_with(b'"') {
            return None;
        }
        let Node { start, end, is_escaped, .. } = self.node();
        let text = self.document.text;
        if !is_escaped {
            return text.get(start + 1..end - 1).map(Cow::Borrowed);
        }
        let mut said = Vec::with_capacity(end - start);
        Cursor { text: text.as_bytes(), at: start }.string(Some(&mut said)).ok()?;
        String::from_utf8(said).ok().map(Cow::Owned)
    }

    /// What is in it, if it is a list.
    #[must_use]
    pub fn elements(self) -> Option<impl Iterator<Item = Value<'a>>> {
        self.opens_with(b'[').then(|| self.items())
    }

    /// Its fields in the order in which they are written, if it is an object: each name (a string) and its value.
    /// Nothing keeps a name from being there twice.
    #[must_use]
    pub fn fields(self) -> Option<impl Iterator<Item = (Value<'a>, Value<'a>)>> {
        let mut items = self.opens_with(b'{').then(|| self.items())?;
        Some(core::iter::from_fn(move || Some((items.next()?, items.next()?))))
    }

    /// The values right in it; of an object, names among them.
    fn items(self) -> impl Iterator<Item = Value<'a>> {
        let mut next = self.place + 1;
        let end = next + self.node().within;
        core::iter::from_fn(move || {
            let item = Value { place: next, ..self };
            (next < end).then(|| {
                next += 1 + item.node().within;
                item
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use std::format;

    use super::*;

    fn string(text: &str) -> String {
        Document::parse(text).unwrap().value().as_string().expect(text)
    }

    #[test]
    fn every_escape_is_the_character_it_stands_for() {
        assert_eq!(string(r#""\"\\\/\b\f\n\r\t\u0000\u00e9\uFFFF""#), "\"\\/\u{8}\u{c}\n\r\t\0é\u{ffff}");
        assert_eq!(string("\"é😀\u{7f}\""), "é😀\u{7f}");
        assert_eq!(string(r#""\ud83d\ude00 \uD83D\uDE00""#), "😀 😀");
        assert_eq!(string(r#""""#), "");
    }

    #[test]
    fn integers_are_those_that_canonical_json_keeps() {
        let unsigned = |text| Document::parse(text).unwrap().value().as_u64();
        let signed = |text| Document::parse(text).unwrap().value().as_i64();
        assert_eq!((unsigned("0"), signed("-7")), (Some(0), Some(-7)));
        assert_eq!(unsigned("9007199254740991"), Some((1 << 53) - 1));
        assert_eq!((unsigned("9007199254740992"), unsigned("99999999999999999999999")), (None, None));
        assert_eq!(signed("-9007199254740991"), Some(1 - (1 << 53)));
        assert_eq!((signed("-9007199254740992"), signed("9007199254740992")), (None, None));
        for text in ["-1", "1.0", "1e3", "\"1\"", "true", "[1]"] {
            assert_eq!(unsigned(text), None, "{text}");
        }
    }

    #[test]
    fn lists_and_objects_give_what_is_in_them() {
        let document =
            Document::parse(" { \"a\" : [ 1 , \"]\" , [ ] ] , \"b}\" : { \"c\" : null } } ").unwrap();
        let value = document.value();
        let fields: Vec<_> =
            value.fields().unwrap().map(|(name, value)| (name.as_string().unwrap(), value)).collect();
        assert_eq!(fields.len(), 2);
        assert_eq!((fields[0].0.as_str(), fields[1].0.as_str()), ("a", "b}"));
        let elements: Vec<_> = fields[0].1.elements().unwrap().map(|element| element.to_string()).collect();
        assert_eq!(elements, ["1", "\"]\"", "[ ]"]);
        assert!(fields[1].1.fields().unwrap().next().unwrap().1.is_null());
        assert!(value.elements().is_none() && fields[0].1.fields().is_none());
    }

    #[test]
    fn a_long_value_is_told_by_its_beginning() {
        let text = format!("\"{}\"", "é".repeat(100));
        let told = Document::parse(&text).unwrap().value().to_string();
        assert_eq!(told, format!("\"{}... (202 bytes)", "é".repeat(29)));
    }

    /// Texts made of JSON's own pieces at random: whatever they are, the reader answers, and what it takes it can
    /// take apart.
    #[test]
    fn no_text_brings_the_reader_down() {
        const PIECES: [&str; 24] = [
            "{", "}", "[", "]", ",", ":", "\"", "\\", "\\u", "d83d", "\\ude00", "0", "-", "1", ".", "e",
            "true", "null", " ", "\n", "é", "😀", "\"a\"", "\"a\":",
        ];
        let (mut state, mut taken) = (0x2545_f491_4f6c_dd1d_u64, 0);
        for _ in 0..200_000 {
            let mut text = String::new();
            for _ in 0..1 + next(&mut state, 9) {
                text.push_str(PIECES[next(&mut state, PIECES.len())]);
            }
            if let Ok(document) = Document::parse(&text) {
                taken += 1;
                take_apart(document.value());
            }
        }
        assert!(taken > 5_000, "only {taken} of the texts were JSON");
    }

    /// xorshift64: the same numbers each time.
    fn next(state: &mut u64, below: usize) -> usize {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        (*state % below as u64) as usize
    }

    fn take_apart(value: Value<'_>) {
        let kinds = [
            value.is_null(),
            value.as_bool().is_some(),
            value.as_string().is_some(),
            value.elements().is_some(),
            value.fields().is_some(),
            value.text().starts_with(|first: char| first == '-' || first.is_ascii_digit()),
        ];
        assert_eq!(kinds.iter().filter(|is_this| **is_this).count(), 1, "{value}");
        if let Some(elements) = value.elements() {
            elements.for_each(take_apart);
        }
        for (name, value) in value.fields().into_iter().flatten() {
            assert!(name.as_string().is_some());
            take_apart(value);
        }
    }
}
