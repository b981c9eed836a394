//! What a module must be before it may judge transactions, and what it is once it may.
//!
//! The bytes pass the `gate` first, and are compiled (`compile`). The checks here are of the module: its exports and their
//! types, its memory, and that it accepts its params.

use std::sync::Arc;

use wasmtime::{ExternType, FuncType, Linker, Module, ModuleExport, Mutability, ValType};

use super::abi;
use super::execute::call::Admitted;
pub(super) mod compile;

use super::engine_id;
use super::execute::instance::{Exports, Init, Live};
use super::execute::reset::Warm;
use super::fault::{Fatal, Fault, Stop};
use super::instrument::{STACK_EXPORT, TOUCHED_EXPORT};
use super::spec::{Limits, LimitsError, PluginName, PluginSpec};
use super::validate::GateError;
use crate::excerpt::Excerpt;
use crate::limits;
use crate::printable;
use crate::types::{EngineId, Fuel, PluginHash};
use compile::{Compiled, refused};

/// Why a node refuses to run a pipeline. Only [`Self::Host`] may go away by trying again.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// The network agreed on another engine.
    #[error(
        "genesis pins wasm engine {expected}, but this build of dseq has engine {found}; \
         run the dseq release the network runs (another engine may compute other results)"
    )]
    Engine {
        /// The engine in genesis.
        expected: EngineId,
        /// This build's engine.
        found: EngineId,
    },
    /// A limit no host accepts.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// Without plugins a transaction is its record, so it must fit.
    #[error(
        "a pipeline without plugins makes each transaction a record, but limits.tx_bytes_max is {tx_bytes_max} \
         and limits.record_bytes_max only {record_bytes_max}"
    )]
    RecordsTooShort {
        /// The limit on transactions in genesis.
        tx_bytes_max: u64,
        /// The limit on records in genesis.
        record_bytes_max: u64,
    },
    /// More fuel for one transaction than a host accepts.
    #[error(
        "limits.fuel_max is {fuel_max} for each of {plugins} plugins; together they may have at most {max}; lower fuel_max",
        max = limits::FUEL_CEILING
    )]
    TooMuchFuel {
        /// The limit in genesis.
        fuel_max: u64,
        /// The pipeline's length in genesis.
        plugins: u64,
    },
    /// A pipeline longer than a host accepts.
    #[error("the pipeline has {found} plugins; at most {max} are allowed", max = limits::PLUGINS_MAX)]
    TooManyPlugins {
        /// Its length in genesis.
        found: u64,
    },
    /// Two plugins whose rejections could not be told apart.
    #[error("two plugins of the pipeline are named {plugin}; give each its own name")]
    DuplicateName {
        /// The name.
        plugin: PluginName,
    },
    /// Not one module for each plugin.
    #[error("the pipeline has {plugins} plugins, but {modules} modules were given")]
    ModuleCount {
        /// Plugins in genesis.
        plugins: u64,
        /// Modules given.
        modules: u64,
    },
    /// Other bytes than genesis pins.
    #[error("plugin {plugin}: genesis pins sha256 {expected}, but the module has sha256 {found}")]
    Hash {
        /// The plugin.
        plugin: PluginName,
        /// The hash in genesis.
        expected: PluginHash,
        /// The hash of the bytes.
        found: PluginHash,
    },
    /// A module larger than a host accepts.
    #[error(
        "plugin {plugin}: the module is {bytes} bytes; at most {max} are allowed (`dseq plugin build` leaves debug \
         information out)",
        max = limits::WASM_BYTES_MAX
    )]
    TooLarge {
        /// The plugin.
        plugin: PluginName,
        /// Its size.
        bytes: u64,
    },
    /// Something a module may not be, or may not have so much of.
    #[error("plugin {plugin}: {source}")]
    Gate {
        /// The plugin.
        plugin: PluginName,
        /// The rule it breaks.
        source: GateError,
    },
    /// More of something than all plugins of a pipeline may have together.
    #[error("the pipeline's plugins have {found} {what} together; at most {max} are allowed")]
    TooMuchTogether {
        /// What there is too much of.
        what: &'static str,
        /// How much of it all have together.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// The engine does not compile what the gate has passed.
    #[error("plugin {plugin}: the engine refuses the module: {reason}")]
    Module {
        /// The plugin.
        plugin: PluginName,
        /// The engine's words.
        reason: String,
    },
    /// An export of the ABI is missing.
    #[error("plugin {plugin}: does not export {export:?}, which ABI v1 asks for as {expected}")]
    ExportMissing {
        /// The plugin.
        plugin: PluginName,
        /// The export.
        export: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// An export of the ABI is something else.
    #[error("plugin {plugin}: exports {export:?} as {found}, but ABI v1 asks for {expected}")]
    ExportType {
        /// The plugin.
        plugin: PluginName,
        /// The export.
        export: &'static str,
        /// What it has to be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// More memory at birth than the network allows.
    #[error(
        "plugin {plugin}: starts with {bytes} bytes of memory, but limits.memory_bytes_max is {memory_bytes_max}"
    )]
    Memory {
        /// The plugin.
        plugin: PluginName,
        /// Its initial memory.
        bytes: u64,
        /// The limit in genesis.
        memory_bytes_max: u64,
    },
    /// The plugin rejected its params.
    #[error("plugin {plugin}: refuses its params {params}: {words} (code {code})", words = printable::line(message))]
    Params {
        /// The plugin.
        plugin: PluginName,
        /// The params in genesis.
        params: Excerpt,
        /// The plugin's code.
        code: u16,
        /// The plugin's words.
        message: String,
    },
    /// The plugin broke its contract before it saw a transaction.
    #[error(
        "plugin {plugin}: faulted when given its params {params}: {words} (code {code})",
        words = fault.with(message), code = fault.code()
    )]
    Init {
        /// The plugin.
        plugin: PluginName,
        /// The params in genesis.
        params: Excerpt,
        /// What it did.
        fault: Fault,
        /// The plugin's words about its panic.
        message: String,
    },
    /// The engine could not be built, or broke.
    #[error("the wasm engine does not work on this host: {reason}")]
    Host {
        /// What came back.
        reason: String,
    },
}

