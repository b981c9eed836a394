//! What it costs to compile a function, estimated from what validation counts in it.
//!
//! A unit is at most about a microsecond of one core of an ordinary server. Much of the compiler's work grows with the square of what a
//! function has: it looks at every value that is alive at every instruction, above all at those that need registers for
//! floats. Each factor is set by the worst function known for it; `cargo run --release --example bench-admission` measures
//! those beside their estimates. Functions that rustc makes take a small part of theirs. The estimate misses some functions, which
//! are refused while they are compiled; another term for each would be answered with another function.
//!
//! # Determinism
//!
//! The terms are part of the engine id: with others, other modules are admitted.

use wasmparser::Operator;

/// What the compiler's work on a function depends on.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    /// Parameters and results of its type: what brings them in and out is compiled too.
    pub(super) params_and_results: u64,
    pub(super) instructions: u64,
    /// Instructions that [`is_float_operation`] counts.
    pub(super) float_operations: u64,
    /// Blocks, branches and calls.
    pub(super) branches: u64,
    pub(super) loops: u64,
    /// Values alive at each of the branches, summed.
    pub(super) live_values: u64,
    /// Parameters and results of the functions called, summed over the calls.
    pub(super) call_values: u64,
    /// Targets of branch tables.
    pub(super) targets: u64,
    /// Values that branches carry, summed.
    pub(super) branch_args: u64,
    /// Locals that meet where branches arrive, summed.
    pub(super) phis: u64,
    /// Locals with phis times loops.
    pub(super) phis_by_loops: u64,
    /// Locals times loops within loops.
    pub(super) locals_in_loops: u64,
}

/// A part of the estimate: the product of counts, times units, divided by another number and rounded down.
struct Term {
    name: &'static str,
    counts: fn(&Counts) -> [u64; 2],
    units: u64,
    per: u64,
}

const fn term(name: &'static str, counts: fn(&Counts) -> [u64; 2], units: u64, per: u64) -> Term {
    Term { name, counts, units, per }
}

const TERMS: [Term; 20] = [
    term("functions", |_| [1, 1], 280, 1),
    term("params-and-results", |of| [of.params_and_results, 1], 12, 1),
    term("instructions", |of| [of.instructions, 1], 5, 1),
    term("instructions^2", |of| [of.instructions, of.instructions], 1, 300),
    term("floats", |of| [of.float_operations, 1], 20, 1),
    term("floats*instructions", |of| [of.float_operations, of.instructions], 1, 20),
    term("branches", |of| [of.branches, 1], 18, 1),
    term("branches^2", |of| [of.branches, of.branches], 1, 400),
    term("loops*instructions", |of| [of.loops, of.instructions], 1, 6),
    term("alive-at-branches", |of| [of.live_values, 1], 1, 4),
    term("passed", |of| [of.call_values, 1], 4, 1),
    term("passed^2", |of| [of.call_values, of.call_values], 1, 6_000),
    term("targets", |of| [of.targets, 1], 1, 1),
    term("targets*instructions", |of| [of.targets, of.instructions], 1, 50),
    term("carried", |of| [of.branch_args, 1], 4, 1),
    term("carried*branches", |of| [of.branch_args, of.branches], 1, 30),
    term("joined^2", |of| [of.phis, of.phis], 1, 3_000),
    term("joined*branches", |of| [of.phis, of.branches], 1, 100),
    term("joined-by-loops^2", |of| [of.phis_by_loops, of.phis_by_loops], 1, 55),
    term("locals-in-loops", |of| [of.locals_in_loops, 1], 2, 1),
];

impl Counts {
    /// The estimate, in units.
    pub(super) fn compile_work(&self) -> u64 {
        let units = |term: &Term| {
            let product = (term.counts)(self).into_iter().fold(term.units, u64::saturating_mul);
            product.checked_div(term.per).unwrap_or(u64::MAX)
        };
        TERMS.iter().map(units).fold(0, u64::saturating_add)
    }
}

