//! Compiling a pipeline's modules: one after the other, so that each can be held to its limits, and each file once in the life
//! of a process.
//!
//! What compiling takes is estimated for each module by `validate` and measured by `bounded`; here are the sums over a pipeline.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::{Engine, Module};

use super::error::AdmitError;
use crate::bounded::{Bounds, Exceeded, within};
use crate::limits;
use crate::plugin::engine;
use crate::plugin::instrument::{Rewritten, rewrite};
use crate::plugin::validate::{Use, ValidModule, validate};
use crate::rules::PluginSpec;
use crate::types::{Fuel, PluginHash};

/// What compiling one module may take.
pub(in crate::plugin) const BOUNDS: Bounds = Bounds {
    processor_time: Duration::from_secs(limits::COMPILE_SECONDS_MAX),
    memory_bytes: limits::COMPILE_MEMORY_BYTES_MAX,
};

/// A valid module as machine code.
#[derive(Clone)]
pub(in crate::plugin) struct Compiled {
    pub(super) module: Module,
    /// See [`Rewritten::mutable_globals`].
    pub(super) mutable_globals: Option<Vec<String>>,
    /// What making an instance of it takes, without its init.
    pub(super) start_fuel: Fuel,
}

/// Compiles each plugin's module, in the pipeline's order; within `bounds`, if there are any, and all together within a few
/// times that.
///
/// # Errors
///
/// The first that is not what genesis pins or that is not valid; then what all are together, if that is too much; then
/// the first that the engine does not take.
pub(in crate::plugin) fn compile(
    plugins: &[PluginSpec],
    modules: &[Vec<u8>],
    bounds: Option<Bounds>,
) -> Result<Vec<Compiled>, AdmitError> {
    let engine = engine::engine().map_err(|reason| AdmitError::Host { reason })?;
    let mut distinct: Vec<(&PluginSpec, ValidModule<'_>)> = Vec::new();
    for (plugin, wasm) in plugins.iter().zip(modules) {
        check_bytes(plugin, wasm)?;
        if distinct.iter().all(|(known, _)| known.sha256 != plugin.sha256) {
            let valid = validate(wasm);
            distinct.push((
                plugin,
                valid.map_err(|source| AdmitError::Invalid { plugin: plugin.name.clone(), source })?,
            ));
        }
    }
    check_sums(distinct.iter().map(|(_, valid)| valid.used.as_slice()))?;
    let mut compiled: Vec<(PluginHash, Compiled)> = Vec::new();
    let mut took = Duration::ZERO;
    for (plugin, valid) in &distinct {
        let (one, time) = compile_once(engine, plugin, valid, bounds)?;
        compiled.push((plugin.sha256, one));
        took = took.saturating_add(time);
        check_time(took, bounds)?;
    }
    let of = |plugin: &PluginSpec| {
        let found = compiled.iter().find(|(hash, _)| *hash == plugin.sha256);
        found.expect("each of them has been compiled").1.clone()
    };
    Ok(plugins.iter().map(of).collect())
}

fn check_bytes(spec: &PluginSpec, wasm: &[u8]) -> Result<(), AdmitError> {
    let plugin = spec.name.clone();
    let bytes = wasm.len() as u64;
    if bytes > limits::WASM_BYTES_MAX {
        return Err(AdmitError::TooLarge { plugin, bytes });
    }
    let found = PluginHash::of(wasm);
    if found != spec.sha256 {
        return Err(AdmitError::Hash { plugin, expected: spec.sha256, found });
    }
    Ok(())
}

/// Of each limit on a module as a whole, the modules of a pipeline may have several times as much together.
fn check_sums<'a>(modules: impl Iterator<Item = &'a [Use]>) -> Result<(), AdmitError> {
    let mut sums: Vec<Use> = Vec::new();
    for used in modules.flatten().filter(|used| used.item.is_none()) {
        let place = sums.iter().position(|sum| sum.what == used.what);
        let place = place.unwrap_or_else(|| {
            let max = used.max.saturating_mul(limits::PIPELINE_MODULES_MAX);
            sums.push(Use { found: 0, max, ..*used });
            sums.len().saturating_sub(1)
        });
        sums[place].found = sums[place].found.saturating_add(used.found);
    }
    match sums.into_iter().find(|sum| sum.found > sum.max) {
        Some(Use { what, found, max, .. }) => Err(AdmitError::TooMuchTogether { what, found, max }),
        None => Ok(()),
    }
}

/// As of everything else, the modules of a pipeline may take several times as long as one.
fn check_time(took: Duration, bounds: Option<Bounds>) -> Result<(), AdmitError> {
    let Some(bounds) = bounds else { return Ok(()) };
    let max = bounds.processor_time.as_secs().saturating_mul(limits::PIPELINE_MODULES_MAX);
    let found = took.as_secs();
    if found > max {
        return Err(AdmitError::TooMuchTogether { what: "seconds of compiling", found, max });
    }
    Ok(())
}

