//! The gate's look at one function: what it takes of the stack, and how it taxes the compiler.
//!
//! # Limits
//!
//! A compiler follows each value that is alive through each branch, call and loop, and gives each value that a branch
//! carries a place where it arrives. Those sums, and not the number of bytes, are what its time and memory grow with.

use std::collections::BTreeSet;
use std::ops::Range;

use wasmparser::{
    BlockType, FrameKind, FuncToValidate, FuncValidator, FuncValidatorAllocations, FunctionBody, Operator,
    OperatorsReader, ValType, ValidatorResources, WasmModuleResources as _,
};

use super::error::{GateError, Item};
use super::module::{Type, Use};
use crate::limits;
use crate::plugin::engine;
use crate::plugin::instrument::write_barrier::{self as marks, Marking, Marks};

/// What a function takes of its caller's stack, as far as the bytecode says, and what it stores to.
#[derive(Debug)]
pub(in crate::plugin) struct Function {
    /// Its body: locals, then instructions.
    pub(in crate::plugin) body: Range<usize>,
    /// Its instructions.
    pub(in crate::plugin) code: Range<usize>,
    pub(in crate::plugin) results: Vec<ValType>,
    /// Parameters and locals.
    pub(in crate::plugin) locals: u64,
    /// Most values on the operand stack at any point.
    pub(in crate::plugin) operands: u64,
    /// Number of instructions.
    pub(in crate::plugin) instructions: u64,
    /// Values that branches carry, and locals that meet where they arrive, summed.
    pub(in crate::plugin) arriving: u64,
    /// The functions it calls by their index.
    pub(in crate::plugin) callees: BTreeSet<u32>,
    /// Whether it calls any through a table.
    pub(in crate::plugin) calls_indirectly: bool,
    /// How the host may know what it has stored to.
    pub(in crate::plugin) marks: Marks,
}

/// A function that is valid and within its bounds.
pub(in crate::plugin) struct Seen {
    pub(in crate::plugin) function: Function,
    /// Each limit that was looked at, in that order.
    pub(in crate::plugin) used: Vec<Use>,
    /// Its blocks, branches and calls.
    pub(in crate::plugin) branches: u64,
    /// Locals that meet where its branches arrive, summed.
    pub(in crate::plugin) joined: u64,
    /// Locals that its branches join, times its loops.
    pub(in crate::plugin) joined_by_loops: u64,
    /// Whether it changes anything of its instance but memory and globals.
    pub(in crate::plugin) changes_other_state: bool,
}

/// Validates a function and holds it against its limits.
///
/// # Errors
///
/// The first rule it breaks.
pub(in crate::plugin) fn look(
    function: FuncToValidate<ValidatorResources>,
    body: &FunctionBody<'_>,
    types: &[Type],
    allocations: &mut FuncValidatorAllocations,
) -> Result<Seen, GateError> {
    let mut bounds = Bounds { item: Item::Function(function.index), used: Vec::new() };
    bounds.hold("bytes of code", body.range().len() as u64, limits::FUNCTION_BYTES_MAX)?;
    let ty = types.get(function.ty as usize);
    let mut locals = ty.map_or(0, |ty| ty.params);
    for local in body.get_locals_reader()? {
        locals = locals.saturating_add(u64::from(local?.0));
    }
    bounds.hold("parameters and locals", locals, limits::FUNCTION_LOCALS_MAX)?;

    let mut validator = function.into_validator(std::mem::take(allocations));
    let mut reader = body.get_binary_reader();
    validator.read_locals(&mut reader)?;
    reader.set_features(engine::features());
    let mut operators = OperatorsReader::new(reader);
    let code = operators.original_position()..body.range().end;
    let (mut operands, mut instructions) = (0, 0_u64);
    let (mut callees, mut calls_indirectly) = (BTreeSet::new(), false);
    let mut changes_other_state = false;
    let mut control = Control { types, locals, ..Control::default() };
    let mut marking = Marking::default();
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset()?;
        control.see(&operator, &validator);
        validator.op(offset, &operator)?;
        // Not before: an index of a local may be any number until then.
        control.join(&operator);
        marking.see(offset, &operator);
        let height = validator.operand_stack_height();
        marking.settle(&operator, height as usize, results(&operator, &validator, types));
        operands = operands.max(height);
        instructions = instructions.saturating_add(1);
        if let Operator::Call { function_index } = operator {
            callees.insert(function_index);
        }
        calls_indirectly |= matches!(operator, Operator::CallIndirect { .. });
        changes_other_state |= is_change_of_other_state(&operator);
    }
    operators.finish()?;
    *allocations = validator.into_allocations();

    bounds.hold("blocks, branches and calls", control.branches, limits::FUNCTION_BRANCHES_MAX)?;
    bounds.hold("targets of branch tables", control.targets, limits::FUNCTION_BRANCH_TARGETS_MAX)?;
    bounds.hold("values alive at branches", control.alive, limits::FUNCTION_ALIVE_AT_BRANCHES_MAX)?;
    bounds.hold("values carried by branches", control.carried, limits::FUNCTION_CARRIED_MAX)?;
    bounds.hold("locals joined by branches", control.joined, limits::FUNCTION_JOINED_MAX)?;
    bounds.hold("loops within loops", control.loops_max, limits::FUNCTION_LOOP_DEPTH_MAX)?;
    let in_loops = locals.saturating_mul(control.loops_max);
    bounds.hold("locals times loops within loops", in_loops, limits::FUNCTION_LOCALS_IN_LOOPS_MAX)?;
    let joined_by_loops = control.joined_anywhere.locals().saturating_mul(control.loops_in_all);
    bounds.hold("joined locals times loops", joined_by_loops, limits::FUNCTION_JOINED_BY_LOOPS_MAX)?;
    let function = Function {
        body: body.range(),
        code,
        results: ty.map(|ty| ty.results.clone()).unwrap_or_default(),
        locals,
        operands: u64::from(operands),
        instructions,
        arriving: control.carried.saturating_add(control.joined),
        callees,
        calls_indirectly,
        marks: marking.into_marks(),
    };
    let Control { branches, joined, .. } = control;
    Ok(Seen { function, used: bounds.used, branches, joined, joined_by_loops, changes_other_state })
}

