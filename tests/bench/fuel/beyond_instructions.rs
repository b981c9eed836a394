//! Functions with much to do besides their instructions: values that change places, frames, jumps over code that never runs.

use super::shape::Shape;

pub(super) fn shapes() -> Vec<Shape> {
    let shape = |name, fields, body: &str, times| Shape {
        name,
        fields,
        body: body.to_owned(),
        times,
        ..Shape::default()
    };
    vec![
        shape("500 locals that branches join", joined(500), "(call $joined)", 1),
        shape("1,900 locals that branches join", joined(1_900), "(call $joined)", 1),
        shape(
            "blocks that end together, where branches join 3 locals",
            ends(4_900),
            "(call $ends (local.get $x) (local.get $y) (local.get $x))",
            1,
        ),
        shape(
            "blocks that end together, each end with other values in registers",
            ends_with_other_registers(60),
            "(call $moving (global.get $never))",
            1,
        ),
        shape("ends with code between that never runs", ends_apart(60, 160), &all(60, "$last"), 1),
        shape("branches over code that never runs", branches_apart(90, 150), &all(90, "$never"), 1),
        shape("selects of floats", selects(7, 5_000), &all(7, "$never"), 1),
        shape("calls of a function with a frame of 2,000 floats", with_frame(2_000), "(call $framed)", 200),
        shape("calls of a function with a frame of 30,000 floats", with_frame(30_000), "(call $framed)", 200),
        shape("calls of a function with 2,000 locals", with_locals(2_000), "(call $zeros)", 200),
        shape("calls of a function with 100 locals", with_locals(100), "(call $zeros)", 200),
    ]
}

/// Each of these numbers, with a space behind.
fn each_of(numbers: impl Iterator<Item = usize>) -> String {
    numbers.map(|number| format!("{number} ")).collect()
}

/// Calls of so many functions, with this global.
fn all(functions: usize, global: &str) -> String {
    (0..functions).map(|number| format!("(call $f{number} (global.get {global}))")).collect()
}

/// Each local but the last takes the value of the next, and the last a new one.
fn rotate(locals: usize) -> String {
    let last = locals - 1;
    let moves: String = (0..last).map(|n| format!("(local.set {n} (local.get {}))", n + 1)).collect();
    format!("{moves} (local.set {last} (global.get $kept))")
}

/// A function whose locals must all be set to zero, because a loop might move each up to where it is needed.
fn with_locals(count: usize) -> String {
    format!(
        "(global $never (mut i32) (i32.const 0)) (global $kept (mut f64) (f64.const 0))
         (func $zeros (local {}) (loop (if (global.get $never) (then {} (br 1))))
           (global.set $kept (local.get 0)))",
        "f64 ".repeat(count),
        rotate(count)
    )
}

/// A loop with a branch, never taken, in which each local takes the place of the one before. The compiler may give the places so
/// that the other branch, which does nothing, has to move all of them.
fn joined(count: usize) -> String {
    format!(
        "(global $always (mut i32) (i32.const 1)) (global $kept (mut f64) (f64.const 0))
         (func $joined (local {})
           (loop
             (if (global.get $always) (then) (else {}))
             (global.set $kept (local.get 0))
             (br 0)))",
        "f64 ".repeat(count),
        rotate(count)
    )
}

/// Blocks that end one right after the other. Branches never taken arrive at each end, at every other one with three values in
/// another order, so that the compiler moves them from one end to the next.
fn ends(blocks: usize) -> String {
    let turned = |by: usize| {
        let gets: String = (0..3).map(|n| format!("local.get {n} ")).collect();
        let sets: String = (0..3).rev().map(|n| format!("local.set {} ", (n + by) % 3)).collect();
        gets + &sets
    };
    let (odd, even): (Vec<_>, Vec<_>) = (1..=blocks).rev().partition(|block| block % 2 == 1);
    format!(
        "(global $way (mut i32) (i32.const -1)) (global $kept (mut f64) (f64.const 0))
         (func $ends (param f64 f64 f64) {}
           block block global.get $way br_table 0 1 2 end {} global.get $way br_table {} end {} global.get $way br_table {}
           {} (global.set $kept (local.get 0)) (global.set $kept (local.get 1)) (global.set $kept (local.get 2)))",
        "block ".repeat(blocks),
        turned(1),
        each_of(odd.into_iter()),
        turned(2),
        each_of(even.into_iter().map(|block| block - 1)),
        "end ".repeat(blocks)
    )
}

