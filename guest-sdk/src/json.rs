//! A small strict reader of JSON (RFC 8259), for params.
//!
//! The host hands over canonical JSON (RFC 8785), which is JSON without white space, with fields in order. The reader
//! also takes white space and any order, so that tests can be written as genesis files are.
//!
//! # Limits
//!
//! Lists and objects nest at most [`DEPTH_MAX`] deep: the reader calls itself for each, and a plugin's stack is small.
//! Integers go from -(2^53 - 1) to 2^53 - 1, as in genesis: canonical JSON keeps no larger one.

use alloc::string::String;
use core::fmt;

/// How deep lists and objects may nest.
pub const DEPTH_MAX: u32 = 32;

/// The largest integer that canonical JSON keeps.
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// How much of a value is told when it is not what was expected, in bytes.
const TOLD_BYTES_MAX: usize = 60;

/// One JSON value of the params, its syntax already checked. What [`Param`](crate::Param) reads.
#[derive(Clone, Copy)]
pub struct Value<'a> {
    /// The value and nothing around it.
    text: &'a str,
}

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

/// Shows the value as it was written, a long one cut.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = &self.text[..self.text.floor_char_boundary(TOLD_BYTES_MAX)];
        f.write_str(told)?;
        if told.len() < self.text.len() { write!(f, "... ({} bytes)", self.text.len()) } else { Ok(()) }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl<'a> Value<'a> {
    /// Checks a whole text and takes it as one value.
    pub(crate) fn parse(text: &'a str) -> Result<Self, SyntaxError> {
        let mut cursor = Cursor { text, at: 0 };
        let value = cursor.value(DEPTH_MAX)?;
        cursor.skip_space();
        if cursor.at < text.len() { Err(cursor.error("more after the end")) } else { Ok(value) }
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.text == "null"
    }

    /// It, if it is `true` or `false`.
    #[must_use]
    pub fn as_bool(self) -> Option<bool> {
        match self.text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// It, if it is an integer from 0 to 2^53 - 1, written without fraction and exponent.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        self.text.parse().ok().filter(|integer| *integer <= INTEGER_MAX)
    }

    /// It, if it is an integer from -(2^53 - 1) to 2^53 - 1, written without fraction and exponent.
    #[must_use]
    pub fn as_i64(self) -> Option<i64> {
        self.text.parse().ok().filter(|integer: &i64| integer.unsigned_abs() <= INTEGER_MAX)
    }

    /// What it says, if it is a string.
    #[must_use]
    pub fn as_string(self) -> Option<String> {
        let mut cursor = self.open(b'"')?;
        let mut string = String::with_capacity(self.text.len() - 2);
        while let Ok(Some(char)) = cursor.character() {
            string.push(char);
        }
        Some(string)
    }

    /// What is in it, if it is a list.
    #[must_use]
    pub fn elements(self) -> Option<impl Iterator<Item = Value<'a>>> {
        let mut items = Items { cursor: self.open(b'[')?, close: b']', is_first: true };
        Some(core::iter::from_fn(move || items.next().map(|(_, value)| value)))
    }

    /// Its fields in the order in which they are written, if it is an object: each name (a string) and its value.
    /// Nothing keeps a name from being there twice.
    #[must_use]
    pub fn fields(self) -> Option<impl Iterator<Item = (Value<'a>, Value<'a>)>> {
        let mut items = Items { cursor: self.open(b'{')?, close: b'}', is_first: true };
        Some(core::iter::from_fn(move || items.next()))
    }

    /// Behind its first byte, if that is this one.
    fn open(self, first: u8) -> Option<Cursor<'a>> {
        self.text.as_bytes().starts_with(&[first]).then_some(Cursor { text: self.text, at: 1 })
    }
}

/// The items of a list or object whose syntax has been checked.
struct Items<'a> {
    cursor: Cursor<'a>,
    close: u8,
    is_first: bool,
}

impl<'a> Items<'a> {
    /// The next item; of a list, its value twice.
    fn next(&mut self) -> Option<(Value<'a>, Value<'a>)> {
        if !self.cursor.has_item(self.close, self.is_first).ok()? {
            return None;
        }
        self.is_first = false;
        self.cursor.item(self.close, DEPTH_MAX).ok()
    }
}

/// A place in a text.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn error(&self, what: &'static str) -> SyntaxError {
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

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Steps over a value in which lists and objects nest at most `depth` deep.
    fn value(&mut self, depth: u32) -> Result<Value<'a>, SyntaxError> {
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
    fn has_item(&mut self, close: u8, is_first: bool) -> Result<bool, SyntaxError> {
        self.skip_space();
        if self.eat(close) {
            return Ok(false);
        }
        if is_first || self.eat(b',') { Ok(true) } else { Err(self.error("a comma or an end is missing")) }
    }

    /// Steps over an item: the name and the value of an object's field, or a list's element, which is told twice.
    fn item(&mut self, close: u8, depth: u32) -> Result<(Value<'a>, Value<'a>), SyntaxError> {
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
    fn character(&mut self) -> Result<Option<char>, SyntaxError> {
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
