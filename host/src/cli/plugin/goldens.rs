//! Golden files: transactions, and what a plugin is expected to make of each.
//!
//! # Format
//!
//! TOML, one set of params for each file:
//!
//! | key | where | what |
//! |---|---|---|
//! | `params` | file | what genesis would give the plugin; `{}` if missing |
//! | `refused` | file | the words with which the plugin refuses these params; then there are no cases |
//! | `name` | `[[case]]` | what the case shows |
//! | `tx` or `tx_hex` | `[[case]]` | the transaction |
//! | `verdict` | `[[case]]` | `unchanged`, `replaced`, `rejected` or `faulted` |
//! | `code`, `message` | `[[case]]` | of `rejected` and `faulted`; the plugin's words, those about its panic if it faulted |
//! | `record` or `record_hex` | `[[case]]` | of `replaced` |
//! | `fuel` | `[[case]]` | what it took, exactly |
//!
//! Only what stands in a case is compared, and `verdict` has to.

use std::path::Path;

use anyhow::{Context, bail};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::judged::{End, Judged};
use super::shown;
use crate::plugin::CanonicalJson;

/// A golden file, read.
pub(super) struct Golden {
    pub(super) params: CanonicalJson,
    /// The words with which these params are refused, if they are.
    pub(super) refused: Option<String>,
    pub(super) cases: Vec<Case>,
}

/// One transaction, and what is expected of the plugin.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) tx: Bytes,
    expected: Expected,
}

/// What a file says, as it says it.
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
    verdict: Option<Verdict>,
    code: Option<u32>,
    message: Option<String>,
    record: Option<String>,
    record_hex: Option<String>,
    fuel: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Unchanged,
    Replaced,
    Rejected,
    Faulted,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Replaced => "replaced",
            Self::Rejected => "rejected",
            Self::Faulted => "faulted",
        }
    }
}

#[derive(Default)]
struct Expected {
    verdict: Option<Verdict>,
    code: Option<u32>,
    message: Option<String>,
    record: Option<Bytes>,
    fuel: Option<u64>,
}

/// What the plugin did, in the words of a golden file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) verdict: &'static str,
    pub(super) code: Option<u32>,
    pub(super) message: Option<String>,
    pub(super) record: Option<Bytes>,
    pub(super) fuel: u64,
}

/// Something that is not as the file says.
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
            toml::from_str(text).with_context(|| format!("{} is no golden file", path.display()))?;
        let place = || format!("in {}", path.display());
        if raw.refused.is_some() && !raw.cases.is_empty() {
            bail!(
                "{}: params that are refused leave nothing to judge; move the cases to another file",
                place()
            );
        }
        if raw.refused.is_none() && raw.cases.is_empty() {
            bail!("{}: there is neither a [[case]] nor `refused`", place());
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
        let tx = either(tx, tx_hex, "tx")?.context("it has neither tx nor tx_hex")?;
        if tx.is_empty() {
            bail!("its transaction is empty, and no plugin is ever asked about an empty one");
        }
        let record = either(record, record_hex, "record")?;
        Ok(Self { name, tx, expected: Expected { verdict, code, message, record, fuel } })
    }

    /// Whether it says enough to be compared with anything.
    pub(super) fn has_verdict(&self) -> bool {
        self.expected.verdict.is_some()
    }

    /// What is not as the file says.
    pub(super) fn differences(&self, found: &Answer) -> Vec<Difference> {
        let Expected { verdict, code, message, record, fuel } = &self.expected;
        let text = |text: &String| format!("{text:?}");
        let lines = [
            verdict
                .map(|verdict| Difference::of("verdict", verdict.word(), Some(found.verdict), str::to_owned)),
            code.map(|code| Difference::of("code", &code, found.code.as_ref(), u32::to_string)),
            message.as_ref().map(|message| Difference::of("message", message, found.message.as_ref(), text)),
            record.as_ref().map(|record| {
                Difference::of("record", record, found.record.as_ref(), |record| shown(record))
            }),
            fuel.map(|fuel| Difference::of("fuel", &fuel, Some(&found.fuel), u64::to_string)),
        ];
        lines.into_iter().flatten().flatten().collect()
    }

    /// Whether the file says all there is to say, and that right.
    pub(super) fn is_complete(&self, found: &Answer) -> bool {
        let Expected { verdict, code, message, record, fuel } = &self.expected;
        verdict.map(Verdict::word) == Some(found.verdict)
            && *code == found.code
            && *message == found.message
            && *record == found.record
            && *fuel == Some(found.fuel)
    }
}

