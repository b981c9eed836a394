//! Golden files: transactions, and the verdict expected for each.
//!
//! # Format
//!
//! TOML, one set of params for each file:
//!
//! | key | where | what |
//! |---|---|---|
//! | `params` | file | the plugin parameters; `{}` if missing |
//! | `refused` | file | the message with which the plugin refuses these params; then there are no cases |
//! | `name` | `[[case]]` | what the case shows |
//! | `tx` or `tx_hex` | `[[case]]` | the transaction |
//! | `verdict` | `[[case]]` | `unchanged`, `replaced`, `rejected` or `faulted` |
//! | `code`, `message` | `[[case]]` | of `rejected` and `faulted`: the plugin's message, or its panic message |
//! | `record` or `record_hex` | `[[case]]` | of `replaced` |
//! | `fuel` | `[[case]]` | the fuel it spends, exactly |
//!
//! Only the keys of a case are compared; `verdict` is required.

use std::path::Path;

use anyhow::{Context, bail};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::shown;
use crate::plugin::{CanonicalJson, Outcome, Verdict};

/// A golden file, read.
pub(super) struct Golden {
    pub(super) params: CanonicalJson,
    /// The message with which these params are refused, if they are.
    pub(super) refused: Option<String>,
    pub(super) cases: Vec<Case>,
}

/// One transaction, and what is expected for it.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) tx: Bytes,
    expected: Expected,
}

/// A file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    params: toml::Table,
    refused: Option<String>,
    #[serde(default, rename = "case")]
    cases: Vec<RawCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: String,
    tx: Option<String>,
    tx_hex: Option<String>,
    verdict: Option<Kind>,
    code: Option<u32>,
    message: Option<String>,
    record: Option<String>,
    record_hex: Option<String>,
    fuel: Option<u64>,
}

/// The key `verdict`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Unchanged,
    Replaced,
    Rejected,
    Faulted,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Replaced => "replaced",
            Self::Rejected => "rejected",
            Self::Faulted => "faulted",
        }
    }
}

/// What is expected for a transaction: the keys of a case that are given, or all that an outcome has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) verdict: Option<Kind>,
    pub(super) code: Option<u32>,
    pub(super) message: Option<String>,
    pub(super) record: Option<Bytes>,
    pub(super) fuel: Option<u64>,
}

/// One key of a case that differs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) what: &'static str,
    pub(super) expected: String,
    pub(super) found: String,
}

impl Golden {
    /// Reads a golden file.
    pub(super) fn parse(text: &str, path: &Path) -> anyhow::Result<Self> {
        let raw: RawFile =
            toml::from_str(text).with_context(|| format!("{} is not a golden file", path.display()))?;
        let place = || format!("in {}", path.display());
        if raw.refused.is_some() && !raw.cases.is_empty() {
            bail!("{}: a file with `refused` has no cases; move them to another file", place());
        }
        if raw.refused.is_none() && raw.cases.is_empty() {
            bail!("{}: neither a [[case]] nor `refused` is given; add one", place());
        }
        let params = json(toml::Value::Table(raw.params)).with_context(place)?;
        let params = CanonicalJson::parse(&params.to_string()).with_context(place)?;
        let cases = raw.cases.into_iter().map(|case| {
            let name = case.name.clone();
            Case::new(case).with_context(|| format!("case {name:?} in {}", path.display()))
        });
        Ok(Self { params, refused: raw.refused, cases: cases.collect::<Result<_, _>>()? })
    }
}

impl Case {
    fn new(raw: RawCase) -> anyhow::Result<Self> {
        let RawCase { name, tx, tx_hex, verdict, code, message, record, record_hex, fuel } = raw;
        let tx = either(tx, tx_hex, "tx")?.context("neither tx nor tx_hex is given; add one")?;
        if tx.is_empty() {
            bail!("the transaction is empty; give tx or tx_hex at least 1 byte");
        }
        let record = either(record, record_hex, "record")?;
        Ok(Self { name, tx, expected: Expected { verdict, code, message, record, fuel } })
    }

    /// Whether it has a verdict to compare.
    pub(super) fn has_verdict(&self) -> bool {
        self.expected.verdict.is_some()
    }

    /// Where the outcome differs from what is expected.
    pub(super) fn differences(&self, found: &Expected) -> Vec<Difference> {
        let Expected { verdict, code, message, record, fuel } = &self.expected;
        let text = |text: &String| format!("{text:?}");
        let lines = [
            Difference::of("verdict", verdict.as_ref(), found.verdict.as_ref(), |kind| {
                kind.word().to_owned()
            }),
            Difference::of("code", code.as_ref(), found.code.as_ref(), u32::to_string),
            Difference::of("message", message.as_ref(), found.message.as_ref(), text),
            Difference::of("record", record.as_ref(), found.record.as_ref(), |record| shown(record)),
            Difference::of("fuel", fuel.as_ref(), found.fuel.as_ref(), u64::to_string),
        ];
        lines.into_iter().flatten().collect()
    }

    /// Whether the file says everything about the outcome, and all of it is right.
    pub(super) fn is_complete(&self, found: &Expected) -> bool {
        self.expected == *found
    }
}

impl Difference {
    /// `None` if nothing is expected, or just what was found.
    fn of<T: PartialEq>(
        what: &'static str,
        expected: Option<&T>,
        found: Option<&T>,
        text: impl Fn(&T) -> String,
    ) -> Option<Self> {
        let expected = expected?;
        let differs = found != Some(expected);
        let found = found.map_or_else(|| "none".to_owned(), &text);
        differs.then(|| Self { what, expected: text(expected), found })
    }
}

