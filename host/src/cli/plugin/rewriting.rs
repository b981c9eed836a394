//! `dseq plugin test --update`: writes what plugins do into golden files, in place of what was expected.
//!
//! Only expectations change: comments, order and everything else stay as they are.

use anyhow::Context;
use toml_edit::{DocumentMut, Item, Table, Value};

use super::goldens::Expected;

/// A golden file being rewritten.
pub(super) struct Rewriting(DocumentMut);

impl Rewriting {
    pub(super) fn of(text: &str) -> anyhow::Result<Self> {
        Ok(Self(text.parse()?))
    }

    /// Sets the message with which the params are refused.
    pub(super) fn refused(&mut self, message: &str) {
        set(self.0.as_table_mut(), "refused", text(message));
    }

    /// Sets what the plugin makes of one case.
    pub(super) fn case(&mut self, index: usize, found: &Expected) -> anyhow::Result<()> {
        let cases = self.0.get_mut("case").and_then(Item::as_array_of_tables_mut);
        let case = cases
            .and_then(|cases| cases.get_mut(index))
            .context("write each case as a [[case]] of its own")?;
        put(case, "verdict", found.verdict.map(|verdict| text(verdict.word())));
        put(case, "code", found.code.map(|code| Value::from(i64::from(code))));
        put(case, "message", found.message.as_deref().map(text));
        let record = found.record.as_deref();
        let readable =
            record.and_then(|record| std::str::from_utf8(record).ok()).filter(|text| is_readable(text));
        // A record stays in the form in which it was written, as long as that form can hold it.
        let readable = if case.contains_key("record_hex") { None } else { readable };
        put(case, "record", readable.map(text));
        let hex = if readable.is_some() {
            None
        } else {
            record.map(|record| data_encoding::HEXLOWER.encode(record))
        };
        put(case, "record_hex", hex.as_deref().map(text));
        let fuel = found.fuel.map(i64::try_from).transpose().context("TOML cannot write so much fuel")?;
        put(case, "fuel", fuel.map(Value::from));
        Ok(())
    }
}

impl std::fmt::Display for Rewriting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

fn put(table: &mut Table, key: &str, value: Option<Value>) {
    match value {
        Some(value) => set(table, key, value),
        None => drop(table.remove(key)),
    }
}

/// Sets a value where it differs, and leaves the comments around it.
fn set(table: &mut Table, key: &str, mut value: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) if is_same(old, &value) => {}
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => drop(table.insert(key, Item::Value(value))),
    }
}

fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::String(one), Value::String(other)) => one.value() == other.value(),
        (Value::Integer(one), Value::Integer(other)) => one.value() == other.value(),
        _ => false,
    }
}

/// Text that people read better than its digits.
fn is_readable(text: &str) -> bool {
    text.chars().all(|one| !one.is_control() || matches!(one, '\n' | '\r' | '\t'))
}

/// A string on one line, whatever is in it.
fn text(text: &str) -> Value {
    let mut quoted = String::from("\"");
    for one in text.chars() {
        match one {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            one if one.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(one))),
            one => quoted.push(one),
        }
    }
    quoted.push('"');
    // Written by the rules just above; were it not TOML, its own way of quoting would do.
    quoted.parse().unwrap_or_else(|_| Value::from(text))
}

#[cfg(test)]
mod tests {
    use super::super::goldens::Kind;
    use super::*;

    const FILE: &str = "# on top\n\n[[case]] # first\nname = \"one\"   # by name\ntx = 'a'\n# why\nverdict = \"rejected\" # hm\n\
                        code = 1\nmessage = \"no\"\nfuel = 1_000 # exact\n\n# between\n[[case]]\nname = \"two\"\ntx = \"b\"\n";

    #[test]
    fn expectations_change_and_comments_stay() {
        let mut file = Rewriting::of(FILE).unwrap();
        let found = |record: &'static [u8]| Expected {
            verdict: Some(Kind::Replaced),
            code: None,
            message: None,
            record: Some(record.into()),
            fuel: Some(1000),
        };
        file.case(0, &found(b"a\n\"b\"\\\x7e")).unwrap();
        file.case(1, &found(b"\xff\0")).unwrap();
        assert_eq!(
            file.to_string(),
            "# on top\n\n[[case]] # first\nname = \"one\"   # by name\ntx = 'a'\n# why\nverdict = \"replaced\" # hm\n\
             fuel = 1_000 # exact\nrecord = \"a\\n\\\"b\\\"\\\\~\"\n\n# between\n[[case]]\nname = \"two\"\ntx = \"b\"\n\
             verdict = \"replaced\"\nrecord_hex = \"ff00\"\nfuel = 1000\n"
        );
        // Written once, it stays as it is; digits stay digits.
        let written = file.to_string();
        file.case(1, &found(b"plain")).unwrap();
        assert!(file.to_string().contains("record_hex = \"706c61696e\""), "{file}");
        let mut again = Rewriting::of(&written).unwrap();
        again.case(0, &found(b"a\n\"b\"\\\x7e")).unwrap();
        again.case(1, &found(b"\xff\0")).unwrap();
        assert_eq!(again.to_string(), written);
    }

    #[test]
    fn any_text_fits_on_a_line() {
        for one in ["", "\"", "a\u{1b}[0m\u{7f}", "\u{85}é\u{2028}", "'''\"\"\"\n"] {
            let value = text(one);
            assert_eq!(value.as_str(), Some(one));
            assert!(!value.to_string().contains('\n'));
        }
    }
}
