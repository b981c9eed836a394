//! Validation of one function: its limits, and what it takes of the stack.
//!
//! # Limits
//!
//! A compiler follows each value that is alive through each branch, call and loop, and gives each value that a branch
//! carries a place where it arrives. Those sums, and not the number of bytes, are what its time and memory grow with.

use std::collections::BTreeSet;

use wasmparser::{
    FuncToValidate, FuncValidatorAllocations, FunctionBody, Operator, OperatorsReader, ValidatorResources,
};

use super::compile_work;
use super::control_flow::{ControlFlow, Place};
use super::error::{Item, ValidateError};
use super::features::features;
use super::types::{COMPILE_WORK, Function, Type, Use};
use crate::limits;

/// A function that is valid and within its limits.
pub(super) struct ValidFunction {
    pub(super) function: Function,
    /// Each limit that was checked, in that order.
    pub(super) used: Vec<Use>,
    /// Units that it is estimated to cost the compiler.
    pub(super) compile_work: u64,
    /// Whether it changes anything of its instance but memory and globals.
    pub(super) changes_other_state: bool,
}

/// Validates a function and checks it against its limits.
///
/// # Errors
///
/// The first rule it breaks.
pub(super) fn validate(
    function: FuncToValidate<ValidatorResources>,
    body: &FunctionBody<'_>,
    types: &[Type],
    allocations: &mut FuncValidatorAllocations,
) -> Result<ValidFunction, ValidateError> {
    let mut limits = FunctionLimits { item: Item::Function(function.index), used: Vec::new() };
    limits.check("bytes of code", body.range().len() as u64, limits::FUNCTION_BYTES_MAX)?;
    let ty = types.get(function.ty as usize);
    let mut locals = ty.map_or(0, |ty| ty.params);
    for local in body.get_locals_reader()? {
        locals = locals.saturating_add(u64::from(local?.0));
    }
    limits.check("parameters and locals", locals, limits::FUNCTION_LOCALS_MAX)?;
    let counts = validate_code(function, body, ControlFlow::new(types, locals), allocations)?;
    limits.check_control_flow(&counts.control_flow)?;
    let control_flow = &counts.control_flow;
    let results = ty.map(|ty| ty.results.clone()).unwrap_or_default();
    let params = ty.map_or(0, |ty| ty.params);
    let compile_work = compile_work::Counts {
        params_and_results: params.saturating_add(results.len() as u64),
        instructions: counts.instructions,
        float_operations: counts.float_operations,
        branches: control_flow.branches,
        loops: control_flow.loops_in_all,
        live_values: control_flow.live_values,
        call_values: control_flow.call_values,
        targets: control_flow.targets,
        branch_args: control_flow.branch_args,
        phis: control_flow.phis,
        phis_by_loops: control_flow.phis_by_loops(),
        locals_in_loops: control_flow.locals_in_loops(),
    }
    .compile_work();
    limits.check(COMPILE_WORK, compile_work, limits::MODULE_COMPILE_WORK_MAX)?;
    let function = Function {
        body: body.range(),
        code: counts.code_start..body.range().end,
        results,
        locals,
        operands: u64::from(counts.operands),
        instructions: counts.instructions,
        arriving: control_flow.branch_args.saturating_add(control_flow.phis),
        arrivals: counts.control_flow.arrivals,
        callees: counts.callees,
        calls_indirectly: counts.calls_indirectly,
    };
    let changes_other_state = counts.changes_other_state;
    Ok(ValidFunction { function, used: limits.used, compile_work, changes_other_state })
}

/// What is counted in a function's instructions.
struct Counts<'a> {
    code_start: usize,
    /// Most values on the operand stack at any point.
    operands: u32,
    instructions: u64,
    float_operations: u64,
    callees: BTreeSet<u32>,
    calls_indirectly: bool,
    changes_other_state: bool,
    control_flow: ControlFlow<'a>,
}

