//! The table, the JSON, and what fails a run.
//!
//! A run fails when
//! - the nodes' sequences differ, or a transaction is in them twice;
//! - a transaction that node0 accepted is not in the sequence, or one that was refused is;
//! - nothing was committed for longer than [`PAUSE_MAX`];
//! - after [`JUDGED_FROM`], a process of node0 takes in the last third more than [`MEMORY_FACTOR_MAX`] times what it took in the
//!   second (the largest sample of each, because a garbage collector makes waves) and [`MEMORY_BYTES_FREE`] on top, or has
//!   more than [`DESCRIPTORS_FREE`] descriptors more open (the median: nodes that come back make more of them for a moment);
//! - the p99 latency of the last third is more than [`LATENCY_FACTOR_MAX`] times that of the first, or nothing of one of them was committed.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::load::Answer;
use crate::network::Testnet;
use crate::sample::{PROCESSES, Process, Sample};
use crate::{Options, Run};

/// Longer than a dead proposer and a stopped one after the other take.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Growth is judged in runs of at least this long: before, caches fill.
const JUDGED_FROM: Duration = Duration::from_secs(20 * 60);
const MEMORY_FACTOR_MAX: f64 = 1.15;
const MEMORY_BYTES_FREE: f64 = 8.0 * MIB;
const DESCRIPTORS_FREE: u64 = 8;
const LATENCY_FACTOR_MAX: f64 = 3.0;

const MIB: f64 = 1024.0 * 1024.0;

/// Rows of the table.
const ROWS: u32 = 12;

/// Prints and keeps the figures; answers whether the run failed.
pub(crate) fn judge(options: &Options, seed: u64, network: &Testnet, run: &Run) -> Result<bool> {
    let checksum = network.checksum()?;
    let end = run.samples.last().map_or(run.begin.elapsed(), |sample| sample.at);
    let (rows, disk, growth) = (rows(run, end), disk(run, options), growth(run, end));
    print_rows(&rows);
    print_disk(&disk);
    let outcomes: Vec<Value> = (0..run.load.sent.len()).map(|producer| outcomes(run, producer)).collect();
    for (node, outcome) in outcomes.iter().enumerate() {
        println!("node{node}: {outcome}");
    }
    let mut failures = failures(run, &checksum, end);
    failures.extend(growth.iter().filter(|_| end >= JUDGED_FROM).filter_map(Growth::failure));
    for one in &growth {
        println!("{}", one.text());
    }
    if end < JUDGED_FROM {
        println!(
            "Growth is shown, not judged: the run was shorter than {} minutes.",
            JUDGED_FROM.as_secs() / 60
        );
    }
    let faults = run.faults.iter().map(|fault| {
        json!({ "at": fault.at.as_secs_f64(), "node": fault.node, "what": fault.what, "back_after": fault.back_after.as_secs_f64() })
    });
    let samples = run.samples.iter().map(|sample| {
        let process =
            |process: &Option<Process>| process.map(|process| [process.rss_bytes, process.descriptors]);
        let nodes: Vec<_> = sample.nodes.iter().map(|node| node.each_ref().map(process)).collect();
        json!({ "at": sample.at.as_secs_f64(), "rss_and_descriptors": nodes, "disk": sample.disk })
    });
    let figures = json!({
        "program": "soak", "seed": seed, "seconds": end.as_secs_f64(), "rate": options.rate, "tx_bytes": options.tx_bytes,
        "rows": rows, "disk_per_mb": disk, "outcomes": outcomes, "growth": growth.iter().map(Growth::json).collect::<Vec<_>>(),
        "longest_pause": run.load.longest_pause(end).as_secs_f64(), "checksum": checksum,
        "faults": faults.collect::<Vec<_>>(), "failures": failures, "samples": samples.collect::<Vec<_>>(),
    });
    std::fs::write(&options.out, serde_json::to_string_pretty(&figures)? + "\n")?;
    println!(
        "{} faults; the longest time without a commit was {:.1} s",
        run.faults.len(),
        run.load.longest_pause(end).as_secs_f64()
    );
    println!("figures in {}", options.out.display());
    failures.iter().for_each(|failure| println!("FAILED: {failure}"));
    if failures.is_empty() {
        println!(
            "All nodes hold the same {} bytes; nothing was lost, nothing grew beyond the rule.",
            checksum["common_length"]
        );
    }
    Ok(!failures.is_empty())
}

