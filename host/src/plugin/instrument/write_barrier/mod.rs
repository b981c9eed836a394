//! Marks in a plugin's code that say which pieces of its memory it stores to, so that only those have to be put back
//! for the next call.
//!
//! A mark sets bits of one more global. Where it stands decides how much it says, so that it costs little: outside of
//! loops a mark goes with each store whose address is a local and an offset, or a constant, unless an earlier mark
//! covers it. Stores in loops, those whose address is computed, and those of a function with many are all covered by a
//! mark of the whole memory, in front of the loop or the store: after it nothing more needs to be marked. The same goes
//! for a module with very many, so that marks never are what takes the compiler long. So functions that loops call are *silent*, and those that they call: they have no marks, and whoever calls one from elsewhere marks
//! the whole memory before.
//!
//! # Format
//!
//! What stands in front of a store, `touched` being the global, by what is known of the store:
//!
//! | mark | instructions |
//! |---|---|
//! | the whole memory | `touched = -1` |
//! | pieces known from constants | `touched = touched \| pieces` |
//! | a local's piece, or that of an offset from it | `touched = touched \| 1 << ((local + offset) >> 12)` |
//! | where a bulk instruction writes | `touched = touched \| (-1 << (start >> 12)) & (-1 >> (31 - ((start + len - 1) >> 12)))` |
//!
//! # Invariants
//!
//! - Whenever a store or a bulk instruction has changed bytes, and nothing traps before the call ends, these bytes lie in
//!   marked pieces or within their reach (`touched`).
//! - A silent function that stores runs only when the whole memory is marked, or nothing but a trap can follow. Neither the
//!   host nor a table can call a silent one.
//! - Marks branch nowhere and trap never.
//!
//! # Determinism
//!
//! The instructions added cost fuel. What they are and where they stand is part of the engine id.
mod barrier;
mod placement;

use std::collections::BTreeSet;

use barrier::What;
pub(in crate::plugin) use barrier::{Mark, TAKEN_LOCALS};
pub(in crate::plugin) use placement::{Marking, leaves_nothing};

/// What one function stores to, as far as that can be told without the others.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Marks {
    /// In the order of the code.
    marks: Vec<Mark>,
    /// Whether it has any store at all.
    stores: bool,
    /// What it calls and comes back from.
    calls: BTreeSet<u32>,
    calls_in_loops: BTreeSet<u32>,
}

/// Which functions of a module are silent.
pub(in crate::plugin) struct Silent {
    silent: Vec<bool>,
    /// Of the silent ones: whether they store, or a silent one that they call does.
    stores: Vec<bool>,
}

impl Silent {
    /// `entered` are the functions that may be called from outside of the code: by the host, or through a table.
    pub(in crate::plugin) fn among(functions: &[&Marks], entered: &BTreeSet<u32>) -> Self {
        let mut silent = vec![false; functions.len()];
        let mut found: Vec<u32> = functions.iter().flat_map(|marks| &marks.calls_in_loops).copied().collect();
        while let Some(index) = found.pop() {
            let function = index as usize;
            if !entered.contains(&index) && !std::mem::replace(&mut silent[function], true) {
                found.extend(&functions[function].calls);
            }
        }
        let mut callers = vec![Vec::new(); functions.len()];
        for (caller, marks) in functions.iter().enumerate().filter(|(caller, _)| silent[*caller]) {
            marks.calls.iter().for_each(|callee| callers[*callee as usize].push(caller));
        }
        let mut stores = vec![false; functions.len()];
        let mut found: Vec<usize> = (0..functions.len())
            .filter(|function| silent[*function] && functions[*function].stores)
            .collect();
        while let Some(function) = found.pop() {
            if silent[function] && !std::mem::replace(&mut stores[function], true) {
                found.extend(&callers[function]);
            }
        }
        Self { silent, stores }
    }

