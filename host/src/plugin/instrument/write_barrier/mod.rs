//! The write barrier: instructions in a plugin's code that record which pages of its memory it stores to, so that only
//! those have to be reset for the next call.
//!
//! # Why
//!
//! With it a call of a small filter takes 0.4 us, without it 3 us: then each transaction needs a fresh instance or a copy of the
//! whole memory. It is the most intricate code in the path of consensus (an address that it misses leaks
//! from one transaction into the next, differently on each node), so it is kept by itself.
//!
//! # How
//!
//! A barrier sets bits in an added global; each bit stands for one page of 4 KiB. Where it stands decides how much it records, so that it costs
//! little:
//!
//! - Outside of loops a barrier goes with each store whose address is a local and an offset, or a constant, unless an
//!   earlier barrier covers it.
//! - Some stores are covered by a barrier that records all pages: stores in loops, those with a computed address, and those
//!   in functions with many stores. It stands in front of the loop or the store. A module with very many stores gets only
//!   such barriers, so that compiling stays fast.
//! - Functions called from loops, directly or not, have no barriers: they are *barrier-free*. A caller outside of a loop
//!   records all pages before the call.
//!
//! `placement` finds where one function needs barriers, `barrier_free` which functions have none, `barrier` has the
//! instructions, `dirty_pages` the set of pages.
//!
//! # Format
//!
//! What stands in front of a store, `dirty` being the global, by what is known of the store:
//!
//! | pages | instructions |
//! |---|---|
//! | all | `dirty = -1` |
//! | those known from constants | `dirty = dirty \| pages` |
//! | that of a local, or of an offset from it | `dirty = dirty \| 1 << ((local + offset) >> 12)` |
//! | those that a bulk instruction writes to | `dirty = dirty \| (-1 << (start >> 12)) & (-1 >> (31 - ((start + len - 1) >> 12)))` |
//!
//! # Invariants
//!
//! - Whenever a store or a bulk instruction has changed bytes, and nothing traps before the call ends, these bytes lie in
//!   dirty pages or within their margins ([`MARGIN_BYTES`]).
//! - A barrier-free function that stores runs only when all pages are recorded, or nothing but a trap can follow. Neither
//!   the host nor a table can call a barrier-free function.
//! - Barriers branch nowhere and trap never.
//!
//! Tested by `tests/fuzz/write_barrier.rs` (random functions and modules on another engine: no byte changes outside of dirty
//! pages; and calls after calls on ours: nothing of one is left for the next), `tests/hostile/left_behind.rs`, the tests
//! below and in `execute/pool.rs`; fuel and verdicts with barriers by the goldens and `tests/differential`.
//!
//! # Determinism
//!
//! The instructions added cost fuel. What they are and where they stand is part of the engine id.
//!
//! # What depends on it
//!
//! All that would have to go with it:
//!
//! - `instrument/rewrite.rs` asks [`pays`], adds the global and its export, and inserts what [`insertions`] answers.
//! - `execute/instance.rs`: `Live::take_dirty_pages` reads and clears the global, and adds where the host has written.
//! - `execute/reset.rs` copies back the ranges of those pages. Without the barrier `admit` makes no pool, and each call
//!   gets a fresh instance.
//! - `admit/mod.rs` looks up the global's export and makes the pool; `execute/call.rs` charges each call for the reset.
//! - `engine/id.rs`: the line `marks`, and `INSTRUMENTATION`.
//! - `limits`: `RESET_MEMORY_BYTES_MAX`, `RESET_GLOBALS_MAX`, `RESET_BYTES_PER_FUEL`, `FUNCTION_BARRIERS_MAX`, `MODULE_BARRIERS_MAX`.
mod barrier;
mod barrier_free;
mod dirty_pages;
mod placement;

use wasmparser::{BinaryReaderError, FuncValidatorAllocations, Parser, ValidPayload, Validator};

use self::barrier::{Barrier, FunctionBarriers, OPERAND_LOCALS};
use self::barrier_free::BarrierFree;
pub(in crate::plugin) use self::dirty_pages::{DirtyPages, MARGIN_BYTES, PAGE_SHIFT};
use super::insert::Insertions;
use crate::limits;
use crate::plugin::validate::{Function, ValidModule, features};

