//! One plugin on the product and on all engines beside it, and whether they come to the same.

use bytes::Bytes;
use dseq::plugin::{
    AdmitError, CanonicalJson, Fault, Limits, Pipeline, PipelineSpec, PluginName, PluginSpec, Verdict,
    engine_id, inspect, instrumented, on_large_stack,
};
use dseq::types::PluginHash;
use wasmparser::{ElementItems, ElementKind, Parser, Payload};

use super::driver::{Driver, Ended, Engine};
use super::interpreter::Wasmi;
use super::native;

/// What is compared.
pub(crate) struct Plugin<'a> {
    pub(crate) name: &'a str,
    pub(crate) wasm: &'a [u8],
    /// Canonical JSON.
    pub(crate) params: &'a str,
    pub(crate) limits: Limits,
    /// Whether its results may hold bits of a NaN that an instruction made.
    pub(crate) shows_nans: bool,
}

/// All engines but the product's own.
pub(crate) struct Panel(Vec<Box<dyn Engine>>);

/// How often plugins ended in which way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) not_admitted: usize,
    pub(crate) init_failed: usize,
    pub(crate) accepted: usize,
    pub(crate) rejected: usize,
    pub(crate) faulted: usize,
    pub(crate) out_of_fuel: usize,
}

impl Tally {
    pub(crate) fn checked(&self) -> usize {
        self.accepted + self.rejected + self.faulted + self.out_of_fuel
    }

    fn count(&mut self, verdict: &Verdict) {
        *match verdict {
            Verdict::Unchanged | Verdict::Replaced(_) => &mut self.accepted,
            Verdict::Rejected { .. } => &mut self.rejected,
            Verdict::Faulted { fault: Fault::OutOfFuel, .. } => &mut self.out_of_fuel,
            Verdict::Faulted { .. } => &mut self.faulted,
        } += 1;
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.not_admitted += other.not_admitted;
        self.init_failed += other.init_failed;
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.faulted += other.faulted;
        self.out_of_fuel += other.out_of_fuel;
    }
}

impl Panel {
    pub(crate) fn new() -> Self {
        let mut engines: Vec<Box<dyn Engine>> = Vec::new();
        for engine in native::all() {
            engines.push(Box::new(engine));
        }
        engines.push(Box::new(Wasmi::new()));
        Self(engines)
    }

    /// Runs the plugin everywhere, on a thread that plugins fit on; `Err` says who differs, and how.
    pub(crate) fn compare(&self, plugin: &Plugin<'_>, txs: &[Bytes]) -> Result<Tally, String> {
        on_large_stack(|| self.compare_here(plugin, txs)).unwrap()
    }

    fn compare_here(&self, plugin: &Plugin<'_>, txs: &[Bytes]) -> Result<Tally, String> {
        let mut tally = Tally::default();
        let Some((init, pipeline)) = admit(plugin) else {
            return Ok(Tally { not_admitted: 1, ..tally });
        };
        let wasm = instrumented(plugin.wasm).expect("it was admitted");
        let tables = inspect(plugin.wasm).tables;
        let mut expected = vec![("params".to_owned(), None, init)];
        if let Some(pipeline) = &pipeline {
            for (n, tx) in txs.iter().enumerate() {
                let (_, steps) = pipeline.trace(tx).map_err(|fatal| format!("{}: {fatal}", plugin.name))?;
                let [step] = steps.try_into().expect("a pipeline of one plugin");
                tally.count(&step.verdict);
                let ended = Ended { fuel: step.fuel.0, verdict: step.verdict };
                expected.push((format!("transaction {n}"), Some(tx), ended));
            }
        } else {
            tally.init_failed = 1;
        }
        for engine in self.0.iter().filter(|engine| engine.is_wasmtime() || !plugin.shows_nans) {
            let module = engine.compile(&wasm);
            let driver = Driver {
                module: module.as_ref(),
                limits: plugin.limits,
                params: plugin.params,
                elements_fuel: Some(
                    16 * tables.iter().map(|table| table.initial).sum::<u64>() + passive_fuel(&wasm),
                ),
            };
            for (what, tx, expected) in &expected {
                if !engine.is_wasmtime() && is_out_of_fuel(expected) {
                    continue;
                }
                let found = tx.map_or_else(|| driver.init(), |tx| driver.apply(tx));
                // The product does not say what a refusal of params took.
                let same_fuel = found.fuel == expected.fuel
                    || !engine.is_wasmtime()
                    || (tx.is_none() && matches!(expected.verdict, Verdict::Rejected { .. }));
                if found.verdict != expected.verdict || !same_fuel {
                    return Err(format!(
                        "{}, {what}: {} says {}, but the product {}",
                        plugin.name,
                        engine.name(),
                        shown(&found),
                        shown(expected)
                    ));
                }
            }
        }
        Ok(tally)
    }
}

/// What the product makes of the params, and the pipeline if it accepts them; none if it never comes to ask.
fn admit(plugin: &Plugin<'_>) -> Option<(Ended, Option<Pipeline>)> {
    let spec = PluginSpec {
        name: PluginName::try_from("compared".to_owned()).unwrap(),
        sha256: PluginHash::of(plugin.wasm),
        params: CanonicalJson::parse(plugin.params).unwrap(),
    };
    let spec = PipelineSpec { engine: engine_id(), limits: plugin.limits, plugins: vec![spec] };
    let fuel = plugin.limits.fuel_max;
    match Pipeline::admit(spec, &[plugin.wasm.to_vec()]) {
        Ok(pipeline) => {
            Some((Ended { fuel: pipeline.init_fuel().0, verdict: Verdict::Unchanged }, Some(pipeline)))
        }
        Err(AdmitError::Params { code, message, .. }) => {
            Some((Ended { fuel, verdict: Verdict::Rejected { code, message } }, None))
        }
        Err(AdmitError::Init { fault, message, .. }) => {
            Some((Ended { fuel, verdict: Verdict::Faulted { fault, message } }, None))
        }
        Err(AdmitError::Host { reason }) => panic!("{}: {reason}", plugin.name),
        Err(_) => None,
    }
}

/// What passive element segments cost each instance.
fn passive_fuel(wasm: &[u8]) -> u64 {
    let segments = Parser::new(0).parse_all(wasm).find_map(|payload| match payload.unwrap() {
        Payload::ElementSection(segments) => Some(segments),
        _ => None,
    });
    let fuel = |segment: wasmparser::Element<'_>| match (segment.kind, segment.items) {
        (ElementKind::Passive, ElementItems::Functions(functions)) => 50 * (1 + u64::from(functions.count())),
        (ElementKind::Passive, ElementItems::Expressions(_, all)) => 50 * (1 + u64::from(all.count())),
        _ => 0,
    };
    segments.map_or(0, |segments| segments.into_iter().map(|segment| fuel(segment.unwrap())).sum())
}

fn is_out_of_fuel(ended: &Ended) -> bool {
    matches!(ended.verdict, Verdict::Faulted { fault: Fault::OutOfFuel, .. })
}

/// At most so much of what can be megabytes.
fn shown(ended: &Ended) -> String {
    format!("{:.300}", format!("{ended:?}"))
}
