//! The syntax of JSON, in one pass over the text.

use alloc::vec::Vec;
use core::fmt;

use super::DEPTH_MAX;

/// Why a text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// Where, in bytes from the start.
    at: usize,
    what: &'static str,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not JSON: {} at byte {}", self.what, self.at)
    }
}

/// Where a value stands in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) start: usize,
    pub(super) end: usize,
    /// How many nodes are within it, at any depth. They come right after it.
    pub(super) within: usize,
    /// Whether it is a string in which there are escapes.
    pub(super) is_escaped: bool,
}

/// The nodes of a text which is one value, in the order in which they begin. Those within an object are a name (a string)
/// and a value for each field.
pub(super) fn nodes(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let mut cursor = Cursor { text: text.as_bytes(), at: 0 };
    let mut nodes = Vec::new();
    match cursor.document(&mut nodes) {
        Ok(()) => {
            // It lies last in the arena, so this costs nothing, and what is read goes where the rest was.
            nodes.shrink_to_fit();
            Ok(nodes)
        }
        Err(what) => Err(SyntaxError { at: cursor.at, what }),
    }
}

/// What became of a step, or what is wrong where it stopped.
pub(super) type Step<T> = Result<T, &'static str>;

/// A place in a text that is being read.
pub(super) struct Cursor<'a> {
    pub(super) text: &'a [u8],
    pub(super) at: usize,
}

impl Cursor<'_> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Steps over this byte, if it is the next one.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Steps over white space; answers what is next.
    fn peek_behind_space(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                next => return next,
            }
        }
    }

    fn document(&mut self, nodes: &mut Vec<Node>) -> Step<()> {
        self.value(DEPTH_MAX, nodes)?;
        if self.peek_behind_space().is_some() { Err("more after the end") } else { Ok(()) }
    }

    /// Steps over a value in which lists and objects nest at most `depth` deep, and takes down its nodes.
    fn value(&mut self, depth: u32, nodes: &mut Vec<Node>) -> Step<()> {
        let first = self.peek_behind_space();
        let start = self.at;
        let mut is_escaped = false;
        match first {
            Some(b'"') => is_escaped = self.string(None)?,
            Some(b'{') => return self.items(b'}', depth, nodes),
            Some(b'[') => return self.items(b']', depth, nodes),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        }
        nodes.push(Node { start, end: self.at, within: 0, is_escaped });
        Ok(())
    }

    fn items(&mut self, close: u8, depth: u32, nodes: &mut Vec<Node>) -> Step<()> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err("lists and objects nest deeper than 32");
        };
        let (start, place) = (self.at, nodes.len());
        nodes.push(Node { start, end: start, within: 0, is_escaped: false });
        self.at += 1;
        if self.peek_behind_space() != Some(close) {
            self.item(close, depth, nodes)?;
            while self.peek_behind_space() == Some(b',') {
                self.at += 1;
                self.item(close, depth, nodes)?;
            }
        }
        if !self.eat(close) {
            return Err("a comma or an end is missing");
        }
        let within = nodes.len() - place - 1;
        if let Some(node) = nodes.get_mut(place) {
            (node.end, node.within) = (self.at, within);
        }
        Ok(())
    }

    /// Steps over the name and the value of an object's field, or over a list's element.
    fn item(&mut self, close: u8, depth: u32, nodes: &mut Vec<Node>) -> Step<()> {
        if close == b'}' {
            if self.peek_behind_space() != Some(b'"') {
                return Err("a field's name is missing");
            }
            let start = self.at;
            let is_escaped = self.string(None)?;
            nodes.push(Node { start, end: self.at, within: 0, is_escaped });
            if self.peek_behind_space() != Some(b':') {
                return Err("a colon is missing");
            }
            self.at += 1;
        }
        self.value(depth, nodes)
    }

    fn word(&mut self) -> Step<()> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        for word in ["true", "false", "null"] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(());
            }
        }
        Err("a value is missing")
    }

    fn number(&mut self) -> Step<()> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if self.eat(b'e') || self.eat(b'E') {
            let _ = self.eat(b'+') || self.eat(b'-');
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Step<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err("a digit is missing") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use std::format;

    use super::super::Document;

    fn refusal(text: &str) -> String {
        Document::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn a_text_that_is_no_json_is_refused_with_the_place() {
        for (text, what, at) in [
            ("", "a value is missing", 0),
            ("  ", "a value is missing", 2),
            ("nul", "a value is missing", 0),
            ("True", "a value is missing", 0),
            ("'a'", "a value is missing", 0),
            ("\u{feff}{}", "a value is missing", 0),
            ("{}{}", "more after the end", 2),
            ("truefalse", "more after the end", 4),
            ("01", "more after the end", 1),
            ("1.5.2", "more after the end", 3),
            ("-", "a digit is missing", 1),
            ("+1", "a value is missing", 0),
            (".5", "a value is missing", 0),
            ("1.", "a digit is missing", 2),
            ("1e", "a digit is missing", 2),
            ("1e+", "a digit is missing", 3),
            ("[", "a value is missing", 1),
            ("[1", "a comma or an end is missing", 2),
            ("[1 2]", "a comma or an end is missing", 3),
            ("[1,]", "a value is missing", 3),
            ("[,1]", "a value is missing", 1),
            ("[1}", "a comma or an end is missing", 2),
            ("{", "a field's name is missing", 1),
            ("{a:1}", "a field's name is missing", 1),
            ("{1:1}", "a field's name is missing", 1),
            ("{\"a\"}", "a colon is missing", 4),
            ("{\"a\":}", "a value is missing", 5),
            ("{\"a\":1,}", "a field's name is missing", 7),
            ("\"", "a string without an end", 1),
            ("\"\\\"", "a string without an end", 3),
            ("\"a\nb\"", "a control character in a string", 2),
            ("\"\\x41\"", "an unknown escape", 2),
            ("\"\\", "an unknown escape", 2),
            ("\"\\u00g0\"", "not four hexadecimal digits", 5),
            ("\"\\u00", "not four hexadecimal digits", 5),
            ("\"\\u+041\"", "not four hexadecimal digits", 3),
        ] {
            assert_eq!(refusal(text), format!("not JSON: {what} at byte {at}"), "{text}");
        }
    }

    #[test]
    fn half_of_a_surrogate_pair_is_refused_wherever_the_other_half_is_missing() {
        for text in [r#""\ud83d""#, r#""\ude00""#, r#""\ud83d\ud83d""#, r#""\ud83dx""#, r#""\ude00\ud83d""#] {
            assert!(refusal(text).starts_with("not JSON: half of a surrogate pair"), "{text}");
        }
        assert!(refusal(r#""\ud83d\n""#).starts_with("not JSON: half"));
    }

    #[test]
    fn what_nests_too_deeply_is_refused_before_the_stack_is_full() {
        let lists = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Document::parse(&lists(32)).is_ok());
        assert_eq!(refusal(&lists(33)), "not JSON: lists and objects nest deeper than 32 at byte 32");
        let objects = |depth| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(Document::parse(&objects(32)).is_ok());
        assert!(refusal(&objects(33)).contains("nest deeper than 32"));
        assert!(refusal(&"[".repeat(1 << 20)).contains("nest deeper than 32"));
        assert!(refusal(&"{\"a\":[".repeat(1 << 20)).contains("nest deeper than 32"));
    }
}
