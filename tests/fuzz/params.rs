//! Params in their canonical form: the same value is always the same bytes, which say the same value.

use dseq::json::JsonError;
use dseq::plugin::{CanonicalJson, CanonicalJsonError};
use serde_json::{Map, Number, Value};

use super::fuzz;
use super::mutate::mutate;
use super::noise::Noise;

/// Any JSON, nested at most so deep.
fn value(noise: &mut Noise, depth: usize) -> Value {
    match noise.below(if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => Value::Bool(noise.below(2) == 0),
        2 => number(noise),
        3..=5 => Value::String(string(noise)),
        6 => (0..noise.below(5)).map(|_| value(noise, depth - 1)).collect(),
        _ => {
            let fields: Map<String, Value> =
                (0..noise.below(6)).map(|_| (string(noise), value(noise, depth - 1))).collect();
            Value::Object(fields)
        }
    }
}

/// Integers and floats of every size.
fn number(noise: &mut Noise) -> Value {
    let bits = noise.next() >> noise.below(64);
    match noise.below(5) {
        0 => Value::from(bits),
        1 => Value::from(bits.cast_signed().wrapping_neg()),
        2 => Number::from_f64(f64::from_bits(noise.next())).map_or(Value::Null, Value::Number),
        3 => Value::from(bits as f64),
        _ => Value::from(bits as f64 / 10_f64.powi(i32::try_from(noise.below(30)).unwrap())),
    }
}

/// Characters that are written in special ways, or sort in one order as UTF-8 and in another as UTF-16.
fn string(noise: &mut Noise) -> String {
    const CHARS: &[char] = &[
        'a',
        'b',
        '"',
        '\\',
        '/',
        '\n',
        '\0',
        '\u{1f}',
        '\u{7f}',
        'é',
        '\u{2028}',
        '\u{fffd}',
        '\u{e000}',
        '\u{1f600}',
    ];
    (0..noise.below(6)).map(|_| CHARS[noise.below(CHARS.len())]).collect()
}

/// Writes JSON as people might, now and then so that it says more than one thing.
pub(crate) struct Writer<'a> {
    noise: &'a mut Noise,
    /// Whether all it wrote is strict JSON that canonical JSON keeps.
    pub(crate) says_one_thing: bool,
}

/// The largest integer up to which a double keeps every one.
const INTEGER_MAX: u64 = (1 << 53) - 1;

impl<'a> Writer<'a> {
    pub(crate) fn new(noise: &'a mut Noise) -> Self {
        Self { noise, says_one_thing: true }
    }

    /// Any JSON, nested at most so deep.
    pub(crate) fn any(&mut self, depth: usize) -> String {
        let value = value(self.noise, depth);
        self.write(&value)
    }

    fn write(&mut self, value: &Value) -> String {
        match value {
            Value::Number(_) if self.noise.below(8) == 0 => self.long_integer(),
            Value::Number(number) => {
                let size = number.as_f64().unwrap().abs();
                self.says_one_thing &= size <= INTEGER_MAX as f64 || size >= 1e21;
                number.to_string()
            }
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(|item| self.write(item)).collect();
                format!("[{}]", items.join(","))
            }
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, field)| (name.as_str(), self.write(field)));
                let fields: Vec<_> = fields.collect();
                self.object(&fields)
            }
            Value::Null | Value::Bool(_) | Value::String(_) => value.to_string(),
        }
    }

    /// An object of these members; now and then one of them is there twice, with the name in the same spelling or another.
    pub(crate) fn object(&mut self, members: &[(&str, String)]) -> String {
        let mut texts: Vec<String> =
            members.iter().map(|(name, text)| format!("{}: {text}", self.name(name))).collect();
        if !members.is_empty() && self.noise.below(16) == 0 {
            let (name, text) = &members[self.noise.below(members.len())];
            let again = if self.noise.below(2) == 0 { text.clone() } else { "null".to_owned() };
            let again = format!("{}: {again}", self.name(name));
            texts.insert(self.noise.below(texts.len() + 1), again);
            self.says_one_thing = false;
        }
        format!("{{{}}}", texts.join(" ,"))
    }

    fn name(&mut self, name: &str) -> String {
        if self.noise.below(2) == 0 {
            return Value::from(name).to_string();
        }
        format!("\"{}\"", name.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>())
    }

    /// An integer of any length. Of those beyond 64 bits a double keeps some: few significant bits, and zeros.
    fn long_integer(&mut self) -> String {
        let sign = if self.noise.below(2) == 0 { "-" } else { "" };
        if self.noise.below(8) == 0 {
            self.says_one_thing = false;
            return format!("{sign}{}", "9".repeat(40 + self.noise.below(400)));
        }
        let bits = u128::from(self.noise.next()) << 64 | u128::from(self.noise.next());
        let integer = match self.noise.below(3) {
            0 => bits >> self.noise.below(128),
            1 => (bits & u128::from(INTEGER_MAX)) << self.noise.below(75),
            _ => 10_u128.pow(u32::try_from(self.noise.below(39)).unwrap()),
        };
        let max = u128::from(INTEGER_MAX);
        let is_double = integer == 0 || integer >> integer.trailing_zeros() <= max;
        self.says_one_thing &= integer <= max || integer >= 10_u128.pow(21) && is_double;
        format!("{sign}{integer}")
    }
}

