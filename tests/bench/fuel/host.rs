//! What the host does for a call, charged to it or not.

use super::shape::{Shape, memory_mask};

pub(super) fn shapes() -> Vec<Shape> {
    [memory(), starts(), tables(), data(), answers()].into_iter().flatten().collect()
}

/// A call that ends by itself.
fn once(name: &'static str, fields: &str, pages: u64) -> Shape {
    Shape { name, fields: fields.to_owned(), pages, once: true, times: 0, ..Shape::default() }
}

/// Writes to each page of 4 KiB below `end`.
fn touch(end: u64) -> String {
    format!(
        "(loop $l (i32.store8 (local.get $i) (i32.const 1)) (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4096))) (i32.const {end}))))"
    )
}

/// Writes to each page of the first 4 MiB.
fn touch_all() -> String {
    touch(memory_mask() + 1 - 4096)
}

fn memory() -> Vec<Shape> {
    // The host cannot know where, and so resets all of the memory.
    let anywhere = "(i32.store (i32.mul (local.get $i) (i32.const 4)) (i32.const 1))";
    let globals = &"(global (mut f64) (f64.const 1))".repeat(12);
    vec![
        once("a call, reset", "", 2),
        once("a call, 3 pages", "", 3),
        once("a call, 17 pages", "", 17),
        once("a call, all memory", "", 0),
        Shape { setup: "(drop (memory.grow (i32.const 1)))".to_owned(), ..once("a call that grows", "", 2) },
        Shape { setup: touch(131_072), ..once("a call that writes to all, reset", "", 2) },
        Shape { setup: anywhere.to_owned(), ..once("a call that writes anywhere, reset", globals, 2) },
        Shape {
            setup: anywhere.to_owned(),
            plugins: 5,
            ..once("calls of 5 plugins that write anywhere, reset", globals, 2)
        },
        Shape { setup: touch_all(), ..once("a call that touches 4 MiB", "", 0) },
        Shape {
            setup: touch_all()
                .replace("i32.store8 (local.get $i) (i32.const 1)", "drop (i32.load8_u (local.get $i))"),
            ..once("a call that reads 4 MiB", "", 0)
        },
    ]
}

fn starts() -> Vec<Shape> {
    let counting = "(local.set $i (i32.const 10000000)) (loop $m (br_if $m (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))";
    vec![
        Shape { init: touch_all(), ..once("a call after an init that touches 4 MiB", "", 0) },
        Shape { init: counting.to_owned(), ..once("a call after a long init", "", 0) },
        once("a call, 900 globals", &"(global (mut i64) (i64.const 1))".repeat(900), 3),
    ]
}

fn tables() -> Vec<Shape> {
    let functions =
        format!("(table 65536 funcref) (func $none) (elem (i32.const 0) {})", "$none ".repeat(4_990));
    let (many, all): (String, String) =
        (0..4_900).map(|n| (format!("(func $many{n})"), format!("$many{n} "))).unzip();
    let segments: String = (0..990).map(|n| format!("(elem func $many{})", n * 4)).collect();
    vec![
        once("a call, a table of 4,990 functions", &functions, 1),
        Shape {
            setup: "(elem.drop $e)".to_owned(),
            ..once("a call, a table that cannot be reset", &format!("{functions} (elem $e func $none)"), 1)
        },
        Shape {
            setup: "(call_indirect (type $t) (i32.const 3))".to_owned(),
            ..once(
                "a call through a table that cannot be reset",
                &format!("(type $t (func)) {functions} (func (elem.drop $e)) (elem $e func $none)"),
                1,
            )
        },
        Shape {
            setup: "(table.copy (i32.const 0) (i32.const 1) (i32.const 65535))".to_owned(),
            ..once(
                "a call that copies its whole table",
                &format!("(table 65536 funcref) {many} (elem (i32.const 60000) {all})"),
                1,
            )
        },
        Shape {
            setup: "(elem.drop $e)".to_owned(),
            ..once("a call, 4,900 passive elements", &format!("{many} (elem $e func {all})"), 1)
        },
        Shape {
            setup: "(elem.drop 0)".to_owned(),
            ..once("a call, 990 passive segments of an element", &format!("{many} {segments}"), 1)
        },
    ]
}

fn data() -> Vec<Shape> {
    let segments: String =
        (0..999).map(|n| format!("(data (i32.const {}) \"x\")", n * 4099 % 65536)).collect();
    let large = format!("(data (i32.const 0) \"{}\")", "x".repeat(1 << 20));
    vec![
        once("a call, 999 data segments", &segments, 3),
        once("a call, 999 passive segments", &"(data \"x\")".repeat(999), 3),
        once("a call, 1 MiB of data", &large, 17),
        Shape { setup: touch(1 << 20), ..once("a call that writes to 1 MiB of data", &large, 17) },
    ]
}

fn answers() -> Vec<Shape> {
    let rejection = |name, text: &str| Shape {
        answer: "(i64.const 0x0003000100000400)".to_owned(),
        ..once(name, &format!("(data (i32.const 0) \"{}\")", text.repeat(1024)), 2)
    };
    vec![
        Shape { tx_bytes: 1 << 20, ..once("a call, 1 MiB in", "", 33) },
        Shape { tx_bytes: 100 << 10, ..once("a call, 100 KiB in, reset", "", 2) },
        Shape { answer: "(i64.const 0x0002000000200000)".to_owned(), ..once("a call, 2 MiB out", "", 33) },
        rejection("a rejection, 1 KiB", "x"),
        rejection("a rejection, 1 KiB that is no text", "\\ff"),
        rejection("a rejection, 1 KiB of control characters", "\\01"),
        rejection("a rejection, 1 KiB of emoji", "\u{1f600}"),
        rejection("a rejection, 1 KiB of the last character", "\u{10ffff}"),
    ]
}
