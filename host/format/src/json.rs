//! Strict JSON (I-JSON, RFC 7493): no duplicate keys, and no integers that a double cannot hold.
//!
//! Other parsers silently keep the last of two duplicate keys and round large integers. Where consensus agrees on what a
//! text means, such a text is an error that names the place.
//!
//! # Numbers
//!
//! RFC 8785 writes a number as the double that it is, so an integer that no double is may not stand in a text. Nor may
//! one that only some doubles are, from 2^53 on, until RFC 8785 writes an exponent: its digits would then be an integer
//! again, which this reader refuses. What is written with a fraction or an exponent means the double nearest to it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::excerpt::{Excerpt, words};

/// The largest integer up to which a double keeps every one: 2^53 - 1.
const INTEGER_MAX: u64 = (1 << 53) - 1;

/// From here on RFC 8785 writes numbers with an exponent.
const EXPONENT_MIN: f64 = 1e21;

/// A text that is not strict JSON. Each error begins with the place, such as `params.a[0].b`.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or a string or number that JSON allows and no parser takes.
    ///
    /// Correct the JSON there.
    #[error("{place} is invalid JSON: {}", words(.source))]
    Syntax {
        /// Where the text is.
        place: String,
        /// Where in the text, and why.
        source: serde_json::Error,
    },
    /// The same key twice in one object.
    #[error("{place} is a duplicate key; a key may stand only once in an object: remove one")]
    DuplicateKey {
        /// Where the second one is.
        place: String,
    },
    /// Doubles, and so canonical JSON, would silently change this one.
    #[error(
        "{place} is the integer {literal}, which canonical JSON (RFC 8785) cannot keep; integers go from -{INTEGER_MAX} \
         to {INTEGER_MAX}: write it as a string"
    )]
    Integer {
        /// Where it is.
        place: String,
        /// As it is written.
        literal: Excerpt,
    },
    /// Too many arrays and objects within each other.
    #[error("{place} is nested too deeply; at most {max} arrays and objects may be within each other")]
    TooDeep {
        /// The root's name.
        place: String,
        /// How deep it may be.
        max: u64,
    },
}

/// Parses strict JSON. `root` is what errors call the whole of it.
///
/// # Errors
///
/// When it is invalid JSON, has a duplicate key or an integer that a double cannot hold, or nests more than `depth_max`
/// arrays and objects.
pub fn read(text: &str, root: &str, depth_max: u64) -> Result<Value, JsonError> {
    Reader { root, depth_max }.value(parse(text, root)?, root, 0)
}

struct Reader<'a> {
    root: &'a str,
    depth_max: u64,
}

impl Reader<'_> {
    /// Reads one value, whose first byte tells what it is, because it is known to be JSON. An array or object is taken
    /// apart into the texts of its parts: so every name and every number is seen as it is written.
    fn value(&self, raw: &RawValue, place: &str, depth: u64) -> Result<Value, JsonError> {
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{') => self.object(text, place, self.inside(depth)?),
            Some(b'[') => self.array(text, place, self.inside(depth)?),
            Some(b'-' | b'0'..=b'9') => number(text, place),
            // A string, a flag or null.
            _ => parse(text, place),
        }
    }

    fn object(&self, text: &str, place: &str, depth: u64) -> Result<Value, JsonError> {
        let Members(members) = parse(text, place)?;
        let mut fields = Map::new();
        for (name, raw) in members {
            let place = member(place, &name);
            if fields.contains_key(&name) {
                return Err(JsonError::DuplicateKey { place: words(&place) });
            }
            let field = self.value(raw, &place, depth)?;
            fields.insert(name, field);
        }
        Ok(Value::Object(fields))
    }

    fn array(&self, text: &str, place: &str, depth: u64) -> Result<Value, JsonError> {
        let items: Vec<&RawValue> = parse(text, place)?;
        let items = items.into_iter().enumerate();
        items.map(|(index, raw)| self.value(raw, &format!("{place}[{index}]"), depth)).collect()
    }

    /// The depth of what is in an array or object at `depth`.
    fn inside(&self, depth: u64) -> Result<u64, JsonError> {
        let too_deep = || JsonError::TooDeep { place: self.root.to_owned(), max: self.depth_max };
        depth.checked_add(1).filter(|inside| *inside <= self.depth_max).ok_or_else(too_deep)
    }
}

fn number(text: &str, place: &str) -> Result<Value, JsonError> {
    if is_kept(text) {
        parse(text, place)
    } else {
        Err(JsonError::Integer { place: words(&place), literal: Excerpt::of(text) })
    }
}

/// Whether canonical JSON keeps a number.
fn is_kept(text: &str) -> bool {
    let double: f64 =
        text.parse().expect("what is a number in JSON is one in Rust; if it is too large, infinity");
    let is_integer = !text.contains(['.', 'e', 'E']);
    let size = double.abs();
    // Without a fraction Rust writes every digit of the double, however many there are.
    size <= INTEGER_MAX as f64 || size >= EXPONENT_MIN && (!is_integer || format!("{double:.0}") == text)
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str, place: &str) -> Result<T, JsonError> {
    serde_json::from_str(text).map_err(|source| JsonError::Syntax { place: words(&place), source })
}

