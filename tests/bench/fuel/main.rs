//! How long a unit of fuel can take: shapes of code that the gate admits, each run until its fuel is spent.
//!
//! Without arguments every shape, worst last; with arguments those whose names contain one of them. The last column counts:
//! how long one transaction can hold a core under the default limits. It fails when that is longer than the goal. Time is
//! the thread's own, so that other work on the machine matters little; what that does to a shared cache matters to loads.
#![allow(clippy::too_many_lines, reason = "lists of shapes")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use dseq::limits;
use dseq::plugin::{
    CanonicalJson, Fault, Limits, Pipeline, PipelineSpec, PluginName, PluginSpec, Ruling, engine_id,
    with_room,
};
use dseq::types::PluginHash;

/// What a transaction, and a block of them, may hold one core for at most, in seconds: under the default limits, on the
/// machine the project is measured on.
const TX_SECONDS_MAX: f64 = 1.0;
const BLOCK_SECONDS_MAX: f64 = 2.0;

/// Calls that end by themselves are repeated for so long.
const REPEATED_FOR: Duration = Duration::from_millis(100);

/// A plugin whose `dseq_apply` repeats `body` until its fuel is spent, unless `once` is set.
struct Shape {
    name: &'static str,
    /// Fields of the module beside the ABI's.
    fields: String,
    /// Pages of its memory at first; 0 for as many as the default limits allow.
    pages: u64,
    init: String,
    /// What `dseq_apply` does before.
    setup: String,
    /// One piece of work, repeated without a branch between `times` times.
    body: String,
    times: usize,
    once: bool,
    tx_bytes: usize,
    answer: String,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            name: "",
            fields: String::new(),
            pages: 1,
            init: String::new(),
            setup: String::new(),
            body: String::new(),
            times: 200,
            once: false,
            tx_bytes: 1,
            answer: "(i64.const 0x0001000000000000)".to_owned(),
        }
    }
}

/// Names of two locals of a type.
fn locals(ty: &str) -> [&'static str; 2] {
    match ty {
        "i32" => ["$i", "$p"],
        "i64" => ["$a", "$b"],
        "f32" => ["$s", "$t"],
        _ => ["$x", "$y"],
    }
}

/// Sets a local to what the compiler does not know.
fn set(local: &str, ty: &str, value: &str) -> [String; 2] {
    let global = format!("$start_{}", &local[1..]);
    [
        format!("(global {global} (mut {ty}) ({ty}.const {value}))"),
        format!("(local.set {local} (global.get {global}))"),
    ]
}

/// Instructions of one operand and one result: each waits for the one before.
fn chain(name: &'static str, operators: &[&str], ty: &str, value: &str) -> Shape {
    let local = locals(ty)[0];
    let [fields, setup] = set(local, ty, value);
    let open: String = operators.iter().map(|operator| format!("({operator} ")).collect();
    let times = 40 / operators.len();
    let close = ")".repeat(times * operators.len());
    let body = format!("(local.set {local} {}(local.get {local}){close})", open.repeat(times));
    Shape { name, fields, setup, body, times: 20, ..Shape::default() }
}

/// Instructions of two operands: each waits for the one before, beside a local.
fn pairs(name: &'static str, operator: &str, value: &str, other: &str) -> Shape {
    let ty = &operator[..3];
    let [local, second] = locals(ty);
    let [fields, setup] = set(local, ty, value);
    let [more_fields, more_setup] = set(second, ty, other);
    let close = format!(" (local.get {second}))").repeat(40);
    Shape {
        name,
        fields: fields + &more_fields,
        setup: setup + &more_setup,
        body: format!("(local.set {local} {}(local.get {local}){close})", format!("({operator} ").repeat(40)),
        times: 20,
        ..Shape::default()
    }
}

/// The next random number in `$b`.
const RANDOM: &str = "(local.set $b (i64.add (i64.mul (local.get $b) (i64.const 6364136223846793005)) (i64.const 1442695040888963407)))";

/// A random place in the memory, so many bits of it 0.
fn anywhere(bits: u32) -> String {
    format!(
        "(i32.and (i32.wrap_i64 (i64.shr_u (local.get $b) (i64.const 30))) (i32.const {}))",
        memory_mask() >> bits << bits
    )
}

