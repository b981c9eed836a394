//! The plugin wall from outside: small modules in WAT, each good or bad in one way, and the plugins of this repository.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic, as its tests may")]

mod abi;
mod admission;
mod calls;
mod conformance;
mod dir;
mod echo;
mod encodings;
mod faults;
mod gallery;
mod goldens;
mod hex;
mod json;
mod params;
mod passthrough;
mod pipelines;
mod readmes;
mod stack;

use bytes::Bytes;
use dseq::plugin::{
    AdmitError, CanonicalJson, HashedTx, Limits, Outcome, Pipeline, PipelineSpec, PluginName, PluginSpec,
    Verdict, engine_id,
};
use dseq::types::PluginHash;

/// A plugin in WAT: everything a plugin must have, each part to be replaced.
struct Guest<'a> {
    memory: &'a str,
    /// Body of `dseq_buffer`; `(local.get 0)` is the length.
    buffer: &'a str,
    /// Body of `dseq_init`; `(local.get 0)` is the length.
    init: &'a str,
    /// Body of `dseq_apply`; `(local.get 0)` is the length. The transaction lies at 1024.
    apply: &'a str,
    /// Body of `dseq_output`.
    output: &'a str,
    /// More definitions.
    extra: &'a str,
}

impl Default for Guest<'_> {
    fn default() -> Self {
        Guest {
            memory: r#"(memory (export "memory") 1)"#,
            buffer: "(i32.const 1024)",
            init: ACCEPT,
            apply: ACCEPT,
            output: "(i32.const 1024)",
            extra: "",
        }
    }
}

const ACCEPT: &str = "(i64.const 0x0001000000000000)";

impl Guest<'_> {
    fn wat(&self) -> String {
        let Guest { memory, buffer, init, apply, output, extra } = self;
        format!(
            r#"(module
                {memory}
                {extra}
                (func (export "dseq_abi_v1"))
                (func (export "dseq_buffer") (param i32) (result i32) {buffer})
                (func (export "dseq_init") (param i32) (result i64) {init})
                (func (export "dseq_apply") (param i32) (result i64) {apply})
                (func (export "dseq_output") (result i32) {output}))"#
        )
    }

    fn wasm(&self) -> Vec<u8> {
        wat::parse_str(self.wat()).expect("a test's WAT must parse")
    }

    fn admit(&self) -> Result<Pipeline, AdmitError> {
        admit(Limits::default(), &[self.wasm()])
    }

    fn pipeline(&self) -> Pipeline {
        self.admit().expect("a good guest")
    }
}

/// A guest whose `dseq_apply` is this body.
fn applying(apply: &str) -> Pipeline {
    Guest { apply, ..Guest::default() }.pipeline()
}

fn name(name: &str) -> PluginName {
    PluginName::try_from(name.to_owned()).unwrap()
}

fn params(json: &str) -> CanonicalJson {
    CanonicalJson::parse(json).unwrap()
}

fn spec(limits: Limits, modules: &[Vec<u8>]) -> PipelineSpec {
    let plugins = modules.iter().enumerate().map(|(n, wasm)| PluginSpec {
        name: name(&format!("p{n}")),
        sha256: PluginHash::of(wasm),
        params: params("{}"),
    });
    PipelineSpec { engine: engine_id(), limits, plugins: plugins.collect() }
}

fn admit(limits: Limits, modules: &[Vec<u8>]) -> Result<Pipeline, AdmitError> {
    Pipeline::admit(spec(limits, modules), modules)
}

fn refusal(result: Result<Pipeline, AdmitError>) -> AdmitError {
    match result {
        Ok(_) => panic!("admitted, but should have been refused"),
        Err(error) => error,
    }
}

fn apply(pipeline: &Pipeline, tx: &'static [u8]) -> Outcome {
    pipeline.apply(&HashedTx::of(&Bytes::from_static(tx))).expect("no fatal error")
}

/// The code and message of a rejection; panics on any other verdict.
fn rejection(outcome: &Outcome) -> (u16, String) {
    match outcome.verdict() {
        Verdict::Rejected { code, message } => (*code, message.clone()),
        other => panic!("expected a rejection, got {other:?}"),
    }
}

/// The record that a transaction adds; panics if it adds none.
fn record(pipeline: &Pipeline, tx: &'static [u8]) -> Bytes {
    let outcome = apply(pipeline, tx);
    outcome.record(&Bytes::from_static(tx)).unwrap_or_else(|| panic!("{outcome:?}")).clone()
}
