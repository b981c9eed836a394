//! Judges a history: is there one sequence that explains every answer?
//!
//! The sequence that the nodes hold after the run is that explanation, or there is none. The rules:
//!
//! 1. All nodes hold the same well-formed sequence, made of submitted transactions and of nothing else.
//! 2. Who was told "committed" has the receipt of the earliest record of these bytes, as it is after the run.
//! 3. What was rejected, or certainly not taken, is not in the sequence.
//! 4. Real time: what anybody had seen of the sequence when a transaction was first submitted comes before it.
//! 5. Every reader has a slice of the sequence, without a gap or a repeat.
//! 6. A node that has shown a length, a record or a receipt never shows less, also after restarts.
//! 7. `duplicate` is said if the node had acknowledged the same bytes before, and only if somebody else submitted them.
//! 8. Afterwards every node tells what became of each transaction as the sequence has it.
//!
//! Rules 2 and 4 together are the linearizability of appending: each acknowledged append takes effect at one place, between
//! its invocation and its completion.

use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::time::Duration;

use bytes::Bytes;
use dseq::types::{RecordHash, TxHash};
use dseq_client::{Known, Receipt, Record};

use super::history::{Final, History, LookUp, Outcome, Read, Span, Submission};

/// A history that no sequence explains.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) rule: &'static str,
    /// The operations involved.
    pub(crate) what: String,
}

impl Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.rule, self.what)
    }
}

type Checked = Result<(), Violation>;

fn violation(rule: &'static str, what: impl Into<String>) -> Checked {
    Err(Violation { rule, what: what.into() })
}

/// That the sequence was at least so long when an operation was completed.
struct Seen<'a> {
    length: u64,
    span: Span,
    by: &'a dyn Display,
}

struct Checker<'a> {
    history: &'a History,
    bytes: &'a [u8],
    records: &'a [Record],
    /// Where the records of a transaction are, in order.
    places: BTreeMap<TxHash, Vec<Receipt>>,
    submissions: BTreeMap<TxHash, Vec<&'a Submission>>,
    /// In the order of completion.
    seen: Vec<Seen<'a>>,
}

/// Judges a history.
///
/// # Errors
///
/// The first violation.
pub(crate) fn check(history: &History) -> Checked {
    nodes_hold_one_sequence(history)?;
    let checker = Checker::new(history);
    checker.records_were_submitted()?;
    checker.acknowledged_are_there()?;
    checker.refused_are_not_there()?;
    checker.order_respects_real_time()?;
    checker.readers_have_slices()?;
    checker.nodes_never_show_less()?;
    checker.look_ups_are_right()?;
    checker.duplicates_are_told()?;
    checker.outcomes_are_resolved()
}

fn nodes_hold_one_sequence(history: &History) -> Checked {
    let Some(first) = history.finals.first() else {
        return violation("there is a node", "the history has no final state");
    };
    for (node, held) in history.finals.iter().enumerate() {
        well_formed(node, held)?;
        let rule = "all nodes hold the same sequence";
        if held.bytes != first.bytes {
            let differs = held.bytes.iter().zip(&first.bytes).position(|(one, other)| one != other);
            let (len, of_first) = (held.bytes.len(), first.bytes.len());
            let what =
                format!("node{node} has {len} bytes, node0 {of_first}; the first to differ: {differs:?}");
            return violation(rule, what);
        }
        if let Some((one, other)) = held.records.iter().zip(&first.records).find(|(one, other)| one != other)
        {
            return violation(rule, format!("node{node} has {one:?}\nnode0 has {other:?}"));
        }
    }
    Ok(())
}

fn well_formed(node: usize, held: &Final) -> Checked {
    let rule = "a sequence is its records, one after the other";
    let (mut offset, mut height) = (0, 0);
    for (index, record) in (0..).zip(&held.records) {
        let Record { receipt, bytes } = record;
        let is_right = (receipt.index, receipt.offset, receipt.length) == (index, offset, bytes.len() as u64)
            && receipt.height >= height
            && receipt.blake3 == RecordHash::of(bytes)
            && slice(&held.bytes, receipt.offset, bytes.len()) == Some(&bytes[..]);
        if !is_right {
            return violation(rule, format!("node{node}, record {index}, offset {offset}: {record:?}"));
        }
        (offset, height) = (receipt.end(), receipt.height);
    }
    if offset != held.bytes.len() as u64 {
        let len = held.bytes.len();
        return violation(rule, format!("node{node} has {len} bytes, and records up to {offset}"));
    }
    Ok(())
}