fn memory_mask() -> u64 {
    let bytes = Limits::default().memory_bytes_max;
    (1 << bytes.ilog2()) - 1
}

/// One cycle through every cache line of so many pages, in no order that a processor could guess.
fn cycle(pages: u64, offset: u32) -> String {
    let lines = pages * 1024;
    format!(
        "(loop $fill
           (i64.store offset={offset} (i32.mul (local.get $i) (i32.const 64))
             (i64.mul (i64.const 64) (i64.rem_u
               (i64.add (i64.mul (i64.extend_i32_u (local.get $i)) (i64.const 1200661)) (i64.const 1013904223)) (i64.const {lines}))))
           (br_if $fill (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {lines}))))
         (local.set $p (i32.const 0))"
    )
}

fn nested(operator: &str, times: usize, inner: &str) -> String {
    format!("{}{inner}{}", format!("({operator} ").repeat(times), ")".repeat(times))
}

/// Loads that each name the place of the next: any line of so many pages.
fn chase(name: &'static str, pages: u64, offset: u32) -> Shape {
    let body =
        format!("(local.set $p {})", nested(&format!("i32.load offset={offset}"), 50, "(local.get $p)"));
    let more = u64::from(offset > 0);
    Shape { name, pages: pages + more, setup: cycle(pages, offset), body, times: 20, ..Shape::default() }
}

fn random(name: &'static str, body: &str) -> Shape {
    let body = format!("{RANDOM} {}", body.replace("ANY", &anywhere(8)).replace("PAGE", &anywhere(13)));
    Shape { name, pages: 0, body, times: 50, ..Shape::default() }
}

fn plain(name: &'static str, body: &str) -> Shape {
    Shape { name, body: body.to_owned(), ..Shape::default() }
}