#[test]
fn params_are_canonical_once_and_for_all() {
    let accepted = std::cell::Cell::new(0);
    fuzz("params", 50_000, |noise| {
        let mut writer = Writer::new(noise);
        let (text, says_one_thing) = (writer.any(4), writer.says_one_thing);
        let canonical = match CanonicalJson::parse(&text) {
            Ok(canonical) => canonical,
            Err(CanonicalJsonError::Json(JsonError::DuplicateKey { .. } | JsonError::Integer { .. })) => {
                assert!(!says_one_thing, "{text}");
                return;
            }
            Err(error) => panic!("{text}: {error}"),
        };
        assert!(says_one_thing, "{text} became {canonical:?}");
        accepted.set(accepted.get() + 1);
        let value: Value = serde_json::from_str(&text).unwrap();
        let again: Value = serde_json::from_str(canonical.as_str()).unwrap();
        assert!(same(&value, &again), "{text} became {canonical:?}");
        let twice = CanonicalJson::parse(canonical.as_str());
        assert_eq!(twice.unwrap_or_else(|error| panic!("{canonical:?}: {error}")), canonical);
        assert_eq!(canonical.value(), again);
        assert_eq!(canonical.as_str(), written(&again));
    });
    println!("{} were accepted", accepted.get());
    assert!(accepted.get() > 0);
}

#[test]
fn params_of_any_text_are_refused_or_canonical() {
    fuzz("params as text", 20_000, |noise| {
        let text = Writer::new(noise).any(3);
        let text = mutate(noise, text.as_bytes());
        let Ok(text) = str::from_utf8(&text) else { return };
        let value = serde_json::from_str::<Value>(text);
        match CanonicalJson::parse(text) {
            Ok(canonical) => {
                let again =
                    CanonicalJson::parse(canonical.as_str()).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(again, canonical);
                assert!(same(&value.unwrap(), &canonical.value()), "{text} became {canonical:?}");
            }
            Err(CanonicalJsonError::Json(JsonError::Syntax { .. })) => assert!(value.is_err(), "{text}"),
            Err(CanonicalJsonError::Json(_)) => {}
            Err(error) => panic!("{text}: {error}"),
        }
    });
}

/// Whether two values are the same to whoever reads numbers as doubles.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, one)| other.get(name).is_some_and(|other| same(one, other)))
        }
        (one, other) => one == other,
    }
}

/// RFC 8785 a second time, but for its numbers: names in the order of UTF-16, the shortest escapes, no space.
fn written(value: &Value) -> String {
    let quoted = |text: &str| {
        let escaped = text.chars().map(|char| match char {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            '\n' => "\\n".to_owned(),
            '\r' => "\\r".to_owned(),
            '\t' => "\\t".to_owned(),
            '\u{8}' => "\\b".to_owned(),
            '\u{c}' => "\\f".to_owned(),
            char if char < ' ' => format!("\\u{:04x}", u32::from(char)),
            char => char.to_string(),
        });
        format!("\"{}\"", escaped.collect::<String>())
    };
    match value {
        Value::Null | Value::Bool(_) => value.to_string(),
        Value::Number(_) => serde_json_canonicalizer::to_string(value).unwrap(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| name.encode_utf16().collect::<Vec<u16>>());
            let fields =
                fields.into_iter().map(|(name, value)| format!("{}:{}", quoted(name), written(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
    }
}