/// The part of a sequence, if it has so many bytes.
fn slice(bytes: &[u8], from: u64, len: usize) -> Option<&[u8]> {
    let from = usize::try_from(from).ok()?;
    bytes.get(from..from.checked_add(len)?)
}

impl<'a> Checker<'a> {
    fn new(history: &'a History) -> Self {
        let held = &history.finals[0];
        let mut places: BTreeMap<TxHash, Vec<Receipt>> = BTreeMap::new();
        for record in &held.records {
            places.entry(record.receipt.tx_hash).or_default().push(record.receipt);
        }
        let mut submissions: BTreeMap<TxHash, Vec<&Submission>> = BTreeMap::new();
        for submission in &history.submissions {
            submissions.entry(submission.tx_hash).or_default().push(submission);
        }
        let (bytes, records) = (&held.bytes[..], &held.records[..]);
        Self { history, bytes, records, places, submissions, seen: seen(history) }
    }

    fn places(&self, tx_hash: TxHash) -> &[Receipt] {
        self.places.get(&tx_hash).map_or(&[], Vec::as_slice)
    }

    fn records_were_submitted(&self) -> Checked {
        for Record { receipt, bytes } in self.records {
            let of = self.submissions.get(&receipt.tx_hash);
            let Some(of) = of else {
                return violation("every record was submitted", format!("nobody submitted {receipt:?}"));
            };
            let expected = self.history.expected.get(&receipt.tx_hash).and_then(Option::as_ref);
            if expected != Some(bytes) {
                let what = format!("{}\n{receipt:?} has {bytes:?}, not {expected:?}", list(of));
                return violation("a record is what the rules make of its transaction", what);
            }
        }
        Ok(())
    }

    fn acknowledged_are_there(&self) -> Checked {
        for submission in &self.history.submissions {
            let Outcome::Committed { receipt, .. } = &submission.outcome else { continue };
            let places = self.places(submission.tx_hash);
            if !places.contains(receipt) {
                let what = format!("{submission}\nthe nodes have {places:?}");
                return violation("an acknowledged record is where its receipt says", what);
            }
            if places.first() != Some(receipt) {
                let what = format!("{submission}\nthe nodes have {places:?}");
                return violation("the receipt is of the earliest record of these bytes", what);
            }
        }
        Ok(())
    }

    fn refused_are_not_there(&self) -> Checked {
        for (tx_hash, of) in &self.submissions {
            let Some(place) = self.places(*tx_hash).first() else { continue };
            if of.iter().any(|submission| matches!(submission.outcome, Outcome::Rejected)) {
                let what = format!("{}\nit is at {place:?}", list(of));
                return violation("a rejected transaction is not in the sequence", what);
            }
            if of.iter().all(|submission| matches!(submission.outcome, Outcome::Failed(_))) {
                let what = format!("{}\nit is at {place:?}", list(of));
                return violation("a transaction that no node took is not in the sequence", what);
            }
        }
        let is_refused = |look_up: &&LookUp| matches!(look_up.known, Known::Rejected(_));
        let mut refused = self.history.look_ups.iter().filter(is_refused);
        match refused.find(|look_up| !self.places(look_up.tx_hash).is_empty()) {
            Some(look_up) => violation(
                "a rejected transaction is not in the sequence",
                format!("{look_up}\nit is at {:?}", self.places(look_up.tx_hash)),
            ),
            None => Ok(()),
        }
    }