/// Ends as those, with code between that is never reached, each piece of which uses its own 28 of many values around a call. The
/// compiler may keep those in registers from one piece to the next, and so changes all registers at each end.
fn ends_with_other_registers(groups: usize) -> String {
    const GROUP: usize = 28;
    let global = |local: usize| if local % GROUP < 13 { "$integer" } else { "$kept" };
    let locals: String =
        (0..groups).map(|_| format!("(local {}{})", "i64 ".repeat(13), "f64 ".repeat(15))).collect();
    let sets: String =
        (0..groups * GROUP).map(|n| format!("(local.set {} (global.get {}))", n + 1, global(n))).collect();
    let uses = |group: usize| -> String {
        (group * GROUP..group * GROUP + GROUP)
            .map(|n| format!("(global.set {} (local.get {}))", global(n), n + 1))
            .collect()
    };
    let piece = |at: usize| {
        let before = if at == 0 { String::new() } else { uses(at - 1) };
        let after = if at == groups { String::new() } else { uses(at) };
        before + "(call $nothing)" + &after
    };
    let pieces: String = (0..groups)
        .map(|at| piece(at) + &format!("block (br_if 0 (local.get 0)) br {} end ", at + 1))
        .collect();
    format!(
        "(global $never i32 (i32.const 0)) (global $integer (mut i64) (i64.const 0)) (global $kept (mut f64) (f64.const 0))
         (func $nothing)
         (func $moving (param i32) {locals} {sets}
           (loop $again
             {} block (br_if 0 (local.get 0)) br 1 end
             {pieces} {} br {groups} {}
             (br $again)))",
        "block ".repeat(groups + 1),
        piece(groups),
        "end ".repeat(groups + 1)
    )
}

/// Functions of so many `select`s, which become branches that are always taken.
fn selects(functions: usize, selects: usize) -> String {
    let select = "local.get 2 global.get $never select ".repeat(selects);
    let functions: String = (0..functions)
        .map(|number| {
            format!("(func $f{number} (param i32) (local f64 f64) local.get 1 {select} global.set $kept)")
        })
        .collect();
    format!("(global $never (mut i32) (i32.const 0)) (global $kept (mut f64) (f64.const 0)) {functions}")
}

/// What never runs is a call with so many arguments.
const ARGUMENTS: usize = 28;

/// Functions whose ends follow each other with nothing between but one store each; a `br_table` that never goes there could reach
/// long pieces of code that go on at one end each, and the compiler puts those between.
fn ends_apart(functions: usize, ends: usize) -> String {
    let targets = each_of((0..ends).rev()) + &format!("{ends} {}", ends - 1);
    let pieces = format!("end {} br {ends} ", cold()).repeat(ends);
    let body = format!(
        "{} local.get 0 br_table {targets} {pieces} {}",
        "block ".repeat(2 * ends + 1),
        "end (global.set $integer (i64.const 5)) ".repeat(ends + 1)
    );
    with_cold(&format!("(global $last i32 (i32.const {ends}))"), functions, &body)
}

/// Functions of branches that are always taken.
fn branches_apart(functions: usize, branches: usize) -> String {
    let branch = format!("block (br_if 0 (i32.eqz (local.get 0))) {} end ", cold());
    with_cold("(global $never i32 (i32.const 0))", functions, &branch.repeat(branches))
}

fn cold() -> String {
    format!("(call $nothing {})", "(i64.const 1)".repeat(ARGUMENTS))
}

fn with_cold(fields: &str, functions: usize, body: &str) -> String {
    let functions: String =
        (0..functions).map(|number| format!("(func $f{number} (param i32) {body})")).collect();
    format!(
        "{fields} (global $integer (mut i64) (i64.const 0)) (func $nothing (param {})) {functions}",
        "i64 ".repeat(ARGUMENTS)
    )
}

/// A function that could keep so many floats over a call, and so has a long frame; it returns before.
fn with_frame(count: usize) -> String {
    format!(
        "(global $never (mut i32) (i32.const 0)) (global $kept (mut f64) (f64.const 0)) (func $nothing)
         (func $framed (if (global.get $never) (then {} (call $nothing) {})))",
        "(global.get $kept)".repeat(count),
        "(global.set $kept)".repeat(count)
    )
}