/// How many values an instruction leaves on the stack, or more.
fn results(operator: &Operator<'_>, validator: &FuncValidator<ValidatorResources>, types: &[Type]) -> usize {
    let ty = match operator {
        Operator::Call { function_index } => validator.resources().type_index_of_function(*function_index),
        Operator::CallIndirect { type_index, .. } => Some(*type_index),
        _ => return usize::from(!marks::leaves_nothing(operator)),
    };
    ty.and_then(|ty| types.get(ty as usize)).map_or(usize::MAX, |ty| ty.results.len())
}

/// The limits on one function as far as they have been looked at.
struct Bounds {
    item: Item,
    used: Vec<Use>,
}

impl Bounds {
    /// Takes note of what the function has, and refuses more than its limit.
    fn hold(&mut self, what: &'static str, found: u64, max: u64) -> Result<(), GateError> {
        let item = self.item;
        self.used.push(Use { what, found, max, item: Some(item) });
        if found > max {
            Err(GateError::Item { item: item.into(), what, found, max, unoptimised: false })
        } else {
            Ok(())
        }
    }
}

/// A block whose end is still to come.
#[derive(Default)]
struct Open {
    is_loop: bool,
    /// Ways to where branches to it arrive: from before it or through it, and the branches.
    ways: u64,
    /// The locals set in it, a bit for each.
    set: Vec<u64>,
}

impl Open {
    fn new(is_loop: bool, ways: u64) -> Self {
        Self { is_loop, ways, set: Vec::new() }
    }

    fn sets(&mut self, local: u32) {
        let (word, bit) = (local as usize / 64, local % 64);
        if self.set.len() <= word {
            self.set.resize(word.saturating_add(1), 0);
        }
        self.set[word] |= 1 << bit;
    }

    /// How many locals it sets.
    fn locals(&self) -> u64 {
        self.set.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Sets all that `inner` has set.
    fn takes(&mut self, inner: &[u64]) {
        if self.set.len() < inner.len() {
            self.set.resize(inner.len(), 0);
        }
        self.set.iter_mut().zip(inner).for_each(|(outer, inner)| *outer |= inner);
    }
}

/// How a function's control flow taxes the compiler.
#[derive(Default)]
struct Control<'a> {
    types: &'a [Type],
    /// Parameters and locals: alive everywhere, for all that is known here.
    locals: u64,
    /// Blocks, branches and calls, and what becomes several of them.
    branches: u64,
    /// Targets of branch tables.
    targets: u64,
    /// Locals and operands at each of the branches, summed.
    alive: u64,
    /// Values that branches hand to where they go, and blocks take and leave, summed.
    carried: u64,
    /// Of each block the locals set in it, times the ways to where its branches arrive, summed: there the compiler
    /// joins what they may be, and its work grows with the square of how often it does.
    joined: u64,
    /// The locals that any block joins, a bit for each.
    joined_anywhere: Open,
    open: Vec<Open>,
    /// Loops open now, and all there are.
    loops: u64,
    loops_in_all: u64,
    /// Most loops open at any point.
    loops_max: u64,
}

