//! One line of the log, in each of its formats.
//!
//! # Format
//!
//! Each has `timestamp` (RFC 3339, UTC), `level`, then `target` and `node` (not in text), `message`, and the event's own
//! fields by name. A name stands once in a line.
//!
//! - text: `<timestamp> <level> <message> <name>=<value> ...`, where a value is quoted as in JSON if it is not one plain word;
//! - logfmt: every part as `<name>=<value>`, quoted in the same way;
//! - JSON: one object, its own fields beside the others.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write};

use tracing::Level;
use tracing::field::{Field, Visit};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use super::super::Settings;
use crate::printable;

/// How dseq writes its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object for each line.
    Json,
    /// For both: `name=value` for everything.
    Logfmt,
}

/// Names that each line has by itself.
const OWN_NAMES: [&str; 5] = ["timestamp", "level", "target", "node", "message"];

/// What a field says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    /// A number or a truth value, as JSON writes it.
    Plain(String),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Plain(number.to_string())
    }
}

/// The message and the fields of an event or a span, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    pub(super) message: String,
    pub(super) named: Vec<(Cow<'static, str>, Value)>,
}

impl Fields {
    /// Puts a field; one of the same name is replaced.
    pub(super) fn put(&mut self, name: impl Into<Cow<'static, str>>, value: Value) {
        let name = name.into();
        self.named.retain(|(before, _)| *before != name);
        self.named.push((name, value));
    }

    /// Puts a field whose name somebody else chose.
    pub(super) fn put_said(&mut self, name: &str, text: String) {
        let plain = |one: char| if one.is_ascii_alphanumeric() || "_-.".contains(one) { one } else { '_' };
        let mut name: String = name.chars().map(plain).collect();
        if OWN_NAMES.contains(&name.as_str()) || name == "component" {
            name.insert_str(0, "cometbft_");
        }
        let is_number = text.parse::<i64>().is_ok_and(|number| number.to_string() == text);
        self.put(name, if is_number { Value::Plain(text) } else { Value::Text(text) });
    }

    /// Puts the fields of others too.
    pub(super) fn take(&mut self, others: &Self) {
        for (name, value) in &others.named {
            self.put(name.clone(), value.clone());
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            name => self.put(name, Value::Text(text)),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), Value::Plain(value.to_string()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), Value::Plain(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no infinity.
        let text = value.to_string();
        self.put(field.name(), if value.is_finite() { Value::Plain(text) } else { Value::Text(text) });
    }

    fn record_error(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            let said = next.to_string();
            if !text.contains(&said) {
                text = format!("{text}: {said}");
            }
            cause = next.source();
        }
        self.put(field.name(), Value::Text(text));
    }
}

/// A line that is to be written.
#[derive(Clone, Debug)]
pub(super) struct Line<'a> {
    /// By RFC 3339, in UTC.
    pub(super) time: String,
    pub(super) level: Level,
    pub(super) target: &'a str,
    pub(super) fields: Fields,
}

/// The time now, as lines of the log have it: by RFC 3339, in UTC.
#[must_use]
pub fn now() -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

const RESET: &str = "\u{1b}[0m";
const DIM: &str = "\u{1b}[2m";

fn color(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        Level::DEBUG => "\u{1b}[34m",
        Level::TRACE => "\u{1b}[35m",
    }
}

impl Line<'_> {
    /// The line with its end. Whatever is in it is printable, but for the colors, which are ours.
    pub(super) fn written(&self, settings: &Settings) -> String {
        match settings.format {
            LogFormat::Text if settings.colors => self.text([DIM, RESET, color(self.level), RESET]),
            LogFormat::Text => self.text([""; 4]),
            LogFormat::Json => self.json(settings.node.as_deref()),
            LogFormat::Logfmt => self.logfmt(settings.node.as_deref()),
        }
    }

    fn text(&self, [dim, undim, color, uncolor]: [&str; 4]) -> String {
        let (time, message) = (printable::line(&self.time), printable::text(&self.fields.message));
        let mut text = format!("{dim}{time}{undim} {color}{:>5}{uncolor} {message}", self.level.as_str());
        for (name, value) in &self.fields.named {
            let _ = write!(text, " {dim}{name}={undim}{}", word(value));
        }
        text.push('\n');
        text
    }

    /// What a line has by itself, in order, and then its own fields.
    fn parts(&self, node: Option<&str>) -> Vec<(&str, Value)> {
        let text = |text: &str| Value::Text(text.to_owned());
        let own = [
            Some(&*self.time),
            Some(self.level.as_str()),
            Some(self.target),
            node,
            Some(self.fields.message.as_str()),
        ];
        let own = OWN_NAMES.into_iter().zip(own).filter_map(|(name, value)| Some((name, text(value?))));
        own.chain(self.fields.named.iter().map(|(name, value)| (&**name, value.clone()))).collect()
    }

    fn logfmt(&self, node: Option<&str>) -> String {
        let parts = self.parts(node).into_iter().map(|(name, value)| format!("{name}={}", word(&value)));
        let mut text = parts.collect::<Vec<_>>().join(" ");
        text.push('\n');
        text
    }

    fn json(&self, node: Option<&str>) -> String {
        let parts = self.parts(node).into_iter().map(|(name, value)| {
            let value = match value {
                Value::Text(text) => quoted(&text),
                Value::Plain(text) => text,
            };
            format!("{}:{value}", quoted(name))
        });
        format!("{{{}}}\n", parts.collect::<Vec<_>>().join(","))
    }
}

/// A value as one word, or in quotes.
fn word(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Plain(text) => Cow::Borrowed(text),
        Value::Text(text) => {
            let is_plain = |one: char| one != ' ' && one != '"' && one != '=';
            if !text.is_empty() && text.chars().all(is_plain) && printable::line(text) == *text {
                Cow::Borrowed(text)
            } else {
                Cow::Owned(quoted(text))
            }
        }
    }
}

/// A string of JSON that is printable; it stays the same string.
fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    printable::line(&json).into_owned()
}