fn arithmetic() -> Vec<Shape> {
    let mut shapes = Vec::new();
    for (name, operators, ty, value) in [
        ("i64.clz", &["i64.clz"][..], "i64", "5"),
        ("i64.ctz", &["i64.ctz"], "i64", "5"),
        ("i64.popcnt", &["i64.popcnt"], "i64", "5"),
        ("i64.extend8_s, i64.clz", &["i64.extend8_s", "i64.clz"], "i64", "5"),
        ("i64.eqz, i64.extend_i32_u", &["i64.extend_i32_u", "i64.eqz"], "i64", "5"),
        ("f64.sqrt", &["f64.sqrt"], "f64", "1.7"),
        ("f32.sqrt", &["f32.sqrt"], "f32", "1.7"),
        ("f64.sqrt, f64.neg, f64.abs", &["f64.sqrt", "f64.abs", "f64.neg"], "f64", "1.7e-310"),
        ("f64.nearest", &["f64.nearest"], "f64", "1.7"),
        ("f64.ceil, f64.neg", &["f64.ceil", "f64.neg"], "f64", "1.7"),
        ("f64.abs, f64.neg", &["f64.abs", "f64.neg"], "f64", "1.7"),
        ("f64.promote_f32, f32.demote_f64", &["f64.promote_f32", "f32.demote_f64"], "f64", "1.5"),
        (
            "f64.promote_f32, f32.demote_f64, denormals",
            &["f64.promote_f32", "f32.demote_f64"],
            "f64",
            "1e-40",
        ),
        ("f64.convert_i64_s, i64.trunc_f64_s", &["f64.convert_i64_s", "i64.trunc_f64_s"], "f64", "1e18"),
        ("f64.convert_i64_u, i64.trunc_f64_u", &["f64.convert_i64_u", "i64.trunc_f64_u"], "f64", "1.8e19"),
        (
            "f64.convert_i64_u, i64.trunc_sat_f64_u",
            &["f64.convert_i64_u", "i64.trunc_sat_f64_u"],
            "f64",
            "1.8e19",
        ),
        (
            "f64.convert_i64_s, i64.trunc_sat_f64_s",
            &["f64.convert_i64_s", "i64.trunc_sat_f64_s"],
            "f64",
            "1e18",
        ),
        (
            "f32.convert_i64_u, i64.trunc_sat_f32_u",
            &["f32.convert_i64_u", "i64.trunc_sat_f32_u"],
            "f32",
            "1.8e19",
        ),
        ("f64.convert_i32_u, i32.trunc_f64_u", &["f64.convert_i32_u", "i32.trunc_f64_u"], "f64", "1e9"),
        (
            "f64.convert_i32_u, i32.trunc_sat_f64_u",
            &["f64.convert_i32_u", "i32.trunc_sat_f64_u"],
            "f64",
            "1e9",
        ),
        (
            "f64.convert_i32_s, i32.trunc_sat_f64_s",
            &["f64.convert_i32_s", "i32.trunc_sat_f64_s"],
            "f64",
            "1e9",
        ),
        (
            "f64.reinterpret_i64, i64.reinterpret_f64, clz",
            &["f64.reinterpret_i64", "i64.clz", "i64.reinterpret_f64"],
            "f64",
            "1e9",
        ),
    ] {
        shapes.push(chain(name, operators, ty, value));
    }
    for (name, operator, value, other) in [
        ("i64.sub", "i64.sub", "5", "7"),
        ("i64.mul", "i64.mul", "5", "7"),
        ("i64.rotl", "i64.rotl", "5", "7"),
        ("i64.shl", "i64.shl", "5", "1"),
        ("i32.div_u", "i32.div_u", "-5", "1"),
        ("i32.div_s", "i32.div_s", "0x7fffffff", "1"),
        ("i64.div_u", "i64.div_u", "-5", "1"),
        ("i64.div_s", "i64.div_s", "0x7fffffffffffffff", "1"),
        ("i64.rem_u", "i64.rem_u", "-5", "-3"),
        ("i64.rem_s", "i64.rem_s", "0x7ffffffffffffff1", "0x7fffffffffffffff"),
        ("i32.rem_s", "i32.rem_s", "0x7ffffff1", "0x7fffffff"),
        ("i32.rem_u", "i32.rem_u", "0x7ffffff1", "0x7fffffff"),
        ("f64.add", "f64.add", "1", "1"),
        ("f64.mul", "f64.mul", "1", "1"),
        ("f64.div", "f64.div", "1.7", "1.00001"),
        ("f64.add, denormals", "f64.add", "1e-310", "1e-312"),
        ("f64.sub, denormals", "f64.sub", "1e-310", "1e-320"),
        ("f64.mul, denormals", "f64.mul", "1e-310", "1.0000001"),
        ("f64.mul, to denormals", "f64.mul", "1e-300", "0.99"),
        ("f64.div, denormals", "f64.div", "1e-310", "1.0000001"),
        ("f64.div by denormals", "f64.div", "1e-310", "1e-310"),
        ("f32.mul, denormals", "f32.mul", "1e-40", "1.0001"),
        ("f32.div, denormals", "f32.div", "1e-40", "1.0001"),
        ("f32.add, denormals", "f32.add", "1e-40", "1e-41"),
        ("f64.min", "f64.min", "1", "2"),
        ("f64.max, denormals", "f64.max", "1e-310", "1e-312"),
        ("f64.copysign", "f64.copysign", "1e-310", "-1"),
    ] {
        shapes.push(pairs(name, operator, value, other));
    }
    let long = "(i64.add (local.get $a) (i64.const 3))";
    shapes.extend([
        plain("i64.div_u of long ones", &format!("(local.set $a (i64.div_u (i64.const -1) {long}))")),
        plain("i64.rem_s of long ones", &format!("(local.set $a (i64.rem_s (i64.const 0x7fffffffffffffff) {long}))")),
        plain("f64.lt, denormals", "(local.set $x (select (f64.const 1e-310) (f64.const 1e-311) (f64.lt (local.get $x) (f64.const 2e-311))))"),
        plain("f64.mul of two denormals, each for itself", "(local.set $y (f64.mul (local.get $x) (f64.const 0.3))) (local.set $x (f64.add (local.get $y) (f64.const 3e-309)))"),
    ]);
    shapes
}

