//! Hostile modules that would be too long as text, each with its head (see `suite`) beside it.

use std::fmt::Write as _;

/// Name, head and bytes of each.
pub(crate) fn all() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    [
        locals_and_params(),
        functions(),
        control(),
        branches(),
        frames(),
        compile_work(),
        sections(),
        encodings(),
    ]
    .concat()
}

type Generated = Vec<(&'static str, &'static str, Vec<u8>)>;

/// A module of the ABI that accepts all, with more definitions behind it.
fn accepting(extra: &str) -> Vec<u8> {
    module(extra, "(i64.const 0x0001000000000000)")
}

/// The same whose `dseq_apply` is this. Functions of `extra` are counted from 5 on.
fn module(extra: &str, apply: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            (memory (export "memory") 1)
            (func (export "dseq_abi_v1"))
            (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
            (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
            (func (export "dseq_apply") (param i32) (result i64) {apply})
            (func (export "dseq_output") (result i32) (i32.const 1024))
            {extra})"#
    );
    wat::parse_str(text).unwrap()
}

/// Too much of what functions begin and end with, or as much as there may be.
fn locals_and_params() -> Generated {
    let hundred = "i64 ".repeat(100);
    let wide = format!("(func $wide (param {hundred}) (result i64) (local.get 99))");
    vec![
        (
            "locals-huge",
            r#"expect: refused "function 5 has 50000 parameters and locals; at most 2000 are allowed""#,
            accepting(&format!("(func (local {}))", "i64 ".repeat(50_000))),
        ),
        (
            "locals-by-the-billion",
            r#"expect: refused "function 5 has 4000000000 parameters and locals; at most 2000 are allowed""#,
            with_body(&[1, 0x80, 0xd0, 0xac, 0xf3, 0x0e, 0x7e, 0x0b]),
        ),
        (
            "locals-that-overflow",
            r#"expect: refused "too many locals""#,
            with_body(&[2, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7e, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f, 0x0b]),
        ),
        (
            "params-too-many",
            r#"expect: refused "type 4 has 101 parameters; at most 100 are allowed""#,
            accepting(&format!("(func (param {hundred} i64))")),
        ),
        (
            "params-as-many-as-may-be-for-ever",
            "expect: fault 1009 StackOverflow",
            module(
                &format!(
                    "(func $f (param {hundred}) (result i64) (call $f {}))",
                    (0..100).rev().fold(String::new(), |all, n| all + &format!("(local.get {n})"))
                ),
                &format!("(call $f {})", "(i64.const 1)".repeat(100)),
            ),
        ),
        (
            "params-as-many-as-may-be",
            r#"expect: rejected 77 """#,
            module(
                &wide,
                &format!(
                    "(call $wide {} (i64.const 77)) (i64.shl (i64.const 32)) (i64.or (i64.const 0x0003000000000000))",
                    "(i64.const 1)".repeat(99)
                ),
            ),
        ),
        (
            "results-too-many",
            r#"expect: refused "type 4 has 17 results; at most 16 are allowed""#,
            accepting(&format!("(func (result {}) unreachable)", "i32 ".repeat(17))),
        ),
    ]
}

/// Too many functions, or too long ones.
fn functions() -> Generated {
    let accept = "(i64.const 0x0001000000000000)";
    vec![
        (
            "results-as-many-as-may-be",
            "expect: unchanged",
            module(
                &format!(
                    "(func $f (result {}) (call 0) {} (return))",
                    "i32 f64 i64 f32 ".repeat(4),
                    "(i32.const 1) (f64.const 2) (i64.const 3) (f32.const 4) ".repeat(4)
                ),
                &format!("(call $f) {} {accept}", "drop ".repeat(16)),
            ),
        ),
        (
            "functions-too-many",
            r#"expect: refused "has 10001 functions; at most 10000 are allowed""#,
            accepting(&"(func)".repeat(9_996)),
        ),
        (
            "functions-many-and-tiny",
            "expect: unchanged",
            module(&"(func (call 0))".repeat(9_995), &format!("(call 9999) {accept}")),
        ),
        (
            "function-too-long",
            r#"expect: refused "bytes of code; at most 131072 are allowed""#,
            accepting(&format!("(func {})", "nop ".repeat(140_000))),
        ),
        (
            "frames-larger-than-the-stack",
            "expect: fault 1009 StackOverflow",
            module(
                &(0..22).fold("(func $f22)".to_owned(), |all, n| {
                    all + &format!("(func $f{n} {} (call $f{}))", "nop ".repeat(12_500), n + 1)
                }),
                &format!("(call $f0) {accept}"),
            ),
        ),
        (
            "code-too-long",
            r#"expect: refused "bytes of code; at most 1048576 are allowed""#,
            accepting(&format!("(func {})", "nop ".repeat(100_000)).repeat(11)),
        ),
    ]
}

