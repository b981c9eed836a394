//! The one wasm engine of the process, and its identity.
//!
//! # Format
//!
//! The engine id is SHA-256 of [`engine_text`]: one line for each thing that can change a result.
//!
//! # Determinism
//!
//! Every setting that could change what a plugin computes is made here, and either stands in the engine
//! text or has one value that no setting changes. Settings that only decide speed or address space are
//! free to differ between hosts.

use std::fmt::Write as _;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    ProfilingStrategy, Strategy, WasmBacktraceDetails, WasmFeatures,
};

pub(super) mod costs;
use super::execute::parallel::{instances_kept_max, processors};
use super::instrument::dirty_pages::{PIECE_SHIFT, REACH_BYTES};
use crate::limits;
use crate::types::EngineId;

/// What a plugin may be made of. Everything else of wasm is off: threads, SIMD, relaxed SIMD, 64-bit and
/// multiple memories, GC, exceptions, tail calls, reference types, components.
pub(super) const FEATURES: &[(&str, WasmFeatures)] = &[
    // What rustc emits for memcpy and memset; its cost in fuel grows with the bytes.
    ("bulk-memory", WasmFeatures::BULK_MEMORY),
    // Only the padded encoding of call_indirect that rustc emits, without reference types behind it.
    ("call-indirect-overlong", WasmFeatures::CALL_INDIRECT_OVERLONG),
    // Floats are deterministic once NaNs are canonical; JSON needs them.
    ("floats", WasmFeatures::FLOATS),
    ("multi-value", WasmFeatures::MULTI_VALUE),
    // The shadow stack pointer may be exported.
    ("mutable-global", WasmFeatures::MUTABLE_GLOBAL),
    ("saturating-float-to-int", WasmFeatures::SATURATING_FLOAT_TO_INT),
    ("sign-extension", WasmFeatures::SIGN_EXTENSION),
];

/// [`FEATURES`] as one set.
pub(super) fn features() -> WasmFeatures {
    FEATURES.iter().fold(WasmFeatures::empty(), |all, (_, feature)| all | *feature)
}

/// wasmtime's long-term line. Its patch releases are taken without a new engine id; the goldens for
/// verdicts and fuel watch over them.
const WASMTIME_LINE: u32 = 48;

/// Version of what rewriting before compilation adds to a plugin: the counting of `stack` and its frames, and `marks`.
const INSTRUMENTATION: u32 = 3;

/// Addresses for each instance's memory, in bytes: all that a 32-bit address can reach, and so no bounds checks in the code.
const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;

/// Addresses behind each memory, in bytes: what the static offsets of loads and stores can reach.
const MEMORY_GUARD_BYTES: u64 = 32 << 20;

/// Addresses that the process needs beside those of its instances, in bytes: the program, threads' stacks, data.
const ADDRESSES_BESIDE_BYTES: u64 = 1 << 30;

/// Version of what admission counts and how much each instruction weighs, and of the encodings it takes: see `body` and
/// `encoding`. Another version may admit other modules under the same limits.
const GATE: u32 = 1;

/// Touched memory of an ended instance that is put back by copying rather than by unmapping, in bytes.
/// Unmapping costs a page fault for each page the next instance touches, several times the copy.
const KEEP_RESIDENT_BYTES: usize = 1 << 20;

/// The same for its table. A page, because the engine clears a table of no more than that without asking the kernel
/// what was touched; asking costs most of a microsecond.
const TABLE_KEEP_RESIDENT_BYTES: usize = 4096;

/// The engine's description, one `name value` line for each thing that can change a result.
#[must_use]
pub fn engine_text() -> String {
    let features: Vec<&str> = FEATURES.iter().map(|(name, _)| *name).collect();
    let mut text = String::from("dseq/engine-id/v1\n");
    let lines: [(&str, &dyn std::fmt::Display); 13] = [
        ("wasmtime", &WASMTIME_LINE),
        ("wasm-features", &features.join(" ")),
        ("nan", &"canonical"),
        ("fuel-costs", &fuel_costs()),
        (
            "host-fuel",
            &format_args!(
                "copied-byte=1 call={} restored-bytes-per-unit={} start={} memory-bytes-per-unit={} table-element-bytes={} message-bytes-max={}",
                limits::CALL_FUEL,
                limits::RESTORED_BYTES_PER_FUEL,
                limits::START_FUEL,
                limits::MEMORY_BYTES_PER_FUEL,
                limits::TABLE_ELEMENT_BYTES,
                limits::MESSAGE_BYTES_MAX
            ),
        ),
        ("stack-bytes-max", &limits::STACK_BYTES_MAX),
        ("stack-uncounted-bytes-max", &limits::STACK_UNCOUNTED_BYTES_MAX),
        ("table-elements-max", &limits::TABLE_ELEMENTS_MAX),
        ("gate", &GATE),
        ("module-limits", &module_limits()),
        ("abi", &1),
        ("instrumentation", &INSTRUMENTATION),
        ("marks", &marks()),
    ];
    for (name, value) in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} {value}");
    }
    text
}