/// Validates a function's locals and instructions.
fn validate_code<'a>(
    function: FuncToValidate<ValidatorResources>,
    body: &FunctionBody<'_>,
    control_flow: ControlFlow<'a>,
    allocations: &mut FuncValidatorAllocations,
) -> Result<Counts<'a>, ValidateError> {
    let locals = control_flow.locals;
    let mut validator = function.into_validator(std::mem::take(allocations));
    let mut reader = body.get_binary_reader();
    validator.read_locals(&mut reader)?;
    reader.set_features(features());
    let mut operators = OperatorsReader::new(reader);
    let mut counts = Counts {
        code_start: operators.original_position(),
        operands: 0,
        instructions: 0,
        float_operations: 0,
        callees: BTreeSet::new(),
        calls_indirectly: false,
        changes_other_state: false,
        control_flow,
    };
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset()?;
        counts.control_flow.count(&operator, &validator);
        let is_dead = validator.get_control_frame(0).is_some_and(|frame| frame.unreachable);
        validator.op(offset, &operator)?;
        // Not before: an index of a local may be any number until then.
        let place = Place {
            is_dead,
            next: operators.original_position(),
            live: locals.saturating_add(u64::from(validator.operand_stack_height())),
        };
        counts.control_flow.follow(&operator, place);
        counts.operands = counts.operands.max(validator.operand_stack_height());
        counts.instructions = counts.instructions.saturating_add(1);
        if compile_work::is_float_operation(&operator) {
            counts.float_operations = counts.float_operations.saturating_add(1);
        }
        if let Operator::Call { function_index } = operator {
            counts.callees.insert(function_index);
        }
        counts.calls_indirectly |= matches!(operator, Operator::CallIndirect { .. });
        counts.changes_other_state |= is_change_of_other_state(&operator);
    }
    operators.finish()?;
    *allocations = validator.into_allocations();
    Ok(counts)
}

/// The limits on one function, as far as they have been checked.
struct FunctionLimits {
    item: Item,
    used: Vec<Use>,
}

impl FunctionLimits {
    /// Counts what the function has, and refuses more than its limit.
    fn check(&mut self, what: &'static str, found: u64, max: u64) -> Result<(), ValidateError> {
        let item = self.item;
        self.used.push(Use { what, found, max, item: Some(item) });
        if found > max {
            Err(ValidateError::Item { item: item.into(), what, found, max, unoptimised: false })
        } else {
            Ok(())
        }
    }

    fn check_control_flow(&mut self, counted: &ControlFlow<'_>) -> Result<(), ValidateError> {
        for (what, found, max) in [
            ("blocks, branches and calls", counted.branches, limits::FUNCTION_BRANCHES_MAX),
            ("targets of branch tables", counted.targets, limits::FUNCTION_BRANCH_TARGETS_MAX),
            ("live values at branches", counted.live_values, limits::FUNCTION_LIVE_VALUES_MAX),
            ("branch arguments", counted.branch_args, limits::FUNCTION_BRANCH_ARGS_MAX),
            ("phis (locals that branches join)", counted.phis, limits::FUNCTION_PHIS_MAX),
            ("parameters of a block", counted.block_params_max, limits::BLOCK_PARAMS_MAX),
            ("loops within loops", counted.loops_max, limits::FUNCTION_LOOP_DEPTH_MAX),
            (
                "locals times loops within loops",
                counted.locals_in_loops(),
                limits::FUNCTION_LOCALS_IN_LOOPS_MAX,
            ),
            ("locals with phis times loops", counted.phis_by_loops(), limits::FUNCTION_PHIS_BY_LOOPS_MAX),
        ] {
            self.check(what, found, max)?;
        }
        Ok(())
    }
}

