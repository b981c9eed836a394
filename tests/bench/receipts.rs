//! Benchmark of the receipts in one process: look-ups by hash in a long log beside a short one, what building the index
//! takes, and what following the log costs Commit.
//!
//! # Limits
//!
//! The long log takes some 1.5 GiB of the disk (10,000,000 records of 8 bytes, their entries, the index), and goes again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use dseq::app::{CommittedBlock, TxResult};
use dseq::receipts::{Known, Receipts};
use dseq::sequence::{HashedRecord, Log, Staging};
use dseq::types::{AppHash, Fuel, Height, PipelineId, TxHash};
use serde_json::{Value, json};

const SHORT: u64 = 10_000;
/// The index of this many is built anew.
const REBUILT: u64 = 1_000_000;
/// Records of a block while a log is made, and of one whose commit is measured.
const FILL_RECORDS: u64 = 100_000;
const BLOCK_RECORDS: u64 = 4096;
/// What a look-up in the long log may take more, in microseconds.
const LOOK_UP_ALLOWANCE_US: f64 = 20.0;
/// Look-ups in each round.
const LOOK_UPS: u64 = 1000;
/// How long an index may take.
const PATIENCE: Duration = Duration::from_secs(900);

#[derive(Parser)]
struct Options {
    /// Folder for the logs, on the disk to be measured.
    #[arg(long)]
    work: PathBuf,
    /// Where the figures go.
    #[arg(long)]
    out: PathBuf,
    /// Records of the long log.
    #[arg(long, default_value_t = 10_000_000)]
    records: u64,
    /// Rounds in each comparison.
    #[arg(long, default_value_t = 25)]
    rounds: u32,
}

fn main() -> Result<()> {
    let options = Options::parse();
    fs::create_dir_all(&options.work)?;
    let rows = rows(&options);
    let _ = fs::remove_dir_all(&options.work);
    let cpus = std::thread::available_parallelism()?;
    let taken = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let file = json!({ "program": "bench-receipts", "taken_unix": taken, "cpus": cpus.get(), "rows": rows? });
    fs::write(&options.out, serde_json::to_string_pretty(&file)? + "\n").context("cannot keep the figures")
}

fn rows(options: &Options) -> Result<Vec<Value>> {
    let long = Indexed::make(&options.work.join("long"), options.records)?;
    let short = Indexed::make(&options.work.join("short"), SHORT)?;
    let mut rows = vec![
        look_ups("look-up by hash", &long, &short, options.rounds, |random, count| random.next() % count)?,
        look_ups("look-up of an unknown hash", &long, &short, options.rounds, |random, _| {
            random.next() | 1 << 63
        })?,
    ];
    drop((long, short));
    rows.push(rebuild(&options.work.join("rebuilt"), options.rounds.min(3))?);
    rows.push(following(&options.work, options.rounds)?);
    Ok(rows)
}

/// A log whose receipts are all in the index.
struct Indexed {
    log: Log,
    receipts: Receipts,
}

impl Indexed {
    fn make(dir: &Path, count: u64) -> Result<Self> {
        let mut log = Log::open(&dir.join("sequence"))?;
        fill(&mut log, count)?;
        let (receipts, took) = index(&log, dir)?;
        eprintln!("bench: index of {count} records: {:.1} s, {} MiB", took.as_secs_f64(), index_mib(dir)?);
        Ok(Self { log, receipts })
    }
}

fn index_mib(dir: &Path) -> Result<u64> {
    Ok(fs::metadata(dir.join("receipts.redb"))?.len() >> 20)
}