/// Whether instances of a module can be reset by their dirty pages and globals, and that costs less than fresh ones.
pub(super) fn pays(module: &ValidModule<'_>) -> bool {
    module.keeps_to_memory_and_globals
        && module.mutable_globals.len() as u64 <= limits::RESET_GLOBALS_MAX
        && module.memory_bytes <= limits::RESET_MEMORY_BYTES_MAX
}

/// The barriers of each function, which set the global `dirty`.
///
/// # Errors
///
/// Never for a valid module.
pub(super) fn insertions(module: &ValidModule<'_>, dirty: u32) -> Result<Vec<Insertions>, BinaryReaderError> {
    let functions = place(module)?;
    let barrier_free = BarrierFree::among(&functions, &module.entered);
    let mut barriers_left = limits::MODULE_BARRIERS_MAX;
    let of = |(index, barriers): (usize, &FunctionBarriers)| {
        let barriers = barrier_free.barriers(index, barriers);
        inserted(&module.functions[index], barriers, dirty, &mut barriers_left)
    };
    Ok(functions.iter().enumerate().map(of).collect())
}

/// Goes through all functions once more, because only the validator knows the height of the operand stack.
fn place(module: &ValidModule<'_>) -> Result<Vec<FunctionBarriers>, BinaryReaderError> {
    let mut validator = Validator::new_with_features(features());
    let mut allocations = FuncValidatorAllocations::default();
    let mut functions = Vec::with_capacity(module.functions.len());
    for payload in Parser::new(0).parse_all(module.wasm) {
        if let ValidPayload::Func(function, body) = validator.payload(&payload?)? {
            let mut validator = function.into_validator(std::mem::take(&mut allocations));
            functions.push(placement::place(&mut validator, &body)?);
            allocations = validator.into_allocations();
        }
    }
    Ok(functions)
}

/// `barriers_left` is how many may still record less than all pages.
fn inserted<'a>(
    function: &Function,
    barriers: impl Iterator<Item = &'a Barrier>,
    dirty: u32,
    barriers_left: &mut u64,
) -> Insertions {
    let first_operand = u32::try_from(function.locals).expect("their number is bounded");
    let mut insertions = Insertions::default();
    for mut barrier in barriers.copied() {
        if barrier.is_of_some_pages() {
            match barriers_left.checked_sub(1) {
                Some(fewer) => *barriers_left = fewer,
                None => barrier = barrier.of_all_pages(),
            }
        }
        if barrier.takes_operands() {
            insertions.locals = OPERAND_LOCALS;
        }
        insertions.instructions.push((barrier.at, barrier.instructions(dirty, first_operand)));
    }
    insertions
}

#[cfg(test)]
mod tests {
    use wasmparser::{BinaryReader, OperatorsReader};

    use super::barrier::Pages;
    use super::*;
    use crate::plugin::validate::validate;

    /// The instructions of a module's first function with its barriers where they stand, those that push a constant or a
    /// local left out.
    fn with_barriers(wat: &str) -> String {
        let wasm = wat::parse_str(wat).unwrap();
        let module = validate(&wasm).unwrap();
        let functions = place(&module).unwrap();
        let barrier_free = BarrierFree::among(&functions, &module.entered);
        let mut barriers = barrier_free.barriers(0, &functions[0]).peekable();
        let code = module.functions[0].code.clone();
        let mut operators = OperatorsReader::new(BinaryReader::new(&wasm[code.clone()], code.start));
        let mut shown = Vec::new();
        while !operators.eof() {
            let (operator, at) = operators.read_with_offset().unwrap();
            while let Some(barrier) = barriers.next_if(|barrier| barrier.at == at) {
                shown.push(match barrier.records {
                    Pages::All | Pages::IfStores(_) => "ALL".to_owned(),
                    Pages::Known(pages) => format!("PAGES-{:b}", pages.bits()),
                    Pages::OfLocal { local, offset } => format!("LOCAL-{local}+{offset}"),
                    Pages::OfOperands => "BULK".to_owned(),
                });
            }
            let name = format!("{operator:?}").split(' ').next().unwrap().to_lowercase();
            if !["localget", "i32const"].contains(&name.as_str()) {
                shown.push(name);
            }
        }
        assert!(barriers.next().is_none(), "barriers out of order");
        shown.join(" ")
    }