impl Expected {
    /// What a case says that expects exactly this outcome.
    pub(super) fn of(outcome: &Outcome) -> Self {
        let (verdict, code, message, record) = match outcome.verdict() {
            Verdict::Unchanged => (Kind::Unchanged, None, None, None),
            Verdict::Replaced(record) => (Kind::Replaced, None, None, Some(record.clone())),
            Verdict::Rejected { code, message } => {
                (Kind::Rejected, Some(u32::from(*code)), Some(message.clone()), None)
            }
            Verdict::Faulted { fault, message } => {
                let message = (!message.is_empty()).then(|| message.clone());
                (Kind::Faulted, Some(fault.code()), message, None)
            }
        };
        Self { verdict: Some(verdict), code, message, record, fuel: Some(outcome.fuel.0) }
    }
}

/// Bytes given as text or in hexadecimal.
fn either(text: Option<String>, digits: Option<String>, what: &str) -> anyhow::Result<Option<Bytes>> {
    match (text, digits) {
        (Some(_), Some(_)) => bail!("both {what} and {what}_hex are given; remove one"),
        (Some(text), None) => Ok(Some(text.into())),
        (None, Some(digits)) => {
            let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
            let bytes = bytes.with_context(|| format!("{what}_hex is not valid hexadecimal"))?;
            Ok(Some(bytes.into()))
        }
        (None, None) => Ok(None),
    }
}

/// Params as JSON.
fn json(value: toml::Value) -> anyhow::Result<Value> {
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(date) => {
            bail!("params contain the date {date}, but JSON has no dates; write it as a string")
        }
        toml::Value::Array(items) => items.into_iter().map(json).collect::<Result<_, _>>()?,
        toml::Value::Table(fields) => {
            let fields = fields.into_iter().map(|(name, field)| Ok((name, json(field)?)));
            Value::Object(fields.collect::<anyhow::Result<_>>()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> anyhow::Result<Golden> {
        Golden::parse(text, Path::new("x.toml"))
    }

    fn found() -> Expected {
        let (verdict, fuel) = (Some(Kind::Rejected), Some(7));
        Expected { verdict, code: Some(3), message: Some("no".to_owned()), record: None, fuel }
    }

    fn case(text: &str) -> Case {
        parse(&format!("[[case]]\nname = \"x\"\ntx = \"a\"\n{text}")).unwrap().cases.remove(0)
    }

    #[test]
    fn only_what_stands_in_a_case_is_compared() {
        assert!(case("verdict = \"rejected\"").differences(&found()).is_empty());
        let all = "verdict = \"rejected\"\ncode = 3\nmessage = \"no\"\nfuel = 7";
        assert!(case(all).differences(&found()).is_empty() && case(all).is_complete(&found()));
        let found = case("verdict = \"unchanged\"\ncode = 4\nmessage = \"yes\"\nrecord = \"\"\nfuel = 8")
            .differences(&found());
        let whats: Vec<_> =
            found.iter().map(|one| (one.what, one.expected.as_str(), one.found.as_str())).collect();
        assert_eq!(
            whats,
            [
                ("verdict", "unchanged", "rejected"),
                ("code", "4", "3"),
                ("message", "\"yes\"", "\"no\""),
                ("record", "\"\"", "none"),
                ("fuel", "8", "7")
            ]
        );
    }

    #[test]
    fn records_that_look_alike_at_first_differ_all_the_same() {
        let long = "ab".repeat(300);
        let case = case(&format!("verdict = \"replaced\"\nrecord_hex = \"{long}\""));
        let mut record = vec![0xab; 300];
        record[299] = 0;
        let (verdict, record) = (Some(Kind::Replaced), Some(record.into()));
        let found = Expected { verdict, code: None, message: None, record, fuel: Some(1) };
        assert_eq!(case.differences(&found).len(), 1);
    }

    #[test]
    fn params_are_what_genesis_would_have() {
        let golden = parse("refused = \"x\"\n[params]\nb = [1, true, 1.5]\na = { c = \"d\" }").unwrap();
        assert_eq!(golden.params.as_str(), r#"{"a":{"c":"d"},"b":[1,true,1.5]}"#);
        assert_eq!(parse("refused = \"x\"").unwrap().params.as_str(), "{}");
    }

    #[test]
    fn what_is_no_golden_file_is_refused_with_the_place() {
        for (text, words) in [
            ("", "neither a [[case]] nor `refused` is given; add one"),
            ("refused = \"x\"\n[[case]]\nname = \"n\"\ntx = \"a\"", "a file with `refused` has no cases"),
            ("[[case]]\nname = \"n\"", "case \"n\" in x.toml: neither tx nor tx_hex is given; add one"),
            ("[[case]]\nname = \"n\"\ntx = \"\"", "the transaction is empty"),
            ("[[case]]\nname = \"n\"\ntx = \"a\"\ntx_hex = \"00\"", "both tx and tx_hex are given"),
            ("[[case]]\nname = \"n\"\ntx_hex = \"0\"", "tx_hex is not valid hexadecimal"),
            ("[[case]]\nname = \"n\"\ntx = \"a\"\nverdikt = \"x\"", "unknown field `verdikt`"),
            ("[[case]]\nname = \"n\"\ntx = \"a\"\nverdict = \"ok\"", "unknown variant `ok`"),
            ("refused = \"x\"\nparams = { a = 2026-01-01 }", "params contain the date 2026-01-01"),
        ] {
            let said = format!("{:#}", parse(text).err().unwrap());
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
