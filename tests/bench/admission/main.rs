//! What it takes to admit the worst modules that the limits allow: time, and the most memory at once.
//!
//! Without arguments, each module in a process of its own, and a table of all of them; with the name of one, only that. Beside
//! the time stands the estimate of it that admission goes by. Those of [`REFUSED`] exceed what compiling may take, and
//! are refused before the goal is missed.

mod operators;
mod shapes;

use std::process::Command;

use anyhow::{Context, Result, ensure};
use dseq::limits;
use dseq::plugin::{
    AdmitError, CanonicalJson, Limits, Pipeline, PipelineSpec, PluginName, PluginSpec, Use, engine_id,
    limits_used,
};
use dseq::types::PluginHash;

use shapes::SHAPES;

/// What a module may take to be admitted at most: processor time in seconds, and memory of the process in MiB.
const SECONDS_MAX: f64 = 20.0;
const MIB_MAX: u64 = 500;

/// Below this, most of the time is what every module takes.
const SMALL_SECONDS: f64 = 0.5;

/// What the names of modules of many short functions begin with, and how long each of those is.
const SHORT: &str = "short: ";
const SHORT_BYTES: usize = 8 << 10;

/// What the names of modules that are full of one instruction begin with; without and with other values alive beside.
const FULL_OF: &str = "full of ";
const BESIDE: &str = "100 values beside ";

type Making = fn() -> Result<Vec<u8>>;

/// Modules that are made as a whole.
const MODULES: &[(&str, Making)] = &[
    ("tiny functions", tiny_functions),
    ("tiny functions that fill", tiny_fills),
    ("wide functions in a table", wide_functions),
    ("wide functions of 900 types", wide_types),
    ("wide, joined and in loops at once", at_once),
    ("long names", long_names),
    ("passive elements", passive_elements),
    ("active elements", active_elements),
    ("data", data),
    ("data far apart", data_far_apart),
    ("two ways out of a table beside 1,200 values", values_at_a_table),
    ("a table of branches in a loop that rotates 300 locals", || rotated(300, 30, 19_990, 1)),
    ("46 functions that rotate 1,998 locals", || rotated(1_998, 9, 0, 46)),
];

/// Modules that pass the estimate, but take more to compile than they may.
const REFUSED: &[&str] = &[
    "two ways out of a table beside 1,200 values",
    "a table of branches in a loop that rotates 300 locals",
    "46 functions that rotate 1,998 locals",
    "float operations beside 2,000 floats",
];

/// A function in WAT: what comes before its body, and its body.
struct Function {
    /// Its locals.
    head: String,
    body: String,
}

impl Function {
    fn text(&self) -> String {
        format!("(func (param i64) {} {})\n", self.head, self.body)
    }
}

/// The longest function of those that are made for a number, which validation passes and which is no longer than that.
fn fit(bytes: usize, of: impl Fn(usize) -> Function) -> Function {
    let fits = |count: usize| {
        let wasm = wat::parse_str(with_functions(&of(count).text())).expect("a shape is a module");
        wasm.len() < bytes + BASE_BYTES && limits_used(&wasm).is_ok()
    };
    let (mut fitting, mut beyond) = (0, 1);
    while fits(beyond) {
        (fitting, beyond) = (beyond, beyond * 2);
    }
    while fitting + 1 < beyond {
        let middle = usize::midpoint(fitting, beyond);
        if fits(middle) { fitting = middle } else { beyond = middle }
    }
    of(fitting)
}

