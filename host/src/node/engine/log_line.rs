//! One line of CometBFT's log, in either of its formats: when, how important, what, and what about.
//!
//! # Format
//!
//! - plain: `E[2026-11-26|15:01:13.752] <message, padded to 44 characters> module=x name=value ...`, in the time zone of the
//!   process, which `dseq start` makes UTC;
//! - json: one object with `ts`, `level`, `_msg` and the fields.
//!
//! Everything else, such as a stack, is no such line.

use serde_json::Value;
use tracing::Level;

use crate::telemetry::Relayed;

/// Maximum length of a value, in characters: the stack of an error may be long.
const VALUE_CHARS_MAX: usize = 2000;
/// How wide CometBFT makes a message at least, in bytes: fields begin after it.
const MESSAGE_WIDTH: usize = 44;

/// Takes a line apart; none if CometBFT's logger did not write it.
#[must_use]
pub(crate) fn parse(line: &str) -> Option<Relayed> {
    if line.starts_with('{') { json(line) } else { plain(line) }
}

fn json(line: &str) -> Option<Relayed> {
    let Value::Object(fields) = serde_json::from_str(line).ok()? else { return None };
    let text = |value: &Value| match value {
        Value::String(text) => bounded(text),
        other => bounded(&other.to_string()),
    };
    let of = |name: &str| fields.get(name).map(text);
    let (level, message) = (level(fields.get("level")?.as_str()?)?, of("_msg")?);
    let named = fields.iter().filter(|(name, _)| !["level", "_msg", "ts"].contains(&name.as_str()));
    let named = named.map(|(name, value)| (name.clone(), text(value))).collect();
    Some(Relayed { time: of("ts"), level, message, fields: named })
}

fn plain(line: &str) -> Option<Relayed> {
    let (begin, rest) = line.split_once("] ")?;
    let (letter, time) = begin.split_once('[')?;
    let level = level(letter)?;
    let fields_at = (MESSAGE_WIDTH..rest.len())
        .find(|at| rest.is_char_boundary(*at) && rest[..*at].ends_with(' ') && field(&rest[*at..]).is_some());
    let (message, mut rest) = rest.split_at(fields_at.unwrap_or(rest.len()));
    let mut fields = Vec::new();
    while let Some((name, value, after)) = field(rest) {
        fields.push((name.to_owned(), bounded(&value)));
        rest = after.trim_start();
    }
    let time = time.split_once('|').map(|(day, time)| format!("{day}T{time}Z"));
    Some(Relayed { time, level, message: bounded(message.trim_end()), fields })
}

/// The name and value that a text begins with, and what follows.
fn field(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = text.split_once('=')?;
    if name.is_empty() || name.contains([' ', '"']) {
        return None;
    }
    if rest.starts_with('"') {
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let value = values.next()?.ok()?;
        return Some((name, value, &rest[values.byte_offset()..]));
    }
    let (value, after) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
    Some((name, value.to_owned(), after))
}

fn level(name: &str) -> Option<Level> {
    match name {
        "E" | "error" => Some(Level::ERROR),
        "W" | "warn" => Some(Level::WARN),
        "I" | "info" => Some(Level::INFO),
        "D" | "debug" => Some(Level::DEBUG),
        _ => None,
    }
}

fn bounded(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relayed(time: &str, level: Level, message: &str, fields: &[(&str, &str)]) -> Option<Relayed> {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Some(Relayed { time: Some(time.to_owned()), level, message: message.to_owned(), fields })
    }

    /// As 0.39.4 writes it.
    #[test]
    fn both_formats_say_the_same() {
        let plain = "E[2026-11-26|15:01:13.752] dialing failed (attempts: 1): x=y            module=pex addr=127.0.0.1:7 err=\"dial \\\"tcp\\\": no\" n=";
        let fields = [("module", "pex"), ("addr", "127.0.0.1:7"), ("err", "dial \"tcp\": no"), ("n", "")];
        let expected =
            relayed("2026-11-26T15:01:13.752Z", Level::ERROR, "dialing failed (attempts: 1): x=y", &fields);
        assert_eq!(parse(plain), expected);
        let json = "{\"_msg\":\"committed state\",\"height\":7,\"level\":\"info\",\"module\":\"state\",\"ts\":\"2026-11-26T15:01:13.7Z\"}";
        let fields = [("height", "7"), ("module", "state")];
        assert_eq!(parse(json), relayed("2026-11-26T15:01:13.7Z", Level::INFO, "committed state", &fields));
        let bare =
            "I[2026-11-26|15:01:13.752] a message that is longer than forty-four characters module=main ";
        let message = "a message that is longer than forty-four characters";
        let fields = [("module", "main")];
        assert_eq!(parse(bare), relayed("2026-11-26T15:01:13.752Z", Level::INFO, message, &fields));
    }

    #[test]
    fn what_its_logger_did_not_write_is_no_line_of_it() {
        for other in [
            "",
            "panic: x",
            "goroutine 1 [running]:",
            "{\"a\":1}",
            "{",
            "x[y] z",
            "ERROR: failed [x] y",
            "[1] 2",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_long_value_is_cut() {
        let line = format!("E[x] {:<44} stack={}", "CONSENSUS FAILURE!!!", "é".repeat(10_000));
        let stack = parse(&line).unwrap().fields.remove(0).1;
        assert_eq!(stack.chars().count(), VALUE_CHARS_MAX + 3);
    }
}
