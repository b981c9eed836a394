//! Histories by hand: a good one, and for each rule at least one that breaks it.

use std::time::Duration;

use bytes::Bytes;
use dseq::types::{RecordHash, TxHash};
use dseq_client::{Known, Receipt, Record, Rejection};

use super::check::check;
use super::history::{
    Final, Followed, FollowedRecords, History, Length, LookUp, Outcome, Read, ReadRecord, Span, Submission,
};

/// At a node, from a second to another one.
fn at(node: usize, invoked: u64, completed: u64) -> Span {
    let seconds = Duration::from_secs;
    Span { client: 7, node: Some(node), invoked: seconds(invoked), completed: seconds(completed) }
}

fn record(index: u64, offset: u64, height: u64, text: &'static str) -> Record {
    let (tx_hash, blake3) = (TxHash::of(text.as_bytes()), RecordHash::of(text.as_bytes()));
    let receipt = Receipt { index, offset, length: text.len() as u64, height, tx_hash, blake3 };
    Record { receipt, bytes: Bytes::from_static(text.as_bytes()) }
}

fn committed(record: &Record, duplicate: Option<bool>) -> Outcome {
    Outcome::Committed { receipt: record.receipt, duplicate }
}

fn submit(history: &mut History, text: &'static str, span: Span, outcome: Outcome) {
    let tx_hash = TxHash::of(text.as_bytes());
    history.expected.entry(tx_hash).or_insert(Some(Bytes::from_static(text.as_bytes())));
    history.submissions.push(Submission { span, tx_hash, outcome });
    if history.resolved.iter().all(|look_up| look_up.tx_hash != tx_hash) {
        let held = history.finals[0].records.iter().map(|record| record.receipt);
        let receipts: Vec<Receipt> = held.filter(|receipt| receipt.tx_hash == tx_hash).collect();
        let known = if receipts.is_empty() { Known::Unknown } else { Known::Committed { receipts } };
        history.resolved.push(LookUp { span: at(0, 900, 901), tx_hash, known });
    }
}

fn records() -> [Record; 4] {
    [record(0, 0, 2, "one"), record(1, 3, 2, "two!"), record(2, 7, 3, "three"), record(3, 12, 5, "two!")]
}

/// Two nodes, three transactions that are committed (one of them twice), one of each other outcome, and readers.
fn good() -> History {
    let records = records();
    let bytes = Bytes::from_static(b"onetwo!threetwo!");
    let held = Final { bytes: bytes.clone(), records: records.to_vec() };
    let mut history = History { finals: vec![held.clone(), held], ..History::default() };
    submit(&mut history, "one", at(0, 1, 4), committed(&records[0], Some(false)));
    submit(&mut history, "two!", at(0, 2, 5), committed(&records[1], Some(false)));
    submit(&mut history, "two!", at(1, 3, 6), committed(&records[1], None));
    submit(&mut history, "two!", at(0, 20, 21), committed(&records[1], Some(true)));
    submit(&mut history, "three", at(1, 7, 9), Outcome::Unknown);
    submit(&mut history, "lost", at(1, 7, 9), Outcome::Pending);
    submit(&mut history, "bad", at(1, 7, 9), Outcome::Rejected);
    submit(&mut history, "failed", at(1, 7, 9), Outcome::Failed("mempool-full".to_owned()));
    let read = |span, from: usize, to| Read { span, from: from as u64, bytes: bytes.slice(from..to) };
    history.reads = vec![read(at(0, 6, 7), 1, 7), read(at(1, 10, 11), 0, 12), read(at(1, 10, 12), 16, 16)];
    history.lengths =
        vec![Length { span: at(0, 6, 7), length: 7 }, Length { span: at(1, 20, 21), length: 16 }];
    let chunks = vec![read(at(0, 5, 5), 1, 7), read(at(1, 12, 12), 7, 12), read(at(0, 13, 13), 12, 16)];
    history.followed = vec![Followed { from: 1, chunks }];
    let of = |record: &Record| ReadRecord { span: at(0, 14, 15), record: record.clone() };
    history.followed_records =
        vec![FollowedRecords { from: 1, records: records[1..].iter().map(of).collect() }];
    let known = Known::Committed { receipts: vec![records[1].receipt] };
    history.look_ups = vec![LookUp { span: at(0, 6, 7), tx_hash: records[1].receipt.tx_hash, known }];
    history
}