/// Each family of instructions with a cost of its own, and the instructions in it.
fn fuel_costs() -> String {
    let families = costs::FAMILIES.iter();
    let families = families.map(|(name, units, operators)| format!("{name}={units}:{}", operators.join(",")));
    families.collect::<Vec<_>>().join(" ")
}

/// What decides which modules there can be at all.
fn module_limits() -> String {
    let all: [(&str, u64); 25] = [
        ("pipeline-modules", limits::PIPELINE_MODULES_MAX),
        ("bytes", limits::WASM_BYTES_MAX),
        ("code-bytes", limits::MODULE_CODE_BYTES_MAX),
        ("types", limits::MODULE_TYPES_MAX),
        ("type-params", limits::TYPE_PARAMS_MAX),
        ("type-results", limits::TYPE_RESULTS_MAX),
        ("functions", limits::MODULE_FUNCTIONS_MAX),
        ("globals", limits::MODULE_GLOBALS_MAX),
        ("exports", limits::MODULE_EXPORTS_MAX),
        ("export-name-bytes", limits::EXPORT_NAME_BYTES_MAX),
        ("segments", limits::MODULE_SEGMENTS_MAX),
        ("elements", limits::MODULE_ELEMENTS_MAX),
        ("function-bytes", limits::FUNCTION_BYTES_MAX),
        ("function-locals", limits::FUNCTION_LOCALS_MAX),
        ("function-branches", limits::FUNCTION_BRANCHES_MAX),
        ("branches", limits::MODULE_BRANCHES_MAX),
        ("function-branch-targets", limits::FUNCTION_BRANCH_TARGETS_MAX),
        ("function-alive-at-branches", limits::FUNCTION_ALIVE_AT_BRANCHES_MAX),
        ("function-carried", limits::FUNCTION_CARRIED_MAX),
        ("function-joined", limits::FUNCTION_JOINED_MAX),
        ("joined", limits::MODULE_JOINED_MAX),
        ("function-joined-by-loops", limits::FUNCTION_JOINED_BY_LOOPS_MAX),
        ("joined-by-loops", limits::MODULE_JOINED_BY_LOOPS_MAX),
        ("function-loop-depth", limits::FUNCTION_LOOP_DEPTH_MAX),
        ("function-locals-in-loops", limits::FUNCTION_LOCALS_IN_LOOPS_MAX),
    ];
    all.map(|(name, value)| format!("{name}={value}")).join(" ")
}

/// What decides where marks stand.
fn marks() -> String {
    format!(
        "restored-memory-bytes={} restored-globals={} piece-bytes={} reach-bytes={REACH_BYTES} function={} module={}",
        limits::RESTORED_MEMORY_BYTES_MAX,
        limits::RESTORED_GLOBALS_MAX,
        1 << PIECE_SHIFT,
        limits::FUNCTION_MARKS_MAX,
        limits::MODULE_MARKS_MAX
    )
}

/// The identity of this build's engine. Genesis pins one; a node with another refuses to start.
#[must_use]
pub fn engine_id() -> EngineId {
    static ID: OnceLock<EngineId> = OnceLock::new();
    *ID.get_or_init(|| EngineId(Sha256::digest(engine_text()).into()))
}

/// The one engine of the process. It reserves address space (4 GiB for each instance that may live at once)
/// and next to no memory.
pub(super) fn engine() -> Result<&'static Engine, String> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    ENGINE
        .get_or_init(|| {
            let config = config().map_err(|error| error.to_string())?;
            Engine::new(&config).map_err(|error| format!("{error:#}{}", remedy()))
        })
        .as_ref()
        .map_err(Clone::clone)
}

