//! Load tests against nodes that only play: each outcome is counted as what it is, and the verification sees each broken promise.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic, as its tests may")]

mod command;
mod fake;

use std::time::Duration;

use dseq::load::plan::{Arrival, End, Format, Pace, Plan, Sizes, Via};
use dseq::load::report::Report;
use dseq::load::verify::{ProblemKind, Verification};
use dseq::load::{self, Counts};
use dseq::types::Offset;

use fake::{Deed, Fake, Record, number};

fn plan(fake: &Fake) -> Plan {
    Plan {
        nodes: fake.nodes.clone(),
        via: Via::Rpc,
        end: End::Requests(40),
        pace: Pace::Closed,
        concurrency: 4,
        sizes: Sizes { min: 48, max: 300 },
        format: Format::Text,
        timeout: Duration::from_secs(60),
        seed: 1,
    }
}

fn run(plan: &Plan) -> Report {
    load::run(plan, &mut |_| {}).unwrap().report
}

fn honest(_: usize, records: Vec<Record>) -> Vec<Record> {
    records
}

fn verification(report: &Report) -> &Verification {
    report.verification.as_ref().unwrap()
}

/// The kinds of problems, with their numbers, of a run whose nodes show other records than they should.
fn problems(
    tamper: impl Fn(usize, Vec<Record>) -> Vec<Record> + Send + Sync + 'static,
) -> Vec<(ProblemKind, u64)> {
    let report = run(&plan(&Fake::new(3, |_| Deed::Commit, tamper)));
    let found = verification(&report);
    assert!(!found.is_good() && !report.is_good());
    assert_eq!((report.counts.committed, found.told_committed), (40, 40));
    found.problems.iter().map(|(kind, count)| (*kind, *count)).collect()
}

#[test]
fn all_is_well_on_nodes_that_keep_their_promises() {
    let fake = Fake::new(3, |_| Deed::Commit, honest);
    let report = run(&plan(&fake));
    assert!(report.is_good(), "{report:?}");
    assert_eq!(report.counts, Counts { offered: 40, committed: 40, ..Counts::default() });
    let found = verification(&report);
    assert_eq!((found.nodes.len(), found.records, found.replaced), (3, 40, 0));
    let shares: Vec<(u64, u64)> = report.nodes.iter().map(|share| (share.offered, share.committed)).collect();
    assert_eq!(shares, [(14, 14), (13, 13), (13, 13)]);
    // A second run on the same nodes has other transactions.
    let report = run(&plan(&fake));
    assert!(report.is_good() && verification(&report).records == 40, "{report:?}");
}

#[test]
fn each_outcome_is_counted_as_what_it_is_and_unknown_is_resolved() {
    let deeds = |number| match number {
        0..4 => Deed::RejectInCheck,
        4..9 => Deed::RejectInBlock,
        9..11 => Deed::Refuse,
        11..14 => Deed::CommitLate,
        14..16 => Deed::Forget,
        16 => Deed::HangUp,
        _ => Deed::Commit,
    };
    let mut plan = plan(&Fake::new(2, deeds, honest));
    plan.timeout = Duration::from_secs(2);
    let report = run(&plan);
    let counts = Counts { offered: 40, committed: 23, rejected: 9, failed: 2, unknown: 6 };
    assert_eq!(report.counts, counts, "{report:?}");
    let rejected: Vec<_> = report
        .rejected
        .iter()
        .map(|because| (because.reason.code.clone().unwrap().1, because.count))
        .collect();
    assert_eq!(rejected, [(9, 5), (7, 4)]);
    assert_eq!(report.failed[0].reason.words, "mempool is full");
    assert_eq!(report.latency.unwrap().max > 0.0, report.counts.committed > 0);
    let found = verification(&report);
    assert!(found.is_good(), "{found:?}");
    let resolved = found.resolved;
    assert_eq!((resolved.committed, resolved.absent, resolved.open), (3, 3, 0));
}

#[test]
fn a_lost_transaction_is_found() {
    let found = problems(|_, mut records| {
        for record in records.iter_mut().filter(|record| number(&record.tx) == Some(5)) {
            record.tx = b"another one's".to_vec();
        }
        records
    });
    assert_eq!(found, [(ProblemKind::Lost, 3)]);
}

#[test]
fn a_duplicate_is_found() {
    let found = problems(|_, mut records| {
        if records.len() == 41 {
            let mut copy = records[20].clone();
            copy.receipt.index = 41;
            records.push(copy);
        }
        records
    });
    assert_eq!(found, [(ProblemKind::Duplicate, 3)]);
}

#[test]
fn a_wrong_offset_on_one_node_is_found() {
    let found = problems(|node, mut records| {
        for record in records.iter_mut().filter(|record| node == 1 && number(&record.tx) == Some(7)) {
            record.receipt.offset = Offset(record.receipt.offset.0 + 1);
        }
        records
    });
    assert_eq!(found, [(ProblemKind::Misplaced, 1), (ProblemKind::Disagreement, 1)]);
}

