//! Control: branches that cannot be predicted, calls that miss what a processor remembers, locals that change places.

use super::shape::{RANDOM, Shape};

pub(super) fn shapes() -> Vec<Shape> {
    [branches(), calls(), calls_far_apart(), values()].into_iter().flatten().collect()
}

/// This text for each number below `count`, with the number in the place of `NUMBER`.
fn each(count: usize, text: &str) -> String {
    (0..count).map(|number| text.replace("NUMBER", &number.to_string())).collect()
}

/// Work for each bit of a random number.
fn bits(count: u32, one: &str) -> String {
    let all: String = (0..count)
        .map(|bit| one.replace("BIT", &(1_u64 << bit).to_string()).replace("SHIFT", &bit.to_string()))
        .collect();
    format!("{RANDOM} (local.set $i (i32.wrap_i64 (i64.shr_u (local.get $b) (i64.const 31)))) {all}")
}

fn branches() -> Vec<Shape> {
    let ends = "(local.set $a (i64.mul (local.get $a) (i64.const 7))) (br $out))".repeat(32);
    let table = format!(
        "(block $out {} (br_table {} (i32.and (i32.shr_u (local.get $i) (i32.const SHIFT)) (i32.const 31))) {ends})",
        "(block ".repeat(32),
        each(32, "NUMBER ")
    );
    vec![
        Shape::plain("an empty loop", ""),
        Shape::plain("loops that end at once", "(loop)"),
        Shape::plain("loops within loops that end at once", "(loop (loop (loop (loop))))"),
        Shape {
            name: "a loop whose 8 parameters change places",
            body: format!(
                "{} (loop (param {}) (local.get $x) (br 0))",
                "(f64.convert_i32_u (local.get $i))".repeat(8),
                "f64 ".repeat(8)
            ),
            times: 1,
            ..Shape::default()
        },
        Shape {
            name: "unpredictable ifs",
            body: bits(
                30,
                "(if (i32.and (local.get $i) (i32.const BIT)) (then (local.set $a (i64.mul (local.get $a) (i64.const 3)))))",
            ),
            times: 20,
            ..Shape::default()
        },
        Shape { name: "unpredictable br_table", body: bits(24, &table), times: 3, ..Shape::default() },
    ]
}

/// So many small functions, all of them in a table of this size.
fn small_functions(count: usize, table: usize) -> String {
    let function =
        "(func $fNUMBER (type $small) (global.set $g (i32.add (global.get $g) (i32.const NUMBER))))";
    format!(
        "(type $small (func)) (global $g (mut i32) (i32.const 0)) {} (table {table} funcref) (elem (i32.const 0) {})",
        each(count, function),
        each(count, "$fNUMBER ")
    )
}

fn calls() -> Vec<Shape> {
    let fields = small_functions(64, 64);
    let deep = "(func $deep (param i32) (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1))))))";
    vec![
        Shape { name: "calls", fields: fields.clone(), body: "(call $f0)".to_owned(), ..Shape::default() },
        Shape {
            name: "call_indirect",
            fields: fields.clone(),
            body: "(call_indirect (type $small) (i32.const 5))".to_owned(),
            ..Shape::default()
        },
        Shape {
            name: "unpredictable call_indirect",
            fields,
            body: bits(
                24,
                "(call_indirect (type $small) (i32.and (i32.shr_u (local.get $i) (i32.const SHIFT)) (i32.const 63)))",
            ),
            times: 5,
            ..Shape::default()
        },
        Shape {
            name: "deep recursion",
            fields: deep.to_owned(),
            body: "(call $deep (i32.const 5000))".to_owned(),
            times: 1,
            ..Shape::default()
        },
    ]
}

/// More code than the near caches hold.
fn calls_far_apart() -> Vec<Shape> {
    // Longer than what a processor remembers of where to return to.
    let chains: String = (0..9000)
        .map(|number| {
            let next =
                if number % 150 == 149 { String::new() } else { format!("(call $chain{})", number + 1) };
            format!("(func $chain{number} {next})")
        })
        .collect();
    let far = small_functions(4096, 65536);
    let call = format!(
        "{RANDOM} (call_indirect (type $small) (i32.rem_u (i32.wrap_i64 (i64.shr_u (local.get $b) (i64.const 33))) (i32.const 4096)))"
    );
    let add = "(global.set $g (i32.xor (i32.add (global.get $g) (i32.const 1000000)) (i32.rotl (global.get $g) (global.get $g))))";
    // All of them together are more code than the first caches hold; each is short, because long ones are not admitted.
    let long = each(40, &format!("(func $longNUMBER (type $small) {})", add.repeat(1000)));
    vec![
        Shape {
            name: "chains of 150 calls",
            fields: chains,
            body: (0..60).map(|chain| format!("(call $chain{})", chain * 150)).collect(),
            times: 1,
            ..Shape::default()
        },
        Shape {
            name: "call_indirect of 4,096 functions, unpredictable",
            fields: far.clone(),
            body: call,
            times: 50,
            ..Shape::default()
        },
        Shape {
            name: "a call, 4,096 functions in a table",
            fields: format!("{far} (func (elem.drop $e)) (elem $e func $f0)"),
            once: true,
            times: 0,
            ..Shape::default()
        },
        Shape {
            name: "long functions in turn",
            fields: format!("(type $small (func)) (global $g (mut i32) (i32.const 0)) {long}"),
            body: each(40, "(call $longNUMBER)"),
            times: 1,
            ..Shape::default()
        },
    ]
}

fn values() -> Vec<Shape> {
    let rotated: String = (0..100).map(|number| format!("(local.set $l{}) ", (102 - number) % 100)).collect();
    let many = format!(
        "(global $kept (mut i64) (i64.const 0))
         (func $many {} (loop $l {} {rotated} (local.set $l5 (i64.add (local.get $l5) (global.get $kept)))
           (global.set $kept (local.get $l0)) (br $l)))",
        each(100, "(local $lNUMBER i64) "),
        each(100, "(local.get $lNUMBER) ")
    );
    vec![
        Shape {
            name: "100 locals in turn",
            fields: many,
            body: "(call $many)".to_owned(),
            times: 1,
            ..Shape::default()
        },
        Shape {
            name: "global.get and global.set",
            fields: small_functions(64, 64),
            body: "(global.set $g (i32.add (global.get $g) (i32.const 1)))".to_owned(),
            ..Shape::default()
        },
    ]
}