impl Control<'_> {
    /// Takes note of an instruction that `validator` has not seen yet.
    fn see(&mut self, operator: &Operator<'_>, validator: &FuncValidator<ValidatorResources>) {
        let weight = match operator {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Else
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::BrTable { .. }
            | Operator::Return
            | Operator::Call { .. } => 1_u64,
            // Checks, each with a branch of its own, around a call of the engine.
            Operator::CallIndirect { .. }
            | Operator::MemoryGrow { .. }
            | Operator::MemoryCopy { .. }
            | Operator::MemoryFill { .. }
            | Operator::MemoryInit { .. }
            | Operator::DataDrop { .. }
            | Operator::ElemDrop { .. } => 4,
            // The same, and a loop over the elements with a call in it.
            Operator::TableInit { .. } | Operator::TableCopy { .. } => 25,
            _ => 0,
        };
        self.branches = self.branches.saturating_add(weight);
        let alive = self.locals.saturating_add(u64::from(validator.operand_stack_height()));
        self.alive = self.alive.saturating_add(weight.saturating_mul(alive));
        let carried = match operator {
            Operator::Block { blockty } | Operator::Loop { blockty } | Operator::If { blockty } => {
                let (params, results) = self.arity(*blockty);
                params.saturating_add(results)
            }
            Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => {
                self.arrives(validator, *relative_depth)
            }
            Operator::BrTable { targets } => {
                let count = u64::from(targets.len());
                self.targets = self.targets.saturating_add(count);
                self.arrives(validator, targets.default()).saturating_mul(count.saturating_add(1))
            }
            _ => 0,
        };
        self.carried = self.carried.saturating_add(carried);
    }

    /// Takes note of which locals meet where, by an instruction that `validator` has seen.
    fn join(&mut self, operator: &Operator<'_>) {
        match operator {
            Operator::Block { .. } => self.open.push(Open::new(false, 1)),
            Operator::If { .. } => self.open.push(Open::new(false, 2)),
            Operator::Loop { .. } => {
                self.open.push(Open::new(true, 1));
                self.loops = self.loops.saturating_add(1);
                self.loops_in_all = self.loops_in_all.saturating_add(1);
                self.loops_max = self.loops_max.max(self.loops);
            }
            Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                if let Some(block) = self.open.last_mut() {
                    block.sets(*local_index);
                }
            }
            Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => {
                self.goes_to(*relative_depth);
            }
            Operator::BrTable { targets } => {
                self.goes_to(targets.default());
                targets.targets().flatten().for_each(|depth| self.goes_to(depth));
            }
            Operator::End => {
                // None: the end of the function, where no local is needed any more.
                let Some(block) = self.open.pop() else { return };
                let locals = block.locals();
                let Open { is_loop, ways, set } = block;
                self.joined = self.joined.saturating_add(ways.saturating_mul(locals));
                if ways > 1 {
                    self.joined_anywhere.takes(&set);
                }
                if let Some(outer) = self.open.last_mut() {
                    outer.takes(&set);
                }
                self.loops = self.loops.saturating_sub(u64::from(is_loop));
            }
            _ => {}
        }
    }

    /// A branch so many blocks out; one out of all of them leaves the function.
    fn goes_to(&mut self, depth: u32) {
        let place = self.open.len().checked_sub(1).and_then(|last| last.checked_sub(depth as usize));
        if let Some(block) = place.and_then(|place| self.open.get_mut(place)) {
            block.ways = block.ways.saturating_add(1);
        }
    }

    /// How many values a branch so many blocks out carries. All targets of a table take the same.
    fn arrives(&self, validator: &FuncValidator<ValidatorResources>, depth: u32) -> u64 {
        let frame = usize::try_from(depth).ok().and_then(|depth| validator.get_control_frame(depth));
        frame.map_or(0, |frame| {
            let (params, results) = self.arity(frame.block_type);
            if frame.kind == FrameKind::Loop { params } else { results }
        })
    }

    /// Values a block takes, and leaves.
    fn arity(&self, block: BlockType) -> (u64, u64) {
        match block {
            BlockType::Empty => (0, 0),
            BlockType::Type(_) => (0, 1),
            BlockType::FuncType(index) => {
                self.types.get(index as usize).map_or((0, 0), |ty| (ty.params, ty.results.len() as u64))
            }
        }
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
    use super::super::gate;
    use super::*;

    fn refusal(wat: &str) -> String {
        let wasm = wat::parse_str(wat).unwrap();
        gate(&wasm).map(|_| ()).unwrap_err().to_string()
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
        assert!(gate(&at_most).is_ok(), "{words}");
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
            [(128 << 10) - 2, (128 << 10) - 1].map(|count| function("", &many("nop ", count))),
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
    fn branches_of_all_functions_are_bounded_together() {
        let one = format!("(func {})", many("(call 0)", 5_000));
        let module = |functions| format!("(module {})", many(&one, functions));
        assert!(gate(&wat::parse_str(module(100)).unwrap()).is_ok());
        assert_eq!(
            gate(&wat::parse_str(module(101)).unwrap()).unwrap_err().to_string(),
            "has 505000 blocks, branches and calls; at most 500000 are allowed"
        );
    }

    #[test]
    fn values_at_branches_beyond_their_bounds_are_refused() {
        assert_edge(
            [500, 501].map(|calls| function(&values("local", 1_000), &many("(call 0)", calls))),
            "function 1 has 501000 values alive at branches; at most 500000 are allowed",
        );
        assert_edge(
            [500, 501].map(|calls| {
                let (ones, drops) = (many("i32.const 1 ", 1_000), many("drop ", 1_000));
                function("", &format!("{ones} {} {drops}", many("(call 0)", calls)))
            }),
            "function 1 has 501000 values alive at branches; at most 500000 are allowed",
        );
        // The block leaves one, each label takes one.
        assert_edge(
            [19_999, 20_000].map(|labels| {
                let labels = many("0 ", labels);
                let table = format!("(br_table {labels} (i32.const 1) (i32.const 0))");
                function("", &format!("(drop (block (result i32) {table}))"))
            }),
            "function 1 has 20001 values carried by branches; at most 20000 are allowed",
        );
    }

    /// Ten locals that are set in a block with so many ways to its end.
    fn joins(ways: usize) -> String {
        let sets: String = (0..10).map(|n| format!("(local.set {n} (i32.const 1))")).collect();
        format!("(block {sets} (br_table {} (i32.const 0)))", many("0 ", ways - 1))
    }

    /// One function that joins a million takes the compiler hours.
    #[test]
    fn locals_joined_beyond_their_bounds_are_refused() {
        assert_edge(
            [8_000, 8_001].map(|ways| function(&values("local", 10), &joins(ways))),
            "function 1 has 80010 locals joined by branches; at most 80000 are allowed",
        );
        let one = format!("(func {} {})", values("local", 10), joins(8_000));
        let module = |functions| format!("(module {})", many(&one, functions));
        assert!(gate(&wat::parse_str(module(4)).unwrap()).is_ok());
        assert_eq!(
            gate(&wat::parse_str(module(5)).unwrap()).unwrap_err().to_string(),
            "has 400000 locals joined by branches; at most 350000 are allowed"
        );
    }

    /// 96 locals joined, and 400 loops after: a module of 5 KiB that took the compiler seven seconds.
    #[test]
    fn joined_locals_times_loops_beyond_their_bounds_are_refused() {
        let loops = |count| many("(loop (br_if 0 (i32.const 0)))", count);
        let body = |count| format!("{}{}", joins(2), loops(count));
        assert_edge(
            [1_500, 1_501].map(|count| function(&values("local", 10), &body(count))),
            "function 1 has 15010 joined locals times loops; at most 15000 are allowed",
        );
        let one = format!("(func {} {})", values("local", 10), body(1_500));
        let module = |functions| format!("(module {})", many(&one, functions));
        assert!(gate(&wat::parse_str(module(3)).unwrap()).is_ok());
        assert_eq!(
            gate(&wat::parse_str(module(4)).unwrap()).unwrap_err().to_string(),
            "has 60000 joined locals times loops; at most 45000 are allowed"
        );
    }

    /// Were its place kept before it is known to be there, five bytes would take gigabytes.
    #[test]
    fn a_local_that_is_not_there_takes_no_memory() {
        let words = refusal("(module (func (block (local.set 4294967295 (i32.const 1)))))");
        assert!(words.contains("unknown local 4294967295"), "{words}");
    }

    #[test]
    fn a_local_is_joined_in_every_block_around_it() {
        let wat = "(module (func (local i32 i32)
            (block (loop (local.set 0 (i32.const 1)) (br_if 0 (i32.const 0)) (br_if 1 (i32.const 0)))
              (if (i32.const 0) (then (local.set 1 (i32.const 1)) (br 1))))
            (local.set 1 (i32.const 2))))";
        let wasm = wat::parse_str(wat).unwrap();
        let used = gate(&wasm).unwrap().used;
        let joined = used.iter().find(|one| one.what == "locals joined by branches").unwrap().found;
        assert_eq!(
            joined, 10,
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
        let functions = gate(&wasm).unwrap().functions;
        let counts = |f: &Function| {
            (f.locals, f.operands, f.instructions, f.arriving, f.callees.len(), f.results.len())
        };
        assert_eq!(
            functions.iter().map(counts).collect::<Vec<_>>(),
            [(5, 3, 8, 0, 0, 1), (0, 2, 5, 0, 1, 0), (1, 1, 11, 4, 0, 0)]
        );
    }
}
