//! Random plugins: modules of the subset that is admitted, made by wasm-smith, each from a seed that makes it again.
//!
//! What is random are functions, tables, globals, data; around them are the ABI's exports, the same for all. A
//! transaction's first byte says which of the functions are called, the bytes behind it are their arguments, and the
//! record is a sum over all results, globals and the memory's first page.

use std::fmt::Write as _;

use arbitrary::Unstructured;
use wasm_smith::{Config, Module};
use wasmparser::{Parser, Payload, ValType};

use super::noise::Noise;

/// Most functions of a random module.
const FUNCTIONS_MAX: usize = 12;

/// Every fourth module has NaNs as the engine makes them; in the others each is made canonical by what follows it, so that
/// every engine must come to the same bits.
pub(crate) fn shows_nans(seed: u64) -> bool {
    seed % 4 == 3
}

/// What makes NaNs, behind the type's name and the dot. (wasm-smith can see to it by itself, but forgets the
/// last two.)
const NAN_MAKERS: &[&str] = &[
    "add",
    "sub",
    "mul",
    "div",
    "min",
    "max",
    "sqrt",
    "ceil",
    "floor",
    "trunc",
    "nearest",
    "demote_f64",
    "promote_f32",
];

/// Puts a call that makes NaNs canonical behind each instruction of a module's text that makes them.
fn canonical_nans(text: &str) -> String {
    let mut canonical = String::with_capacity(2 * text.len());
    for line in text.lines() {
        canonical.push_str(line);
        canonical.push('\n');
        if let Some((ty @ ("f32" | "f64"), instruction)) = line.trim().split_once('.')
            && NAN_MAKERS.contains(&instruction)
        {
            writeln!(canonical, "call $canonical_{ty}").unwrap();
        }
    }
    canonical
}

/// A plugin around a random module, and how many random functions it has.
pub(crate) fn module(seed: u64) -> (Vec<u8>, usize) {
    let mut noise = Noise::new(seed);
    let len = 4_000 + noise.below(60_000);
    let bytes = noise.bytes(len);
    let mut up_to = |max| noise.below(max + 1);
    let config = Config {
        // Half of them keep their addresses inside of the memory, so that they come further.
        disallow_traps: seed.is_multiple_of(2),
        // It stops adding more of anything with every second one, so the least there must be is random too.
        min_types: 3,
        min_funcs: 2 + up_to(FUNCTIONS_MAX - 2),
        min_globals: up_to(10),
        min_tables: u32::try_from(up_to(1)).unwrap(),
        min_data_segments: up_to(3),
        min_memories: 1,
        max_memory32_bytes: 256 << 10,
        max_funcs: FUNCTIONS_MAX,
        max_instructions: 300,
        max_imports: 0,
        max_exports: 5,
        max_table_elements: 100,
        max_types: 20,
        max_globals: 20,
        max_data_segments: 5,
        max_element_segments: 5,
        allow_start_export: false,
        exceptions_enabled: false,
        extended_const_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        reference_types_enabled: false,
        relaxed_simd_enabled: false,
        simd_enabled: false,
        tail_call_enabled: false,
        threads_enabled: false,
        ..Config::default()
    };
    let random = Module::new(config, &mut Unstructured::new(&bytes)).expect("bytes enough");
    within_the_abi(&random.to_bytes(), shows_nans(seed))
}

/// The parts of a module that the functions around it have to know.
#[derive(Default)]
struct Shape {
    types: Vec<wasmparser::FuncType>,
    /// The type of each function.
    functions: Vec<u32>,
    /// Of each global: its type.
    globals: Vec<ValType>,
}

fn shape(wasm: &[u8]) -> Shape {
    let mut shape = Shape::default();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.unwrap() {
            Payload::TypeSection(types) => {
                shape.types.extend(types.into_iter_err_on_gc_types().map(Result::unwrap));
            }
            Payload::FunctionSection(functions) => {
                shape.functions.extend(functions.into_iter().map(Result::unwrap));
            }
            Payload::GlobalSection(globals) => {
                shape.globals.extend(globals.into_iter().map(|global| global.unwrap().ty.content_type));
            }
            _ => {}
        }
    }
    shape
}