/// That a good history is none any more after this change, by the rule that is named.
fn breaks(rule: &str, change: impl FnOnce(&mut History)) {
    let mut history = good();
    check(&history).unwrap_or_else(|violation| panic!("{violation}"));
    change(&mut history);
    let found = check(&history).expect_err(rule);
    assert_eq!(found.rule, rule, "{found}");
}

fn receipt_of(submission: &mut Submission) -> &mut Receipt {
    let Outcome::Committed { receipt, .. } = &mut submission.outcome else { panic!("it has no receipt") };
    receipt
}

#[test]
fn nodes_that_differ_are_seen() {
    breaks("there is a node", |history| history.finals.clear());
    let rule = "all nodes hold the same sequence";
    breaks(rule, |history| history.finals[1] = Final::default());
    breaks(rule, |history| {
        let held = &mut history.finals[1];
        held.bytes = held.bytes.slice(..12);
        held.records.pop();
    });
    breaks(rule, |history| history.finals[1].records[3].receipt.height += 1);
    breaks(rule, |history| history.finals[1].records[3].receipt.tx_hash = TxHash::of(b"other"));
}

#[test]
fn a_sequence_that_is_not_its_records_is_seen() {
    let rule = "a sequence is its records, one after the other";
    breaks(rule, |history| history.finals[1].bytes = Bytes::from_static(b"onetwo!thr3etwo!"));
    breaks(rule, |history| history.finals[1].bytes = Bytes::from_static(b"onetwo!threetwo!!"));
    breaks(rule, |history| _ = history.finals[0].records.pop());
    breaks(rule, |history| _ = history.finals[0].records.remove(1));
    breaks(rule, |history| history.finals[0].records[2].receipt.offset += 1);
    breaks(rule, |history| history.finals[0].records[2].receipt.blake3 = RecordHash::of(b"other"));
    breaks(rule, |history| history.finals[0].records[0].receipt.height = 9);
}

#[test]
fn records_from_nowhere_are_seen() {
    breaks("every record was submitted", |history| {
        history.submissions.retain(|submission| submission.tx_hash != TxHash::of(b"three"));
    });
    breaks("a record is what the rules make of its transaction", |history| {
        history.expected.insert(TxHash::of(b"three"), Some(Bytes::from_static(b"four")));
    });
}

#[test]
fn acknowledged_records_that_are_lost_or_moved_are_seen() {
    let rule = "an acknowledged record is where its receipt says";
    breaks(rule, |history| {
        // Lost: the last record is gone on every node, and nobody had seen it but its submitter.
        submit(history, "late", at(0, 30, 31), committed(&record(4, 16, 6, "late"), Some(false)));
    });
    breaks(rule, |history| receipt_of(&mut history.submissions[0]).offset = 1);
    breaks(rule, |history| receipt_of(&mut history.submissions[0]).height = 3);
    breaks(rule, |history| receipt_of(&mut history.submissions[0]).index = 1);
    breaks("the receipt is of the earliest record of these bytes", |history| {
        *receipt_of(&mut history.submissions[3]) = records()[3].receipt;
    });
}

#[test]
fn refused_transactions_in_the_sequence_are_seen() {
    let rule = "a rejected transaction is not in the sequence";
    breaks(rule, |history| history.submissions[4].outcome = Outcome::Rejected);
    breaks(rule, |history| {
        let tx_hash = TxHash::of(b"three");
        let (plugin, codespace, detail) = (None, String::new(), String::new());
        let known = Known::Rejected(Rejection { tx_hash, plugin, codespace, code: 1, detail });
        history.look_ups.push(LookUp { span: at(0, 8, 9), tx_hash, known });
    });
    let failed = || Outcome::Failed("cannot connect".to_owned());
    breaks("a transaction that no node took is not in the sequence", |history| {
        history.submissions[4].outcome = failed();
    });
    // Another submission of the same bytes explains it.
    let mut history = good();
    history.submissions[4].outcome = failed();
    submit(&mut history, "three", at(0, 8, 10), Outcome::Unknown);
    check(&history).unwrap();
}

#[test]
fn an_order_against_real_time_is_seen() {
    let rule = "what was there before a submission comes before its record";
    // "one" is submitted after "two!" was acknowledged, and comes before it.
    breaks(rule, |history| history.submissions[0].span = at(1, 6, 8));
    // A reader had the bytes of "three" before it was submitted.
    breaks(rule, |history| history.submissions[4].span = at(1, 13, 14));
    // At the same time is in any order.
    let mut history = good();
    history.submissions[0].span = at(1, 5, 8);
    check(&history).unwrap();
}