/// What to do about an engine that cannot be made: nearly always it lacks addresses.
fn remedy() -> String {
    let reserved = if cfg!(feature = "small-address-space") { 0 } else { pool_bytes() };
    let allowed = rustix::process::getrlimit(rustix::process::Resource::As).current;
    match allowed {
        Some(allowed) if allowed < reserved.saturating_add(ADDRESSES_BESIDE_BYTES) => format!(
            "; the engine reserves {reserved} bytes of address space (not of memory), and this process may have {allowed} \
             in all: raise that (`ulimit -v unlimited`, in a systemd unit LimitAS=infinity), or build dseq with \
             `--features small-address-space`, which needs far fewer and is slower"
        ),
        _ => String::new(),
    }
}

/// The addresses of all slots for instances, in bytes.
fn pool_bytes() -> u64 {
    let memory = MEMORY_RESERVATION_BYTES.saturating_add(MEMORY_GUARD_BYTES);
    instances_max().map_or(0, |instances| memory.saturating_mul(instances.into()))
}

/// The only place where a wasm engine is configured.
fn config() -> Result<Config, std::num::TryFromIntError> {
    let mut config = Config::new();

    // What a plugin may be made of: nothing, then the list.
    config.wasm_features(WasmFeatures::all(), false);
    config.wasm_features(features(), true);

    // What can change a result.
    config.strategy(Strategy::Cranelift);
    config.cranelift_nan_canonicalization(true); // NaN bits differ between processors.
    config.consume_fuel(true); // The only clock a plugin has.
    config.operator_cost(costs::operator_cost());
    config.epoch_interruption(false); // Would stop a plugin by wall-clock time.
    let stack_bytes = usize::try_from(limits::WASM_STACK_BYTES)?;
    config.async_stack_size(stack_bytes); // Of stacks that nothing here makes; the engine wants it as long.
    config.max_wasm_stack(stack_bytes);

    // What must not: nothing of the environment is read, nothing but the module is compiled.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable); // The default asks an environment variable.
    config.wasm_backtrace_max_frames(None); // Backtraces differ between hosts; a fault is its code.
    config.debug_info(false);
    config.native_unwind_info(false);
    config.generate_address_map(false);
    config.profiler(ProfilingStrategy::None);
    config.cranelift_opt_level(OptLevel::Speed);

    config.memory_init_cow(true);
    if cfg!(feature = "small-address-space") {
        on_demand(&mut config);
    } else {
        pooled(&mut config)?;
    }
    Ok(config)
}

/// Fresh instances at the price of a few microseconds: slots are mapped once, and a new instance sees the module's
/// initial memory copy-on-write.
fn pooled(config: &mut Config) -> Result<(), std::num::TryFromIntError> {
    config.memory_reservation(MEMORY_RESERVATION_BYTES);
    config.memory_guard_size(MEMORY_GUARD_BYTES);
    config.memory_may_move(false);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling()?));
    Ok(())
}

/// Fresh instances where address space is short: each memory as long as it is used, with bounds checks in the code. The
/// same results, more slowly.
fn on_demand(config: &mut Config) {
    config.memory_reservation(0);
    config.memory_guard_size(0);
    config.memory_reservation_for_growth(0);
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
}

/// Instances that may live at once: one for each thread that could run a plugin, and those kept for the next call.
/// CheckTx and blocks have a thread for each processor, each connection has its own; running out would be fatal, and
/// more only costs address space.
fn instances_max() -> Result<u32, std::num::TryFromIntError> {
    let running = processors().saturating_mul(2).saturating_add(limits::ABCI_CONNECTIONS_MAX);
    u32::try_from(running.saturating_add(instances_kept_max()))
}