impl Difference {
    fn of<T: PartialEq + ?Sized>(
        what: &'static str,
        expected: &T,
        found: Option<&T>,
        text: impl Fn(&T) -> String,
    ) -> Option<Self> {
        let differs = found.is_none_or(|found| found != expected);
        let found = found.map_or_else(|| "none".to_owned(), &text);
        differs.then(|| Self { what, expected: text(expected), found })
    }
}

impl Answer {
    /// What the only plugin of a pipeline did; `None` if it was not asked.
    pub(super) fn of(judged: &Judged) -> Option<Self> {
        let said = |message: &String| (!message.is_empty()).then(|| message.clone());
        let (verdict, code, message, record) = match &judged.end {
            End::Unchanged => ("unchanged", None, None, None),
            End::Replaced(record) => ("replaced", None, None, Some(record.clone())),
            End::Rejected { code, message, .. } => {
                ("rejected", Some(u32::from(*code)), Some(message.clone()), None)
            }
            End::Faulted { fault, message, .. } => ("faulted", Some(fault.code()), said(message), None),
            End::Refused { .. } => return None,
        };
        Some(Self { verdict, code, message, record, fuel: judged.fuel() })
    }
}

/// Bytes that are given as text or as hexadecimal digits.
fn either(text: Option<String>, digits: Option<String>, what: &str) -> anyhow::Result<Option<Bytes>> {
    match (text, digits) {
        (Some(_), Some(_)) => bail!("it has both {what} and {what}_hex"),
        (Some(text), None) => Ok(Some(text.into())),
        (None, Some(digits)) => {
            let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
            let bytes =
                bytes.with_context(|| format!("{what}_hex is not made of pairs of hexadecimal digits"))?;
            Ok(Some(bytes.into()))
        }
        (None, None) => Ok(None),
    }
}

/// Params as genesis would have them.
fn json(value: toml::Value) -> anyhow::Result<Value> {
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(date) => {
            bail!("params hold the date {date}, and JSON knows none; write it as a string")
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

    fn answer() -> Answer {
        Answer { verdict: "rejected", code: Some(3), message: Some("no".to_owned()), record: None, fuel: 7 }
    }

    fn case(text: &str) -> Case {
        parse(&format!("[[case]]\nname = \"x\"\ntx = \"a\"\n{text}")).unwrap().cases.remove(0)
    }

    #[test]
    fn only_what_stands_in_a_case_is_compared() {
        assert!(case("verdict = \"rejected\"").differences(&answer()).is_empty());
        let all = "verdict = \"rejected\"\ncode = 3\nmessage = \"no\"\nfuel = 7";
        assert!(case(all).differences(&answer()).is_empty() && case(all).is_complete(&answer()));
        let found = case("verdict = \"unchanged\"\ncode = 4\nmessage = \"yes\"\nrecord = \"\"\nfuel = 8")
            .differences(&answer());
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
        let found =
            Answer { verdict: "replaced", code: None, message: None, record: Some(record.into()), fuel: 1 };
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
            ("", "there is neither a [[case]] nor `refused`"),
            ("refused = \"x\"\n[[case]]\nname = \"n\"\ntx = \"a\"", "leave nothing to judge"),
            ("[[case]]\nname = \"n\"", "case \"n\" in x.toml: it has neither tx nor tx_hex"),
            ("[[case]]\nname = \"n\"\ntx = \"\"", "its transaction is empty"),
            ("[[case]]\nname = \"n\"\ntx = \"a\"\ntx_hex = \"00\"", "it has both tx and tx_hex"),
            ("[[case]]\nname = \"n\"\ntx_hex = \"0\"", "tx_hex is not made of pairs"),
            ("[[case]]\nname = \"n\"\ntx = \"a\"\nverdikt = \"x\"", "unknown field `verdikt`"),
            ("[[case]]\nname = \"n\"\ntx = \"a\"\nverdict = \"ok\"", "unknown variant `ok`"),
            ("refused = \"x\"\nparams = { a = 2026-01-01 }", "params hold the date 2026-01-01"),
        ] {
            let said = format!("{:#}", parse(text).err().unwrap());
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