/// Control flow that would tax the compiler.
fn control() -> Generated {
    let nested = |open: &str, depth| format!("(func {}{})", open.repeat(depth), ")".repeat(depth));
    vec![
        (
            "blocks-nested-too-deep",
            r#"expect: refused "function 5 has 40000 blocks, branches and calls; at most 5000 are allowed""#,
            accepting(&nested("(block ", 40_000)),
        ),
        ("blocks-nested-deep", "expect: unchanged", accepting(&nested("(block ", 4_999))),
        (
            "loops-nested-too-deep",
            r#"expect: refused "function 5 has 26 loops within loops; at most 25 are allowed""#,
            accepting(&nested("(loop ", 26)),
        ),
        (
            "ifs-nested-deep",
            "expect: unchanged",
            accepting(&format!("(func {}{})", "(if (i32.const 1) (then ".repeat(4_000), "))".repeat(4_000))),
        ),
    ]
}

/// Eleven kilobytes that a compiler would be busy with for minutes.
fn joined() -> (&'static str, &'static str, Vec<u8>) {
    (
        "locals-joined-too-many",
        r#"expect: refused "phis (locals that branches join); at most 80000 are allowed""#,
        accepting(&format!(
            "(func (param i32) (local {}) {} (br_table {} (local.get 0)) {} {})",
            "i32 ".repeat(999),
            "(block ".repeat(400),
            (0..400).fold(String::new(), |all, n| all + &format!("{n} ")),
            (1..1_000).fold(String::new(), |all, n| all + &format!("(local.set {n} (local.get 0))")),
            ")".repeat(400),
        )),
    )
}

/// Branches, and values that are followed through them.
fn branches() -> Generated {
    let targets = |count: usize| {
        let targets = (0..count).fold(String::new(), |all, n| all + &format!("{} ", n % 50));
        format!("{}(br_table {targets} (i32.const -1)){}", "(block ".repeat(50), ")".repeat(50))
    };
    let mut calls = String::new();
    for _ in 0..1_300 {
        writeln!(calls, "(call_indirect (type $t) (i32.const 0))").unwrap();
    }
    vec![
        (
            "branch-table-too-long",
            r#"expect: refused "function 3 has 20001 targets of branch tables; at most 20000 are allowed""#,
            module("", &format!("{} (i64.const 0x0001000000000000)", targets(20_002))),
        ),
        (
            "branch-table-long",
            "expect: unchanged",
            module("", &format!("{} (i64.const 0x0001000000000000)", targets(20_000))),
        ),
        (
            "calls-through-a-table-too-many",
            r#"expect: refused "function 5 has 5200 blocks, branches and calls; at most 5000 are allowed""#,
            accepting(&format!("(type $t (func)) (table 1 funcref) (func {calls})")),
        ),
        (
            "values-alive-at-branches-too-many",
            r#"expect: refused "function 5 has 1080000 live values at branches; at most 600000 are allowed""#,
            accepting(&format!("(func (local {}) {})", "i32 ".repeat(900), "(call 0)".repeat(1_200))),
        ),
        (
            "values-carried-too-many",
            r#"expect: refused "branch arguments; at most 4000 are allowed""#,
            accepting(&format!(
                "(func (block (result {}) {} (br_table {} (i32.const 0))) {})",
                "i32 ".repeat(16),
                "(i32.const 1) ".repeat(16),
                "0 ".repeat(1_300),
                "drop ".repeat(16)
            )),
        ),
        joined(),
        (
            "locals-in-nested-loops-too-many",
            r#"expect: refused "locals times loops within loops; at most 25000 are allowed""#,
            accepting(&format!(
                "(func (local {}) {}{})",
                "i32 ".repeat(1_100),
                "(loop ".repeat(24),
                ")".repeat(24)
            )),
        ),
        (
            "a-loop-with-too-many-parameters",
            r#"expect: refused "function 5 has 9 parameters of a block; at most 8 are allowed""#,
            accepting(&format!(
                "(func {} (loop (param {}) {}))",
                "(i32.const 1)".repeat(9),
                "i32 ".repeat(9),
                "drop ".repeat(9)
            )),
        ),
    ]
}