fn number(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// A module of these functions, and of as many of another as fit beside them.
fn module(others: &str, function: &Function) -> Result<Vec<u8>> {
    Ok(wat::parse_str(with_functions(&filled(others, function)?))?)
}

/// The functions of such a module.
fn filled(others: &str, function: &Function) -> Result<String> {
    let text = function.text();
    let used = |count: usize| -> Result<Vec<Use>> {
        let text = with_functions(&(others.to_owned() + &text.repeat(count)));
        let used = limits_used(&wat::parse_str(text)?)?;
        Ok(used.into_iter().filter(|used| used.item.is_none()).collect())
    };
    // All that a module has of anything is the sum over its functions.
    let one = used(1)?;
    let Ok(two) = used(2) else { return Ok(others.to_owned() + &text) }; // There is no room for two.
    let fitting = |one: &Use| {
        let two = two.iter().find(|two| two.what == one.what)?;
        let more = (one.max - one.found).checked_div(two.found - one.found)?;
        Some(1 + number(more))
    };
    let count = one.iter().filter_map(fitting).min().context("nothing bounds the functions")?;
    Ok(others.to_owned() + &text.repeat(count))
}

/// Of the module around the functions.
const BASE_BYTES: usize = 1_200;

fn with_functions(functions: &str) -> String {
    format!(
        r#"(module
            (type $small (func)) (table 1 funcref)
            (type $wide_loop (func (param {}))) (type $wide_block (func (result {})))
            (memory (export "memory") 1)
            (global $global (mut i32) (i32.const 0))
            (func $small)
            (func $wide (param {}) (result i64) (local.get 0))
            (func $results (type $wide_block) unreachable)
            (func $passed (param {}) (result {}) unreachable)
            (func (export "dseq_abi_v1"))
            (func (export "dseq_buffer") (param i32) (result i32) (i32.const 0))
            (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
            (func (export "dseq_apply") (param i32) (result i64) (i64.const 0x0001000000000000))
            (func (export "dseq_output") (result i32) (i32.const 0))
            (elem $elements func $small) (data $data "passive")
            {functions})"#,
        "i64 ".repeat(number(limits::BLOCK_PARAMS_MAX)),
        "i64 ".repeat(16),
        "i64 ".repeat(100),
        "i64 ".repeat(96),
        "i64 ".repeat(16),
    )
}

fn tiny_functions() -> Result<Vec<u8>> {
    let count = number(limits::MODULE_FUNCTIONS_MAX) - 9;
    Ok(wat::parse_str(with_functions(&"(func (call $small))".repeat(count)))?)
}

/// Functions that hardly say where they write: each byte of theirs is as many instructions of ours as it can be.
fn tiny_fills() -> Result<Vec<u8>> {
    let many = format!("(func $many (result {}) {})", "i32 ".repeat(16), "(i32.const 0) ".repeat(16));
    let fills = format!("call $many {} drop\n", "memory.fill ".repeat(5)).repeat(2);
    let count = number(limits::MODULE_FUNCTIONS_MAX) - 10;
    Ok(wat::parse_str(with_functions(&(many + &format!("(func {fills})").repeat(count))))?)
}

fn data() -> Result<Vec<u8>> {
    let bytes = number(limits::WASM_BYTES_MAX) - 1024;
    let text = with_functions(&format!("(data (i32.const 0) \"{}\")", "x".repeat(bytes)));
    Ok(wat::parse_str(text.replace("\"memory\") 1)", "\"memory\") 64)"))?)
}

/// Functions that are next to nothing, but for what brings in their parameters when a table or the host calls them.
fn wide_functions() -> Result<Vec<u8>> {
    Ok(wat::parse_str(in_table(&wide()))?)
}

fn wide() -> String {
    let wide = format!("(func (param {}))", "i64 ".repeat(number(limits::TYPE_PARAMS_MAX)));
    wide.repeat(in_tables_max())
}

fn in_tables_max() -> usize {
    number(limits::MODULE_ELEMENTS_MAX) - 2
}

/// A module of these functions, with as many of the first ones in a table as may be.
fn in_table(functions: &str) -> String {
    let count = in_tables_max();
    let elements: String = (9..count + 9).map(|n| format!("{n} ")).collect();
    let table = format!("(table {count} funcref) (elem (table 0) (i32.const 0) func {elements})");
    with_functions(functions).replace("(table 1 funcref)", &table)
}

/// One of each that takes long in its own way, and then as much of what takes long as there is room for.
fn at_once() -> Result<Vec<u8>> {
    let bytes = number(limits::FUNCTION_BYTES_MAX);
    let mut functions = wide();
    for name in ["locals joined by a table", "96 joined locals in a row of loops"] {
        functions.push_str(&shape(name, bytes)?.text());
    }
    functions = filled(&functions, &shape("locals in a row of loops", SHORT_BYTES)?)?;
    Ok(wat::parse_str(in_table(&functions))?)
}

fn wide_types() -> Result<Vec<u8>> {
    let wide = |n: usize| {
        let kinds: String =
            (0..99).map(|bit| if n >> (bit % 10) & 1 == 0 { "i32 " } else { "f64 " }).collect();
        format!("(func (export \"f{n}\") (param {kinds}) (result {}) unreachable)", "i64 ".repeat(16))
    };
    Ok(wat::parse_str(with_functions(&(0..900).map(wide).collect::<String>()))?)
}

fn long_names() -> Result<Vec<u8>> {
    let bytes = number(limits::EXPORT_NAME_BYTES_MAX) - 4;
    let export = |n: usize| format!("(export \"{n:04}{}\" (func $small))", "x".repeat(bytes));
    Ok(wat::parse_str(with_functions(
        &(0..number(limits::MODULE_EXPORTS_MAX) - 8).map(export).collect::<String>(),
    ))?)
}

fn passive_elements() -> Result<Vec<u8>> {
    let (segments, all) = (number(limits::MODULE_SEGMENTS_MAX) - 2, number(limits::MODULE_ELEMENTS_MAX) - 2);
    let one = format!("(elem func {})\n", "$small ".repeat(all / segments));
    Ok(wat::parse_str(with_functions(&one.repeat(segments)))?)
}

/// Each writes the end of the largest table.
fn active_elements() -> Result<Vec<u8>> {
    let (segments, all) = (number(limits::MODULE_SEGMENTS_MAX) - 2, number(limits::MODULE_ELEMENTS_MAX) - 2);
    let size = number(limits::TABLE_ELEMENTS_MAX);
    let each = all / segments;
    let one = format!("(elem (i32.const {}) func {})\n", size - each, "$small ".repeat(each));
    let text = with_functions(&one.repeat(segments));
    Ok(wat::parse_str(text.replace("(table 1 funcref)", &format!("(table {size} funcref)")))?)
}

/// From one end of the memory to the other.
fn data_far_apart() -> Result<Vec<u8>> {
    let segments = number(limits::MODULE_SEGMENTS_MAX) - 2;
    let size = number(Limits::default().memory_bytes_max);
    let one = |n: usize| format!("(data (i32.const {}) \"{}\")\n", n * (size / segments), "x".repeat(4_000));
    let text = with_functions(&(0..segments).map(one).collect::<String>());
    Ok(wat::parse_str(text.replace("\"memory\") 1)", &format!("\"memory\") {})", size >> 16)))?)
}

/// Values that are kept for one of the two places a table leads to: which the register allocator splits at each of its branches.
fn values_at_a_table() -> Result<Vec<u8>> {
    let values = 1_200;
    let loads: String =
        (1..=values).map(|n| format!("(local.set {n} (i64.load offset={} (i32.const 0)))", 8 * n)).collect();
    let sum: String = (2..=values).map(|n| format!("(local.get {n}) i64.xor ")).collect();
    let table = format!("(block (block (br_table {} (global.get $global)))", "0 1 ".repeat(9_995));
    let locals = "i64 ".repeat(values);
    let function = format!(
        "(func (param i64) (local {locals}) {loads} {table} (i32.const 0) (local.get 1) {sum} i64.store))"
    );
    Ok(wat::parse_str(with_functions(&function))?)
}

/// Loops in which each local takes the value of the next: what all branches in the loop hand on is another value each time.
fn rotated(locals: usize, branches: usize, targets: usize, functions: usize) -> Result<Vec<u8>> {
    let moves: String = (1..locals).map(|n| format!("(local.set {n} (local.get {}))", n + 1)).collect();
    let back = "(br_if 0 (global.get $global))";
    let table = format!("(block (block (br_table {} 0 (global.get $global))))", "0 1 ".repeat(targets / 2));
    let all = "i64 ".repeat(locals);
    let function = format!(
        "(func (param i64) (local {all}) (loop {moves} (local.set {locals} (i64.load (i32.const 0))) {} {} {back})
           (i64.store (i32.const 0) (local.get 1)))",
        back.repeat(branches),
        if targets == 0 { "" } else { &table },
    );
    Ok(wat::parse_str(with_functions(&function.repeat(functions)))?)
}