fn failures(run: &Run, checksum: &Value, end: Duration) -> Vec<String> {
    let mut failures = Vec::new();
    if checksum["identical"] != true {
        failures.push(format!("the nodes' sequences differ: {checksum}"));
    }
    let twice = run.load.twice();
    if twice > 0 {
        failures.push(format!("{twice} transactions are in the sequence twice"));
    }
    let lost = run.load.count(0, Answer::Accepted, false);
    if lost > 0 {
        failures.push(format!("{lost} transactions that node0 accepted are not in the sequence"));
    }
    let refused: usize =
        (0..run.load.sent.len()).map(|node| run.load.count(node, Answer::Refused, true)).sum();
    if refused > 0 {
        failures.push(format!("{refused} transactions that were refused are in the sequence"));
    }
    let pause = run.load.longest_pause(end);
    if pause > PAUSE_MAX {
        failures.push(format!(
            "nothing was committed for {:.1} s; at most {} s are allowed",
            pause.as_secs_f64(),
            PAUSE_MAX.as_secs()
        ));
    }
    let p99 = |from: u32, to: u32| quantile(&run.load.latencies(end * from / 3, end * to / 3), 0.99);
    let (first, last) = (p99(0, 1), p99(2, 3));
    if end >= JUDGED_FROM && (first.is_nan() || last.is_nan()) {
        failures.push("nothing of the first or of the last third was committed".to_owned());
    } else if end >= JUDGED_FROM && last > LATENCY_FACTOR_MAX * first {
        failures.push(format!("p99 latency went from {first:.0} to {last:.0} ms"));
    }
    failures
}

fn outcomes(run: &Run, producer: usize) -> Value {
    let count = |answer, committed| run.load.count(producer, answer, committed);
    json!({
        "accepted": count(Answer::Accepted, true) + count(Answer::Accepted, false),
        "accepted and lost": count(Answer::Accepted, false),
        "refused": count(Answer::Refused, false) + count(Answer::Refused, true),
        "unknown and committed": count(Answer::Unknown, true),
        "unknown and not": count(Answer::Unknown, false),
    })
}

/// The run in equal parts.
fn rows(run: &Run, end: Duration) -> Vec<Value> {
    let row = |part: u32| {
        let (from, to) = (end * part / ROWS, end * (part + 1) / ROWS);
        let latencies = run.load.latencies(from, to);
        let inside = |at: Duration| (from..to).contains(&at);
        let samples = || run.samples.iter().filter(|sample| inside(sample.at));
        let rss = |node: usize, process| {
            samples().filter_map(|sample| sample.nodes[node][process]).map(|p: Process| p.rss_bytes).max()
        };
        let mib = |node, process| rss(node, process).map(|bytes| (bytes as f64 / MIB).round());
        let descriptors = |process| {
            samples().filter_map(|sample| sample.nodes[0][process]).map(|p: Process| p.descriptors).max()
        };
        json!({
            "until": to.as_secs(), "committed_per_second": latencies.len() as f64 / (to - from).as_secs_f64(),
            "p50": quantile(&latencies, 0.5), "p99": quantile(&latencies, 0.99), "max": quantile(&latencies, 1.0),
            "app_mib": (0..run.load.sent.len()).map(|node| mib(node, 1)).collect::<Vec<_>>(),
            "cometbft_mib": (0..run.load.sent.len()).map(|node| mib(node, 2)).collect::<Vec<_>>(),
            "descriptors": [descriptors(1), descriptors(2)],
            "faults": run.faults.iter().filter(|fault| inside(fault.at)).count(),
        })
    };
    (0..ROWS).map(row).collect()
}