/// Recursion by functions with frames far longer than their code.
fn frames() -> Generated {
    vec![
        // Each call makes 16 floats at once, and all 96 are kept and passed on.
        (
            "results-of-calls-alive-across-a-call",
            "expect: fault 1009 StackOverflow",
            module(
                &format!(
                    "(global $x (mut f64) (f64.const 1.5))
                     (func $many (result {}) {})
                     (func $take (param {}) (global.set $x (local.get 0)))
                     (func $deep {} call $deep call $take)",
                    "f64 ".repeat(16),
                    "(global.get $x)".repeat(16),
                    "f64 ".repeat(96),
                    "call $many ".repeat(6)
                ),
                "(call $deep) (i64.const 0x0001000000000000)",
            ),
        ),
        (
            "values-alive-across-a-call",
            "expect: fault 1009 StackOverflow",
            module(
                &format!(
                    "(func $f (param i64) (result i64) {} (call $f (local.get 0)) {})",
                    (0..2_000).fold(String::new(), |all, n| all
                        + &format!("(i64.mul (local.get 0) (i64.const {}))", 2 * n + 3)),
                    "i64.xor ".repeat(2_000)
                ),
                "(call $f (i64.const 3))",
            ),
        ),
    ]
}

/// Code that no other limit refuses, and that takes the compiler long.
fn compile_work() -> Generated {
    vec![
        (
            "compile-work-of-a-function-too-much",
            r#"expect: refused "units of compile work; at most 15000000 are allowed""#,
            accepting(&format!("(func f64.const 2 {} drop)", "f64.ceil ".repeat(20_000))),
        ),
        (
            "compile-work-too-much",
            r#"expect: refused "at most 15000000 are allowed; function 5 has the most""#,
            accepting(&format!("(func f64.const 2 {} drop)", "f64.ceil ".repeat(10_000)).repeat(3)),
        ),
    ]
}