/// Opens the receipts of a log, and waits until their index is complete.
fn index(log: &Log, dir: &Path) -> Result<(Receipts, Duration)> {
    let began = Instant::now();
    let receipts = Receipts::open(log.reader(), Some(dir.join("receipts.redb")))?;
    // Found neither by the index nor in the end of the log that a look-up reads through.
    while !receipts.find(TxHash::default())?.complete || receipts.indexed() < log.head().count() {
        ensure!(began.elapsed() < PATIENCE, "the index is not complete after {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok((receipts, began.elapsed()))
}

fn tx(number: u64) -> [u8; 8] {
    number.to_le_bytes()
}

/// Appends records up to this many.
fn fill(log: &mut Log, count: u64) -> Result<()> {
    while log.head().count() < count {
        let records = FILL_RECORDS.min(count - log.head().count());
        commit(log, records)?;
    }
    Ok(())
}

/// Commits a block of so many records more.
fn commit(log: &mut Log, records: u64) -> Result<CommittedBlock> {
    let (first, height) = (log.head().count(), Height(log.head().height().0 + 1));
    let mut staging = Staging::begin(log.head(), height);
    let mut results = Vec::new();
    for number in first..first + records {
        let tx_hash = TxHash::of(&tx(number));
        let receipt = staging.push(tx_hash, &HashedRecord::of(tx(number).to_vec()))?;
        results.push(TxResult { tx_hash, receipt: Ok(receipt), fuel: Fuel(0) });
    }
    log.commit(&staging.finish(), AppHash::default(), PipelineId::default())?;
    let committed = log.reader().committed();
    Ok(CommittedBlock { committed, results: results.into(), conduct: Default::default() })
}

/// Microseconds for each look-up, in turn.
fn look_ups(
    what: &str,
    long: &Indexed,
    short: &Indexed,
    rounds: u32,
    number: impl Fn(&mut Random, u64) -> u64,
) -> Result<Value> {
    let mut random = Random(1);
    let mut round = |of: &Indexed| {
        let count = of.log.head().count();
        let hashes: Vec<(u64, TxHash)> = (0..LOOK_UPS)
            .map(|_| number(&mut random, count))
            .map(|number| (number, TxHash::of(&tx(number))))
            .collect();
        let began = Instant::now();
        for (number, hash) in hashes {
            let found = of.receipts.find(hash)?;
            let right = match &found.known {
                Known::Committed(places) => places.len() == 1 && places[0].index == number,
                known => *known == Known::Unknown && number >= count,
            };
            ensure!(right && found.complete, "{number}: {found:?}");
        }
        #[expect(clippy::cast_precision_loss, reason = "a thousand is exact")]
        Ok(began.elapsed().as_secs_f64() * 1e6 / LOOK_UPS as f64)
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for turn in 0..rounds {
        if turn % 2 == 0 {
            ours.push(round(long)?);
            theirs.push(round(short)?);
        } else {
            theirs.push(round(short)?);
            ours.push(round(long)?);
        }
    }
    Ok(json!({
        "what": what, "unit": "us",
        "ours": { "name": format!("{} records", long.log.head().count()), "rounds": ours },
        "theirs": { "name": format!("{SHORT} records"), "rounds": theirs },
        "target": { "kind": "at_most", "factor": 1.0, "allowance": LOOK_UP_ALLOWANCE_US },
    }))
}

/// Building the index of a log that has none, beside reading the log's entries.
fn rebuild(dir: &Path, rounds: u32) -> Result<Value> {
    let mut log = Log::open(&dir.join("sequence"))?;
    fill(&mut log, REBUILT)?;
    let (mut built, mut read) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let _ = fs::remove_file(dir.join("receipts.redb"));
        built.push(index(&log, dir)?.1.as_secs_f64() * 1e3);
        let began = Instant::now();
        let (reader, mut from) = (log.reader(), 0);
        while from < REBUILT {
            from += reader.entries(from..REBUILT)?.len() as u64;
        }
        read.push(began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(json!({
        "what": "index of 1,000,000 records, built anew", "unit": "ms",
        "ours": { "name": "index", "rounds": built },
        "theirs": { "name": "reading the entries", "rounds": read },
        "target": { "kind": "", "factor": 0.0, "allowance": 0.0 },
    }))
}

/// A block's commit with receipts that follow, and without.
fn following(work: &Path, rounds: u32) -> Result<Value> {
    let mut alone = Log::open(&work.join("alone/sequence"))?;
    let mut followed = Log::open(&work.join("followed/sequence"))?;
    let receipts = Receipts::open(followed.reader(), Some(work.join("followed/receipts.redb")))?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    let ms = |began: Instant| began.elapsed().as_secs_f64() * 1e3;
    // The index takes 65,536 records at once: in these rounds it has written several times.
    for _ in 0..rounds.saturating_mul(4) {
        let began = Instant::now();
        let block = commit(&mut followed, BLOCK_RECORDS)?;
        receipts.take(&block);
        with.push(ms(began));
        let began = Instant::now();
        commit(&mut alone, BLOCK_RECORDS)?;
        without.push(ms(began));
    }
    Ok(json!({
        "what": "stage and commit 4,096 records", "unit": "ms",
        "ours": { "name": "receipts follow", "rounds": with },
        "theirs": { "name": "nothing follows", "rounds": without },
        "target": { "kind": "at_most", "factor": 1.1, "allowance": 0.0 },
    }))
}

/// SplitMix64: the same numbers in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