fn control() -> Vec<Shape> {
    let functions: String = (0..64)
        .map(|number| format!("(func $f{number} (type $small) (global.set $g (i32.add (global.get $g) (i32.const {number}))))"))
        .collect();
    let names: String = (0..64).fold(String::new(), |mut all, number| {
        write!(all, "$f{number} ").expect("a string takes all");
        all
    });
    let fields = format!(
        "(type $small (func)) (global $g (mut i32) (i32.const 0)) {functions} (table 64 funcref) (elem (i32.const 0) {names})"
    );
    let bits = |count: u32, one: &str| -> String {
        let all: String = (0..count)
            .map(|bit| one.replace("BIT", &(1_u64 << bit).to_string()).replace("SHIFT", &bit.to_string()))
            .collect();
        format!("{RANDOM} (local.set $i (i32.wrap_i64 (i64.shr_u (local.get $b) (i64.const 31)))) {all}")
    };
    let deep = "(func $deep (param i32) (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1))))))";
    let blocks = "(block ".repeat(32);
    let targets: String = (0..32).fold(String::new(), |mut all, number| {
        write!(all, "{number} ").expect("a string takes all");
        all
    });
    let ends = "(local.set $a (i64.mul (local.get $a) (i64.const 7))) (br $out))".repeat(32);
    let table = format!(
        "(block $out {blocks} (br_table {targets} (i32.and (i32.shr_u (local.get $i) (i32.const SHIFT)) (i32.const 31))) {ends})"
    );
    let locals: String = (0..100).map(|number| format!("(local.get $l{number}) ")).collect();
    let rotated: String = (0..100).map(|number| format!("(local.set $l{}) ", (number + 3) % 100)).collect();
    let many = format!(
        "(func $many {} (loop $l {locals} {rotated} (local.set $l5 (i64.add (local.get $l5) (i64.const 1))) (br $l)))",
        (0..100).map(|number| format!("(local $l{number} i64) ")).collect::<String>()
    );
    let far: String = (0..4096)
        .map(|number| format!("(func $far{number} (type $small) (global.set $g (i32.add (global.get $g) (i32.const {number}))))"))
        .collect();
    let far_names: String = (0..4096).map(|number| format!("$far{number} ")).collect();
    let far_fields = format!(
        "(type $small (func)) (global $g (mut i32) (i32.const 0)) {far} (table 65536 funcref) (elem (i32.const 0) {far_names})"
    );
    let far_call = format!(
        "{RANDOM} (call_indirect (type $small) (i32.rem_u (i32.wrap_i64 (i64.shr_u (local.get $b) (i64.const 33))) (i32.const 4096)))"
    );
    let long: String = (0..8)
        .map(|number| format!("(func $long{number} (type $small) {})", "(global.set $g (i32.xor (i32.add (global.get $g) (i32.const 1000000)) (i32.rotl (global.get $g) (global.get $g))))".repeat(7000)))
        .collect();
    let long_fields = format!("(type $small (func)) (global $g (mut i32) (i32.const 0)) {long}");
    let long_calls = (0..8).map(|number| format!("(call $long{number})")).collect();
    // Longer than what a processor remembers of where to return to, and more code than fits into its near caches.
    let chains: String = (0..9000)
        .map(|number| {
            let next =
                if number % 150 == 149 { String::new() } else { format!("(call $chain{})", number + 1) };
            format!("(func $chain{number} {next})")
        })
        .collect();
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
            fields: far_fields.clone(),
            body: far_call,
            times: 50,
            ..Shape::default()
        },
        Shape {
            name: "a call, 4,096 functions in a table",
            fields: format!("{far_fields} (func (elem.drop $e)) (elem $e func $far0)"),
            once: true,
            times: 0,
            ..Shape::default()
        },
        Shape {
            name: "long functions in turn",
            fields: long_fields,
            body: long_calls,
            times: 1,
            ..Shape::default()
        },
        plain("an empty loop", ""),
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
        Shape { name: "calls", fields: fields.clone(), body: "(call $f0)".to_owned(), ..Shape::default() },
        Shape {
            name: "call_indirect",
            fields: fields.clone(),
            body: "(call_indirect (type $small) (i32.const 5))".to_owned(),
            ..Shape::default()
        },
        Shape {
            name: "unpredictable call_indirect",
            fields: fields.clone(),
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
        Shape {
            name: "100 locals in turn",
            fields: many,
            body: "(call $many)".to_owned(),
            times: 1,
            ..Shape::default()
        },
        Shape {
            name: "global.get and global.set",
            fields,
            body: "(global.set $g (i32.add (global.get $g) (i32.const 1)))".to_owned(),
            ..Shape::default()
        },
    ]
}