impl From<Fatal> for AdmitError {
    fn from(fatal: Fatal) -> Self {
        Self::Host { reason: fatal.to_string() }
    }
}

/// Refuses another engine than this build's.
pub(super) fn check_engine(expected: EngineId) -> Result<(), AdmitError> {
    let found = engine_id();
    if expected == found { Ok(()) } else { Err(AdmitError::Engine { expected, found }) }
}

/// Checks one module against its line in genesis and makes it callable.
pub(super) fn admit(spec: &PluginSpec, limits: &Limits, compiled: &Compiled) -> Result<Admitted, AdmitError> {
    let plugin = &spec.name;
    let Compiled { module, mutable_globals } = compiled;
    check_memory(plugin, limits, module)?;
    let exports = check_exports(plugin, module, mutable_globals.as_deref())?;
    let pre = Linker::new(module.engine()).instantiate_pre(module);
    let pre = pre.map_err(|error| refused(plugin, &format_args!("{error:#}")))?;
    let params = spec.params.as_str().to_owned();
    let start_fuel = start_fuel(module);
    let mut admitted = Admitted {
        name: Arc::new(plugin.clone()),
        params,
        limits: *limits,
        pre,
        exports,
        start_fuel,
        init_fuel: Fuel(0),
        warm: None,
    };
    let (mut live, init_fuel) = check_params(&admitted)?;
    admitted.init_fuel = init_fuel;
    if mutable_globals.is_some() {
        admitted.warm = Warm::of(&mut live);
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

/// What making an instance of a module takes.
fn start_fuel(module: &Module) -> Fuel {
    let needed = module.resources_required();
    let table_bytes = needed.max_initial_table_size.unwrap_or(0).saturating_mul(limits::TABLE_ELEMENT_BYTES);
    let memory_bytes = needed.max_initial_memory_size.unwrap_or(0).saturating_mul(limits::WASM_PAGE_BYTES);
    let touched = memory_bytes.saturating_add(table_bytes) / limits::MEMORY_BYTES_PER_FUEL;
    Fuel(limits::START_FUEL.saturating_add(touched))
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
        touched: mutable_globals.map(|_| index(TOUCHED_EXPORT)).transpose()?,
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
            tracing::debug!(%plugin, %fault, message, detail, "plugin faulted at admission");
            Err(AdmitError::Init { plugin, params, fault, message })
        }
        Err(Stop::Fatal { step, reason }) => Err(Fatal { plugin: Some(plugin), step, reason }.into()),
    }
}