/// Puts the ABI's exports behind everything else, so that no index changes.
fn within_the_abi(wasm: &[u8], shows_nans: bool) -> (Vec<u8>, usize) {
    let shape = shape(wasm);
    let mut calls = String::new();
    for (index, ty) in shape.functions.iter().enumerate() {
        let ty = &shape.types[*ty as usize];
        writeln!(calls, "(if (call $wanted (i32.const {index})) (then").unwrap();
        for (n, param) in ty.params().iter().enumerate() {
            writeln!(calls, "({param}.load (i32.const {}))", 1025 + 8 * (n % 32)).unwrap();
        }
        writeln!(calls, "call {index}").unwrap();
        ty.results().iter().rev().for_each(|result| mix(&mut calls, *result));
        calls.push_str("))\n");
    }
    let mut globals = String::new();
    for (index, ty) in shape.globals.iter().enumerate() {
        writeln!(globals, "global.get {index}").unwrap();
        mix(&mut globals, *ty);
    }
    let all = shape.functions.len();
    let abi = format!(
        r#"(export "memory" (memory 0))
        (global $sum (mut i64) (i64.const 0))
        (func $mix (param i64)
            (global.set $sum (i64.mul (i64.const 0x9e3779b97f4a7c15)
                (i64.add (i64.rotl (global.get $sum) (i64.const 7)) (local.get 0)))))
        (global $which (mut i32) (i32.const 0))
        (func $wanted (param i32) (result i32)
            (i32.or (i32.eq (global.get $which) (i32.const {all})) (i32.eq (global.get $which) (local.get 0))))
        (func $canonical_f32 (param f32) (result f32)
            (select (local.get 0) (f32.const nan) (f32.eq (local.get 0) (local.get 0))))
        (func $canonical_f64 (param f64) (result f64)
            (select (local.get 0) (f64.const nan) (f64.eq (local.get 0) (local.get 0))))
        (func (export "dseq_abi_v1"))
        (func (export "dseq_buffer") (param i32) (result i32)
            (if (i32.eqz (memory.size)) (then (drop (memory.grow (i32.const 1)))))
            (i32.const 1024))
        (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
        (func (export "dseq_apply") (param i32) (result i64)
            (local $at i32)
            (global.set $which (i32.load8_u (i32.const 1024)))
            {calls}
            {globals}
            (loop $next
                (call $mix (i64.load (local.get $at)))
                (br_if $next (i32.lt_u
                    (local.tee $at (i32.add (local.get $at) (i32.const 8)))
                    (i32.const 65536))))
            (call $mix (i64.extend_i32_u (memory.size)))
            (i64.store (i32.const 1024) (global.get $sum))
            (i64.const 0x0002000000000008))
        (func (export "dseq_output") (result i32) (i32.const 1024))"#
    );
    let text = wasmprinter::print_bytes(wasm).unwrap();
    let text = if shows_nans { text } else { canonical_nans(&text) };
    let text = text.trim_end().strip_suffix(')').expect("a module's end");
    (wat::parse_str(format!("{text}{abi})")).unwrap(), all)
}

/// Takes the value on top of the stack, of this type, into the sum, bit by bit.
fn mix(text: &mut String, ty: ValType) {
    text.push_str(match ty {
        ValType::I32 => "i64.extend_i32_u ",
        ValType::I64 => "",
        ValType::F32 => "i32.reinterpret_f32 i64.extend_i32_u ",
        ValType::F64 => "i64.reinterpret_f64 ",
        ValType::V128 | ValType::Ref(_) => unreachable!("not among the features"),
    });
    text.push_str("call $mix\n");
}