fn memory() -> Vec<Shape> {
    let chased = [
        ("i32.load, dependent, any line of 64 KiB", 1, 0),
        ("i32.load, dependent, any line of 1 MiB", 16, 0),
        ("i32.load, dependent, any line of 2 MiB", 32, 0),
        ("i32.load, dependent, any line of 4 MiB", 64, 0),
        ("i32.load, dependent, any line of 5 MiB", 80, 0),
        ("i32.load, dependent, any line of 6 MiB", 96, 0),
        ("i32.load, dependent, any line of 8 MiB", 128, 0),
        ("i32.load, dependent, any line of 16 MiB", 256, 0),
        ("i32.load, dependent, any line of 256 MiB", 4096, 0),
        ("i32.load, dependent, across lines of 2 MiB", 32, 62),
    ];
    let mut shapes: Vec<Shape> = chased.map(|(name, pages, offset)| chase(name, pages, offset)).into();
    shapes.extend([
        Shape { name: "i32.load, dependent, one line", body: format!("(local.set $p {})", nested("i32.load", 50, "(local.get $p)")), times: 20, ..Shape::default() },
        Shape { name: "i32.load8_u, dependent, one line", body: format!("(local.set $p {})", nested("i32.load8_u", 50, "(local.get $p)")), times: 20, ..Shape::default() },
        random("i64.load anywhere", "(local.set $a (i64.xor (local.get $a) (i64.load ANY)))"),
        random("i64.load across pages", "(local.set $a (i64.xor (local.get $a) (i64.load offset=4092 PAGE)))"),
        random("i64.store anywhere", "(i64.store ANY (local.get $b))"),
        random("i64.store across pages", "(i64.store offset=4092 PAGE (local.get $b))"),
        random("i64.store8 anywhere", "(i64.store8 ANY (local.get $b))"),
        Shape { name: "many stores at one random place", pages: 0, body: format!("{RANDOM} (local.set $p {}) {}", anywhere(16), (0..16).map(|n| format!("(i64.store offset={} (local.get $p) (local.get $b))", n * 4092)).collect::<String>()), times: 20, ..Shape::default() },
        plain("loads of what several stores wrote", "(i32.store8 (i32.const 64) (i32.const 1)) (local.set $i (i32.load (i32.const 62)))"),
        plain("loads of what a store wrote in part, dependent", "(i32.store8 (local.get $i) (local.get $i)) (local.set $i (i32.and (i32.load (local.get $i)) (i32.const 3)))"),
        plain("loads and stores in turn, dependent", "(i64.store (i32.const 64) (i64.add (i64.load (i32.const 64)) (i64.const 1)))"),
        plain("loads and stores in turn, across lines", "(i64.store (i32.const 4092) (i64.add (i64.load (i32.const 4092)) (i64.const 1)))"),
        plain("memory.size", "(local.set $i (i32.add (local.get $i) (memory.size)))"),
        plain("memory.grow by nothing", "(drop (memory.grow (i32.const 0)))"),
        plain("memory.grow that fails", "(drop (memory.grow (i32.const 60000)))"),
        Shape { name: "memory.grow, nested", body: format!("(local.set $p {})", nested("memory.grow", 50, "(local.get $p)")), setup: "(local.set $p (i32.const -1))".to_owned(), times: 10, ..Shape::default() },
        Shape { name: "memory.grow to the limit", body: "(drop (memory.grow (i32.const 1)))".to_owned(), times: 256, once: true, ..Shape::default() },
        Shape { name: "memory.grow to the limit, each page touched", body: touch("(i32.mul (memory.grow (i32.const 1)) (i32.const 65536))"), times: 1, once: true, ..Shape::default() },
        plain("memory.fill of nothing", "(memory.fill (local.get $i) (i32.const 0) (i32.const 0))"),
        plain("memory.fill of a byte", "(memory.fill (local.get $i) (i32.const 0) (i32.const 1))"),
        plain("memory.copy of nothing", "(memory.copy (i32.const 0) (i32.const 8) (local.get $i))"),
        plain("memory.copy of 1 byte", "(memory.copy (i32.const 0) (i32.const 8) (i32.const 1))"),
        plain("memory.copy of 128 bytes", "(memory.copy (i32.const 0) (i32.const 4090) (i32.const 128))"),
        plain("memory.init of nothing", "(memory.init $d (i32.const 0) (i32.const 0) (local.get $i))"),
        random("memory.fill of 1 byte anywhere", "(memory.fill ANY (i32.const 1) (i32.const 1))"),
        random("memory.copy of 64 bytes anywhere", "(memory.copy (i32.const 0) ANY (i32.const 64))"),
        random("memory.copy of 130 bytes anywhere", "(memory.copy (i32.const 0) ANY (i32.const 130))"),
    ]);
    for shape in &mut shapes {
        if shape.body.contains("$d ") {
            shape.fields.push_str("(data $d \"x\")");
        }
    }
    let half = memory_mask().div_ceil(2);
    for (name, body) in [
        (
            "memory.fill of half the memory",
            format!("(memory.fill (i32.const 0) (i32.const 1) (i32.const {half}))"),
        ),
        (
            "memory.copy of half the memory",
            format!("(memory.copy (i32.const 0) (i32.const {half}) (i32.const {half}))"),
        ),
        (
            "memory.copy of nearly all, forwards",
            format!("(memory.copy (i32.const 1) (i32.const 0) (i32.const {}))", 2 * half - 2),
        ),
        (
            "memory.copy of nearly all, backwards",
            format!("(memory.copy (i32.const 0) (i32.const 1) (i32.const {}))", 2 * half - 2),
        ),
    ] {
        shapes.push(Shape { name, pages: 0, body, times: 1, ..Shape::default() });
    }
    shapes
}

