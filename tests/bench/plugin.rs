//! Benchmark of the plugin wall in one process: what a plugin costs in the host beside none at all.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use clap::Parser;
use dseq::abci::transport::Handler;
use dseq::abci::{Halt, Metered, Service, ServiceOptions};
use dseq::plugin::{
    CanonicalJson, Limits, Pipeline, PipelineSpec, PluginName, PluginSpec, engine_id, instrumented,
    on_large_stack,
};
use dseq::sequence::Log;
use dseq::types::PluginHash;
use serde_json::{Value, json};
use tendermint_proto::v0_38::abci::request::Value as Request;
use tendermint_proto::v0_38::abci::{RequestCheckTx, RequestFinalizeBlock, RequestInitChain};

/// Transactions of a block.
const BLOCK_TXS: usize = 4096;
const BLOCK_TX_BYTES: usize = 256;

/// Calls in each timing of single ones.
const CALLS: usize = 500;

#[derive(Parser)]
struct Options {
    /// Where the plugins are.
    #[arg(long)]
    plugins: PathBuf,
    /// Golden file of `signed` with a transaction that is accepted.
    #[arg(long)]
    goldens: PathBuf,
    /// Where the figures go.
    #[arg(long)]
    out: PathBuf,
    /// Timings in each comparison.
    #[arg(long, default_value_t = 41)]
    rounds: u32,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let rows = on_large_stack(|| rows(&options)).context("cannot start a thread")??;
    let cpus = std::thread::available_parallelism()?;
    let taken = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let file = json!({ "program": "bench-plugin", "taken_unix": taken, "cpus": cpus.get(), "rows": rows });
    fs::write(&options.out, serde_json::to_string_pretty(&file)? + "\n").context("cannot keep the figures")
}

fn rows(options: &Options) -> Result<Vec<Value>> {
    let passthrough = pipeline(Some(("passthrough", &options.plugins)))?;
    let none = pipeline(None)?;
    Ok(vec![
        calls(options, &passthrough, &none, "a call, 256 B", 256, 6.0)?,
        calls(options, &passthrough, &none, "a call, 64 KiB", 64 << 10, 20.0)?,
        memoised_block(options)?,
        metered_check(options)?,
        instrumented_signature(options)?,
    ])
}

