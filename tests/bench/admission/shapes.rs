//! Shapes made by hand: what control flow, calls and values can be made to cost.

use std::fmt::Write as _;

use dseq::limits;

use super::{Function, number};

/// A kind of module, and the body of its functions for about so many bytes of code.
pub(super) type Shape = (&'static str, fn(usize) -> Function);

pub(super) const SHAPES: &[Shape] = &[
    ("arithmetic", |bytes| repeated(bytes, 4, "(local.set 0 (i64.mul (local.get 0) (i64.const 3)))", 9)),
    ("floats", |bytes| repeated(bytes, 0, "(local.set 1 (f64.mul (local.get 1) (local.get 1)))", 7)),
    ("truncations", |bytes| {
        repeated(bytes, 0, "(local.set 0 (i64.trunc_sat_f64_u (f64.convert_i64_u (local.get 0))))", 7)
    }),
    ("divisions", |bytes| repeated(bytes, 0, "(local.set 0 (i64.div_s (local.get 0) (local.get 0)))", 7)),
    ("loads", |bytes| repeated(bytes, 0, "(local.set 0 (i64.load (i32.wrap_i64 (local.get 0))))", 8)),
    ("stores", |bytes| repeated(bytes, 0, "(i64.store (i32.wrap_i64 (local.get 0)) (local.get 0))", 8)),
    ("stores in blocks", |bytes| {
        repeated(bytes, 0, "(block (i64.store (i32.wrap_i64 (local.get 0)) (i64.const 0)))", 12)
    }),
    ("fills", |bytes| repeated(bytes, 0, "(memory.fill (i32.const 0) (i32.const 0) (i32.const 0))", 9)),
    ("calls", |bytes| repeated(bytes, 0, "(call $small)", 2)),
    ("indirect calls", |bytes| repeated(bytes, 0, "(call_indirect (type $small) (i32.const 0))", 20)),
    ("calls with 100 arguments", |bytes| {
        repeated(bytes, 0, &format!("(drop (call $wide {}))", "(local.get 0) ".repeat(100)), 203)
    }),
    ("branches", |bytes| repeated(bytes, 0, "(block (br_if 0 (i32.wrap_i64 (local.get 0))))", 8)),
    ("ifs", |bytes| {
        repeated(bytes, 0, "(if (i32.wrap_i64 (local.get 0)) (then (local.set 0 (i64.const 1))))", 10)
    }),
    ("nested loops", loops_in_rows),
    ("nested blocks", |bytes| {
        nested((bytes / 7).min(branches_max() / 2), "(block ", " (br_if 0 (i32.const 1)))")
    }),
    ("values alive", alive),
    ("one float operation after the other", |bytes| chained(bytes, 1, "f64.ceil ")),
    ("float operations beside 300 floats", |bytes| chained(bytes, 300, "f64.ceil ")),
    ("float operations beside 2,000 floats", |bytes| chained(bytes, 2_000, "f64.ceil ")),
    ("conversions beside 1,000 floats", |bytes| chained(bytes, 1_000, "f32.demote_f64 f64.promote_f32 ")),
    ("float operations beside floats loaded twice", beside_loaded_twice),
    ("float operations beside results", |bytes| {
        beside_results(bytes, "f64.reinterpret_i64 f64.ceil i64.reinterpret_f64 ", 3)
    }),
    ("bit counts beside results", |bytes| beside_results(bytes, "i64.clz i64.popcnt ", 2)),
    ("divisions beside results", |bytes| beside_results(bytes, "(local.get 0) i64.div_u ", 3)),
    ("calls that pass 96 values", passing),
    ("one table of branches beside 3,000 operands", table_beside),
    ("products kept across loops by the compiler", kept_by_compiler),
    ("4 locals joined by a table", joined_by_blocks),
    ("values carried out of blocks after loops", carried_after_loops),
    ("one table of branches", branch_table),
    ("many tables of branches", branch_tables),
    ("locals in nested loops", |bytes| locals_in_loops(bytes, 998, false)),
    ("locals set in nested loops", |bytes| locals_in_loops(bytes, 998, true)),
    ("all locals set in nested loops", |bytes| locals_in_loops(bytes, usize::MAX, true)),
    ("locals in a row of loops", locals_in_row),
    ("6 joined locals in a row of loops", |bytes| joined_in_row(bytes, 6)),
    ("96 joined locals in a row of loops", |bytes| joined_in_row(bytes, 96)),
    ("1,000 joined locals in a row of loops", |bytes| joined_in_row(bytes, 1_000)),
    ("locals and ifs", locals_and_ifs),
    ("locals joined by a table", locals_joined),
    ("values kept across loops", |bytes| kept(bytes, 1_000)),
    ("values kept across few loops", |bytes| kept(bytes, 60)),
    ("loops with 8 parameters", wide_loops),
    ("branches with 16 values", wide_branches),
    ("tables with 16 values", wide_tables),
];

fn repeated(bytes: usize, others: usize, one: &str, one_bytes: usize) -> Function {
    let branches = ["(call", "(br", "(block", "(if", "(loop"]
        .iter()
        .map(|word| one.matches(word).count())
        .sum::<usize>();
    let branches = if one.contains("call_indirect") || one.contains("memory.fill") { 4 } else { branches };
    let count = (bytes / one_bytes).min(branches_max().checked_div(branches).unwrap_or(usize::MAX));
    let body = format!("{one}\n").repeat(count);
    Function { head: format!("(local f64 {})", "i64 ".repeat(others)), body }
}

fn nested(depth: usize, open: &str, close: &str) -> Function {
    Function { head: String::new(), body: open.repeat(depth) + &close.repeat(depth) }
}

/// Nests of loops as deep as they may be, one after the other.
fn loops_in_rows(bytes: usize) -> Function {
    let depth = loop_depth_max();
    let one = format!("{}{}\n", "(loop ".repeat(depth), " (br_if 0 (i32.const 1)))".repeat(depth));
    let count = (bytes / (depth * 7)).min(branches_max() / (2 * depth));
    Function { head: String::new(), body: one.repeat(count) }
}

fn loop_depth_max() -> usize {
    number(limits::FUNCTION_LOOP_DEPTH_MAX)
}

/// Branches beside so many locals.
fn branches_beside(locals: usize) -> usize {
    let both = number(limits::FUNCTION_LIVE_VALUES_MAX);
    (both / (locals + 4)).min(branches_max())
}

fn branches_max() -> usize {
    number(limits::FUNCTION_BRANCHES_MAX) - 8
}

/// As many values as fit, all of them needed at the end.
fn alive(bytes: usize) -> Function {
    let count = bytes / 7;
    let mut body = String::new();
    for number in 0..count {
        writeln!(body, "(i64.rotl (local.get 0) (i64.const {}))", number % 64).expect("a string takes all");
    }
    body.push_str(&"i64.xor\n".repeat(count.saturating_sub(1)));
    Function { head: String::new(), body: body + "(local.set 0)" }
}

/// One instruction after the other on the same float, beside so many others that are needed at the end.
fn chained(bytes: usize, beside: usize, instructions: &str) -> Function {
    let one = instructions.split_whitespace().count();
    let beside = beside.min(bytes / 16);
    let loads: String =
        (0..=beside).map(|n| format!("(f64.load offset={} (i32.const 0))\n", n * 8)).collect();
    let body = instructions.repeat(bytes.saturating_sub(beside * 8) / one) + &"f64.add\n".repeat(beside);
    Function { head: String::new(), body: format!("(i32.const 0) {loads} {body} f64.store") }
}

/// The compiler keeps what has been loaded for the next load of the same, though no local and no operand holds it.
fn beside_loaded_twice(bytes: usize) -> Function {
    let count = 600.min(bytes / 32);
    let load = |n: usize| format!("(f64.load offset={} (i32.const 0))\n", n * 8);
    let sum = |all: &mut dyn Iterator<Item = usize>| {
        all.map(load).collect::<Vec<_>>().join("") + &"f64.add\n".repeat(count - 1)
    };
    let (there, back) = (sum(&mut (0..count)), sum(&mut (0..count).rev()));
    let between = "f64.ceil ".repeat(bytes.saturating_sub(count * 16));
    let body = format!(
        "(i32.const 0) {there} f64.store offset=90000 (i32.const 0) {} {between} f64.store offset=90008
         (i32.const 0) {back} f64.sqrt f64.store offset=90016",
        load(count + 7)
    );
    Function { head: String::new(), body }
}

/// Instructions on the last of the results of many calls, all of them needed at the end.
fn beside_results(bytes: usize, instructions: &str, instructions_bytes: usize) -> Function {
    let calls = 180.min(bytes / 64);
    let body = format!(
        "(i32.const 0) {} {} {} i64.store",
        "(call $results)\n".repeat(calls),
        instructions.repeat(bytes.saturating_sub(calls * 18) / instructions_bytes),
        "i64.xor\n".repeat(calls * 16 - 1)
    );
    Function { head: String::new(), body }
}

/// The results of calls go straight into the next one.
fn passing(bytes: usize) -> Function {
    let one =
        "(call $results) (call $results) (call $results) (call $results) (call $results) (call $passed)\n";
    let count = (bytes / 12).min(branches_max() / 6);
    let body = format!("{} {} {}", "(local.get 0) ".repeat(16), one.repeat(count), "drop ".repeat(16));
    Function { head: String::new(), body }
}

/// Every target of a table is a branch of its own for each value that is alive there.
fn table_beside(bytes: usize) -> Function {
    let operands = 3_000.min(bytes / 16);
    let targets = number(limits::FUNCTION_BRANCH_TARGETS_MAX).min(bytes / 4);
    let loads: String =
        (0..operands).map(|n| format!("(i64.load offset={} (i32.const 0))\n", n * 8)).collect();
    let targets: String = (0..targets).map(|n| format!("{} ", n % 2)).collect();
    let table = format!("(block (block (br_table {targets} (i32.wrap_i64 (local.get 0)))))");
    let sum = "i64.add\n".repeat(operands - 1);
    Function { head: String::new(), body: format!("(i32.const 0) {loads} {table} {sum} i64.store") }
}

/// Products that the compiler moves out of the outer loop, and that are needed after the loops in it.
fn kept_by_compiler(bytes: usize) -> Function {
    let count = (bytes / 16).min(branches_max() / 2 - 2);
    let loops = "(loop (br_if 0 (global.get $global)))\n".repeat(count);
    let product = |n: usize| format!("(i64.mul (local.get 0) (i64.const {}))\n", n + 3);
    let products = (0..count).map(product).collect::<String>() + &"i64.xor\n".repeat(count - 1);
    let store = format!("(i64.store (i32.const 0) {products})");
    Function { head: String::new(), body: format!("(loop {loops} {store} (br_if 0 (global.get $global)))") }
}

/// Few locals that are joined in as many blocks as there may be.
fn joined_by_blocks(bytes: usize) -> Function {
    let blocks = (bytes / 5).min(branches_max());
    let targets: String = (0..blocks).map(|n| format!("{n} ")).collect();
    let table = format!("(br_table {targets} (i32.wrap_i64 (local.get 0)))");
    let set: String = (1..=4).map(|n| format!("(local.set {n} (local.get 0))")).collect();
    let used: String =
        (1..=4).map(|n| format!("(local.set 0 (i64.add (local.get 0) (local.get {n})))")).collect();
    let body = format!("{} {table}) {set} {} {used}", "(block ".repeat(blocks), ")".repeat(blocks - 1));
    Function { head: "(local i64 i64 i64 i64)".to_owned(), body }
}

/// Each value that a block leaves has a place for each block there is.
fn carried_after_loops(bytes: usize) -> Function {
    let blocks = (carried_max() / 16 - 1).min(bytes / 8);
    let loops = (branches_max() - blocks).min((bytes - blocks * 4) / 8);
    let body = format!(
        "{} {} {} {} {}",
        "(loop (br_if 0 (global.get $global)))\n".repeat(loops / 2),
        "(block (type $wide_block) ".repeat(blocks),
        "(local.get 0) ".repeat(16),
        ")".repeat(blocks),
        "drop ".repeat(16)
    );
    Function { head: String::new(), body }
}

fn branch_table(bytes: usize) -> Function {
    let targets = bytes.min(number(limits::FUNCTION_BRANCH_TARGETS_MAX));
    let targets: String = (0..targets).map(|number| format!("{} ", number % 100)).collect();
    let body = format!("(br_table {targets} (i32.wrap_i64 (local.get 0)))");
    Function { head: String::new(), body: "(block ".repeat(100) + &body + &")".repeat(100) }
}

/// Tables whose every target is a block of its own.
fn branch_tables(bytes: usize) -> Function {
    let targets: String = (0..100).map(|number| format!("{number} ")).collect();
    let one = format!(
        "{}(br_table {targets} (i32.wrap_i64 (local.get 0))){}",
        "(block ".repeat(100),
        ")".repeat(100)
    );
    repeated(bytes, 0, &one, 410)
}

/// A nest of loops as deep as it may be beside so many locals, and each of those used in the innermost.
fn locals_in_loops(bytes: usize, locals: usize, set: bool) -> Function {
    let locals = locals.min(number(limits::FUNCTION_LOCALS_MAX) - 2).min(bytes / 16);
    let depth = bytes.saturating_sub(locals * 8) / 9;
    let in_loops = limits::FUNCTION_LOCALS_IN_LOOPS_MAX;
    let in_loops = if set { in_loops.min(limits::FUNCTION_PHIS_BY_LOOPS_MAX) } else { in_loops };
    let depth = depth.min(loop_depth_max()).min(number(in_loops) / (locals + 2));
    let mut body = "(loop ".repeat(depth);
    for number in 2..locals + 2 {
        let used = format!("(local.set 0 (i64.add (local.get 0) (local.get {number})))");
        let changed = format!("(local.set {number} (i64.add (local.get 0) (local.get {number})))");
        body.push_str(if set { &changed } else { &used });
    }
    body.push_str(&"(br_if 0 (i32.wrap_i64 (local.get 0))))".repeat(depth));
    Function { head: format!("(local {})", "i64 ".repeat(locals + 1)), body }
}

/// So many joined locals, as many loops in a row as may be beside them, and the locals needed after the last one. The loops
/// go round on a global: were it a local, the compiler would take a twentieth of the time.
fn joined_in_row(bytes: usize, locals: usize) -> Function {
    let locals = locals.min(bytes / 32);
    let loops = number(limits::FUNCTION_PHIS_BY_LOOPS_MAX) / (locals + 1);
    let loops = loops.min(bytes.saturating_sub(locals * 16) / 7).min(branches_beside(locals) / 2 - 2);
    let all = 2..locals + 2;
    let set: String = all.clone().map(|local| format!("(local.set {local} (i64.const 1))")).collect();
    let used = all.map(|local| format!("(local.set 0 (i64.add (local.get 0) (local.get {local})))"));
    let row = "(loop (br_if 0 (global.get $global)))".repeat(loops);
    let body = format!("(if (global.get $global) (then {set})) {row} {}", used.collect::<String>());
    Function { head: format!("(local {})", "i64 ".repeat(locals + 1)), body }
}

fn locals_in_row(bytes: usize) -> Function {
    let locals = number(limits::FUNCTION_LOCALS_MAX).saturating_sub(2).min(bytes / 16);
    let loops = bytes.saturating_sub(locals * 8) / 8;
    let loops = loops.min(branches_beside(locals) / 2);
    let mut body = "(loop (br_if 0 (i32.wrap_i64 (local.get 0))))".repeat(loops);
    for number in 2..locals + 2 {
        write!(body, "(local.set 0 (i64.add (local.get 0) (local.get {number})))")
            .expect("a string takes all");
    }
    Function { head: format!("(local {})", "i64 ".repeat(locals + 1)), body }
}

fn locals_and_ifs(bytes: usize) -> Function {
    let locals = number(limits::FUNCTION_LOCALS_MAX).saturating_sub(2).min(bytes / 16);
    let mut body = String::new();
    for number in 0..(bytes / 11).min(branches_beside(locals)) {
        let local = 2 + number % locals;
        write!(
            body,
            "(if (i32.wrap_i64 (local.get {local})) (then (local.set {} (local.get 0))))",
            2 + (number * 7) % locals
        )
        .expect("a string takes all");
    }
    Function { head: format!("(local {})", "i64 ".repeat(locals + 1)), body }
}

/// Locals that are set once, inside of blocks that one table may leave each by itself.
fn locals_joined(bytes: usize) -> Function {
    let locals = 100.min(bytes / 32);
    let blocks = number(limits::FUNCTION_PHIS_MAX) / (2 * locals);
    let targets: String = (0..blocks).map(|number| format!("{number} ")).collect();
    let table = format!("(br_table {targets} (i32.wrap_i64 (local.get 0)))");
    let locals = 1..=locals;
    let set: String = locals.clone().map(|local| format!("(local.set {local} (local.get 0))")).collect();
    let used =
        locals.clone().map(|local| format!("(local.set 0 (i64.add (local.get 0) (local.get {local})))"));
    let body = format!(
        "{} {table}) {set} {} {}",
        "(block ".repeat(blocks),
        ")".repeat(blocks - 1),
        used.collect::<String>()
    );
    Function { head: format!("(local {})", "i64 ".repeat(locals.count())), body }
}

/// Values that are needed after all the loops, as many as may be alive at so many.
fn kept(bytes: usize, loops: usize) -> Function {
    let loops = loops.min(bytes / 30);
    let all = number(limits::FUNCTION_LIVE_VALUES_MAX) / (2 * loops);
    let count = all.min((bytes - loops * 15) / 7) - 3;
    let mut body = String::new();
    for number in 0..count {
        writeln!(body, "(i64.rotl (local.get 0) (i64.const {}))", number % 64).expect("a string takes all");
    }
    let one =
        "(loop (local.set 0 (i64.mul (local.get 0) (i64.const 3))) (br_if 0 (i32.wrap_i64 (local.get 0))))";
    body.push_str(&one.repeat(loops));
    body.push_str(&"i64.xor\n".repeat(count - 1));
    Function { head: String::new(), body: body + "(local.set 0)" }
}

/// Loops that hand on as many values as they may each time round.
fn wide_loops(bytes: usize) -> Function {
    let one = format!(
        "{} (loop (type $wide_loop) (br_if 0 (i32.wrap_i64 (local.get 0))) {})",
        "(local.get 0) ".repeat(number(limits::BLOCK_PARAMS_MAX)),
        "drop ".repeat(number(limits::BLOCK_PARAMS_MAX))
    );
    Function { head: String::new(), body: one.repeat((bytes / 52).min(carried_max() / 16)) }
}

/// Branches that carry sixteen values out of blocks.
fn wide_branches(bytes: usize) -> Function {
    let one = format!(
        "(block (type $wide_block) {} (br_if 0 (i32.wrap_i64 (local.get 0)))) {}",
        "(local.get 0) ".repeat(16),
        "drop ".repeat(16)
    );
    Function { head: String::new(), body: one.repeat((bytes / 60).min(carried_max() / 32)) }
}

/// Tables of branches that carry sixteen values out of twenty blocks.
fn wide_tables(bytes: usize) -> Function {
    let targets: String = (0..100).map(|number| format!("{} ", number % 20)).collect();
    let one = format!(
        "{} {} (br_table {targets} (i32.wrap_i64 (local.get 0))) {} {}",
        "(block (type $wide_block) ".repeat(20),
        "(local.get 0) ".repeat(16),
        ")".repeat(20),
        "drop ".repeat(16)
    );
    Function { head: String::new(), body: one.repeat((bytes / 260).min(carried_max() / (16 * 121))) }
}

fn carried_max() -> usize {
    number(limits::FUNCTION_BRANCH_ARGS_MAX)
}