/// A function of this shape, of about so many bytes, or of as many as it may have.
fn shape(name: &str, bytes: usize) -> Result<Function> {
    let (_, of) = SHAPES.iter().find(|shape| shape.0 == name).context("no such module")?;
    let mut bytes = bytes - bytes / 16;
    loop {
        let function = of(bytes);
        let wasm = wat::parse_str(with_functions(&function.text()))?;
        if limits_used(&wasm).is_ok() {
            return Ok(function);
        }
        bytes -= bytes / 16;
        ensure!(bytes > 1_000, "no function of this shape is admitted");
    }
}

/// The module of this name.
fn named(name: &str) -> Result<Vec<u8>> {
    if let Some((_, of)) = MODULES.iter().find(|module| module.0 == name) {
        return of();
    }
    let (name, bytes) = match name.strip_prefix(SHORT) {
        Some(name) => (name, SHORT_BYTES),
        None => (name, number(limits::FUNCTION_BYTES_MAX)),
    };
    if let Some(operator) = name.strip_prefix(FULL_OF) {
        return module("", &operators::of_locals(bytes - bytes / 16, operator));
    }
    if let Some(operator) = name.strip_prefix(BESIDE) {
        return module("", &operators::beside_values(bytes - bytes / 16, operator));
    }
    module("", &shape(name, bytes)?)
}