    fn body(locals: &str, code: &str) -> String {
        with_barriers(&format!("(module (memory 2) (func {locals} {code}) (func))"))
    }

    const STORE_0: &str = "(i32.store (local.get 0) (i32.const 1))";

    #[test]
    fn a_barrier_records_what_is_known_of_the_stores_address() {
        let local = "(param i32)";
        for (code, expected) in [
            ("(i32.store offset=504 (local.get 0) (i32.const 1))", "LOCAL-0+0 i32store end"),
            ("(i32.store offset=505 (local.get 0) (i32.const 1))", "LOCAL-0+505 i32store end"),
            ("(i64.store8 offset=4095 (i32.const 1) (i64.const 1))", "i64const PAGES-10 i64store8 end"),
            (
                "(f64.store (i32.add (local.get 0) (i32.const 1)) (f64.const 1))",
                "i32add f64const ALL f64store end",
            ),
            ("(i32.store (local.tee 0 (i32.const 7)) (i32.const 1))", "localtee LOCAL-0+0 i32store end"),
            ("(memory.fill (local.get 0) (i32.const 0) (i32.const 9))", "BULK memoryfill end"),
            ("(memory.copy (i32.const 0) (local.get 0) (i32.const 9))", "BULK memorycopy end"),
            // The local is another by the time of the store.
            ("local.get 0 (local.set 0 (i32.const 8)) i32.const 1 i32.store", "localset ALL i32store end"),
            ("local.get 0 (i32.load (i32.const 9)) i32.store", "i32load LOCAL-0+0 i32store end"),
            // Two ways to the end of the block, with two addresses.
            (
                "(block (result i32 i32) (br_if 0 (i32.const 5) (i32.const 6) (local.get 0)) drop drop
                   local.get 0 local.get 0) i32.store",
                "block brif drop drop end ALL i32store end",
            ),
        ] {
            assert_eq!(body(local, code), expected, "{code}");
        }
    }

    #[test]
    fn one_barrier_covers_the_stores_near_it_while_the_local_is_the_same() {
        let near = "(i64.store offset=504 (local.get 0) (i64.const 1))";
        let far = "(i32.store offset=1009 (local.get 0) (i32.const 1))";
        let between = "(i32.store offset=505 (local.get 0) (i32.const 1))";
        let local = "(param i32 i32)";
        assert_eq!(body(local, &[STORE_0, near].concat()), "LOCAL-0+0 i32store i64const i64store end");
        assert_eq!(
            body(local, &[STORE_0, far, between].concat()),
            "LOCAL-0+0 i32store LOCAL-0+1009 i32store i32store end"
        );
        assert_eq!(
            body(local, &[STORE_0, "(local.set 0 (local.get 1))", STORE_0].concat()),
            "LOCAL-0+0 i32store localset LOCAL-0+0 i32store end"
        );
        let constant = "(i32.store (i32.const 5000) (i32.const 1))";
        assert_eq!(body(local, &[constant, constant].concat()), "PAGES-10 i32store i32store end");
    }

    #[test]
    fn a_barrier_that_only_some_ways_pass_covers_nothing_behind_them() {
        let local = "(param i32)";
        let in_block = format!("(block (br_if 0 (local.get 0)) {STORE_0}) {STORE_0}");
        assert_eq!(body(local, &in_block), "block brif LOCAL-0+0 i32store end LOCAL-0+0 i32store end");
        let branches = format!("(if (local.get 0) (then {STORE_0}) (else {STORE_0})) {STORE_0}");
        assert_eq!(
            body(local, &branches),
            "if LOCAL-0+0 i32store else LOCAL-0+0 i32store end LOCAL-0+0 i32store end"
        );
        let before = format!("{STORE_0} (if (local.get 0) (then {STORE_0})) {STORE_0}");
        assert_eq!(body(local, &before), "LOCAL-0+0 i32store if i32store end i32store end");
    }

    #[test]
    fn a_loop_that_stores_has_a_barrier_of_all_pages_in_front_of_it() {
        let local = "(param i32)";
        let code = format!("(loop (loop {STORE_0}) (br_if 0 (local.get 0))) {STORE_0}");
        assert_eq!(body(local, &code), "ALL loop loop i32store end brif end i32store end");
        let quiet = format!("{STORE_0} (loop (br_if 0 (local.get 0))) {STORE_0}");
        assert_eq!(body(local, &quiet), "LOCAL-0+0 i32store loop brif end i32store end");
        // The first time round the local is the one that was recorded, the second time it is not.
        let moved = format!("{STORE_0} (loop {STORE_0} (local.set 0 (i32.const 9)) (br_if 0 (local.get 0)))");
        assert_eq!(body(local, &moved), "LOCAL-0+0 i32store ALL loop i32store localset brif end end");
        let constant = "(i32.store (i32.const 0) (i32.const 1))";
        let known = format!("{constant} (loop {constant} (br_if 0 (local.get 0)))");
        assert_eq!(body(local, &known), "PAGES-1 i32store loop i32store brif end end");
    }

    #[test]
    fn a_function_with_too_many_barriers_gets_one_of_all_pages() {
        let store = |n| format!("(i32.store (local.get {n}) (i32.const 1))");
        let stores: String = (0..20).map(store).collect();
        let shown = body(&format!("(param{})", " i32".repeat(20)), &stores);
        assert_eq!(shown.matches("LOCAL").count() as u64, limits::FUNCTION_BARRIERS_MAX);
        assert!(
            shown.ends_with("LOCAL-15+0 i32store ALL i32store i32store i32store i32store end"),
            "{shown}"
        );
    }

    const STORING: &str = "(i32.store (i32.const 0) (i32.const 1))";

    #[test]
    fn what_loops_call_is_barrier_free_and_its_callers_record_all_pages() {
        let module = |first: &str, second: &str| {
            with_barriers(&format!(
                "(module (memory 2) (table 1 funcref)
                    (func $f {first}) (func $loops (loop (call $a))) (func $a (call $b)) (func $b {second}) (func $c {STORING}))"
            ))
        };
        assert_eq!(module("(call $b) (call $b)", STORING), "ALL call call end");
        assert_eq!(module("(call $a)", STORING), "ALL call end", "whom it calls stores");
        assert_eq!(module("(call $a)", ""), "call end", "nobody stores");
        assert_eq!(module("(call $c)", STORING), "call end", "it has a barrier of its own");
        assert_eq!(module("(loop (call $a))", STORING), "ALL loop call end end");
        assert_eq!(module("(loop (call $a) (unreachable))", STORING), "loop call unreachable end end");
    }

    #[test]
    fn a_function_is_barrier_free_unless_the_host_or_a_table_can_call_it() {
        let loops = "(func $loops (loop (call $f)))";
        let module = |more: &str| {
            with_barriers(&format!(
                "(module (memory 2) (table 1 funcref) (func $f {STORING}) {loops} {more})"
            ))
        };
        assert_eq!(module(""), "i32store end");
        assert_eq!(module(r#"(export "f" (func $f))"#), "PAGES-1 i32store end");
        assert_eq!(module("(elem (i32.const 0) $f)"), "PAGES-1 i32store end");
    }

    /// Of all that is admitted, by its name.
    #[test]
    fn every_instruction_that_stores_is_known() {
        let is_store =
            |name: &str| name.contains("Store") || ["MemoryCopy", "MemoryFill", "MemoryInit"].contains(&name);
        let mut stores = 0;
        macro_rules! names {
            ($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
                $(
                    let name = stringify!($op);
                    let is_admitted = ["mvp", "bulk_memory", "sign_extension", "saturating_float_to_int"]
                        .contains(&stringify!($proposal));
                    stores += usize::from(is_admitted && is_store(name));
                )*
            };
        }
        wasmparser::for_each_operator!(names);
        assert_eq!(stores, 9 + 3, "stores_to, and the three bulk instructions");
    }
}