/// Touches each page of four KiB once, asking for more memory as it goes.
fn touch(grow: &str) -> String {
    format!(
        "(block $end (loop $more (br_if $end (i32.lt_s (local.tee $p {grow}) (i32.const 0))) {} (br $more)))",
        (0..16)
            .map(|page| format!("(i32.store8 offset={} (local.get $p) (i32.const 1))", page * 4096))
            .collect::<String>()
    )
}

fn tables() -> Vec<Shape> {
    let fields = "(table 65536 funcref) (elem $e func $none) (func $none)";
    let all = [
        ("elem.drop", "(elem.drop $e)"),
        ("data.drop", "(data.drop $d)"),
        ("table.copy of nothing", "(table.copy (i32.const 0) (i32.const 1) (local.get $i))"),
        ("table.copy of 1 element", "(table.copy (i32.const 0) (i32.const 1) (i32.const 1))"),
        ("table.copy of all", "(table.copy (i32.const 1) (i32.const 0) (i32.const 65535))"),
        ("table.init of nothing", "(table.init $e (i32.const 0) (i32.const 0) (local.get $i))"),
        ("table.init of 1 element", "(table.init $e (i32.const 0) (i32.const 0) (i32.const 1))"),
    ];
    let mut shapes: Vec<Shape> = all
        .map(|(name, body)| Shape {
            fields: format!("{fields} (data $d \"x\")"),
            times: 100,
            ..plain(name, body)
        })
        .into();
    let many = format!("(table 65536 funcref) (func $none) (elem $e func {})", "$none ".repeat(4_990));
    shapes.push(Shape {
        name: "table.init of 4,990 elements",
        fields: many,
        body: "(table.init $e (i32.const 0) (i32.const 0) (i32.const 4990))".to_owned(),
        times: 1,
        ..Shape::default()
    });
    shapes
}

