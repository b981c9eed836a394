//! The syntax of JSON, one step at a time.

use core::fmt;

use super::Value;

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

/// A place in a text.
pub(super) struct Cursor<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn error(&self, what: &'static str) -> SyntaxError {
        SyntaxError { at: self.at, what }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Steps over this byte, if it is the next one.
    fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    pub(super) fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Steps over a value in which lists and objects nest at most `depth` deep.
    pub(super) fn value(&mut self, depth: u32) -> Result<Value<'a>, SyntaxError> {
        self.skip_space();
        let start = self.at;
        match self.peek() {
            Some(b'{') => self.items(b'}', depth)?,
            Some(b'[') => self.items(b']', depth)?,
            Some(b'"') => self.string()?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.word()?,
        }
        Ok(Value { text: self.text.get(start..self.at).unwrap_or_default() })
    }

    fn items(&mut self, close: u8, depth: u32) -> Result<(), SyntaxError> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(self.error("lists and objects nest deeper than 32"));
        };
        self.at += 1;
        let mut is_first = true;
        while self.has_item(close, is_first)? {
            self.item(close, depth)?;
            is_first = false;
        }
        Ok(())
    }

    /// Steps to the next item of a list or object, or over its end.
    pub(super) fn has_item(&mut self, close: u8, is_first: bool) -> Result<bool, SyntaxError> {
        self.skip_space();
        if self.eat(close) {
            return Ok(false);
        }
        if is_first || self.eat(b',') { Ok(true) } else { Err(self.error("a comma or an end is missing")) }
    }

    /// Steps over an item: the name and the value of an object's field, or a list's element, which is told twice.
    pub(super) fn item(&mut self, close: u8, depth: u32) -> Result<(Value<'a>, Value<'a>), SyntaxError> {
        if close == b']' {
            let value = self.value(depth)?;
            return Ok((value, value));
        }
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.error("a field's name is missing"));
        }
        let name = self.value(depth)?;
        self.skip_space();
        if !self.eat(b':') {
            return Err(self.error("a colon is missing"));
        }
        Ok((name, self.value(depth)?))
    }

    fn word(&mut self) -> Result<(), SyntaxError> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        for word in ["true", "false", "null"] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(());
            }
        }
        Err(self.error("a value is missing"))
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
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

    fn digits(&mut self) -> Result<(), SyntaxError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.error("a digit is missing")) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<(), SyntaxError> {
        self.at += 1;
        while self.character()?.is_some() {}
        Ok(())
    }

    /// The next character of a string, or `None` for its closing quote.
    pub(super) fn character(&mut self) -> Result<Option<char>, SyntaxError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(char) = rest.chars().next() else { return Err(self.error("a string without an end")) };
        if char < ' ' {
            return Err(self.error("a control character in a string"));
        }
        self.at += char.len_utf8();
        match char {
            '"' => Ok(None),
            '\\' => self.escape().map(Some),
            _ => Ok(Some(char)),
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Result<char, SyntaxError> {
        let char = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.utf16();
            }
            _ => return Err(self.error("an unknown escape")),
        };
        self.at += 1;
        Ok(char)
    }

    /// A character by its one or two UTF-16 units, as in `\u00e9` or `\ud83d\ude00`, behind the first `\u`.
    fn utf16(&mut self) -> Result<char, SyntaxError> {
        let first = self.utf16_unit()?;
        let code = match first {
            0xd800..=0xdbff if self.eat(b'\\') && self.eat(b'u') => match self.utf16_unit()? {
                second @ 0xdc00..=0xdfff => 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                _ => first,
            },
            _ => first,
        };
        char::from_u32(code).ok_or_else(|| self.error("half of a surrogate pair"))
    }

    fn utf16_unit(&mut self) -> Result<u32, SyntaxError> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else { return Err(self.error("not four hexadecimal digits")) };
            unit = unit << 4 | digit;
            self.at += 1;
        }
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use std::format;

    use super::*;

    fn refusal(text: &str) -> String {
        Value::parse(text).expect_err(text).to_string()
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
        assert!(Value::parse(&lists(32)).is_ok());
        assert_eq!(refusal(&lists(33)), "not JSON: lists and objects nest deeper than 32 at byte 32");
        let objects = |depth| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        assert!(Value::parse(&objects(32)).is_ok());
        assert!(refusal(&objects(33)).contains("nest deeper than 32"));
        assert!(refusal(&"[".repeat(1 << 20)).contains("nest deeper than 32"));
        assert!(refusal(&"{\"a\":[".repeat(1 << 20)).contains("nest deeper than 32"));
    }
}