fn read(name: &str, plugins: &Path) -> Result<Vec<u8>> {
    let path = plugins.join(format!("{name}.wasm"));
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// A pipeline of one plugin, or of none.
fn pipeline(plugin: Option<(&str, &Path)>) -> Result<Pipeline> {
    let mut modules = Vec::new();
    let mut plugins = Vec::new();
    if let Some((name, dir)) = plugin {
        let wasm = read(name, dir)?;
        let (sha256, params) = (PluginHash::of(&wasm), CanonicalJson::default());
        plugins.push(PluginSpec { name: PluginName::try_from(name.to_owned())?, sha256, params });
        modules.push(wasm);
    }
    let spec = PipelineSpec { engine: engine_id(), limits: Limits::default(), plugins };
    Ok(Pipeline::admit(spec, &modules)?)
}

/// Calls that nothing is remembered of, in microseconds each.
fn calls(
    options: &Options,
    passthrough: &Pipeline,
    none: &Pipeline,
    what: &str,
    bytes: usize,
    allowance: f64,
) -> Result<Value> {
    let tx = Bytes::from(vec![b'x'; bytes]);
    let time = |pipeline: &Pipeline| -> Result<f64> {
        let started = Instant::now();
        for _ in 0..CALLS {
            black_box(pipeline.trace(black_box(&tx))?);
        }
        Ok(started.elapsed().as_secs_f64() * 1e6 / CALLS as f64)
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        ours.push(time(passthrough)?);
        theirs.push(time(none)?);
    }
    Ok(json!({
        "what": what, "unit": "us",
        "ours": { "name": "passthrough", "rounds": ours },
        "theirs": { "name": "no plugin", "rounds": theirs },
        "target": { "kind": "at_most", "factor": 1.0, "allowance": allowance },
    }))
}

/// `FinalizeBlock` over transactions that `CheckTx` has seen, of two applications in turn, in transactions per second.
fn memoised_block(options: &Options) -> Result<Value> {
    let work = tempfile::tempdir()?;
    let passthrough = service(&work.path().join("passthrough"), Some(("passthrough", &options.plugins)))?;
    let none = service(&work.path().join("none"), None)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for height in 1..=i64::from(options.rounds) {
        let txs: Vec<Bytes> = (0..BLOCK_TXS).map(|index| transaction(height, index)).collect();
        ours.push(finalize(&passthrough, height, &txs)?);
        theirs.push(finalize(&none, height, &txs)?);
    }
    Ok(json!({
        "what": "FinalizeBlock after CheckTx, 4,096 x 256 B", "unit": "tx/s",
        "ours": { "name": "passthrough", "rounds": ours },
        "theirs": { "name": "no plugin", "rounds": theirs },
        "target": { "kind": "at_least", "factor": 0.8, "allowance": 0.0 },
    }))
}

/// Turns of each of the two in a round of [`metered_check`].
const TURNS_CHECK: usize = 24;

/// `CheckTx` of transactions that are new, with and without what counts and times it, in microseconds each.
fn metered_check(options: &Options) -> Result<Value> {
    let work = tempfile::tempdir()?;
    let plain = service(work.path(), Some(("passthrough", &options.plugins)))?;
    let metered = Metered::new(plain.clone(), plain.metrics());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // What is compared is far less than what a turn varies by. So each round takes many, and either comes first as often.
    let mut turns = 0..;
    let mut turn = || turns.next().context("turns have no end");
    for _ in 0..options.rounds {
        let (mut with, mut without) = (0.0, 0.0);
        for first in [true, false].repeat(TURNS_CHECK / 2) {
            if first {
                with += checks(&metered, turn()?)?;
            }
            without += checks(&plain, turn()?)?;
            if !first {
                with += checks(&metered, turn()?)?;
            }
        }
        ours.push(with / TURNS_CHECK as f64);
        theirs.push(without / TURNS_CHECK as f64);
    }
    Ok(json!({
        "what": "CheckTx, 256 B", "unit": "us",
        "ours": { "name": "with metrics", "rounds": ours },
        "theirs": { "name": "without", "rounds": theirs },
        "target": { "kind": "at_most", "factor": 1.02, "allowance": 0.0 },
    }))
}

fn checks<H: Handler<Error = Halt>>(handler: &H, round: i64) -> Result<f64> {
    let requests: Vec<RequestCheckTx> = (0..BLOCK_TXS)
        .map(|index| RequestCheckTx { tx: transaction(round, index), ..Default::default() })
        .collect();
    let started = Instant::now();
    for request in requests {
        black_box(handler.answer(Request::CheckTx(request)).map_err(halted)?);
    }
    Ok(started.elapsed().as_secs_f64() * 1e6 / BLOCK_TXS as f64)
}

/// An application with a pipeline of one plugin, or of none.
fn service(dir: &Path, plugin: Option<(&str, &Path)>) -> Result<Service> {
    let mut pipeline = Vec::new();
    if let Some((name, plugins)) = plugin {
        let wasm = read(name, plugins)?;
        let sha256 = PluginHash::of(&wasm).to_string();
        pipeline.push(json!({ "name": name, "sha256": sha256, "wasm": data_encoding::BASE64.encode(&wasm) }));
    }
    let options = ServiceOptions { plugins_dir: dir.join("plugins"), disk_free_bytes_low: 0 };
    let log = Log::open(&dir.join("sequence"))?;
    let service = Service::open(log, &options, std::sync::Arc::default(), |_| ()).map_err(halted)?;
    let limits = Limits::default();
    let genesis =
        json!({ "dseq": { "engine": engine_id().to_string(), "limits": limits, "pipeline": pipeline } });
    let init = RequestInitChain {
        chain_id: "bench".to_owned(),
        initial_height: 1,
        app_state_bytes: genesis.to_string().into(),
        ..Default::default()
    };
    service.init_chain(&init).map_err(halted)?;
    Ok(service)
}

/// A halt as text: it cannot cross threads.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` takes it so")]
fn halted(halt: Halt) -> anyhow::Error {
    anyhow!("the application stopped: {halt}")
}

fn transaction(height: i64, index: usize) -> Bytes {
    let mut tx = format!("{height} {index} ").into_bytes();
    tx.resize(BLOCK_TX_BYTES, b'x');
    Bytes::from(tx)
}

fn finalize(service: &Service, height: i64, txs: &[Bytes]) -> Result<f64> {
    for tx in txs {
        let request = RequestCheckTx { tx: tx.clone(), ..Default::default() };
        let checked = service.check_tx(&request).map_err(halted)?;
        ensure!(checked.code == 0, "a transaction was refused: {}", checked.log);
    }
    let request = RequestFinalizeBlock { txs: txs.to_vec(), height, ..Default::default() };
    let started = Instant::now();
    black_box(service.finalize_block(&request).map_err(halted)?);
    let took = started.elapsed();
    service.commit().map_err(halted)?;
    Ok(txs.len() as f64 / took.as_secs_f64())
}

/// Calls of `signed`, which verifies a signature, with its stack counted and as its author built it, in microseconds.
fn instrumented_signature(options: &Options) -> Result<Value> {
    let wasm = read("signed", &options.plugins)?;
    let (params, tx) = signed_transaction(&options.goldens)?;
    let compiled = |wasm: &[u8]| {
        let mut config = wasmtime::Config::new();
        config.consume_fuel(true);
        config.cranelift_nan_canonicalization(true);
        wasmtime::Module::new(&wasmtime::Engine::new(&config)?, wasm)
    };
    let said = |error: wasmtime::Error| anyhow!("{error:#}");
    let plain = compiled(&wasm).map_err(said)?;
    let counted = compiled(&instrumented(&wasm)?).map_err(said)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        ours.push(verifications(&counted, &params, &tx).map_err(said)?);
        theirs.push(verifications(&plain, &params, &tx).map_err(said)?);
    }
    Ok(json!({
        "what": "verifying a signature", "unit": "us",
        "ours": { "name": "with its stack counted", "rounds": ours },
        "theirs": { "name": "as it was built", "rounds": theirs },
        "target": { "kind": "at_most", "factor": 1.15, "allowance": 0.0 },
    }))
}