/// What the host does for a call, charged to it or not.
fn host() -> Vec<Shape> {
    let once = |name, fields: &str, pages| Shape {
        name,
        fields: fields.to_owned(),
        pages,
        once: true,
        times: 0,
        ..Shape::default()
    };
    let touch_all = format!(
        "(loop $l (i32.store8 (local.get $i) (i32.const 1)) (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4096))) (i32.const {}))))",
        memory_mask() + 1 - 4096
    );
    let bytes = |count| "x".repeat(count);
    let functions =
        format!("(table 65536 funcref) (func $none) (elem (i32.const 0) {})", "$none ".repeat(4_990));
    let segments: String =
        (0..999).map(|n| format!("(data (i32.const {}) \"x\")", n * 4099 % 65536)).collect();
    let passive = "(data \"x\")".repeat(999);
    vec![
        once("a call, put back", "", 2),
        once("a call, 3 pages", "", 3),
        once("a call, 17 pages", "", 17),
        once("a call, all memory", "", 0),
        Shape { setup: "(drop (memory.grow (i32.const 1)))".to_owned(), ..once("a call that grows", "", 2) },
        Shape {
            setup: touch_all.replace(&format!("{})", memory_mask() + 1 - 4096), "131072)"),
            ..once("a call that writes to all, put back", "", 2)
        },
        Shape { setup: touch_all.clone(), ..once("a call that touches all memory", "", 0) },
        Shape {
            setup: touch_all
                .replace("i32.store8 (local.get $i) (i32.const 1)", "drop (i32.load8_u (local.get $i))"),
            ..once("a call that reads all memory", "", 0)
        },
        Shape { init: touch_all.clone(), ..once("a call after an init that touches all memory", "", 0) },
        Shape {
            init: "(local.set $i (i32.const 10000000)) (loop $m (br_if $m (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))".to_owned(),
            ..once("a call after a long init", "", 0)
        },
        once("a call, a table of 4,990 functions", &functions, 1),
        Shape {
            setup: "(elem.drop $e)".to_owned(),
            ..once("a call, a table that cannot be put back", &format!("{functions} (elem $e func $none)"), 1)
        },
        Shape {
            setup: "(call_indirect (type $t) (i32.const 3))".to_owned(),
            ..once(
                "a call through a table that cannot be put back",
                &format!("(type $t (func)) {functions} (func (elem.drop $e)) (elem $e func $none)"),
                1,
            )
        },
        once("a call, 999 data segments", &segments, 3),
        once("a call, 999 passive segments", &passive, 3),
        once("a call, 1,000 globals", &"(global (mut i64) (i64.const 1))".repeat(900), 3),
        once("a call, 1 MiB of data", &format!("(data (i32.const 0) \"{}\")", bytes(1 << 20)), 17),
        Shape {
            setup: touch_all.replace(&format!("{})", memory_mask() + 1 - 4096), "1048576)"),
            ..once(
                "a call that writes to 1 MiB of data",
                &format!("(data (i32.const 0) \"{}\")", bytes(1 << 20)),
                17,
            )
        },
        Shape { tx_bytes: 1 << 20, ..once("a call, 1 MiB in", "", 33) },
        Shape { tx_bytes: 100 << 10, ..once("a call, 100 KiB in, put back", "", 2) },
        Shape { answer: "(i64.const 0x0002000000200000)".to_owned(), ..once("a call, 2 MiB out", "", 33) },
        Shape { answer: "(i64.const 0x0003000100000400)".to_owned(), ..once("a rejection, 1 KiB", "", 2) },
    ]
}

/// Somebody has to need what is computed.
const SINK: &str = "(global.set $sink_a (i64.xor (local.get $a) (local.get $b))) (global.set $sink_i (i32.xor (local.get $i) (local.get $p)))
    (global.set $sink_x (local.get $x)) (global.set $sink_s (local.get $s))";

fn wat(shape: &Shape) -> String {
    let pages = if shape.pages == 0 { Limits::default().memory_bytes_max >> 16 } else { shape.pages };
    let body = format!("{}\n", shape.body).repeat(shape.times);
    let body = if shape.once { body } else { format!("(loop $forever {body} {SINK} (br $forever))") };
    let locals = "(local $i i32) (local $p i32) (local $a i64) (local $b i64) (local $s f32) (local $t f32) (local $x f64) (local $y f64)";
    format!(
        r#"(module
            {}
            (global $sink_a (mut i64) (i64.const 0)) (global $sink_i (mut i32) (i32.const 0))
            (global $sink_x (mut f64) (f64.const 0)) (global $sink_s (mut f32) (f32.const 0))
            (memory (export "memory") {pages})
            (func (export "dseq_abi_v1"))
            (func (export "dseq_buffer") (param i32) (result i32) (i32.const 8192))
            (func (export "dseq_init") (param i32) (result i64) {locals} {} (i64.const 0x0001000000000000))
            (func (export "dseq_apply") (param i32) (result i64) {locals} {} {body} {})
            (func (export "dseq_output") (result i32) (i32.const 0)))"#,
        shape.fields, shape.init, shape.setup, shape.answer
    )
}

