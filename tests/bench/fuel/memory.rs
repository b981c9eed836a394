//! Memory: loads and stores that miss the caches or hinder each other, and instructions on ranges.

use dseq::plugin::Limits;

use super::shape::{RANDOM, Shape, memory_mask};

pub(super) fn shapes() -> Vec<Shape> {
    [accesses(), sizes(), ranges()].into_iter().flatten().collect()
}

fn accesses() -> Vec<Shape> {
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
        Shape { name: "i64.store across pages that share their places in the caches", pages: 0, body: across_pages(), times: 20, ..Shape::default() },
        random("i64.store8 anywhere", "(i64.store8 ANY (local.get $b))"),
        Shape { name: "many stores at one random place", pages: 0, body: format!("{RANDOM} (local.set $p {}) {}", anywhere(16), (0..16).map(|n| format!("(i64.store offset={} (local.get $p) (local.get $b))", n * 4092)).collect::<String>()), times: 20, ..Shape::default() },
        Shape::plain("loads of what several stores wrote", "(i32.store8 (i32.const 64) (i32.const 1)) (local.set $i (i32.load (i32.const 62)))"),
        Shape::plain("loads of what a store wrote in part, dependent", "(i32.store8 (local.get $i) (local.get $i)) (local.set $i (i32.and (i32.load (local.get $i)) (i32.const 3)))"),
        Shape::plain("loads and stores in turn, dependent", "(i64.store (i32.const 64) (i64.add (i64.load (i32.const 64)) (i64.const 1)))"),
        Shape::plain("loads and stores in turn, across lines", "(i64.store (i32.const 4092) (i64.add (i64.load (i32.const 4092)) (i64.const 1)))"),
    ]);
    shapes
}

/// Stores across the ends of all but the last of the default memory's pages of 64 KiB, in an order that jumps about.
fn across_pages() -> String {
    let pages = usize::try_from(Limits::default().memory_bytes_max >> 16).expect("few pages");
    let order = (0..pages).map(|n| n * 37 % pages).filter(|page| *page > 0);
    order
        .map(|page| format!("(i64.store offset={} (local.get $p) (local.get $b))", page * 65_536 - 4))
        .collect()
}

fn sizes() -> Vec<Shape> {
    vec![
        Shape::plain("memory.size", "(local.set $i (i32.add (local.get $i) (memory.size)))"),
        Shape::plain("memory.grow by nothing", "(drop (memory.grow (i32.const 0)))"),
        Shape::plain("memory.grow that fails", "(drop (memory.grow (i32.const 60000)))"),
        Shape {
            name: "memory.grow, nested",
            body: format!("(local.set $p {})", nested("memory.grow", 50, "(local.get $p)")),
            setup: "(local.set $p (i32.const -1))".to_owned(),
            times: 10,
            ..Shape::default()
        },
        Shape {
            name: "memory.grow to the limit",
            body: "(drop (memory.grow (i32.const 1)))".to_owned(),
            times: 256,
            once: true,
            ..Shape::default()
        },
        Shape {
            name: "memory.grow to the limit, each page touched",
            body: touch("(i32.mul (memory.grow (i32.const 1)) (i32.const 65536))"),
            times: 1,
            once: true,
            ..Shape::default()
        },
    ]
}

fn ranges() -> Vec<Shape> {
    let mut shapes = vec![
        Shape::plain("memory.fill of nothing", "(memory.fill (local.get $i) (i32.const 0) (i32.const 0))"),
        Shape::plain("memory.fill of a byte", "(memory.fill (local.get $i) (i32.const 0) (i32.const 1))"),
        Shape::plain("memory.copy of nothing", "(memory.copy (i32.const 0) (i32.const 8) (local.get $i))"),
        Shape::plain("memory.copy of 1 byte", "(memory.copy (i32.const 0) (i32.const 8) (i32.const 1))"),
        Shape::plain(
            "memory.copy of 128 bytes",
            "(memory.copy (i32.const 0) (i32.const 4090) (i32.const 128))",
        ),
        Shape::plain("memory.init of nothing", "(memory.init $d (i32.const 0) (i32.const 0) (local.get $i))"),
        random("memory.fill of 1 byte anywhere", "(memory.fill ANY (i32.const 1) (i32.const 1))"),
        random("memory.copy of 64 bytes anywhere", "(memory.copy (i32.const 0) ANY (i32.const 64))"),
        random("memory.copy of 130 bytes anywhere", "(memory.copy (i32.const 0) ANY (i32.const 130))"),
    ];
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

/// A random place in the memory, so many bits of it 0.
fn anywhere(bits: u32) -> String {
    format!(
        "(i32.and (i32.wrap_i64 (i64.shr_u (local.get $b) (i64.const 30))) (i32.const {}))",
        memory_mask() >> bits << bits
    )
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
