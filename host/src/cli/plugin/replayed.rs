//! What a replay found: counts, and the first differences.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::judged::End;
use super::{shown, table};
use crate::app::{CODESPACE, Code};
use crate::plugin::{Pipeline, PluginSpec};
use crate::printable;
use crate::types::TxHash;

/// What became of a transaction on the node.
pub(super) enum Before {
    /// It has a record; which one is known where it matters.
    Accepted { record: Option<Bytes> },
    /// It has none.
    Rejected { code: u32, codespace: String, log: String },
}

/// What would become of it.
pub(super) enum After {
    /// It would have this record.
    Accepted(Bytes),
    /// It would have none.
    Rejected(End),
}

/// What changes for one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    None,
    OtherRecord,
    NewlyRejected,
    NewlyAccepted,
    OtherRejection,
}

impl Change {
    fn between(before: &Before, after: &After) -> Self {
        match (before, after) {
            (Before::Accepted { record: Some(before) }, After::Accepted(after)) if before == after => {
                Self::None
            }
            (Before::Accepted { .. }, After::Accepted(_)) => Self::OtherRecord,
            (Before::Accepted { .. }, After::Rejected(_)) => Self::NewlyRejected,
            (Before::Rejected { .. }, After::Accepted(_)) => Self::NewlyAccepted,
            (Before::Rejected { code, codespace, .. }, After::Rejected(end)) => {
                if (codespace.as_str(), *code) == (by(end).0.as_str(), by(end).1) {
                    Self::None
                } else {
                    Self::OtherRejection
                }
            }
        }
    }
}

/// Who rejects and with which code, as a result of a transaction says it.
fn by(end: &End) -> (String, u32) {
    match end {
        End::Rejected { plugin, code, .. } => (format!("plugin/{plugin}"), u32::from(*code)),
        End::Faulted { plugin, fault, .. } => (format!("plugin/{plugin}"), fault.code()),
        End::Refused { bytes: 0, .. } => (CODESPACE.to_owned(), Code::EmptyTx.value()),
        End::Refused { .. } => (CODESPACE.to_owned(), Code::TxTooLarge.value()),
        End::Unchanged | End::Replaced(_) => (String::new(), 0),
    }
}

/// A whole replay.
pub(super) struct Replayed {
    /// The candidate's.
    plugins: Vec<PluginSpec>,
    heights: (u64, u64),
    transactions: u64,
    accepted_before: u64,
    accepted_after: u64,
    same: u64,
    other_record: u64,
    newly_accepted: u64,
    other_rejection: u64,
    newly_rejected: BTreeMap<(String, u32), u64>,
    shown_max: usize,
    shown: Vec<Shown>,
}

/// One of the first differences.
struct Shown {
    text: String,
    json: Value,
}

impl Replayed {
    pub(super) fn new(candidate: &Pipeline, heights: (u64, u64), shown_max: usize) -> Self {
        Self {
            plugins: candidate.spec().plugins.clone(),
            heights,
            transactions: 0,
            accepted_before: 0,
            accepted_after: 0,
            same: 0,
            other_record: 0,
            newly_accepted: 0,
            other_rejection: 0,
            newly_rejected: BTreeMap::new(),
            shown_max,
            shown: Vec::new(),
        }
    }

    /// Takes one transaction in, with its height and its position in the block.
    pub(super) fn add(&mut self, (height, position): (u64, u64), tx: &Bytes, before: &Before, after: &After) {
        self.transactions += 1;
        self.accepted_before += u64::from(matches!(before, Before::Accepted { .. }));
        self.accepted_after += u64::from(matches!(after, After::Accepted(_)));
        let change = Change::between(before, after);
        match (change, after) {
            (Change::None, _) => self.same += 1,
            (Change::OtherRecord, _) => self.other_record += 1,
            (Change::NewlyAccepted, _) => self.newly_accepted += 1,
            (Change::NewlyRejected, After::Rejected(end)) => {
                *self.newly_rejected.entry(by(end)).or_default() += 1;
            }
            (Change::NewlyRejected | Change::OtherRejection, _) => self.other_rejection += 1,
        }
        if change != Change::None && self.shown.len() < self.shown_max {
            let text = format!(
                "height {height}, transaction {position}: {}\n  committed  {}\n  candidate  {}",
                shown(tx),
                before.text(),
                after.text()
            );
            let json = json!({
                "height": height,
                "position": position,
                "hash": TxHash::of(tx).to_string(),
                "tx_hex": data_encoding::HEXLOWER.encode(tx),
                "committed": before.json(),
                "candidate": after.json(),
            });
            self.shown.push(Shown { text, json });
        }
    }

