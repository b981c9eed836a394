//! Admission: from the bytes that genesis pins to plugins that can be called.
//!
//! ```text
//! PluginSpec, bytes ──> compile (validate, instrument, machine code) ──> admit (exports, memory, init) ──> Admitted
//! ```
//!
//! `compile` has all of a pipeline's modules validated, instrumented and compiled. The checks here are of each compiled
//! module: its exports and their types, its memory, and that it accepts its params. `error` is why a node refuses.
mod compile;
mod error;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use wasmtime::{ExternType, FuncType, Linker, Module, ModuleExport, Mutability, ValType};

pub(super) use self::compile::{BOUNDS, Compiled, compile};
pub use self::error::AdmitError;
use super::abi;
use super::engine::engine_id;
use super::execute::{Admitted, Exports, Init, Live, Pool};
use super::fault::{Fatal, Stop};
use super::instrument::{DIRTY_PAGES_EXPORT, STACK_EXPORT};
use crate::excerpt::Excerpt;
use crate::limits;
use crate::rules::{Limits, PluginName, PluginSpec};
use crate::types::{EngineId, Fuel};

/// Refuses another engine than this build's.
pub(super) fn check_engine(expected: EngineId) -> Result<(), AdmitError> {
    let found = engine_id();
    if expected == found { Ok(()) } else { Err(AdmitError::Engine { expected, found }) }
}

/// Checks one module against its line in genesis and makes it callable.
pub(super) fn admit(spec: &PluginSpec, limits: &Limits, compiled: &Compiled) -> Result<Admitted, AdmitError> {
    let plugin = &spec.name;
    let Compiled { module, mutable_globals, start_fuel } = compiled;
    check_memory(plugin, limits, module)?;
    let exports = check_exports(plugin, module, mutable_globals.as_deref())?;
    let pre = Linker::new(module.engine()).instantiate_pre(module);
    let pre = pre.map_err(|error| AdmitError::refused(plugin, &format_args!("{error:#}")))?;
    let params = spec.params.as_str().to_owned();
    let mut admitted = Admitted {
        name: Arc::new(plugin.clone()),
        params,
        limits: *limits,
        pre,
        exports,
        start_fuel: *start_fuel,
        init_fuel: Fuel(0),
        pool: None,
        instances_started: AtomicU64::new(0),
    };
    let (mut live, init_fuel) = check_params(&admitted)?;
    admitted.init_fuel = init_fuel;
    if mutable_globals.is_some() {
        admitted.pool = Pool::of(&mut live);
    }
    Ok(admitted)
}

fn check_memory(plugin: &PluginName, limits: &Limits, module: &Module) -> Result<(), AdmitError> {
    let expected = "a memory";
    let memory = match module.get_export(abi::MEMORY) {
        Some(ExternType::Memory(memory)) => memory,
        Some(other) => return Err(wrong_type(plugin, abi::MEMORY, expected, &other)),
        None => {
            return Err(AdmitError::ExportMissing { plugin: plugin.clone(), export: abi::MEMORY, expected });
        }
    };
    let bytes = memory.minimum().saturating_mul(limits::WASM_PAGE_BYTES);
    if bytes > limits.memory_bytes_max {
        let memory_bytes_max = limits.memory_bytes_max;
        return Err(AdmitError::Memory { plugin: plugin.clone(), bytes, memory_bytes_max });
    }
    Ok(())
}

fn check_exports(
    plugin: &PluginName,
    module: &Module,
    mutable_globals: Option<&[String]>,
) -> Result<Exports, AdmitError> {
    use ValType::{I32, I64};

    check_function(plugin, module, abi::MARKER, "a function () -> ()", &[], &[])?;
    check_function(plugin, module, abi::BUFFER, "a function (i32) -> i32", &[I32], &[I32])?;
    check_function(plugin, module, abi::INIT, "a function (i32) -> i64", &[I32], &[I64])?;
    check_function(plugin, module, abi::APPLY, "a function (i32) -> i64", &[I32], &[I64])?;
    check_function(plugin, module, abi::OUTPUT, "a function () -> i32", &[], &[I32])?;
    let index = |export: &str| {
        module.get_export_index(export).ok_or_else(|| AdmitError::Module {
            plugin: plugin.clone(),
            reason: format!("export {export:?} has no index"),
        })
    };
    Ok(Exports {
        memory: index(abi::MEMORY)?,
        buffer: index(abi::BUFFER)?,
        init: index(abi::INIT)?,
        apply: index(abi::APPLY)?,
        output: index(abi::OUTPUT)?,
        stack_left: index(STACK_EXPORT)?,
        dirty_pages: mutable_globals.map(|_| index(DIRTY_PAGES_EXPORT)).transpose()?,
        panic: check_panic(plugin, module)?,
        mutable_globals: mutable_globals
            .unwrap_or_default()
            .iter()
            .map(|export| index(export))
            .collect::<Result<_, _>>()?,
    })
}