/// Params and a transaction that is accepted under them, from the plugin's golden files.
fn signed_transaction(goldens: &Path) -> Result<(String, Vec<u8>)> {
    let text = fs::read_to_string(goldens).with_context(|| format!("cannot read {}", goldens.display()))?;
    let golden: Value = toml::from_str(&text)?;
    let cases = golden["case"].as_array().context("no cases")?;
    let case = cases.iter().find(|case| case["verdict"] == "replaced").context("no case that is replaced")?;
    let tx = case["tx_hex"].as_str().context("the case has no tx_hex")?;
    let params = CanonicalJson::parse(&golden["params"].to_string())?;
    Ok((params.as_str().to_owned(), data_encoding::HEXLOWER.decode(tx.as_bytes())?))
}

/// Microseconds for each of some calls of one instance.
fn verifications(module: &wasmtime::Module, params: &str, tx: &[u8]) -> wasmtime::Result<f64> {
    const VERIFICATIONS: u32 = 20;
    const ACCEPTED: i64 = 1 << 48;

    let mut store = wasmtime::Store::new(module.engine(), ());
    store.set_fuel(u64::MAX)?;
    let instance = wasmtime::Instance::new(&mut store, module, &[])?;
    let memory =
        instance.get_memory(&mut store, "memory").ok_or_else(|| wasmtime::Error::msg("no memory"))?;
    let buffer = instance.get_typed_func::<i32, i32>(&mut store, "dseq_buffer")?;
    let init = instance.get_typed_func::<i32, i64>(&mut store, "dseq_init")?;
    let apply = instance.get_typed_func::<i32, i64>(&mut store, "dseq_apply")?;
    let give = |store: &mut wasmtime::Store<()>, input: &[u8]| -> wasmtime::Result<i32> {
        let len = i32::try_from(input.len())?;
        let start = buffer.call(&mut *store, len)?;
        memory.write(store, usize::try_from(start)?, input)?;
        Ok(len)
    };
    let len = give(&mut store, params.as_bytes())?;
    if init.call(&mut store, len)? != ACCEPTED {
        return Err(wasmtime::Error::msg("the params were refused"));
    }
    let started = Instant::now();
    for _ in 0..VERIFICATIONS {
        let len = give(&mut store, tx)?;
        if apply.call(&mut store, len)? >> 48 != 2 {
            return Err(wasmtime::Error::msg("the signature was not accepted"));
        }
    }
    Ok(started.elapsed().as_secs_f64() * 1e6 / f64::from(VERIFICATIONS))
}