#[test]
fn other_bytes_on_one_node_are_found_even_in_records_of_others() {
    let found = problems(|node, mut records| {
        if node == 2 && records.len() > 30 {
            records[30].bytes[0] ^= 1;
        }
        records
    });
    assert_eq!(found, [(ProblemKind::Disagreement, 1)]);
}

#[test]
fn a_rejected_transaction_in_the_sequence_is_found() {
    let deeds = |number| if number == 3 { Deed::Lie } else { Deed::Commit };
    let report = run(&plan(&Fake::new(2, deeds, honest)));
    assert_eq!(report.counts.committed + report.counts.rejected, 40);
    let found: Vec<_> = verification(&report).problems.keys().collect();
    // The block may have been seen before the answer; then it is plainly committed.
    assert!(found.is_empty() == (report.counts.rejected == 0), "{report:?}");
    assert!(found.iter().all(|kind| **kind == ProblemKind::Unexpected), "{report:?}");
}

#[test]
fn records_that_the_pipeline_replaces_are_recognised_by_their_transactions() {
    let tamper = |_, mut records: Vec<Record>| {
        records.iter_mut().for_each(|record| record.bytes = b"the same for all".to_vec());
        records
    };
    let report = run(&plan(&Fake::new(2, |_| Deed::Commit, tamper)));
    assert!(report.is_good(), "{report:?}");
    assert_eq!(verification(&report).replaced, 40);
}

#[test]
fn an_open_loop_sends_by_its_schedule_and_one_without_room_is_invalid() {
    let fake = Fake::new(1, |_| Deed::Commit, honest);
    let mut open = plan(&fake);
    open.pace = Pace::Open { rate: 100.0, arrival: Arrival::Poisson };
    open.end = End::Duration(Duration::from_secs(1));
    open.concurrency = 1000;
    let report = run(&open);
    assert!((50..200).contains(&report.counts.offered) && verification(&report).is_good(), "{report:?}");
    // Its first transaction takes the only room there is until the time is over.
    let mut stuck =
        plan(&Fake::new(1, |number| if number == 0 { Deed::Forget } else { Deed::Commit }, honest));
    stuck.pace = Pace::Open { rate: 1000.0, arrival: Arrival::Constant };
    stuck.concurrency = 1;
    stuck.timeout = Duration::from_secs(1);
    let report = run(&stuck);
    assert!(!report.generator.valid && !report.is_good());
    assert_eq!(report.counts, Counts { offered: 40, committed: 39, unknown: 1, ..Counts::default() });
    // Latency counts from when a transaction was due: all of them waited for the first.
    assert!(report.latency.unwrap().min > 500.0, "{report:?}");
}

#[test]
fn a_run_is_written_as_a_page_that_needs_nothing_else_and_as_files_for_tools() {
    let deeds = |number| if number == 3 { Deed::RejectInCheck } else { Deed::Commit };
    let finished = load::run(&plan(&Fake::new(2, deeds, honest)), &mut |_| {}).unwrap();
    let page = load::page(&finished);
    assert_eq!(page.matches("<svg ").count(), 3);
    for foreign in ["http", "<script", "@import", "url("] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    // Attributes have no quotes: a slash right behind one would belong to it.
    assert!(page.match_indices("/>").all(|(at, _)| page.as_bytes()[at - 1] == b' '));
    assert!(page.contains("plugin/fake 7: not today"), "{page}");

    let written = |write: &dyn Fn(&mut Vec<u8>) -> std::io::Result<()>| {
        let mut bytes = Vec::new();
        write(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let csv = written(&|out| load::write_csv(&finished, out));
    let rows: Vec<&str> = csv.lines().collect();
    assert_eq!(rows.len(), 41);
    assert!(rows.iter().all(|row| row.split(',').count() == 12), "{csv}");
    assert!(rows[4].starts_with("3,") && rows[4].ends_with(",rejected,\"plugin/fake 7\",,,"), "{}", rows[4]);
    let hgrm = written(&|out| load::write_hgrm(&finished, out));
    assert!(
        hgrm.contains("1.000000000000         39\n") && hgrm.contains("Total count    =           39]"),
        "{hgrm}"
    );
}

#[test]
fn a_node_that_does_not_answer_is_named_before_anything_is_sent() {
    let mut plan = plan(&Fake::new(1, |_| Deed::Commit, honest));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    plan.nodes.push(dseq::node::address::Address::loopback(port));
    let said = load::run(&plan, &mut |_| {}).err().unwrap().to_string();
    let start = format!("node 127.0.0.1:{port} cannot be used: cannot connect: ");
    assert!(said.starts_with(&start) && said.ends_with("is it running, and is this its RPC port?"), "{said}");
}