fn check_function(
    plugin: &PluginName,
    module: &Module,
    export: &'static str,
    expected: &'static str,
    params: &[ValType],
    results: &[ValType],
) -> Result<(), AdmitError> {
    // Compared by their text: the engine's own comparison is one of subtypes.
    let same = |found: &mut dyn Iterator<Item = ValType>, wanted: &[ValType]| {
        found.map(|ty| ty.to_string()).eq(wanted.iter().map(ToString::to_string))
    };
    match module.get_export(export) {
        Some(ExternType::Func(ty)) if same(&mut ty.params(), params) && same(&mut ty.results(), results) => {
            Ok(())
        }
        Some(other) => Err(wrong_type(plugin, export, expected, &other)),
        None => Err(AdmitError::ExportMissing { plugin: plugin.clone(), export, expected }),
    }
}

/// Where the plugin says why it panicked, if it has such a place.
fn check_panic(plugin: &PluginName, module: &Module) -> Result<Option<ModuleExport>, AdmitError> {
    match module.get_export(abi::PANIC) {
        None => Ok(None),
        Some(ExternType::Global(global))
            if global.mutability() == Mutability::Const && global.content().is_i32() =>
        {
            Ok(module.get_export_index(abi::PANIC))
        }
        Some(other) => Err(wrong_type(plugin, abi::PANIC, "an immutable global of type i32", &other)),
    }
}

fn wrong_type(
    plugin: &PluginName,
    export: &'static str,
    expected: &'static str,
    found: &ExternType,
) -> AdmitError {
    let found = match found {
        ExternType::Func(ty) => describe_function(ty),
        ExternType::Global(global) if global.mutability() == Mutability::Var => {
            format!("a mutable global of type {}", global.content())
        }
        ExternType::Global(global) => format!("an immutable global of type {}", global.content()),
        ExternType::Table(_) => "a table".to_owned(),
        ExternType::Memory(_) => "a memory".to_owned(),
        ExternType::Tag(_) => "a tag".to_owned(),
    };
    AdmitError::ExportType { plugin: plugin.clone(), export, expected, found }
}

fn describe_function(ty: &FuncType) -> String {
    let list = |types: &mut dyn Iterator<Item = ValType>| {
        types.map(|ty| ty.to_string()).collect::<Vec<_>>().join(", ")
    };
    let (params, results) = (list(&mut ty.params()), list(&mut ty.results()));
    if ty.results().len() == 1 {
        format!("a function ({params}) -> {results}")
    } else {
        format!("a function ({params}) -> ({results})")
    }
}

/// Has the plugin accept its params; answers with the instance that did, and what that took.
fn check_params(admitted: &Admitted) -> Result<(Live, Fuel), AdmitError> {
    let plugin = (*admitted.name).clone();
    let params = Excerpt::of(&admitted.params);
    match admitted.start() {
        Ok((live, Init::Accepted { fuel })) => Ok((live, fuel)),
        Ok((_, Init::Refused { code, message })) => Err(AdmitError::Params { plugin, params, code, message }),
        Err(Stop::Fault { fault, message, detail }) => {
            tracing::debug!(%plugin, %fault, reason = message, detail, "plugin faulted at admission");
            Err(AdmitError::Init { plugin, params, fault, message })
        }
        Err(Stop::Fatal { step, reason }) => Err(Fatal { plugin: Some(plugin), step, reason }.into()),
    }
}