/// Sections with too much in them.
fn sections() -> Generated {
    let mut types = String::new();
    for n in 0..1_001 {
        let params: String = (0..10).map(|bit| if n >> bit & 1 == 1 { "i64 " } else { "i32 " }).collect();
        write!(types, "(type (func (param {params})))").unwrap();
    }
    let exports = (0..1_001).fold(String::new(), |all, n| all + &format!("(export \"e{n}\" (func 0))"));
    let letters = |count| "x".repeat(count);
    vec![
        (
            "elements-too-many",
            r#"expect: refused "has 5001 elements of all segments; at most 5000 are allowed""#,
            accepting(&format!("(elem func {})", "4 ".repeat(5_001))),
        ),
        ("types-too-many", r#"expect: refused "types; at most 1000 are allowed""#, accepting(&types)),
        (
            "globals-too-many",
            r#"expect: refused "has 1001 globals; at most 1000 are allowed""#,
            accepting(&"(global i32 (i32.const 0))".repeat(1_001)),
        ),
        ("exports-too-many", r#"expect: refused "exports; at most 1000 are allowed""#, accepting(&exports)),
        (
            "export-with-a-long-name",
            r#"expect: refused "has 50000 bytes of name; at most 1000 are allowed""#,
            accepting(&format!("(export \"{}\" (func 0))", letters(50_000))),
        ),
        (
            "data-segments-too-many",
            r#"expect: refused "has 1001 data segments; at most 1000 are allowed""#,
            accepting(&"(data (i32.const 0) \"x\")".repeat(1_001)),
        ),
        (
            "element-segments-too-many",
            r#"expect: refused "has 1001 element segments; at most 1000 are allowed""#,
            accepting(&format!("(table 1 funcref) {}", "(elem (i32.const 0) func 0)".repeat(1_001))),
        ),
        (
            "data-too-large",
            r#"expect: refused "bytes; at most 4194304 are allowed""#,
            accepting(&format!("(data \"{}\")", letters(4 << 20))),
        ),
        (
            "data-as-large-as-may-be",
            "tx: \"a\"\nexpect: replaced \"x\" x 4000000\ntx: \"b\"\nexpect: replaced \"x\" x 4000000",
            module(
                &format!("(data $d \"{}\")", letters(4_000_000)),
                "(drop (memory.grow (i32.const 62)))
                 (memory.init $d (i32.const 1024) (i32.const 0) (i32.const 4000000))
                 (i64.const 0x00020000003d0900)",
            ),
        ),
        (
            "elements-as-many-as-may-be",
            "expect: unchanged",
            accepting(&format!("(table 65536 funcref) (elem (i32.const 60536) func {})", "4 ".repeat(5_000))),
        ),
    ]
}

/// Bytes that no assembler writes.
fn encodings() -> Generated {
    let good = accepting("");
    let custom = |name: &[u8], content: &[u8]| {
        let mut section = vec![u8::try_from(name.len()).unwrap()];
        section.extend_from_slice(name);
        section.extend_from_slice(content);
        let mut wasm = good.clone();
        wasm.push(0);
        wasm.extend_from_slice(&leb(section.len()));
        wasm.extend_from_slice(&section);
        wasm
    };
    let twice = [good.as_slice(), &good[8..]].concat();
    vec![
        ("name-section-of-nonsense", "expect: unchanged", custom(b"name", &[0xff; 100])),
        ("custom-section-of-megabytes", "expect: unchanged", custom(b"padding", &vec![0xff; 3 << 20])),
        (
            "custom-section-without-end",
            r#"expect: refused "not a module this engine accepts""#,
            [good.as_slice(), &[0, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, b'x']].concat(),
        ),
        ("padded-lengths", "expect: unchanged", padded(&good)),
        ("sections-twice", r#"expect: refused "not a module this engine accepts""#, twice),
        ("cut-off", r#"expect: refused "not a module this engine accepts""#, good[..good.len() - 3].to_vec()),
        (
            "component",
            r#"expect: refused "not a module this engine accepts""#,
            [b"\0asm\x0d\0\x01\0".as_slice(), &good[8..]].concat(),
        ),
    ]
}

/// A module whose last function, 5, has this body, locals and all.
fn with_body(body: &[u8]) -> Vec<u8> {
    // Of the function below: its length, three locals, its end.
    let old = [4, 1, 3, 0x7e, 0x0b];
    rebuilt(&accepting("(func (local i64 i64 i64))"), |id, content| {
        if id != CODE {
            return content.to_vec();
        }
        let others = content.strip_suffix(&old).expect("it is the last function");
        [others, &leb(body.len()), body].concat()
    })
}

const CODE: u8 = 10;

/// The same module with every section's content passed through `change`.
fn rebuilt(wasm: &[u8], change: impl Fn(u8, &[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut new = wasm[..8].to_vec();
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        if let Some((id, range)) = payload.unwrap().as_section() {
            let content = change(id, &wasm[range]);
            new.push(id);
            new.extend_from_slice(&leb(content.len()));
            new.extend_from_slice(&content);
        }
    }
    new
}

/// The same module with every section's length written in five bytes.
fn padded(wasm: &[u8]) -> Vec<u8> {
    let mut new = wasm[..8].to_vec();
    for payload in wasmparser::Parser::new(0).parse_all(wasm) {
        if let Some((id, range)) = payload.unwrap().as_section() {
            new.push(id);
            let mut length = leb(range.len());
            *length.last_mut().unwrap() |= 0x80;
            length.resize(4, 0x80);
            length.push(0);
            new.extend_from_slice(&length);
            new.extend_from_slice(&wasm[range]);
        }
    }
    new
}

/// A number as wasm writes it.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
