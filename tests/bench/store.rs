//! Benchmark of the store in one process: a block with its sync against a plain file, a long sequence against none.
//!
//! # Limits
//!
//! It makes a log of 10 GiB whose bytes are all holes but for the last block, and removes it again.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use clap::Parser;
use dseq::abci::{Halt, Service, ServiceOptions};
use dseq::plugin::{Limits, PipelineSpec, engine_id};
use dseq::sequence::{Chain, HashedRecord, Head, Log, SEQUENCE_FILE, Staged, Staging};
use dseq::types::{AppHash, Height, PipelineId, PluginHash, TxHash};
use serde_json::{Value, json};
use tendermint_proto::v0_38::abci::{RequestFinalizeBlock, RequestInitChain};

const MIB: u64 = 1 << 20;
const SHORT_BYTES: u64 = 10 * MIB;
const LONG_BYTES: u64 = 10 * 1024 * MIB;

const BLOCK_TXS: u64 = 4096;
const TX_BYTES: usize = 1024;

/// What a transaction may cost on top of the plain file, in milliseconds for a whole block: 25 us each.
const BLOCK_ALLOWANCE_MS: f64 = 102.4;

#[derive(Parser)]
struct Options {
    /// The default plugin.
    #[arg(long)]
    passthrough: PathBuf,
    /// Folder for the logs, on the disk to be measured.
    #[arg(long)]
    work: PathBuf,
    /// Folder for growing the long log, best in memory; `--work` without it.
    #[arg(long)]
    grow: Option<PathBuf>,
    /// Where the figures go.
    #[arg(long)]
    out: PathBuf,
    /// Blocks, and openings, in each comparison.
    #[arg(long, default_value_t = 25)]
    rounds: u32,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let work = Folder::make(&options.work)?;
    let rows =
        [block_against_plain_file(&options, &work.0)?, long_against_short(&options, &work.0)?].concat();
    let cpus = std::thread::available_parallelism()?;
    let taken = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let file = json!({ "program": "bench-store", "taken_unix": taken, "cpus": cpus.get(), "rows": rows });
    fs::write(&options.out, serde_json::to_string_pretty(&file)? + "\n").context("cannot keep the figures")
}

