//! A value in a genesis document and its place there, read as CometBFT reads it.

use serde_json::Value;

use super::document_error::DocError;

/// Maximum length of a value that an error repeats, in characters.
const QUOTED_CHARS_MAX: usize = 60;

/// A value and where it stands. For CometBFT `null` and an absent member are one.
pub(super) struct Field<'a> {
    pub(super) place: String,
    pub(super) value: &'a Value,
}

impl<'a> Field<'a> {
    /// A member of an object.
    pub(super) fn get(&self, name: &str) -> Result<Field<'a>, DocError> {
        let place = if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) };
        let value = match self.value {
            Value::Object(members) => members.get(name).unwrap_or(&Value::Null),
            Value::Null => &Value::Null,
            _ => return Err(self.kind("an object")),
        };
        Ok(Field { place, value })
    }

    /// A text; empty if absent.
    pub(super) fn text(&self) -> Result<&'a str, DocError> {
        match self.value {
            Value::String(text) => Ok(text),
            Value::Null => Ok(""),
            _ => Err(self.kind("a text in quotes")),
        }
    }

    /// A list; empty if absent.
    pub(super) fn list(&self) -> Result<&'a [Value], DocError> {
        match self.value {
            Value::Array(values) => Ok(values),
            Value::Null => Ok(&[]),
            _ => Err(self.kind("a list")),
        }
    }

    /// A 64-bit integer, which CometBFT writes as a text; 0 if absent.
    pub(super) fn int64(&self) -> Result<i64, DocError> {
        self.integer("a 64-bit integer in quotes")
    }

    pub(super) fn uint64(&self) -> Result<u64, DocError> {
        self.integer("an unsigned 64-bit integer in quotes")
    }

    fn integer<T: std::str::FromStr + Default>(&self, expected: &'static str) -> Result<T, DocError> {
        match self.value {
            Value::Null => Ok(T::default()),
            // As JSON writes integers: Rust would take a plus sign and leading zeros too.
            Value::String(text) if is_json_integer(text) => text.parse().map_err(|_| self.kind(expected)),
            Value::Number(number) => {
                Err(DocError::Unquoted { place: self.place.clone(), found: number.to_string() })
            }
            _ => Err(self.kind(expected)),
        }
    }

    /// An integer from `least` to `most`.
    pub(super) fn within(&self, least: i64, most: i64) -> Result<i64, DocError> {
        let found = self.int64()?;
        if (least..=most).contains(&found) {
            return Ok(found);
        }
        let expected =
            if most == i64::MAX { format!("{least} or more") } else { format!("from {least} to {most}") };
        let found_text = if self.value.is_null() { "absent".to_owned() } else { found.to_string() };
        Err(self.value(found_text, expected))
    }

    /// Bytes in hexadecimal; none if absent.
    pub(super) fn hex(&self) -> Result<Vec<u8>, DocError> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(self.text()?.as_bytes());
        bytes.map_err(|_| self.kind("bytes in hexadecimal"))
    }

    pub(super) fn kind(&self, expected: &'static str) -> DocError {
        DocError::Kind { place: self.named(), found: self.quoted(), expected }
    }

    pub(super) fn value(&self, found: String, expected: String) -> DocError {
        DocError::Value { place: self.named(), found, expected }
    }

    fn named(&self) -> String {
        if self.place.is_empty() { "the document".to_owned() } else { self.place.clone() }
    }

    /// The value as an error repeats it.
    pub(super) fn quoted(&self) -> String {
        let text = match self.value {
            Value::Null => return "absent".to_owned(),
            Value::Array(values) if values.is_empty() => return "empty".to_owned(),
            Value::Object(_) => return "an object".to_owned(),
            value => value.to_string(),
        };
        match text.char_indices().nth(QUOTED_CHARS_MAX) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text,
        }
    }
}

/// Whether a text is an integer as JSON writes it.
fn is_json_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits && (digits == "0" || !digits.starts_with('0'))
}