    fn order_respects_real_time(&self) -> Checked {
        let mut first_submitted: Vec<(&Submission, Receipt)> = Vec::new();
        for (tx_hash, of) in &self.submissions {
            let first = of.iter().min_by_key(|submission| submission.span.invoked);
            first_submitted.extend(first.copied().zip(self.places(*tx_hash).first().copied()));
        }
        first_submitted.sort_by_key(|(submission, _)| submission.span.invoked);
        let (mut seen, mut longest) = (self.seen.iter().peekable(), None::<&Seen<'_>>);
        for (submission, place) in first_submitted {
            while let Some(one) = seen.next_if(|one| one.span.completed < submission.span.invoked) {
                if longest.is_none_or(|longest| longest.length < one.length) {
                    longest = Some(one);
                }
            }
            if let Some(longest) = longest.filter(|longest| longest.length > place.offset) {
                let what = format!("{}\n{submission}\nit is at {place:?}", longest.by);
                return violation("what was there before a submission comes before its record", what);
            }
        }
        Ok(())
    }

    fn readers_have_slices(&self) -> Checked {
        let followed = &self.history.followed;
        for read in self.history.reads.iter().chain(followed.iter().flat_map(|reader| &reader.chunks)) {
            if slice(self.bytes, read.from, read.bytes.len()) != Some(&read.bytes[..]) {
                return violation("what is read is a slice of the sequence", self.difference(read));
            }
        }
        let rule = "a reader has each byte once, in order";
        for reader in followed {
            let mut next = reader.from;
            for chunk in &reader.chunks {
                if chunk.from != next {
                    return violation(rule, format!("{chunk}\n{next} was to come next"));
                }
                next += chunk.bytes.len() as u64;
            }
        }
        let rule = "a reader has each record once, in order";
        for reader in &self.history.followed_records {
            for (index, read) in (reader.from..).zip(&reader.records) {
                if read.record.receipt.index != index {
                    return violation(rule, format!("{read}\nrecord {index} was to come next"));
                }
                let held = usize::try_from(index).ok().and_then(|index| self.records.get(index));
                if held != Some(&read.record) {
                    let what = format!("{read}\nthe nodes have {held:?}");
                    return violation("a record that is read is in the sequence", what);
                }
            }
        }
        Ok(())
    }

    fn difference(&self, read: &Read) -> String {
        let at = |n: usize| slice(self.bytes, read.from + n as u64, 1).map(|byte| byte[0]);
        let differs = read.bytes.iter().enumerate().find(|(n, byte)| at(*n) != Some(**byte));
        match differs {
            Some((n, byte)) => {
                let offset = read.from + n as u64;
                format!("{read}\nat {offset} it has {byte:#04x}, the nodes have {:02x?}", at(n))
            }
            None => read.to_string(),
        }
    }

    fn nodes_never_show_less(&self) -> Checked {
        let rule = "a node's sequence never becomes shorter";
        let mut longest: BTreeMap<usize, &Seen<'_>> = BTreeMap::new();
        let mut lengths: Vec<_> = self.history.lengths.iter().collect();
        lengths.sort_by_key(|length| length.span.invoked);
        let mut seen = self.seen.iter().peekable();
        for shown in lengths {
            self.advance(&mut seen, shown.span.invoked, &mut longest);
            let before = shown.span.node.and_then(|node| longest.get(&node));
            if let Some(before) = before.filter(|before| before.length > shown.length) {
                return violation(rule, format!("{}\n{shown}", before.by));
            }
        }
        Ok(())
    }

    /// Takes what was seen before a moment into the longest by node.
    fn advance<'b>(
        &self,
        seen: &mut std::iter::Peekable<std::slice::Iter<'b, Seen<'a>>>,
        before: Duration,
        longest: &mut BTreeMap<usize, &'b Seen<'a>>,
    ) {
        while let Some(one) = seen.next_if(|one| one.span.completed < before) {
            let Some(node) = one.span.node else { continue };
            let known = longest.entry(node).or_insert(one);
            if known.length < one.length {
                *known = one;
            }
        }
    }

