//! Prints what becomes of every hostile and gallery plugin's transactions, and the app hash of the block they make: the
//! same lines on every processor, or something is wrong. `make test-aarch64` compares them.
#![allow(clippy::unwrap_used, reason = "as the tests whose modules it shares")]

mod gallery;
#[path = "../hostile/generated.rs"]
mod generated;
#[path = "../support/noise.rs"]
mod noise;
#[path = "../hostile/suite.rs"]
mod suite;

use std::sync::Arc;

use bytes::Bytes;
use dseq::app::{App, Conduct, ExaminedBlock, Rules};
use dseq::plugin::{
    CanonicalJson, Limits, Pipeline, PipelineSpec, PluginName, PluginSpec, engine_id, on_large_stack,
};
use dseq::sequence::Head;
use dseq::types::{Height, PluginHash};
use suite::Expected;

fn main() {
    on_large_stack(|| {
        for hostile in suite::all() {
            let txs: Vec<Bytes> = match hostile.expected {
                Expected::Refused(words) => {
                    println!("{} is refused: ...{words}...", hostile.name);
                    Vec::new()
                }
                Expected::Endings(endings) => endings.into_iter().map(|(tx, _)| tx).collect(),
            };
            print_outcomes(&hostile.name, &hostile.wasm, "{}", &txs);
        }
        for (name, wasm) in gallery::built() {
            for (params, mut txs) in gallery::golden_inputs(&name) {
                txs.extend(gallery::anything(&name));
                print_outcomes(&name, &wasm, &params, &txs);
            }
        }
    })
    .expect("a thread");
}

fn print_outcomes(name: &str, wasm: &[u8], params: &str, txs: &[Bytes]) {
    let plugin = PluginSpec {
        name: PluginName::try_from("tried".to_owned()).unwrap(),
        sha256: PluginHash::of(wasm),
        params: CanonicalJson::parse(params).unwrap(),
    };
    let spec = PipelineSpec { engine: engine_id(), limits: Limits::default(), plugins: vec![plugin] };
    let pipeline = match Pipeline::admit(spec, &[wasm.to_vec()]) {
        Ok(pipeline) => Arc::new(pipeline),
        Err(error) => {
            println!("{name}: {}", escaped(&error.to_string()));
            return;
        }
    };
    println!("{name} init: fuel {}", pipeline.init_fuel());
    let (mut app, rules) = (App::default(), Rules { initial_height: Height(1), pipeline });
    let block = ExaminedBlock::of(rules, txs).unwrap_or_else(|error| panic!("{name}: {error}"));
    let decided = app.finalize(&Head::default(), Height(1), block, Conduct::default());
    let decided = decided.unwrap_or_else(|error| panic!("{name}: {error}"));
    for (n, result) in decided.results.iter().enumerate() {
        println!("{name} {n}: fuel {}, {}", result.fuel, escaped(&format!("{:?}", result.receipt)));
    }
    println!("{name}: app hash {}", decided.app_hash);
}

/// On one line, and no longer than anyone wants to read.
fn escaped(text: &str) -> String {
    format!("{:.500}", text.escape_debug().to_string())
}