#[test]
fn readers_with_other_bytes_gaps_or_repeats_are_seen() {
    let rule = "what is read is a slice of the sequence";
    breaks(rule, |history| history.reads[0].bytes = Bytes::from_static(b"netwo?"));
    breaks(rule, |history| history.reads[0].from = 11);
    breaks(rule, |history| history.followed[0].chunks[1].from += 1);
    let rule = "a reader has each byte once, in order";
    breaks(rule, |history| _ = history.followed[0].chunks.remove(1));
    breaks(rule, |history| {
        let twice = history.followed[0].chunks[1].clone();
        history.followed[0].chunks.insert(1, twice);
    });
    breaks(rule, |history| history.followed[0].from = 0);
    let rule = "a reader has each record once, in order";
    breaks(rule, |history| _ = history.followed_records[0].records.remove(1));
    breaks(rule, |history| {
        let twice = history.followed_records[0].records[1].clone();
        history.followed_records[0].records.insert(1, twice);
    });
    let rule = "a record that is read is in the sequence";
    breaks(rule, |history| history.followed_records[0].records[1].record.receipt.height = 4);
    breaks(rule, |history| {
        let beyond = ReadRecord { span: at(0, 14, 15), record: record(4, 16, 6, "more") };
        history.followed_records[0].records.push(beyond);
    });
}

#[test]
fn a_node_that_shows_less_than_before_is_seen() {
    let rule = "a node's sequence never becomes shorter";
    // After an acknowledgement, a read, a longer length and a record.
    breaks(rule, |history| history.lengths.push(Length { span: at(0, 6, 7), length: 6 }));
    breaks(rule, |history| history.lengths.push(Length { span: at(1, 13, 14), length: 11 }));
    breaks(rule, |history| history.lengths.push(Length { span: at(1, 22, 23), length: 12 }));
    breaks(rule, |history| history.lengths.push(Length { span: at(0, 16, 17), length: 12 }));
    // Another node may be behind, and what overlaps may be in any order.
    let mut history = good();
    history.lengths.push(Length { span: at(1, 6, 7), length: 0 });
    history.lengths.push(Length { span: at(0, 4, 6), length: 0 });
    check(&history).unwrap();
}

#[test]
fn receipts_that_change_or_vanish_are_seen() {
    let rule = "a receipt never changes";
    breaks(rule, |history| {
        let Known::Committed { receipts } = &mut history.look_ups[0].known else { panic!() };
        receipts[0].offset += 1;
    });
    breaks(rule, |history| {
        // The second place without the first.
        let Known::Committed { receipts } = &mut history.look_ups[0].known else { panic!() };
        receipts[0] = records()[3].receipt;
    });
    let rule = "a node that has acknowledged a transaction has its receipt";
    breaks(rule, |history| history.look_ups[0].known = Known::Unknown);
    breaks(rule, |history| history.look_ups[0].known = Known::Pending);
    // Another node need not have it yet.
    let mut history = good();
    history.look_ups[0].known = Known::Pending;
    history.look_ups[0].span = at(1, 6, 7);
    history.submissions[2].outcome = Outcome::Unknown;
    check(&history).unwrap();
}

#[test]
fn wrong_words_about_duplicates_are_seen() {
    breaks("`duplicate` is said of bytes that somebody else submitted", |history| {
        history.submissions[0].outcome = committed(&records()[0], Some(true));
    });
    breaks("`duplicate` is said of bytes that the node had committed", |history| {
        history.submissions[3].outcome = committed(&records()[1], Some(false));
    });
}

#[test]
fn outcomes_that_are_not_resolved_are_seen() {
    let rule = "afterwards every node tells what became of a transaction";
    for (tx, known) in [
        (TxHash::of(b"three"), Known::Unknown),
        (TxHash::of(b"three"), Known::Pending),
        (TxHash::of(b"two!"), Known::Committed { receipts: vec![records()[1].receipt] }),
        (TxHash::of(b"lost"), Known::Committed { receipts: vec![records()[2].receipt] }),
    ] {
        breaks(rule, |history| {
            let found = history.resolved.iter_mut().find(|look_up| look_up.tx_hash == tx);
            found.unwrap().known = known;
        });
    }
    breaks(rule, |history| history.resolved.retain(|look_up| look_up.tx_hash != TxHash::of(b"three")));
}
