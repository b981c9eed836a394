//! The identity of the engine: a hash of everything that can change what a plugin computes.
//!
//! # Format
//!
//! The engine id is SHA-256 of [`engine_text`]: one line for each thing that can change a result.
//!
//! # Determinism
//!
//! Genesis pins the id, so the text's words stay, also where the code has better ones by now: `gate` is `validate`,
//! `marks` are write barriers, a `piece` is a dirty page and its `reach` the margin around it.

use std::fmt::Write as _;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::costs;
use crate::limits;
use crate::plugin::instrument::write_barrier::{MARGIN_BYTES, PAGE_SHIFT};
use crate::plugin::validate::{FEATURES, terms_text};
use crate::types::EngineId;

/// wasmtime's long-term line. Its patch releases are taken without a new engine id; the goldens for
/// verdicts and fuel watch over them.
const WASMTIME_LINE: u32 = 48;

/// Version of what `instrument` adds to a plugin: the stack counter with its frames, the write barrier, and what
/// it charges for.
const INSTRUMENTATION: u32 = 6;

/// Version of what `validate` counts, how much each instruction weighs, and which encodings it takes. Another version may
/// admit other modules under the same limits.
const GATE: u32 = 1;

/// The engine's description, one `name value` line for each thing that can change a result.
#[must_use]
pub fn engine_text() -> String {
    let features: Vec<&str> = FEATURES.iter().map(|(name, _)| *name).collect();
    let mut text = String::from("dseq/engine-id/v1\n");
    let lines: [(&str, &dyn std::fmt::Display); 14] = [
        ("wasmtime", &WASMTIME_LINE),
        ("wasm-features", &features.join(" ")),
        ("nan", &"canonical"),
        ("fuel-costs", &fuel_costs()),
        (
            "host-fuel",
            &format_args!(
                "arrival={} copied-byte=1 message-byte={} call={} frame-bytes-per-unit={} locals-free={} registers={} registers-per-unit={} values-per-unit={} restored-bytes-per-unit={} start={} memory-bytes-per-unit={} passive-element={} table-element={} message-bytes-max={}",
                limits::ARRIVAL_FUEL,
                limits::MESSAGE_BYTE_FUEL,
                limits::CALL_FUEL,
                limits::FRAME_BYTES_PER_FUEL,
                limits::LOCALS_FREE,
                limits::REGISTERS,
                limits::REGISTERS_PER_FUEL,
                limits::VALUES_PER_FUEL,
                limits::RESET_BYTES_PER_FUEL,
                limits::START_FUEL,
                limits::MEMORY_BYTES_PER_FUEL,
                limits::PASSIVE_ELEMENT_FUEL,
                limits::TABLE_ELEMENT_FUEL,
                limits::MESSAGE_BYTES_MAX
            ),
        ),
        ("stack-bytes-max", &limits::STACK_BYTES_MAX),
        ("stack-uncounted-bytes-max", &limits::STACK_UNCOUNTED_BYTES_MAX),
        ("table-elements-max", &limits::TABLE_ELEMENTS_MAX),
        ("gate", &GATE),
        ("module-limits", &module_limits()),
        ("compile-work", &terms_text()),
        ("abi", &1),
        ("instrumentation", &INSTRUMENTATION),
        ("marks", &write_barrier()),
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
    let all: [(&str, u64); 24] = [
        ("pipeline-modules", limits::PIPELINE_MODULES_MAX),
        ("bytes", limits::WASM_BYTES_MAX),
        ("code-bytes", limits::MODULE_CODE_BYTES_MAX),
        ("compile-work", limits::MODULE_COMPILE_WORK_MAX),
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
        ("function-branch-targets", limits::FUNCTION_BRANCH_TARGETS_MAX),
        ("function-alive-at-branches", limits::FUNCTION_LIVE_VALUES_MAX),
        ("function-carried", limits::FUNCTION_BRANCH_ARGS_MAX),
        ("function-joined", limits::FUNCTION_PHIS_MAX),
        ("function-joined-by-loops", limits::FUNCTION_PHIS_BY_LOOPS_MAX),
        ("block-params", limits::BLOCK_PARAMS_MAX),
        ("function-loop-depth", limits::FUNCTION_LOOP_DEPTH_MAX),
        ("function-locals-in-loops", limits::FUNCTION_LOCALS_IN_LOOPS_MAX),
    ];
    all.map(|(name, value)| format!("{name}={value}")).join(" ")
}

/// What decides where write barriers stand.
fn write_barrier() -> String {
    format!(
        "restored-memory-bytes={} restored-globals={} piece-bytes={} reach-bytes={MARGIN_BYTES} function={} module={}",
        limits::RESET_MEMORY_BYTES_MAX,
        limits::RESET_GLOBALS_MAX,
        1 << PAGE_SHIFT,
        limits::FUNCTION_BARRIERS_MAX,
        limits::MODULE_BARRIERS_MAX
    )
}

/// The identity of this build's engine. Genesis pins one; a node with another refuses to start.
#[must_use]
pub fn engine_id() -> EngineId {
    static ID: OnceLock<EngineId> = OnceLock::new();
    *ID.get_or_init(|| EngineId(Sha256::digest(engine_text()).into()))
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
             I64Load8U,I64Load16S,I64Load16U,I64Load32S,I64Load32U store=12:I32Store,I64Store,F32Store,\
             F64Store,I32Store8,I32Store16,I64Store8,I64Store16,I64Store32 division=8:I32DivS,I32DivU,\
             I32RemS,I32RemU,I64DivS,I64DivU,I64RemS,I64RemU select=4:Select,TypedSelect nop=1:Nop float=32:F32Add,F32Sub,F32Mul,F32Div,\
             F32Sqrt,F32Min,F32Max,F32Ceil,F32Floor,F32Trunc,F32Nearest,F64Add,F64Sub,F64Mul,F64Div,\
             F64Sqrt,F64Min,F64Max,F64Ceil,F64Floor,F64Trunc,F64Nearest,F32DemoteF64,F64PromoteF32 \
             float-convert=8:I32TruncF32S,I32TruncF32U,I32TruncF64S,I32TruncF64U,I64TruncF32S,\
             I64TruncF32U,I64TruncF64S,I64TruncF64U,I32TruncSatF32S,I32TruncSatF32U,I32TruncSatF64S,\
             I32TruncSatF64U,I64TruncSatF32S,I64TruncSatF32U,I64TruncSatF64S,I64TruncSatF64U,\
             F32ConvertI32S,F32ConvertI32U,F32ConvertI64S,F32ConvertI64U,F64ConvertI32S,F64ConvertI32U,\
             F64ConvertI64S,F64ConvertI64U,F32Eq,F32Ne,F32Lt,F32Gt,F32Le,F32Ge,F64Eq,F64Ne,F64Lt,F64Gt,\
             F64Le,F64Ge branch=2:If,BrIf loop=4:Loop call=32:Call indirect=32:CallIndirect,BrTable bulk=64:MemoryCopy,MemoryInit,DataDrop,\
             TableCopy,TableInit,ElemDrop memory=255:MemoryFill,MemoryGrow\n\
             host-fuel arrival=8 copied-byte=1 message-byte=16 call=500 frame-bytes-per-unit=4096 locals-free=100 registers=28 registers-per-unit=4 values-per-unit=2 restored-bytes-per-unit=32 \
             start=8000 memory-bytes-per-unit=2 \
             passive-element=50 table-element=16 message-bytes-max=1024\n\
             stack-bytes-max 4194304\n\
             stack-uncounted-bytes-max 65536\n\
             table-elements-max 65536\n\
             gate 1\n\
             module-limits pipeline-modules=4 bytes=4194304 code-bytes=1048576 compile-work=15000000 types=1000 type-params=100 type-results=16 functions=10000 \
             globals=1000 exports=1000 export-name-bytes=1000 segments=1000 elements=5000 function-bytes=131072 \
             function-locals=2000 function-branches=5000 function-branch-targets=20000 \
             function-alive-at-branches=600000 function-carried=4000 function-joined=80000 function-joined-by-loops=15000 \
             block-params=8 function-loop-depth=25 \
             function-locals-in-loops=25000\n\
             compile-work functions=280 params-and-results=12 instructions=5 instructions^2=1/300 floats=20 \
             floats*instructions=1/20 branches=18 branches^2=1/400 loops*instructions=1/6 alive-at-branches=1/4 passed=4 passed^2=1/6000 \
             targets=1 targets*instructions=1/50 carried=4 carried*branches=1/30 joined^2=1/3000 joined*branches=1/100 joined-by-loops^2=1/55 locals-in-loops=2\n\
             abi 1\n\
             instrumentation 6\n\
             marks restored-memory-bytes=131072 restored-globals=16 piece-bytes=4096 reach-bytes=512 function=16 module=2000\n"
        );
        assert_eq!(
            engine_id().to_string(),
            "33b22c4ca7516258416a016ee33921811d87cfe8a4389226c0485dcade74eacf"
        );
    }

    /// An engine of another line has other fuel costs.
    #[test]
    fn the_engine_text_names_the_wasmtime_that_is_linked() {
        let lock = include_str!("../../../../Cargo.lock");
        let (_, wasmtime) = lock.split_once("name = \"wasmtime\"\nversion = \"").unwrap();
        assert!(wasmtime.starts_with(&format!("{WASMTIME_LINE}.")), "{}", &wasmtime[..10]);
    }
}