/// The members of an object, in the order and as often as they are written.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;

        impl<'de> Visitor<'de> for Written {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Written)
    }
}

/// The place of a member. A name that is not plain is quoted, so that no two places are written alike.
fn member(place: &str, name: &str) -> String {
    let is_plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    let name = Excerpt::of(name);
    if is_plain { format!("{place}.{name}") } else { format!("{place}[{name:?}]") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        read(text, "params", 100).unwrap_err().to_string()
    }

    #[test]
    fn a_duplicate_key_is_an_error_with_its_place() {
        for (text, place) in [
            (r#"{"a":1,"a":1}"#, "params.a"),
            (r#"{"a":1,"b":2,"\u0061":3}"#, "params.a"),
            (r#"{"a":[0,{"b":{"c-d":null,"c-d":null}}]}"#, "params.a[1].b.c-d"),
            (r#"[[],[{"":1,"":{}}]]"#, r#"params[1][0][""]"#),
            (r#"{"a.b":{"\n":1,"\n":1}}"#, r#"params["a.b"]["\n"]"#),
        ] {
            assert!(
                refusal(text).starts_with(&format!("{place} is a duplicate key; ")),
                "{text}: {}",
                refusal(text)
            );
        }
        let apart = r#"{"a":{"a":[{"a":1},{"a":1}]},"b":{"a":1},"A":1}"#;
        assert_eq!(read(apart, "params", 100).unwrap(), serde_json::from_str::<Value>(apart).unwrap());
    }

    #[test]
    fn an_integer_that_would_change_is_an_error_that_quotes_it() {
        for (text, place, literal) in [
            ("9007199254740992", "params", "9007199254740992"),
            (r#"{"a":[1,{"b":-9007199254740993}]}"#, "params.a[1].b", "-9007199254740993"),
            ("[18446744073709551615]", "params[0]", "18446744073709551615"),
            ("100000000000000000001", "params", "100000000000000000001"),
            ("123456789012345678901234567890", "params", "123456789012345678901234567890"),
            ("-1000000000000000000001", "params", "-1000000000000000000001"),
            // The double nearest to 10^23 is another.
            ("100000000000000000000000", "params", "100000000000000000000000"),
            // Not integers yet, but once they are canonical.
            ("-1e16", "params", "-1e16"),
            ("999999999999999900000.0", "params", "999999999999999900000.0"),
        ] {
            let expected = format!(
                "{place} is the integer {literal}, which canonical JSON (RFC 8785) cannot keep; integers go from \
                 -9007199254740991 to 9007199254740991: write it as a string"
            );
            assert_eq!(refusal(text), expected);
        }
        let endless = refusal(&format!("[{}]", "9".repeat(400)));
        assert!(
            endless.starts_with(&format!("params[0] is the integer {}... (400 bytes), ", "9".repeat(64)))
        );
    }

    #[test]
    fn a_number_that_is_kept_is_what_it_was() {
        let two_to_the_thousand = format!("{:.0}", 2_f64.powi(1000));
        for text in [
            "0",
            "-0",
            "-9007199254740991",
            "9007199254740991",
            "1000000000000000000000",
            "-10000000000000000000000",
            &two_to_the_thousand,
            "1e21",
            "1e23",
            "-1.5E+300",
            "123456789012345678901234567890.0",
            "0.1",
            "5e-324",
        ] {
            assert_eq!(
                read(text, "params", 100).unwrap(),
                serde_json::from_str::<Value>(text).unwrap(),
                "{text}"
            );
        }
    }

    #[test]
    fn invalid_json_is_an_error_with_its_place() {
        for (text, words) in [
            ("", "params is invalid JSON: EOF while parsing a value at line 1 column 0"),
            ("{\n\"a\":}", "params is invalid JSON: expected value at line 2 column 5"),
            ("{} {}", "params is invalid JSON: trailing characters at line 1 column 4"),
            ("[01]", "params is invalid JSON: invalid number at line 1 column 3"),
            (r#"{"a":[1e999]}"#, "params.a[0] is invalid JSON: number out of range"),
            (r#"{"a":"\ud800"}"#, "params.a is invalid JSON: "),
            (r#"{"a":{"\ud800":1}}"#, "params.a is invalid JSON: "),
        ] {
            assert!(refusal(text).starts_with(words), "{text}: {}", refusal(text));
        }
    }

    /// To serde_json this name stands for a text that it was to keep; in a text of somebody else it is a name.
    #[test]
    fn no_name_means_anything_to_the_reader() {
        let text = r#"{"$serde_json::private::RawValue":"[1]"}"#;
        let read = read(text, "params", 100).unwrap();
        assert_eq!(read["$serde_json::private::RawValue"], "[1]");
        assert_eq!(read.to_string(), text);
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(read(r#"[{"a":[1]}]"#, "params", 3).is_ok());
        let message = read(r#"[{"a":[[]]}]"#, "params", 3).unwrap_err().to_string();
        assert_eq!(
            message,
            "params is nested too deeply; at most 3 arrays and objects may be within each other"
        );
        assert!(refusal(&"[".repeat(1_000_000)).starts_with("params is invalid JSON: "));
        assert!(refusal(&("[".repeat(100_000) + &"]".repeat(100_000))).contains("at most 100"));
    }
}
