//! Why a node refuses to run a pipeline.

use crate::excerpt::{Excerpt, words};
use crate::limits;
use crate::plugin::fault::{Fatal, Fault};
use crate::plugin::validate::ValidateError;
use crate::printable;
use crate::rules::{LimitsError, PluginName};
use crate::types::{EngineId, PluginHash};

/// Why a node refuses to run a pipeline. Only [`Self::Host`] may go away by trying again; [`Self::CompileTime`]
/// may on a faster machine.
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
    ///
    /// Raise `limits.record_bytes_max` to `limits.tx_bytes_max` at least, or lower `limits.tx_bytes_max` (`dseq genesis set --limit`).
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
    ///
    /// Use fewer plugins.
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
    ///
    /// Report it, with the command that was run.
    #[error("the pipeline has {plugins} plugins, but {modules} modules were given")]
    ModuleCount {
        /// Plugins in genesis.
        plugins: u64,
        /// Modules given.
        modules: u64,
    },
    /// Other bytes than genesis pins.
    ///
    /// Use the module that genesis pins; `dseq plugin hash` prints the SHA-256 of a file.
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
    ///
    /// Change the plugin as the message says, or use another one.
    #[error("plugin {plugin}: {source}")]
    Invalid {
        /// The plugin.
        plugin: PluginName,
        /// The rule it breaks.
        source: ValidateError,
    },
    /// More of something than all plugins of a pipeline may have together.
    ///
    /// Use fewer or smaller plugins.
    #[error("the pipeline's plugins have {found} {what} together; at most {max} are allowed")]
    TooMuchTogether {
        /// What there is too much of.
        what: &'static str,
        /// How much of it all have together.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// The engine does not compile what is valid.
    ///
    /// Report it, with the plugin's file.
    #[error("plugin {plugin}: the engine refuses the module: {reason}")]
    Module {
        /// The plugin.
        plugin: PluginName,
        /// The engine's words.
        reason: String,
    },
    /// Compiling it took too long.
    #[error(
        "plugin {plugin}: compiling it takes more than {max} seconds of processor time on this machine, the most that is \
         allowed; use a faster machine, or a plugin with smaller functions (one with the regex crate takes a tenth of that, so \
         do not trust this one unless it is yours)",
        max = limits::COMPILE_SECONDS_MAX
    )]
    CompileTime {
        /// The plugin.
        plugin: PluginName,
    },
    /// Compiling it took too much memory.
    #[error(
        "plugin {plugin}: compiling it takes more than {max} MiB of memory, the most that is allowed; use a plugin with \
         smaller functions (one with the regex crate takes a tenth of that, so do not trust this one unless it is yours)",
        max = limits::COMPILE_MEMORY_BYTES_MAX >> 20
    )]
    CompileMemory {
        /// The plugin.
        plugin: PluginName,
    },
    /// An export of the ABI is missing.
    ///
    /// Build it with the guest SDK (`dseq plugin new` begins a project), or export what `guest-sdk/abi-v1.md` asks for.
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
    ///
    /// Build it with the guest SDK (`dseq plugin new` begins a project), or export what `guest-sdk/abi-v1.md` asks for.
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
    /// More initial memory than the network allows.
    ///
    /// Let the plugin start with less memory. Or raise the limit, before the first block: `--limit memory_bytes_max=NUMBER` of
    /// `dseq network create` and `dseq genesis set`; to try it, `--memory-bytes-max` of `dseq plugin run`.
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
    ///
    /// Give it params that its documentation allows.
    #[error("plugin {plugin}: refuses its params {params}: {words} (code {code})", words = printable::line(message))]
    Params {
        /// The plugin.
        plugin: PluginName,
        /// The params in genesis.
        params: Excerpt,
        /// The plugin's code.
        code: u16,
        /// The plugin's message.
        message: String,
    },
    /// The plugin broke its contract before it saw a transaction.
    ///
    /// Give it other params (`dseq plugin check FILE --params JSON` tries them), or mend the plugin.
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
        /// The plugin's message about its panic.
        message: String,
    },
    /// The engine could not be built, or broke.
    ///
    /// Fix what the reason names, usually lack of memory or threads; if it comes back, report it, with the node's log.
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

impl AdmitError {
    /// The engine does not take a valid module.
    pub(super) fn refused(plugin: &PluginName, error: &impl std::fmt::Display) -> Self {
        Self::Module { plugin: plugin.clone(), reason: words(error) }
    }
}