fn print_rows(rows: &[Value]) {
    println!(
        "\n{:>7} {:>6} {:>6} {:>6} {:>7} {:>7}  {:<24} {:<28} open files of node0",
        "until s",
        "faults",
        "tx/s",
        "p50 ms",
        "p99 ms",
        "max ms",
        "app MiB, node 0-3",
        "cometbft MiB, node 0-3"
    );
    let number = |value: &Value| value.as_f64().map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
    let list =
        |value: &Value| value.as_array().into_iter().flatten().map(number).collect::<Vec<_>>().join(" ");
    for row in rows {
        println!(
            "{:>7} {:>6} {:>6} {:>6} {:>7} {:>7}  {:<24} {:<28} {}",
            number(&row["until"]),
            number(&row["faults"]),
            number(&row["committed_per_second"]),
            number(&row["p50"]),
            number(&row["p99"]),
            number(&row["max"]),
            list(&row["app_mib"]),
            list(&row["cometbft_mib"]),
            list(&row["descriptors"])
        );
    }
}

/// Bytes that node0's disk took for each byte sequenced, by part.
fn disk(run: &Run, options: &Options) -> Vec<(String, f64, f64)> {
    let (Some(first), Some(last)) = (run.samples.first(), run.samples.last()) else { return Vec::new() };
    let committed =
        run.load.seen.iter().flatten().filter(|(first, _)| first.is_some()).count() * options.tx_bytes;
    let grown = |(part, bytes): (&String, &u64)| {
        let grown = bytes.saturating_sub(first.disk.get(part).copied().unwrap_or(0)) as f64;
        (part.clone(), grown / MIB, grown / committed.max(1) as f64)
    };
    last.disk.iter().map(grown).filter(|(_, grown, _)| *grown > 0.0).collect()
}

fn print_disk(disk: &[(String, f64, f64)]) {
    println!("\n{:<28} {:>10} {:>24}", "node0's disk", "MiB grown", "bytes for each sequenced");
    for (part, mib, factor) in disk {
        println!("{part:<28} {mib:>10.1} {factor:>24.2}");
    }
    let sum = |pick: fn(&(String, f64, f64)) -> f64| disk.iter().map(pick).sum::<f64>();
    println!("{:<28} {:>10.1} {:>24.2}\n", "all", sum(|part| part.1), sum(|part| part.2));
}

/// One process of node0, the second third of the run and the last.
struct Growth {
    process: &'static str,
    rss: [u64; 2],
    descriptors: [u64; 2],
}

fn growth(run: &Run, end: Duration) -> Vec<Growth> {
    let sorted = |process: usize, third: u32, pick: fn(&Process) -> u64| {
        let inside = |sample: &&Sample| sample.at >= end * third / 3 && sample.at <= end * (third + 1) / 3;
        let processes = run.samples.iter().filter(inside).filter_map(|sample| sample.nodes[0][process]);
        let mut picked: Vec<u64> = processes.map(|process| pick(&process)).collect();
        picked.sort_unstable();
        picked
    };
    let largest = |picked: Vec<u64>| picked.last().copied().unwrap_or(0);
    let median = |picked: Vec<u64>| picked.get(picked.len() / 2).copied().unwrap_or(0);
    let of = |(number, process): (usize, &&'static str)| Growth {
        process,
        rss: [1, 2].map(|third| largest(sorted(number, third, |process| process.rss_bytes))),
        descriptors: [1, 2].map(|third| median(sorted(number, third, |process| process.descriptors))),
    };
    PROCESSES.iter().enumerate().map(of).collect()
}

impl Growth {
    fn text(&self) -> String {
        let [before, after] = self.rss.map(|bytes| bytes as f64 / MIB);
        let [files_before, files_after] = self.descriptors;
        format!(
            "node0's {}: {before:.0} MiB at most in the second third, {after:.0} MiB in the last; {files_before} and {files_after} open files",
            self.process
        )
    }

    fn failure(&self) -> Option<String> {
        let [before, after] = self.rss.map(|bytes| bytes as f64);
        let grown = after > before * MEMORY_FACTOR_MAX + MEMORY_BYTES_FREE
            || self.descriptors[1] > self.descriptors[0] + DESCRIPTORS_FREE;
        grown.then(|| format!("growth: {}", self.text()))
    }

    fn json(&self) -> Value {
        json!({ "process": self.process, "rss_bytes": self.rss, "descriptors": self.descriptors })
    }
}

/// Of sorted values; nothing of none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the length")]
fn quantile(sorted: &[f64], quantile: f64) -> f64 {
    let index = (quantile * sorted.len() as f64) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
