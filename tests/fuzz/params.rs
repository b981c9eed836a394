//! Params in their canonical form: the same value is always the same bytes, which say the same value.

use dseq::plugin::{CanonicalJson, CanonicalJsonError};
use serde_json::{Map, Number, Value};

use super::fuzz;
use super::mutate::mutate;
use super::noise::Noise;

/// Any JSON, nested at most so deep.
pub(crate) fn value(noise: &mut Noise, depth: usize) -> Value {
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

#[test]
fn params_are_canonical_once_and_for_all() {
    let accepted = std::cell::Cell::new(0);
    fuzz("params", 50_000, |noise| {
        let value = value(noise, 4);
        let Ok(canonical) = CanonicalJson::new(&value) else { return };
        accepted.set(accepted.get() + 1);
        let again: Value = serde_json::from_str(canonical.as_str()).unwrap();
        assert!(same(&value, &again), "{value} became {canonical:?}");
        let twice = CanonicalJson::new(&again).unwrap_or_else(|error| panic!("{canonical:?}: {error}"));
        assert_eq!(twice, canonical);
        assert_eq!(canonical.as_str(), written(&again));
    });
    println!("{} were accepted", accepted.get());
    assert!(accepted.get() > 0);
}

#[test]
fn params_of_any_text_are_refused_or_canonical() {
    fuzz("params as text", 20_000, |noise| {
        let text = value(noise, 3).to_string();
        let text = mutate(noise, text.as_bytes());
        let Ok(value) = serde_json::from_slice::<Value>(&text) else { return };
        match CanonicalJson::new(&value) {
            Ok(canonical) => {
                let again = serde_json::from_str(canonical.as_str()).unwrap();
                assert_eq!(CanonicalJson::new(&again).unwrap_or_else(|error| panic!("{error}")), canonical);
            }
            Err(CanonicalJsonError::Integer { .. }) => {}
            Err(error) => panic!("{value}: {error}"),
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