/// Whether an instruction changes anything of its instance but memory and globals. These are all of the admitted
/// features that do.
fn is_change_of_other_state(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::DataDrop { .. }
            | Operator::ElemDrop { .. }
            | Operator::TableInit { .. }
            | Operator::TableCopy { .. }
            | Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::super::validate;
    use super::*;

    fn refusal(wat: &str) -> String {
        let wasm = wat::parse_str(wat).unwrap();
        validate(&wasm).map(|_| ()).unwrap_err().to_string()
    }

    /// A module whose second function is this one.
    fn function(head: &str, body: &str) -> String {
        format!("(module (func) (func {head} {body}))")
    }

    fn many(what: &str, count: usize) -> String {
        what.repeat(count)
    }

    fn values(kind: &str, count: usize) -> String {
        format!("({kind} {})", many("i32 ", count))
    }

    fn loops(depth: usize) -> String {
        many("(loop ", depth) + &many(")", depth)
    }

    /// The first passes, the second is refused in these words.
    fn assert_edge([at_most, one_more]: [String; 2], words: &str) {
        let at_most = wat::parse_str(at_most).unwrap();
        assert!(validate(&at_most).is_ok(), "{words}");
        assert_eq!(refusal(&one_more), words);
    }

    #[test]
    fn a_type_or_function_beyond_its_bounds_is_refused_by_its_index() {
        assert_edge(
            [100, 101].map(|count| function(&values("param", count), "")),
            "type 1 has 101 parameters; at most 100 are allowed",
        );
        assert_edge(
            [16, 17].map(|count| function(&values("result", count), &many("i32.const 1 ", count))),
            "type 1 has 17 results; at most 16 are allowed",
        );
        assert_edge(
            [2_000, 2_001].map(|count| function(&values("local", count), "")),
            "function 1 has 2001 parameters and locals; at most 2000 are allowed",
        );
        assert_edge(
            [6, 7].map(|count| {
                let constants = many("(drop (i64.const 0x8000000000000000))", 10_922);
                function("", &(constants + &many("nop ", count)))
            }),
            "function 1 has 131073 bytes of code; at most 131072 are allowed",
        );
    }

    #[test]
    fn control_flow_beyond_its_bounds_is_refused() {
        assert_edge(
            [5_000, 5_001].map(|count| function("", &many("(call 0)", count))),
            "function 1 has 5001 blocks, branches and calls; at most 5000 are allowed",
        );
        assert_edge(
            [25, 26].map(|depth| function("", &loops(depth))),
            "function 1 has 26 loops within loops; at most 25 are allowed",
        );
        assert_edge(
            [1_000, 1_001].map(|locals| function(&values("local", locals), &loops(25))),
            "function 1 has 25025 locals times loops within loops; at most 25000 are allowed",
        );
        // The last label is where all other numbers go.
        assert_edge(
            [20_001, 20_002]
                .map(|labels| function("", &format!("(br_table {} (i32.const 0))", many("0 ", labels)))),
            "function 1 has 20001 targets of branch tables; at most 20000 are allowed",
        );
    }

    /// What the compiler makes several checks and a call of.
    #[test]
    fn instructions_on_ranges_are_counted_as_the_branches_and_calls_they_become() {
        let range = "(i32.const 0) (i32.const 0) (i32.const 0)";
        for (instruction, weight) in [
            ("(drop (memory.grow (i32.const 0)))".to_owned(), 4),
            (format!("(memory.copy {range})"), 4),
            (format!("(memory.fill {range})"), 4),
            (format!("(memory.init $data {range})"), 4),
            ("(data.drop $data)".to_owned(), 4),
            ("(elem.drop $elements)".to_owned(), 4),
            (format!("(table.init $elements {range})"), 25),
            (format!("(table.copy {range})"), 25),
            ("(call_indirect (i32.const 0))".to_owned(), 4),
        ] {
            let module = |count: usize| {
                format!(
                    "(module (memory 1) (table 1 funcref) (data $data \"\") (elem $elements func)
                        (func) (func {}))",
                    many(&instruction, count)
                )
            };
            let (fitting, beyond) = (5_000 / weight, 5_000 / weight + 1);
            assert_edge(
                [module(fitting), module(beyond)],
                &format!(
                    "function 1 has {} blocks, branches and calls; at most 5000 are allowed",
                    beyond * weight
                ),
            );
        }
    }

    #[test]
    fn what_all_functions_cost_the_compiler_is_bounded_together() {
        let one = format!("(func {})", many("(call 0)", 5_000));
        let module = |functions| {
            format!(
                "(module (func) (func $longer (nop) {}) {})",
                many("(call 0)", 5_000),
                many(&one, functions)
            )
        };
        assert_edge(
            [56, 57].map(module),
            "has 15147082 units of compile work; at most 15000000 are allowed; function 1 (\"longer\") has the most, 261190",
        );
    }

    #[test]
    fn what_one_function_costs_the_compiler_is_bounded() {
        assert_edge(
            [16_535, 16_537]
                .map(|count| function("", &format!("f64.const 2 {} drop", many("f64.ceil ", count)))),
            "function 1 has 15001724 units of compile work; at most 15000000 are allowed",
        );
    }

    #[test]
    fn values_at_branches_beyond_their_bounds_are_refused() {
        assert_edge(
            [600, 601].map(|calls| function(&values("local", 1_000), &many("(call 0)", calls))),
            "function 1 has 601000 live values at branches; at most 600000 are allowed",
        );
        assert_edge(
            [600, 601].map(|calls| {
                let (ones, drops) = (many("i32.const 1 ", 1_000), many("drop ", 1_000));
                function("", &format!("{ones} {} {drops}", many("(call 0)", calls)))
            }),
            "function 1 has 601000 live values at branches; at most 600000 are allowed",
        );
        // The block leaves one, each label takes one.
        assert_edge(
            [3_999, 4_000].map(|labels| {
                let labels = many("0 ", labels);
                let table = format!("(br_table {labels} (i32.const 1) (i32.const 0))");
                function("", &format!("(drop (block (result i32) {table}))"))
            }),
            "function 1 has 4001 branch arguments; at most 4000 are allowed",
        );
    }

    /// Ten locals that are set in a block with so many ways to its end.
    fn joins(ways: usize) -> String {
        let sets: String = (0..10).map(|n| format!("(local.set {n} (i32.const 1))")).collect();
        format!("(block {sets} (br_table {} (i32.const 0)))", many("0 ", ways - 1))
    }

    /// One function that joins a million takes the compiler hours.
    #[test]
    fn phis_beyond_their_bounds_are_refused() {
        assert_edge(
            [8_000, 8_001].map(|ways| function(&values("local", 10), &joins(ways))),
            "function 1 has 80010 phis (locals that branches join); at most 80000 are allowed",
        );
    }

    /// 96 locals joined, and 400 loops after: a module of 5 KiB that took the compiler seven seconds.
    #[test]
    fn locals_with_phis_times_loops_beyond_their_bounds_are_refused() {
        let loops = |count| many("(loop (br_if 0 (i32.const 0)))", count);
        let body = |count| format!("{}{}", joins(2), loops(count));
        assert_edge(
            [1_500, 1_501].map(|count| function(&values("local", 10), &body(count))),
            "function 1 has 15010 locals with phis times loops; at most 15000 are allowed",
        );
    }

    /// Were its place kept before it is known to be there, five bytes would take gigabytes.
    #[test]
    fn a_local_that_is_not_there_takes_no_memory() {
        let words = refusal("(module (func (block (local.set 4294967295 (i32.const 1)))))");
        assert!(words.contains("unknown local 4294967295"), "{words}");
    }

    #[test]
    fn a_local_has_a_phi_in_every_block_around_it() {
        let wat = "(module (func (local i32 i32)
            (block (loop (local.set 0 (i32.const 1)) (br_if 0 (i32.const 0)) (br_if 1 (i32.const 0)))
              (if (i32.const 0) (then (local.set 1 (i32.const 1)) (br 1))))
            (local.set 1 (i32.const 2))))";
        let wasm = wat::parse_str(wat).unwrap();
        let used = validate(&wasm).unwrap().used;
        let phis = used.iter().find(|one| one.what == "phis (locals that branches join)").unwrap().found;
        assert_eq!(
            phis, 10,
            "one in the loop, two ways; one in the if, two ways; both in the block, three ways"
        );
    }

    #[test]
    fn what_a_function_takes_is_counted() {
        let wasm = wat::parse_str(
            r#"(module (func (param i32 i64) (result f64) (local f32 f32 i64)
                (drop (i32.add (i32.const 1) (i32.mul (i32.const 2) (i32.const 3)))) (f64.const 1))
              (func (drop (call 0 (i32.const 1) (i64.const 1))))
              (func (local i32)
                (if (i32.const 1) (then (local.set 0 (i32.const 2))))
                (drop (block (result i32) (br 0 (i32.const 1))))))"#,
        );
        let wasm = wasm.unwrap();
        let functions = validate(&wasm).unwrap().functions;
        let counts = |f: &Function| {
            (f.locals, f.operands, f.instructions, f.arriving, f.callees.len(), f.results.len())
        };
        assert_eq!(
            functions.iter().map(counts).collect::<Vec<_>>(),
            [(5, 3, 8, 0, 0, 1), (0, 2, 5, 0, 1, 0), (1, 1, 11, 4, 0, 0)]
        );
    }
}