/// What a call took.
struct Figure {
    name: &'static str,
    /// Memory beyond the default, in pages; 0: what the default gives.
    pages: u64,
    fuel: u64,
    ns: f64,
}

impl Figure {
    fn ns_per_unit(&self) -> f64 {
        self.ns / self.fuel as f64
    }

    /// What a transaction can take, with the fuel there is.
    fn seconds(&self) -> f64 {
        self.ns_per_unit() * Limits::default().fuel_max as f64 / 1e9
    }
}

fn measure(shape: &Shape) -> Result<Figure> {
    let wasm =
        wat::parse_str(wat(shape)).with_context(|| wat(shape).chars().take(3000).collect::<String>())?;
    let plugin = PluginSpec {
        name: PluginName::try_from("shape".to_owned())?,
        sha256: PluginHash::of(&wasm),
        params: CanonicalJson::default(),
    };
    let mut limits = Limits::default();
    limits.memory_bytes_max = limits.memory_bytes_max.max(shape.pages << 16);
    let spec = PipelineSpec { engine: engine_id(), limits, plugins: vec![plugin] };
    let pipeline = Pipeline::admit(spec, &[wasm])?;
    let tx = Bytes::from(vec![b'x'; shape.tx_bytes]);
    let mut calls = 0_u32;
    if shape.once {
        pipeline.steps(&tx)?;
    }
    let (started, before) = (Instant::now(), thread_time());
    let fuel = loop {
        let step = pipeline.steps(&tx)?.pop().context("no plugin")?;
        calls += 1;
        let is_spent = matches!(step.ruling, Ruling::Faulted { fault: Fault::OutOfFuel, .. });
        let is_faulted = matches!(step.ruling, Ruling::Faulted { .. });
        ensure!(is_spent != shape.once && is_faulted != shape.once, "{:?}", step.ruling);
        if !shape.once || started.elapsed() > REPEATED_FOR {
            break step.fuel.0;
        }
    };
    let took = thread_time().saturating_sub(before);
    Ok(Figure { name: shape.name, pages: shape.pages, fuel, ns: took.as_secs_f64() * 1e9 / f64::from(calls) })
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("processor time is not negative")
}

fn figures() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let shapes = [arithmetic(), control(), memory(), tables(), host()].into_iter().flatten();
    let is_wanted = |shape: &Shape| wanted.is_empty() || wanted.iter().any(|part| shape.name.contains(part));
    let mut figures = Vec::new();
    for shape in shapes.filter(is_wanted) {
        figures.push(measure(&shape).with_context(|| shape.name)?);
    }
    figures.sort_by(|one, other| one.seconds().total_cmp(&other.seconds()));
    ensure!(!figures.is_empty(), "no shape has such a name");
    println!("{:<50} {:>13} {:>11} {:>8} {:>8}", "", "units", "us", "ns/unit", "s");
    for figure in &figures {
        println!(
            "{:<50} {:>13} {:>11.1} {:>8.2} {:>8.2}",
            figure.name,
            figure.fuel,
            figure.ns / 1e3,
            figure.ns_per_unit(),
            figure.seconds()
        );
    }
    check(&figures)
}

/// The goal for what fits into the default limits; a bench that misses it fails.
fn check(figures: &[Figure]) -> Result<()> {
    let default_pages = Limits::default().memory_bytes_max >> 16;
    let within = figures.iter().filter(|figure| figure.pages <= default_pages);
    let worst = within.max_by(|one, other| one.seconds().total_cmp(&other.seconds()));
    let Some(worst) = worst else { return Ok(()) };
    let block = worst.ns_per_unit() * limits::BLOCK_FUEL_MAX as f64 / 1e9;
    println!(
        "\nthe worst within the default limits: {}, {:.2} s for a transaction (at most {TX_SECONDS_MAX}), \
         {block:.2} s for a block (at most {BLOCK_SECONDS_MAX})",
        worst.name,
        worst.seconds()
    );
    ensure!(
        worst.seconds() <= TX_SECONDS_MAX && block <= BLOCK_SECONDS_MAX,
        "fuel costs less than what it allows"
    );
    Ok(())
}

fn main() -> Result<()> {
    with_room(figures).context("cannot start a thread")?
}