/// Admits a module in this process, and prints what that took.
fn admit(name: &str) -> Result<()> {
    let wasm = named(name)?;
    let estimate = estimate_seconds(&wasm)?;
    let before = peak_kib()?;
    let (bytes, started) = (wasm.len(), cpu_seconds()?);
    let plugin = PluginSpec {
        name: PluginName::try_from("worst".to_owned())?,
        sha256: PluginHash::of(&wasm),
        params: CanonicalJson::default(),
    };
    let spec = PipelineSpec { engine: engine_id(), limits: Limits::default(), plugins: vec![plugin] };
    let refused = match Pipeline::admit(spec, &[wasm]) {
        Err(AdmitError::CompileTime { .. } | AdmitError::CompileMemory { .. }) if REFUSED.contains(&name) => {
            true
        }
        admitted => admitted.map(|_| false)?,
    };
    let (took, peak) = (cpu_seconds()? - started, peak_kib()?);
    println!(
        "{name:<42} {:>5} KiB {took:>6.2} s, estimated {estimate:>5.2} {:>5} MiB ({} before){}",
        bytes >> 10,
        peak >> 10,
        before >> 10,
        if refused { ", refused" } else { "" }
    );
    ensure!(
        took <= SECONDS_MAX && peak >> 10 <= MIB_MAX,
        "the goal is at most {SECONDS_MAX} s of one processor and {MIB_MAX} MiB"
    );
    // What a module of several such functions would take that uses all of the estimate there is.
    let scaled = took / estimate * limits::MODULE_COMPILE_WORK_MAX as f64 / 1e6;
    ensure!(
        refused || took < SMALL_SECONDS || scaled <= SECONDS_MAX,
        "a module with as much compile work as is allowed would take {scaled:.1} s"
    );
    Ok(())
}

/// How long the compiler should take by the estimate that admission goes by.
fn estimate_seconds(wasm: &[u8]) -> Result<f64> {
    let used = limits_used(wasm)?;
    let units = used.iter().find(|used| used.what == "units of compile work" && used.item.is_none());
    Ok(units.context("no estimate")?.found as f64 / 1e6)
}

/// The most memory this process has had so far, in KiB.
fn peak_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Processor time of all threads of this process so far. Others may be using the processors too.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // Behind the program's name, which may hold anything: user and system time, in hundredths of a second.
    let (_, fields) = stat.rsplit_once(") ").context("no fields")?;
    let ticks: Vec<u32> = fields.split(' ').skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    Ok(f64::from(ticks.iter().sum::<u32>()) / 100.0)
}

fn names() -> Vec<String> {
    let long = SHAPES.iter().map(|shape| shape.0.to_owned());
    let full =
        operators::names().into_iter().flat_map(|name| [FULL_OF, BESIDE].map(|of| format!("{of}{name}")));
    let long: Vec<String> = long.chain(full).collect();
    let short: Vec<String> = long.iter().map(|name| format!("{SHORT}{name}")).collect();
    let whole = MODULES.iter().map(|module| module.0.to_owned());
    whole.chain(long).chain(short).collect()
}

fn main() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let [name] = wanted.as_slice() {
        return admit(name);
    }
    let program = std::env::current_exe()?;
    let mut failed = Vec::new();
    for name in names() {
        if !Command::new(&program).arg(&name).status()?.success() {
            failed.push(name);
        }
    }
    ensure!(failed.is_empty(), "not admitted, or beyond the goal: {}", failed.join(", "));
    Ok(())
}
