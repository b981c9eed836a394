//! The report of a replay: counts, and the first differences.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::render::{self, as_record};
use super::{shown, table};
use crate::app::{Examined, Refusal};
use crate::plugin::{HashedTx, Outcome, Pipeline, PluginSpec};
use crate::printable;
use crate::types::TxHash;

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
    fn between(before: &Result<Option<Bytes>, Refusal>, after: &Result<Bytes, Refusal>) -> Self {
        match (before, after) {
            (Ok(Some(before)), Ok(after)) if before == after => Self::None,
            (Ok(_), Ok(_)) => Self::OtherRecord,
            (Ok(_), Err(_)) => Self::NewlyRejected,
            (Err(_), Ok(_)) => Self::NewlyAccepted,
            (Err(before), Err(after))
                if (before.code, &before.codespace) == (after.code, &after.codespace) =>
            {
                Self::None
            }
            (Err(_), Err(_)) => Self::OtherRejection,
        }
    }
}

/// Counts, and the first differences between what was committed and what a candidate pipeline makes of it.
pub(super) struct Report {
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

impl Report {
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

    /// Adds one transaction: its height, its position in the block, the committed record (`None` if it need not be
    /// compared) or refusal, and the candidate's outcome.
    pub(super) fn add(
        &mut self,
        (height, position): (u64, u64),
        tx: &Bytes,
        before: &Result<Option<Bytes>, Refusal>,
        outcome: &Result<Outcome, Refusal>,
    ) {
        let after = match outcome {
            Ok(outcome) => Examined::of(&HashedTx::of(tx), outcome).record,
            Err(refusal) => Err(refusal.clone()),
        };
        self.transactions += 1;
        self.accepted_before += u64::from(before.is_ok());
        self.accepted_after += u64::from(after.is_ok());
        let change = Change::between(before, &after);
        match (change, &after) {
            (Change::None, _) => self.same += 1,
            (Change::OtherRecord, _) => self.other_record += 1,
            (Change::NewlyAccepted, _) => self.newly_accepted += 1,
            (Change::NewlyRejected, Err(refusal)) => {
                let by = (refusal.codespace.clone(), refusal.code);
                *self.newly_rejected.entry(by).or_default() += 1;
            }
            (Change::NewlyRejected | Change::OtherRejection, _) => self.other_rejection += 1,
        }
        if change != Change::None && self.shown.len() < self.shown_max {
            let text = format!(
                "height {height}, transaction {position}: {}\n  committed  {}\n  candidate  {}",
                shown(tx),
                committed_text(before),
                candidate_text(outcome, &after)
            );
            let json = json!({
                "height": height,
                "position": position,
                "hash": TxHash::of(tx).to_string(),
                "tx_hex": data_encoding::HEXLOWER.encode(tx),
                "committed": committed_json(before),
                "candidate": render::json(outcome, tx),
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
            ("same", self.same),
            ("different record", self.other_record),
            ("newly accepted", self.newly_accepted),
            ("different rejection", self.other_rejection),
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
            text.push_str(&format!("\n\nfirst {} of {} differences", self.shown.len(), self.different()));
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

fn committed_text(before: &Result<Option<Bytes>, Refusal>) -> String {
    match before {
        Ok(Some(record)) => accepted(record),
        Ok(None) => "accepted".to_owned(),
        Err(Refusal { code, codespace, message }) => {
            let (codespace, message) = (printable::line(codespace), printable::line(message));
            format!("rejected   by {codespace}, code {code}: {message}")
        }
    }
}

fn committed_json(before: &Result<Option<Bytes>, Refusal>) -> Value {
    match before {
        Ok(record) => {
            let hex = record.as_ref().map(|record| data_encoding::HEXLOWER.encode(record));
            json!({ "verdict": "accepted", "record_hex": hex })
        }
        Err(Refusal { code, codespace, message }) => {
            json!({ "verdict": "rejected", "codespace": codespace, "code": code, "message": message })
        }
    }
}

/// The record in full even where it is the transaction unchanged: it is compared with the committed one.
fn candidate_text(outcome: &Result<Outcome, Refusal>, record: &Result<Bytes, Refusal>) -> String {
    match record {
        Ok(record) => accepted(record),
        Err(_) => render::line(outcome, true),
    }
}

fn accepted(record: &[u8]) -> String {
    format!("accepted   {}", as_record(record))
}