/// A folder that is made anew, and removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn make(path: &Path) -> Result<Self> {
        if path.exists() {
            fs::remove_dir_all(path)?;
        }
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// `FinalizeBlock` and Commit, plugin and sync included, beside one write and one sync of the same bytes.
fn block_against_plain_file(options: &Options, work: &Path) -> Result<Vec<Value>> {
    let wasm = fs::read(&options.passthrough)
        .with_context(|| format!("cannot read {}", options.passthrough.display()))?;
    let log = Log::open(&work.join("block/sequence"))?;
    let folders = ServiceOptions { plugins_dir: work.join("block/plugins"), disk_free_bytes_low: 0 };
    let service = Service::open(log, &folders, std::sync::Arc::default(), |_| ()).map_err(halted)?;
    let init = RequestInitChain {
        chain_id: "bench".to_owned(),
        initial_height: 1,
        app_state_bytes: genesis(&wasm).into(),
        ..Default::default()
    };
    service.init_chain(&init).map_err(halted)?;
    let mut plain = File::create(work.join("plain"))?;
    let (mut ours, mut finalize, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    let mut random = Random(1);
    for height in 1..=i64::from(options.rounds) + 1 {
        let txs = random.txs();
        let bytes = txs.concat();
        let request = RequestFinalizeBlock { txs, height, ..Default::default() };
        let started = Instant::now();
        let response = service.finalize_block(&request).map_err(halted)?;
        finalize.push(ms(started.elapsed()));
        service.commit().map_err(halted)?;
        ours.push(ms(started.elapsed()));
        ensure!(response.tx_results.iter().all(|result| result.code == 0), "a transaction was refused");
        let started = Instant::now();
        plain.write_all(&bytes)?;
        plain.sync_data()?;
        theirs.push(ms(started.elapsed()));
    }
    // The first block warms up threads, instances and files.
    let [ours, finalize, theirs] = [ours, finalize, theirs].map(|all| all[1..].to_vec());
    Ok(vec![
        json!({
            "what": "FinalizeBlock+Commit, 4,096 x 1 KiB", "unit": "ms",
            "ours": { "name": "passthrough", "rounds": ours },
            "theirs": { "name": "plain file", "rounds": theirs },
            "target": { "kind": "at_most", "factor": 3.0, "allowance": BLOCK_ALLOWANCE_MS },
        }),
        json!({
            "what": "FinalizeBlock alone, 4,096 x 1 KiB", "unit": "ms",
            "ours": { "name": "passthrough", "rounds": finalize },
            "theirs": { "name": "plain file", "rounds": theirs },
            "target": { "kind": "", "factor": 0.0, "allowance": 0.0 },
        }),
    ])
}

/// A halt as text: it cannot cross threads.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` takes it so")]
fn halted(halt: Halt) -> anyhow::Error {
    anyhow!("the application stopped: {halt}")
}

fn genesis(wasm: &[u8]) -> Vec<u8> {
    let limits = Limits::default();
    let plugin = json!({
        "name": "passthrough",
        "sha256": PluginHash::of(wasm).to_string(),
        "params": {},
        "wasm": data_encoding::BASE64.encode(wasm),
    });
    json!({ "dseq": { "engine": engine_id().to_string(), "limits": limits, "pipeline": [plugin] } })
        .to_string()
        .into_bytes()
}

/// Opening a log of 10 GiB and one of 10 MiB, then appending to the long one and to an empty one, in turn.
fn long_against_short(options: &Options, work: &Path) -> Result<Vec<Value>> {
    let grow = Folder::make(&options.grow.clone().unwrap_or_else(|| work.join("grow")))?;
    let short_dir = work.join("short");
    let mut short = new_log(&short_dir)?;
    grow_to(&mut short, SHORT_BYTES, None)?;
    drop(short);
    let long_dir = work.join("long");
    make_long_log(&grow.0.join("long"), &long_dir)?;

    let (mut open_long, mut open_short) = (Vec::new(), Vec::new());
    // Every other round runs backwards, so that coming first or last favours neither.
    for round in 0..options.rounds {
        if round % 2 == 0 {
            open_long.push(open_ms(&long_dir)?);
            open_short.push(open_ms(&short_dir)?);
        } else {
            open_short.push(open_ms(&short_dir)?);
            open_long.push(open_ms(&long_dir)?);
        }
    }

    let mut long = Log::open(&long_dir)?;
    ensure!(long.head().length() >= LONG_BYTES, "the long log is only {} bytes", long.head().length());
    let mut empty = new_log(&work.join("empty"))?;
    let (mut append_long, mut append_empty) = (Vec::new(), Vec::new());
    let mut random = Random(2);
    for round in 0..=options.rounds {
        if round % 2 == 0 {
            append_long.push(append_ms(&mut long, &random.txs())?);
            append_empty.push(append_ms(&mut empty, &random.txs())?);
        } else {
            append_empty.push(append_ms(&mut empty, &random.txs())?);
            append_long.push(append_ms(&mut long, &random.txs())?);
        }
    }
    let [append_long, append_empty] = [append_long, append_empty].map(|all| all[1..].to_vec());
    Ok(vec![
        json!({
            "what": "append 4,096 x 1 KiB", "unit": "ms",
            "ours": { "name": "at 10 GiB", "rounds": append_long },
            "theirs": { "name": "at 0", "rounds": append_empty },
            "target": { "kind": "at_most", "factor": 1.1, "allowance": 0.0 },
        }),
        json!({
            "what": "open the log, as a restart does", "unit": "ms",
            "ours": { "name": "10 GiB", "rounds": open_long },
            "theirs": { "name": "10 MiB", "rounds": open_short },
            "target": { "kind": "at_most", "factor": 2.0, "allowance": 0.0 },
        }),
    ])
}

fn new_log(dir: &Path) -> Result<Log> {
    let mut log = Log::open(dir)?;
    let pipeline = PipelineSpec { engine: engine_id(), limits: Limits::default(), plugins: Vec::new() };
    log.init_chain(Chain { chain_id: "bench".to_owned(), initial_height: Height(1), pipeline })?;
    Ok(log)
}

/// Grows a log in one folder, punching its bytes out behind itself, and lays it down in another as a sparse file.
fn make_long_log(grow: &Path, dir: &Path) -> Result<()> {
    let mut log = new_log(grow)?;
    grow_to(&mut log, LONG_BYTES, Some(&File::options().write(true).open(grow.join(SEQUENCE_FILE))?))?;
    let (head, tail_offset) = (log.head().length(), log.head().length() - BLOCK_TXS * TX_BYTES as u64);
    let mut tail = vec![0; usize::try_from(head - tail_offset)?];
    ensure!(
        log.reader().read(tail_offset, &mut tail)? == tail.len(),
        "the long log's last block cannot be read"
    );
    drop(log);
    fs::create_dir_all(dir)?;
    for entry in fs::read_dir(grow)? {
        let entry = entry?;
        if entry.file_name() != SEQUENCE_FILE {
            fs::copy(entry.path(), dir.join(entry.file_name()))?;
        }
    }
    let mut sequence = File::create(dir.join(SEQUENCE_FILE))?;
    sequence.set_len(tail_offset)?;
    std::io::Seek::seek(&mut sequence, std::io::SeekFrom::End(0))?;
    sequence.write_all(&tail)?;
    Ok(sequence.sync_all()?)
}

/// Appends zeros, then one block like any other; the whole has at least `length` bytes.
fn grow_to(log: &mut Log, length: u64, punch: Option<&File>) -> Result<()> {
    let zeros = vec![0; usize::try_from(64 * MIB)?];
    let block_bytes = BLOCK_TXS * TX_BYTES as u64;
    while log.head().length() + block_bytes < length {
        let missing = length - block_bytes - log.head().length();
        let record = &zeros[..zeros.len().min(usize::try_from(missing)?)];
        let offset = log.head().length();
        let hash = TxHash::default();
        commit(log, |staging| {
            staging.push(hash, &HashedRecord::of(record.to_vec())).map(drop).map_err(Into::into)
        })?;
        if let Some(file) = punch {
            punch_hole(file, offset, record.len() as u64)?;
        }
    }
    append_ms(log, &Random(3).txs())?;
    Ok(())
}

/// Gives the bytes back to the file system. They are zeros before and after.
#[cfg(target_os = "linux")]
fn punch_hole(file: &File, offset: u64, length: u64) -> Result<()> {
    use rustix::fs::FallocateFlags;
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(rustix::fs::fallocate(file, flags, offset, length)?)
}

/// Elsewhere the bytes stay until the end.
#[cfg(not(target_os = "linux"))]
fn punch_hole(_file: &File, _offset: u64, _length: u64) -> Result<()> {
    Ok(())
}

fn commit(log: &mut Log, fill: impl FnOnce(&mut Staging) -> Result<()>) -> Result<()> {
    let height = Height(log.head().height().0 + 1);
    let mut staging = Staging::begin(log.head(), height);
    fill(&mut staging)?;
    let staged: Staged = staging.finish();
    let head: &Head = staged.head();
    ensure!(head.height() == height, "the block has another height");
    Ok(log.commit(&staged, AppHash::default(), PipelineId::default())?)
}

/// Stages and commits one block: all a block costs but the pipeline and the hashing of its transactions and records.
fn append_ms(log: &mut Log, txs: &[Bytes]) -> Result<f64> {
    let hashed: Vec<_> = txs.iter().map(|tx| (TxHash::of(tx), HashedRecord::of(tx.clone()))).collect();
    let started = Instant::now();
    commit(log, |staging| {
        hashed.iter().try_for_each(|(hash, record)| staging.push(*hash, record).map(drop).map_err(Into::into))
    })?;
    Ok(ms(started.elapsed()))
}

fn open_ms(dir: &Path) -> Result<f64> {
    let started = Instant::now();
    let log = Log::open(dir)?;
    let taken = ms(started.elapsed());
    drop(log);
    Ok(taken)
}

fn ms(taken: Duration) -> f64 {
    taken.as_secs_f64() * 1e3
}

/// Bytes that no two blocks share; the quality of their randomness does not matter.
struct Random(u64);

impl Random {
    fn txs(&mut self) -> Vec<Bytes> {
        (0..BLOCK_TXS)
            .map(|_| {
                self.0 += 1;
                let mut tx = vec![0; TX_BYTES];
                blake3::Hasher::new().update(&self.0.to_le_bytes()).finalize_xof().fill(&mut tx);
                Bytes::from(tx)
            })
            .collect()
    }
}