    /// The marks that a function needs, in the order of the code.
    pub(in crate::plugin) fn marks<'a>(
        &'a self,
        function: usize,
        marks: &'a Marks,
    ) -> impl Iterator<Item = &'a Mark> {
        let is_silent = self.silent[function];
        marks.marks.iter().filter(move |mark| match mark.what {
            _ if is_silent => false,
            What::Call(callee) => self.stores[callee as usize],
            _ => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use wasmparser::{BinaryReader, OperatorsReader};

    use super::*;
    use crate::limits;
    use crate::plugin::validate::gate;

    /// The instructions of a module's first function with its marks where they stand, those that push a constant or a
    /// local left out.
    fn marked(wat: &str) -> String {
        let wasm = wat::parse_str(wat).unwrap();
        let gated = gate(&wasm).unwrap();
        let all: Vec<&Marks> = gated.functions.iter().map(|function| &function.marks).collect();
        let silent = Silent::among(&all, &gated.entered);
        let mut marks = silent.marks(0, all[0]).peekable();
        let code = gated.functions[0].code.clone();
        let mut operators = OperatorsReader::new(BinaryReader::new(&wasm[code.clone()], code.start));
        let mut shown = Vec::new();
        while !operators.eof() {
            let (operator, at) = operators.read_with_offset().unwrap();
            while let Some(mark) = marks.next_if(|mark| mark.at == at) {
                shown.push(match mark.what {
                    What::Whole | What::Call(_) => "WHOLE".to_owned(),
                    What::Pieces(pieces) => format!("PIECES-{:b}", pieces.bits()),
                    What::Local { local, offset } => format!("LOCAL-{local}+{offset}"),
                    What::Bulk => "BULK".to_owned(),
                });
            }
            let name = format!("{operator:?}").split(' ').next().unwrap().to_lowercase();
            if !["localget", "i32const"].contains(&name.as_str()) {
                shown.push(name);
            }
        }
        assert!(marks.next().is_none(), "marks out of order");
        shown.join(" ")
    }

    fn body(locals: &str, code: &str) -> String {
        marked(&format!("(module (memory 2) (func {locals} {code}) (func))"))
    }

    const STORE_0: &str = "(i32.store (local.get 0) (i32.const 1))";

    #[test]
    fn a_store_is_marked_by_what_is_known_of_its_address() {
        let local = "(param i32)";
        for (code, expected) in [
            ("(i32.store offset=504 (local.get 0) (i32.const 1))", "LOCAL-0+0 i32store end"),
            ("(i32.store offset=505 (local.get 0) (i32.const 1))", "LOCAL-0+505 i32store end"),
            ("(i64.store8 offset=4095 (i32.const 1) (i64.const 1))", "i64const PIECES-10 i64store8 end"),
            (
                "(f64.store (i32.add (local.get 0) (i32.const 1)) (f64.const 1))",
                "i32add f64const WHOLE f64store end",
            ),
            ("(i32.store (local.tee 0 (i32.const 7)) (i32.const 1))", "localtee LOCAL-0+0 i32store end"),
            ("(memory.fill (local.get 0) (i32.const 0) (i32.const 9))", "BULK memoryfill end"),
            ("(memory.copy (i32.const 0) (local.get 0) (i32.const 9))", "BULK memorycopy end"),
            // The local is another by the time of the store.
            ("local.get 0 (local.set 0 (i32.const 8)) i32.const 1 i32.store", "localset WHOLE i32store end"),
            ("local.get 0 (i32.load (i32.const 9)) i32.store", "i32load LOCAL-0+0 i32store end"),
            // Two ways to the end of the block, with two addresses.
            (
                "(block (result i32 i32) (br_if 0 (i32.const 5) (i32.const 6) (local.get 0)) drop drop
                   local.get 0 local.get 0) i32.store",
                "block brif drop drop end WHOLE i32store end",
            ),
        ] {
            assert_eq!(body(local, code), expected, "{code}");
        }
    }

    #[test]
    fn one_mark_covers_the_stores_near_it_while_the_local_is_the_same() {
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
        assert_eq!(body(local, &[constant, constant].concat()), "PIECES-10 i32store i32store end");
    }

    #[test]
    fn a_mark_that_only_some_ways_pass_covers_nothing_behind_them() {
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
    fn a_loop_that_stores_is_marked_whole_in_front_of_it() {
        let local = "(param i32)";
        let code = format!("(loop (loop {STORE_0}) (br_if 0 (local.get 0))) {STORE_0}");
        assert_eq!(body(local, &code), "WHOLE loop loop i32store end brif end i32store end");
        let quiet = format!("{STORE_0} (loop (br_if 0 (local.get 0))) {STORE_0}");
        assert_eq!(body(local, &quiet), "LOCAL-0+0 i32store loop brif end i32store end");
        // The first time round the local is the one that was marked, the second time it is not.
        let moved = format!("{STORE_0} (loop {STORE_0} (local.set 0 (i32.const 9)) (br_if 0 (local.get 0)))");
        assert_eq!(body(local, &moved), "LOCAL-0+0 i32store WHOLE loop i32store localset brif end end");
        let constant = "(i32.store (i32.const 0) (i32.const 1))";
        let known = format!("{constant} (loop {constant} (br_if 0 (local.get 0)))");
        assert_eq!(body(local, &known), "PIECES-1 i32store loop i32store brif end end");
    }

    #[test]
    fn a_function_with_many_stores_is_marked_whole_when_they_are_too_many() {
        let store = |n| format!("(i32.store (local.get {n}) (i32.const 1))");
        let stores: String = (0..20).map(store).collect();
        let shown = body(&format!("(param{})", " i32".repeat(20)), &stores);
        assert_eq!(shown.matches("LOCAL").count() as u64, limits::FUNCTION_MARKS_MAX);
        assert!(
            shown.ends_with("LOCAL-15+0 i32store WHOLE i32store i32store i32store i32store end"),
            "{shown}"
        );
    }

    const STORING: &str = "(i32.store (i32.const 0) (i32.const 1))";

    #[test]
    fn what_loops_call_is_silent_and_its_callers_mark_the_whole_memory() {
        let module = |first: &str, second: &str| {
            marked(&format!(
                "(module (memory 2) (table 1 funcref)
                    (func $f {first}) (func $loops (loop (call $a))) (func $a (call $b)) (func $b {second}) (func $c {STORING}))"
            ))
        };
        assert_eq!(module("(call $b) (call $b)", STORING), "WHOLE call call end");
        assert_eq!(module("(call $a)", STORING), "WHOLE call end", "whom it calls stores");
        assert_eq!(module("(call $a)", ""), "call end", "nobody stores");
        assert_eq!(module("(call $c)", STORING), "call end", "it marks by itself");
        assert_eq!(module("(loop (call $a))", STORING), "WHOLE loop call end end");
        assert_eq!(module("(loop (call $a) (unreachable))", STORING), "loop call unreachable end end");
    }

    #[test]
    fn a_function_is_silent_unless_the_host_or_a_table_can_call_it() {
        let loops = "(func $loops (loop (call $f)))";
        let module = |more: &str| {
            marked(&format!("(module (memory 2) (table 1 funcref) (func $f {STORING}) {loops} {more})"))
        };
        assert_eq!(module(""), "i32store end");
        assert_eq!(module(r#"(export "f" (func $f))"#), "PIECES-1 i32store end");
        assert_eq!(module("(elem (i32.const 0) $f)"), "PIECES-1 i32store end");
    }

    /// Of all that is admitted, by its name.
    #[test]
    fn every_instruction_that_stores_is_known() {
        let is_told =
            |name: &str| name.contains("Store") || ["MemoryCopy", "MemoryFill", "MemoryInit"].contains(&name);
        let mut stores = 0;
        macro_rules! names {
            ($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
                $(
                    let name = stringify!($op);
                    let is_admitted = ["mvp", "bulk_memory", "sign_extension", "saturating_float_to_int"]
                        .contains(&stringify!($proposal));
                    stores += usize::from(is_admitted && is_told(name));
                )*
            };
        }
        wasmparser::for_each_operator!(names);
        assert_eq!(stores, 9 + 3, "stores_to, and the three bulk instructions");
    }
}