/// Slots for instances. No bound here may be reached before the one in genesis or in the engine text.
fn pooling() -> Result<PoolingAllocationConfig, std::num::TryFromIntError> {
    let instances_max = instances_max()?;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(instances_max);
    pool.total_memories(instances_max);
    pool.total_tables(instances_max);
    pool.max_memories_per_module(1);
    pool.max_tables_per_module(1);
    pool.max_memory_size(usize::try_from(limits::MEMORY_BYTES_CEILING)?);
    pool.table_elements(usize::try_from(limits::TABLE_ELEMENTS_MAX)?);
    pool.linear_memory_keep_resident(KEEP_RESIDENT_BYTES);
    pool.table_keep_resident(TABLE_KEEP_RESIDENT_BYTES);
    pool.pagemap_scan(Enabled::Auto); // Lets the kernel say which pages were touched, where it can (Linux 6.7).
    Ok(pool)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The engine id stands in every genesis. A change here means that this build computes, or may compute,
    /// other results: nodes of existing networks refuse to start with it. It belongs under
    /// "Consensus-breaking" in the CHANGELOG, and is never made to get a test to pass.
    #[test]
    fn the_engine_id_is_fixed() {
        assert_eq!(
            engine_text(),
            "dseq/engine-id/v1\n\
             wasmtime 48\n\
             wasm-features bulk-memory call-indirect-overlong floats multi-value mutable-global \
             saturating-float-to-int sign-extension\n\
             nan canonical\n\
             fuel-costs load=48:I32Load,I64Load,F32Load,F64Load,I32Load8S,I32Load8U,I32Load16S,I32Load16U,I64Load8S,\
             I64Load8U,I64Load16S,I64Load16U,I64Load32S,I64Load32U store=8:I32Store,I64Store,F32Store,\
             F64Store,I32Store8,I32Store16,I64Store8,I64Store16,I64Store32 division=8:I32DivS,I32DivU,\
             I32RemS,I32RemU,I64DivS,I64DivU,I64RemS,I64RemU float=32:F32Add,F32Sub,F32Mul,F32Div,\
             F32Sqrt,F32Min,F32Max,F32Ceil,F32Floor,F32Trunc,F32Nearest,F64Add,F64Sub,F64Mul,F64Div,\
             F64Sqrt,F64Min,F64Max,F64Ceil,F64Floor,F64Trunc,F64Nearest,F32DemoteF64,F64PromoteF32 \
             float-convert=8:I32TruncF32S,I32TruncF32U,I32TruncF64S,I32TruncF64U,I64TruncF32S,\
             I64TruncF32U,I64TruncF64S,I64TruncF64U,I32TruncSatF32S,I32TruncSatF32U,I32TruncSatF64S,\
             I32TruncSatF64U,I64TruncSatF32S,I64TruncSatF32U,I64TruncSatF64S,I64TruncSatF64U,\
             F32ConvertI32S,F32ConvertI32U,F32ConvertI64S,F32ConvertI64U,F64ConvertI32S,F64ConvertI32U,\
             F64ConvertI64S,F64ConvertI64U,F32Eq,F32Ne,F32Lt,F32Gt,F32Le,F32Ge,F64Eq,F64Ne,F64Lt,F64Gt,\
             F64Le,F64Ge branch=2:If,BrIf call=32:Call indirect=32:CallIndirect,BrTable bulk=64:MemoryCopy,MemoryInit,DataDrop,\
             TableCopy,TableInit,ElemDrop memory=255:MemoryFill,MemoryGrow\n\
             host-fuel copied-byte=1 call=500 restored-bytes-per-unit=64 start=8000 memory-bytes-per-unit=2 \
             table-element-bytes=8 message-bytes-max=1024\n\
             stack-bytes-max 4194304\n\
             stack-uncounted-bytes-max 65536\n\
             table-elements-max 65536\n\
             gate 1\n\
             module-limits pipeline-modules=4 bytes=4194304 code-bytes=1048576 types=1000 type-params=100 type-results=16 functions=10000 \
             globals=1000 exports=1000 export-name-bytes=1000 segments=1000 elements=5000 function-bytes=131072 \
             function-locals=2000 function-branches=5000 branches=500000 function-branch-targets=20000 \
             function-alive-at-branches=500000 function-carried=20000 function-joined=80000 joined=350000 function-joined-by-loops=15000 \
             joined-by-loops=45000 function-loop-depth=25 \
             function-locals-in-loops=25000\n\
             abi 1\n\
             instrumentation 3\n\
             marks restored-memory-bytes=131072 restored-globals=16 piece-bytes=4096 reach-bytes=512 function=16 module=2000\n"
        );
        assert_eq!(
            engine_id().to_string(),
            "1174dd429be27b8746098eb87a53e5177d0730384ae80473f17aa74559f6101c"
        );
    }

    /// An engine of another line has other fuel costs.
    #[test]
    fn the_engine_text_names_the_wasmtime_that_is_linked() {
        let lock = include_str!("../../../../Cargo.lock");
        let (_, wasmtime) = lock.split_once("name = \"wasmtime\"\nversion = \"").unwrap();
        assert!(wasmtime.starts_with(&format!("{WASMTIME_LINE}.")), "{}", &wasmtime[..10]);
    }

    #[test]
    fn features_outside_the_list_are_off() {
        let engine = engine().unwrap();
        assert_eq!(engine.get_wasm_features(), features());
        assert_eq!(engine.get_cranelift_nan_canonicalization(), Some(true));
        assert!(engine.get_consume_fuel() && !engine.get_epoch_interruption());
    }
}
