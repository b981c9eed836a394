//! What instructions cost in fuel.
//!
//! A unit is what a cheap instruction takes, with those that the compiler makes disappear among them: at most 2.5
//! nanoseconds on a 2020s server. An instruction that can take longer costs, with its operands, a unit for every two of them: a load that misses every cache, arithmetic on denormal floats where a processor does it in microcode, a call into
//! the engine. `cargo run --release --example bench-fuel` measures how long a unit can take.
//!
//! # Determinism
//!
//! The costs are part of the engine id. Those that do not stand here are the engine's default: 1, and 0 for what
//! makes no code (`block`, `drop`, ...); copies and fills cost 1 more for each byte or element.

use wasmtime::OperatorCost;

macro_rules! costs {
    ($($(#[$doc:meta])* $family:literal = $units:literal: $($operator:ident)+;)+) => {
        /// The families of instructions with a cost of their own: name, units, and the instructions.
        pub(super) const FAMILIES: &[(&str, u8, &[&str])] = &[
            $(($family, $units, &[$(stringify!($operator)),+])),+
        ];

        /// The cost of every instruction.
        pub(super) fn operator_cost() -> OperatorCost {
            let mut cost = OperatorCost::new();
            $($(cost.$operator = $units;)+)+
            cost
        }
    };
}

costs! {
    // From memory: the last cache is not the plugin's alone.
    "load" = 48:
        I32Load I64Load F32Load F64Load
        I32Load8S I32Load8U I32Load16S I32Load16U
        I64Load8S I64Load8U I64Load16S I64Load16U I64Load32S I64Load32U;
    // Nothing waits for one. Across pages that fall into the same places of all near caches it takes 28 ns, with its operands.
    "store" = 12:
        I32Store I64Store F32Store F64Store I32Store8 I32Store16 I64Store8 I64Store16 I64Store32;
    "division" = 8:
        I32DivS I32DivU I32RemS I32RemU I64DivS I64DivU I64RemS I64RemU;
    // Of floats it is a jump: 8 ns, where there are more of them than the processor remembers.
    "select" = 4: Select TypedSelect;
    // Makes no code: what compiled code does beyond its instructions is charged by so many of them.
    "nop" = 1: Nop;
    // Up to 160 cycles on processors that leave denormals to their microcode.
    "float" = 32:
        F32Add F32Sub F32Mul F32Div F32Sqrt F32Min F32Max F32Ceil F32Floor F32Trunc F32Nearest
        F64Add F64Sub F64Mul F64Div F64Sqrt F64Min F64Max F64Ceil F64Floor F64Trunc F64Nearest
        F32DemoteF64 F64PromoteF32;
    "float-convert" = 8:
        I32TruncF32S I32TruncF32U I32TruncF64S I32TruncF64U I64TruncF32S I64TruncF32U I64TruncF64S I64TruncF64U
        I32TruncSatF32S I32TruncSatF32U I32TruncSatF64S I32TruncSatF64U
        I64TruncSatF32S I64TruncSatF32U I64TruncSatF64S I64TruncSatF64U
        F32ConvertI32S F32ConvertI32U F32ConvertI64S F32ConvertI64U
        F64ConvertI32S F64ConvertI32U F64ConvertI64S F64ConvertI64U
        F32Eq F32Ne F32Lt F32Gt F32Le F32Ge F64Eq F64Ne F64Lt F64Gt F64Le F64Ge;
    // The processor has guessed another.
    "branch" = 2: If BrIf;
    // Where one begins, the fuel left is looked at.
    "loop" = 4: Loop;
    // Code that is not in the near caches, and returns that the processor has forgotten.
    "call" = 32: Call;
    // Table, function and code may each be far away, and the processor has guessed another.
    "indirect" = 32: CallIndirect BrTable;
    // Calls into the engine.
    "bulk" = 64: MemoryCopy MemoryInit DataDrop TableCopy TableInit ElemDrop;
    "memory" = 255: MemoryFill MemoryGrow;
}