/// The estimate's terms, for the engine id.
pub(in crate::plugin) fn terms_text() -> String {
    let text = |Term { name, units, per, .. }: &Term| {
        let per = if *per == 1 { String::new() } else { format!("/{per}") };
        format!("{name}={units}{per}")
    };
    TERMS.each_ref().map(text).join(" ")
}

/// Whether an instruction computes with floats: the compiler keeps their operands in other registers than all else, and follows
/// each with a check for NaN.
pub(super) fn is_float_operation(operator: &Operator<'_>) -> bool {
    use Operator as O;
    matches!(
        operator,
        O::F32Abs
            | O::F32Neg
            | O::F32Ceil
            | O::F32Floor
            | O::F32Trunc
            | O::F32Nearest
            | O::F32Sqrt
            | O::F32Add
            | O::F32Sub
            | O::F32Mul
            | O::F32Div
            | O::F32Min
            | O::F32Max
            | O::F32Copysign
            | O::F32Eq
            | O::F32Ne
            | O::F32Lt
            | O::F32Gt
            | O::F32Le
            | O::F32Ge
            | O::F64Abs
            | O::F64Neg
            | O::F64Ceil
            | O::F64Floor
            | O::F64Trunc
            | O::F64Nearest
            | O::F64Sqrt
            | O::F64Add
            | O::F64Sub
            | O::F64Mul
            | O::F64Div
            | O::F64Min
            | O::F64Max
            | O::F64Copysign
            | O::F64Eq
            | O::F64Ne
            | O::F64Lt
            | O::F64Gt
            | O::F64Le
            | O::F64Ge
            | O::I32TruncF32S
            | O::I32TruncF32U
            | O::I32TruncF64S
            | O::I32TruncF64U
            | O::I64TruncF32S
            | O::I64TruncF32U
            | O::I64TruncF64S
            | O::I64TruncF64U
            | O::I32TruncSatF32S
            | O::I32TruncSatF32U
            | O::I32TruncSatF64S
            | O::I32TruncSatF64U
            | O::I64TruncSatF32S
            | O::I64TruncSatF32U
            | O::I64TruncSatF64S
            | O::I64TruncSatF64U
            | O::F32ConvertI32S
            | O::F32ConvertI32U
            | O::F32ConvertI64S
            | O::F32ConvertI64U
            | O::F64ConvertI32S
            | O::F64ConvertI32U
            | O::F64ConvertI64S
            | O::F64ConvertI64U
            | O::F32DemoteF64
            | O::F64PromoteF32
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_is_the_sum_of_its_terms() {
        assert_eq!(Counts::default().compile_work(), 280);
        let counts = Counts {
            params_and_results: 3,
            instructions: 3_000,
            float_operations: 100,
            branches: 400,
            loops: 12,
            live_values: 4_001,
            call_values: 600,
            targets: 7,
            branch_args: 5,
            phis: 2_000,
            phis_by_loops: 110,
            locals_in_loops: 10,
        };
        let linear = 280 + 36 + 15_000 + 2_000 + 7_200 + 1_000 + 2_400 + 7 + 20 + 20;
        assert_eq!(
            counts.compile_work(),
            linear + 30_000 + 15_000 + 400 + 6_000 + 60 + 420 + 66 + 1_333 + 8_000 + 220
        );
    }

    /// Those are counted whose names say that they compute with floats, and no others.
    #[test]
    fn all_float_operations_are_known() {
        let mut known = 0;
        macro_rules! each {
            ($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident $arity:tt)*) => {
                $(each!(@one $op $({ $($arg)* })?);)*
            };
            (@one $op:ident { $($arg:ident)* }) => {};
            (@one $op:ident) => {
                let name = stringify!($op);
                let floats = name.contains("F32") || name.contains("F64");
                let computes = floats && !name.contains("Reinterpret") && !name.contains("x2") && !name.contains("x4");
                assert_eq!(is_float_operation(&Operator::$op), computes, "{name}");
                known += usize::from(computes);
            };
        }
        wasmparser::for_each_operator!(each);
        assert_eq!(known, 66);
    }
}