    fn look_ups_are_right(&self) -> Checked {
        for look_up in &self.history.look_ups {
            let (tx_hash, known) = (look_up.tx_hash, receipts(look_up));
            let places = self.places(tx_hash);
            if !places.starts_with(known) {
                let what = format!("{look_up}\nthe nodes have {places:?}");
                return violation("a receipt never changes", what);
            }
            let of = self.submissions.get(&tx_hash).map_or(&[][..], Vec::as_slice);
            let told = |submission: &&&Submission| has_told(submission, look_up.span);
            if let Some(before) = of.iter().find(told).filter(|_| known.is_empty()) {
                let what = format!("{before}\n{look_up}");
                return violation("a node that has acknowledged a transaction has its receipt", what);
            }
        }
        Ok(())
    }

    fn duplicates_are_told(&self) -> Checked {
        for of in self.submissions.values() {
            for submission in of {
                let Outcome::Committed { duplicate, .. } = submission.outcome else { continue };
                let is_other = |other: &&Submission| {
                    other.span.invoked < submission.span.completed && !std::ptr::eq(*other, *submission)
                };
                if duplicate == Some(true) && !of.iter().any(is_other) {
                    let what = submission.to_string();
                    return violation("`duplicate` is said of bytes that somebody else submitted", what);
                }
                let told = |other: &&&Submission| has_told(other, submission.span);
                if let Some(before) = of.iter().find(told).filter(|_| duplicate == Some(false)) {
                    let what = format!("{before}\n{submission}");
                    return violation("`duplicate` is said of bytes that the node had committed", what);
                }
            }
        }
        Ok(())
    }

    fn outcomes_are_resolved(&self) -> Checked {
        let rule = "afterwards every node tells what became of a transaction";
        for look_up in &self.history.resolved {
            let (known, places) = (receipts(look_up), self.places(look_up.tx_hash));
            if known != places {
                let of = self.submissions.get(&look_up.tx_hash).map(|of| list(of)).unwrap_or_default();
                return violation(rule, format!("{of}\n{look_up}\nthe nodes have {places:?}"));
            }
        }
        let resolved: std::collections::BTreeSet<TxHash> =
            self.history.resolved.iter().map(|look_up| look_up.tx_hash).collect();
        match self.submissions.iter().find(|(tx_hash, _)| !resolved.contains(tx_hash)) {
            Some((_, of)) => violation(rule, format!("{}\nno node was asked", list(of))),
            None => Ok(()),
        }
    }
}

/// Whether the node of an operation had acknowledged a transaction before the operation began.
fn has_told(submission: &Submission, span: Span) -> bool {
    span.node.is_some()
        && submission.span.node == span.node
        && submission.span.completed < span.invoked
        && matches!(submission.outcome, Outcome::Committed { .. })
}

fn receipts(look_up: &LookUp) -> &[Receipt] {
    if let Known::Committed { receipts } = &look_up.known { receipts } else { &[] }
}

fn list(of: &[&Submission]) -> String {
    of.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// All that shows how long the sequence was, in the order of completion.
fn seen(history: &History) -> Vec<Seen<'_>> {
    let mut seen: Vec<Seen<'_>> = Vec::new();
    for submission in &history.submissions {
        if let Outcome::Committed { receipt, .. } = &submission.outcome {
            seen.push(Seen { length: receipt.end(), span: submission.span, by: submission });
        }
    }
    let end = |from: u64, bytes: &Bytes| from + bytes.len() as u64;
    let reads = history.reads.iter().chain(history.followed.iter().flat_map(|reader| &reader.chunks));
    seen.extend(reads.map(|read| Seen { length: end(read.from, &read.bytes), span: read.span, by: read }));
    let of_length = history.lengths.iter();
    seen.extend(of_length.map(|shown| Seen { length: shown.length, span: shown.span, by: shown }));
    let records = history.followed_records.iter().flat_map(|reader| &reader.records);
    seen.extend(records.map(|read| Seen { length: read.record.receipt.end(), span: read.span, by: read }));
    for look_up in &history.look_ups {
        let length = receipts(look_up).last().map(Receipt::end);
        seen.extend(length.map(|length| Seen { length, span: look_up.span, by: look_up }));
    }
    seen.sort_by_key(|seen| seen.span.completed);
    seen
}