/// A module as machine code, and the processor time that it took now.
fn compile_once(
    engine: &Engine,
    plugin: &PluginSpec,
    valid: &ValidModule<'_>,
    bounds: Option<Bounds>,
) -> Result<(Compiled, Duration), AdmitError> {
    if let Some((_, known)) = recent().iter().find(|(hash, _)| *hash == plugin.sha256) {
        return Ok((known.clone(), Duration::ZERO));
    }
    let Rewritten { wasm, mutable_globals } =
        rewrite(valid).map_err(|error| AdmitError::refused(&plugin.name, &error))?;
    let engine = engine.clone();
    let done = within(bounds, move || Module::from_binary(&engine, &wasm))
        .map_err(|error| AdmitError::Host { reason: format!("cannot compile: {error}") })?;
    let (module, took) = done.map_err(|exceeded| match exceeded {
        Exceeded::ProcessorTime => AdmitError::CompileTime { plugin: plugin.name.clone() },
        Exceeded::Memory => AdmitError::CompileMemory { plugin: plugin.name.clone() },
    })?;
    let module = module.map_err(|error| AdmitError::refused(&plugin.name, &format_args!("{error:#}")))?;
    let compiled = Compiled { module, mutable_globals, start_fuel: starting(valid) };
    let mut recent = recent();
    recent.push_back((plugin.sha256, compiled.clone()));
    if recent.len() as u64 > limits::PLUGINS_MAX {
        recent.pop_front();
    }
    Ok((compiled, took))
}

/// What making an instance of a module takes, without its init.
fn starting(valid: &ValidModule<'_>) -> Fuel {
    let memory = valid.memory_bytes / limits::MEMORY_BYTES_PER_FUEL;
    let table = valid.table_elements.saturating_mul(limits::TABLE_ELEMENT_FUEL);
    let passive = valid.passive_segments.saturating_add(valid.passive_elements);
    let passive = passive.saturating_mul(limits::PASSIVE_ELEMENT_FUEL);
    Fuel(limits::START_FUEL.saturating_add(memory).saturating_add(table).saturating_add(passive))
}

/// The modules that were compiled last, as many as a pipeline may have: InitChain comes again until there is a block, and
/// the command line admits a file for one test after the other. The same bytes are the same code.
fn recent() -> MutexGuard<'static, VecDeque<(PluginHash, Compiled)>> {
    static RECENT: Mutex<VecDeque<(PluginHash, Compiled)>> = Mutex::new(VecDeque::new());
    RECENT.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{CanonicalJson, PluginName};

    fn compiled(modules: &[Vec<u8>]) -> Result<Vec<Compiled>, AdmitError> {
        let plugin = |(index, wasm): (usize, &Vec<u8>)| PluginSpec {
            name: PluginName::try_from(format!("p{index}")).unwrap(),
            sha256: PluginHash::of(wasm),
            params: CanonicalJson::default(),
        };
        let plugins: Vec<_> = modules.iter().enumerate().map(plugin).collect();
        compile(&plugins, modules, Some(BOUNDS))
    }

    /// Where the code lies tells one compilation from another.
    #[test]
    fn the_same_bytes_are_compiled_once() {
        let wasm = |n| wat::parse_str(format!("(module (func (result i32) (i32.const {n})))")).unwrap();
        let place = |compiled: &Compiled| compiled.module.image_range();
        let first = compiled(&[wasm(101), wasm(102), wasm(101)]).unwrap();
        assert_eq!(place(&first[0]), place(&first[2]));
        assert_ne!(place(&first[0]), place(&first[1]));
        assert_eq!(place(&compiled(&[wasm(102)]).unwrap()[0]), place(&first[1]));
    }

    #[test]
    fn a_module_that_takes_longer_to_compile_than_it_may_is_refused() {
        let wasm =
            wat::parse_str(format!("(module {})", "(func (drop (i32.const 103)))".repeat(9_000))).unwrap();
        let plugin = PluginSpec {
            name: PluginName::try_from("slow".to_owned()).unwrap(),
            sha256: PluginHash::of(&wasm),
            params: CanonicalJson::default(),
        };
        let bounds = Bounds { processor_time: Duration::ZERO, ..BOUNDS };
        let modules = std::slice::from_ref(&wasm);
        let refusal = compile(std::slice::from_ref(&plugin), modules, Some(bounds)).map(drop).unwrap_err();
        assert!(matches!(refusal, AdmitError::CompileTime { .. }), "{refusal}");
        let known = compile(&[plugin], modules, None).map(drop);
        assert!(known.is_ok(), "what a network runs already is compiled however long it takes");
    }

    #[test]
    fn a_pipeline_may_take_a_few_times_as_long_as_a_module() {
        let of = |seconds| {
            check_time(Duration::from_secs(seconds), Some(BOUNDS)).map_err(|error| error.to_string())
        };
        assert_eq!(of(60), Ok(()));
        let words = "the pipeline's plugins have 61 seconds of compiling together; at most 60 are allowed";
        assert_eq!(of(61), Err(words.to_owned()));
    }

    #[test]
    fn what_a_pipeline_takes_to_compile_is_bounded_as_a_whole() {
        let functions =
            |count: usize| wat::parse_str(format!("(module {})", "(func)".repeat(count))).unwrap();
        let four: Vec<_> = (0..4).map(|fewer| functions(10_000 - fewer)).collect();
        assert!(compiled(&four).is_ok());
        let several = [four.clone(), vec![functions(100)]].concat();
        assert_eq!(
            compiled(&several).map(drop).unwrap_err().to_string(),
            "the pipeline's plugins have 40094 functions together; at most 40000 are allowed"
        );
        assert!(compiled(&vec![four[0].clone(); 9]).is_ok(), "one file is compiled once");
    }
}