    fn different(&self) -> u64 {
        self.transactions - self.same
    }

    fn newly_rejected(&self) -> u64 {
        self.newly_rejected.values().sum()
    }

    /// The candidate's plugins, each with its params: they decide as much as its code does.
    fn candidate(&self) -> String {
        let plugins = self.plugins.iter();
        let plugins: Vec<String> = plugins
            .map(|plugin| format!("{} {}", plugin.name, printable::line(plugin.params.as_str())))
            .collect();
        if plugins.is_empty() { "no plugin".to_owned() } else { plugins.join(", ") }
    }

    pub(super) fn text(&self) -> String {
        let (first, last) = self.heights;
        let (before, after) = (self.accepted_before, self.accepted_after);
        let row = |cells: [&dyn std::fmt::Display; 3]| cells.map(ToString::to_string).to_vec();
        let counts = table(&[
            row([&"", &"committed", &"candidate"]),
            row([&"accepted", &before, &after]),
            row([&"rejected", &(self.transactions - before), &(self.transactions - after)]),
        ]);
        let mut changes = vec![
            ("the same", self.same),
            ("another record", self.other_record),
            ("newly accepted", self.newly_accepted),
            ("another rejection", self.other_rejection),
            ("newly rejected", self.newly_rejected()),
        ]
        .into_iter()
        .map(|(what, count)| row([&what, &count, &""]))
        .collect::<Vec<_>>();
        changes.extend(
            self.newly_rejected
                .iter()
                .map(|((by, code), count)| row([&format!("  {by}, code {code}"), count, &""])),
        );
        let mut text = format!(
            "{} transactions of the heights {first} to {last}, through {}\n\n{counts}\n\n{}",
            self.transactions,
            self.candidate(),
            table(&changes)
        );
        if !self.shown.is_empty() {
            text.push_str(&format!("\n\nthe first {} of {} differences", self.shown.len(), self.different()));
        }
        for one in &self.shown {
            text.push_str("\n\n");
            text.push_str(&one.text);
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let rejected = self
            .newly_rejected
            .iter()
            .map(|((by, code), count)| json!({ "codespace": by, "code": code, "count": count }));
        let plugins = self.plugins.iter().map(|plugin| {
            let params = plugin.params.value();
            json!({ "name": plugin.name, "sha256": plugin.sha256.to_string(), "params": params })
        });
        json!({
            "from": self.heights.0,
            "to": self.heights.1,
            "candidate": plugins.collect::<Vec<_>>(),
            "transactions": self.transactions,
            "accepted": { "committed": self.accepted_before, "candidate": self.accepted_after },
            "same": self.same,
            "other_record": self.other_record,
            "newly_accepted": self.newly_accepted,
            "other_rejection": self.other_rejection,
            "newly_rejected": rejected.collect::<Vec<_>>(),
            "differences": self.shown.iter().map(|one| &one.json).collect::<Vec<_>>(),
        })
    }
}

impl Before {
    fn text(&self) -> String {
        match self {
            Self::Accepted { record: Some(record) } => accepted(record),
            Self::Accepted { record: None } => "accepted".to_owned(),
            Self::Rejected { code, codespace, log } => {
                format!("rejected   by {}, code {code}: {}", printable::line(codespace), printable::line(log))
            }
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Accepted { record } => {
                let hex = record.as_ref().map(|record| data_encoding::HEXLOWER.encode(record));
                json!({ "verdict": "accepted", "record_hex": hex })
            }
            Self::Rejected { code, codespace, log } => {
                json!({ "verdict": "rejected", "codespace": codespace, "code": code, "message": log })
            }
        }
    }
}

impl After {
    fn text(&self) -> String {
        match self {
            Self::Accepted(record) => accepted(record),
            Self::Rejected(end) => end.line(true),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Accepted(record) => End::Replaced(record.clone()).json(record),
            Self::Rejected(end) => end.json(&[]),
        }
    }
}

fn accepted(record: &[u8]) -> String {
    format!("accepted   as {} bytes: {}", record.len(), shown(record))
}
