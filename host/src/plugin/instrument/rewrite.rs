//! Instrumentation of a module before it is compiled: the host gets hold of what an instance keeps from call to call, and
//! the stack is counted.
//!
//! An instance's state is its memory, its mutable globals, its tables, and which segments it has dropped. The host
//! reads and writes the memory by its export. Here the mutable globals get exports too. If the module changes nothing
//! else, the host can reset an instance; and the write barrier in the code records which pages that takes.
//!
//! # Determinism
//!
//! Every module is instrumented, in one way, whatever the host. An added export changes no result and no fuel; what
//! counting the stack adds is said in `stack`, what the write barrier adds in `write_barrier`, and what is charged besides
//! in `fuel`.

use wasm_encoder::CodeSection;
use wasmparser::BinaryReaderError;

use super::assemble::{AddedTypes, assemble};
use super::insert::Insertions;
use super::{fuel, stack, write_barrier};
use crate::limits;
use crate::plugin::validate::{RESERVED_PREFIX, ValidModule, ValidateError, validate};

/// The counter of what is left of the stack.
pub(in crate::plugin) const STACK_EXPORT: &str = "dseq_stack_left";

/// The dirty pages, set by the write barrier.
pub(in crate::plugin) const DIRTY_PAGES_EXPORT: &str = "dseq_dirty_pages";

/// A module as it will be compiled.
pub(in crate::plugin) struct Rewritten {
    pub(in crate::plugin) wasm: Vec<u8>,
    /// Names of the exports of all its mutable globals; `None` if its instances cannot be reset, or it does not pay.
    /// If they can, there is [`DIRTY_PAGES_EXPORT`] beside [`STACK_EXPORT`].
    pub(in crate::plugin) mutable_globals: Option<Vec<String>>,
}

/// What this host compiles in place of a module: what any engine would have to run to come to the same results.
///
/// # Errors
///
/// When the module breaks a static limit.
pub fn instrumented(wasm: &[u8]) -> Result<Vec<u8>, ValidateError> {
    Ok(rewrite(&validate(wasm)?)?.wasm)
}

/// Instruments a module.
///
/// # Errors
///
/// Never for a valid module.
pub(in crate::plugin) fn rewrite(module: &ValidModule<'_>) -> Result<Rewritten, BinaryReaderError> {
    let is_reset = write_barrier::pays(module);
    let left = module.globals.count;
    let dirty = is_reset.then(|| left.saturating_add(1));
    let mut types = AddedTypes::behind(module.types.count);
    let mut code = CodeSection::new();
    for body in bodies(module, left, dirty, &mut types)? {
        code.raw(&body);
    }
    let reset = if is_reset { module.mutable_globals.as_slice() } else { &[] };
    let mut globals = vec![limits::STACK_BYTES_MAX];
    let mut exports = vec![(STACK_EXPORT.to_owned(), left)];
    if let Some(dirty) = dirty {
        globals.push(0);
        exports.push((DIRTY_PAGES_EXPORT.to_owned(), dirty));
    }
    let named = |index: &u32| {
        exported_as(module, *index).unwrap_or_else(|| {
            let name = format!("{RESERVED_PREFIX}global_{index}");
            exports.push((name.clone(), *index));
            name
        })
    };
    let named = reset.iter().map(named).collect();
    let wasm = assemble(module, &types, &globals, &exports, &code);
    Ok(Rewritten { wasm, mutable_globals: is_reset.then_some(named) })
}

/// The functions' bodies, with their frames counted by the global `left`, and the pages they store to recorded in the
/// global `dirty`.
fn bodies(
    module: &ValidModule<'_>,
    left: u32,
    dirty: Option<u32>,
    types: &mut AddedTypes,
) -> Result<Vec<Vec<u8>>, BinaryReaderError> {
    let functions = &module.functions;
    let mut insertions = match dirty {
        Some(dirty) => write_barrier::insertions(module, dirty)?,
        None => functions.iter().map(|_| Insertions::default()).collect(),
    };
    let frame = |(function, insertions): (_, &Insertions)| stack::frame_bytes(function, insertions.added());
    let frames: Vec<u64> = functions.iter().zip(&insertions).map(frame).collect();
    for ((function, insertions), frame_bytes) in functions.iter().zip(&mut insertions).zip(&frames) {
        insertions.charges = fuel::charges(function, *frame_bytes);
    }
    let counted = stack::counted(functions, &frames);
    let mut bodies = Vec::with_capacity(functions.len());
    for (index, function) in functions.iter().enumerate() {
        let counting = counted[index].then(|| stack::counting(frames[index], left, types.block(function)));
        bodies.push(insertions[index].body(module.wasm, function, counting.as_ref())?);
    }
    Ok(bodies)
}

/// A name under which a global is exported.
fn exported_as(module: &ValidModule<'_>, index: u32) -> Option<String> {
    let exported = module.exported_globals.iter().find(|(_, exported)| *exported == index);
    exported.map(|(name, _)| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::validate::{features, validate};

    fn wasm(wat: &str) -> Vec<u8> {
        wat::parse_str(wat).unwrap()
    }

    fn rewritten(wat: &str) -> Rewritten {
        let wasm = wasm(wat);
        let rewritten = rewrite(&validate(&wasm).unwrap()).unwrap();

        wasmparser::Validator::new_with_features(features()).validate_all(&rewritten.wasm).unwrap();
        rewritten
    }

    /// The rewritten module must be, byte for byte, what the assembler makes of `expected`.
    fn assert_becomes(wat: &str, expected: &str) {
        let found = wasmprinter::print_bytes(rewritten(wat).wasm).unwrap();
        assert_eq!(found, wasmprinter::print_bytes(wasm(expected)).unwrap());
    }

    #[test]
    fn a_function_that_calls_takes_its_frame_and_gives_it_back_however_it_ends() {
        // Its frame: 256 bytes, two values of 32, and eight instructions of 16. Each of two arrivals costs eight units.
        assert_becomes(
            r#"(module (memory 1)
                (func (export "f") (param i32) (result i32)
                  local.get 0
                  if
                    i32.const 7
                    return
                  end
                  local.get 0
                  call 0))"#,
            r#"(module (memory 1)
                (global (mut i32) (i32.const 4194304)) (global (mut i32) (i32.const 0))
                (export "f" (func 0)) (export "dseq_stack_left" (global 0)) (export "dseq_dirty_pages" (global 1))
                (func (param i32) (result i32)
                  global.get 0
                  i32.const 448
                  i32.lt_u
                  if
                    i32.const -1
                    global.set 0
                    unreachable
                  end
                  global.get 0
                  i32.const 448
                  i32.sub
                  global.set 0
                  block (result i32)
                    local.get 0
                    if
                      nop nop nop nop nop nop nop nop
                      i32.const 7
                      br 1
                    end
                    nop nop nop nop nop nop nop nop
                    local.get 0
                    call 0
                  end
                  global.get 0
                  i32.const 448
                  i32.add
                  global.set 0))"#,
        );
    }

    /// A function must be charged where `PAY` stands in it, and so often; `SET` are ten locals that are set.
    fn assert_charged(locals: usize, code: &str) {
        let sets: String = (0..10).map(|n| format!("(local.set {n} (i32.const 7))")).collect();
        let function = |pay: &str| {
            let code = code.replace("SET", &sets).replace("PAY", pay);
            format!(r#"(memory 1) (func (export "f") (local {}) {code} nop)"#, "i32 ".repeat(locals))
        };
        let added = r#"(global (mut i32) (i32.const 4194304)) (global (mut i32) (i32.const 0))
            (export "dseq_stack_left" (global 0)) (export "dseq_dirty_pages" (global 1))"#;
        assert_becomes(
            &format!("(module {})", function("")),
            &format!("(module {} {added})", function("nop ")),
        );
    }

    #[test]
    fn many_locals_and_a_long_frame_cost_fuel_when_a_function_is_entered() {
        assert_charged(101, "");
        assert_charged(102, "PAY");
        // A frame of 64,288 bytes, too.
        assert_charged(2_000, &"PAY ".repeat(950 + 15));
        // 256 bytes and ten locals, and 16 for each `nop` and the `end`.
        for (nops, pay) in [(218, ""), (219, "PAY"), (474, "PAY"), (475, "PAY PAY")] {
            assert_charged(10, &format!("{pay} {}", "nop ".repeat(nops - 1)));
        }
    }

    /// What branches do not do themselves is paid where they arrive: moves that other ways made necessary.
    #[test]
    fn code_pays_where_branches_arrive_and_where_they_are_not_taken() {
        // MOVE: for the jump, and for ten locals that may be in registers. JOIN: for those ten, set on one way of several.
        for code in [
            "block (br_if 0 (i32.const 1)) MOVE end MOVE",
            "block (br_if 0 (i32.const 1)) MOVE (local.set 3 (i32.const 7)) end MOVE",
            "block (br_if 0 (i32.const 1)) MOVE SET end MOVE JOIN",
            "block SET end",
            "block (br_table 0 0 (i32.const 1)) SET end MOVE JOIN",
            "block block (br_table 0 1 1 (i32.const 1)) SET end MOVE nop SET end MOVE JOIN",
            "(i32.const 1) if MOVE SET end MOVE JOIN",
            "(i32.const 1) if MOVE else MOVE SET end MOVE JOIN",
            "(i32.const 1) if MOVE SET else MOVE nop end MOVE JOIN",
            // A branch that is always taken leaves one way.
            "block SET br 0 end MOVE",
            "block SET br 0 br 0 end MOVE",
            "(i32.const 1) if MOVE SET return else MOVE SET end MOVE",
            "(i32.const 1) if MOVE SET else MOVE SET return end MOVE",
            "block (i32.const 1) if MOVE SET br 1 else MOVE SET br 1 end MOVE end MOVE JOIN",
            // A loop's is at its head, once it has a way back.
            "loop MOVE JOIN nop SET (br_if 0 (i32.const 1)) MOVE end",
            "loop MOVE JOIN nop SET br 0 end",
            "loop nop SET end",
            // What an inner block sets is set in the outer one.
            "block block SET br 1 end nop end MOVE JOIN",
            "block (br_if 0 (i32.const 1)) MOVE block block (br_if 1 (i32.const 1)) MOVE SET end end MOVE JOIN end MOVE JOIN",
            // Operands may be in registers, too, and those that branches carry count as locals.
            "block (result i32) (i32.const 1) (br_if 0 (i32.const 1)) MOVE end MOVE drop",
            "block (result i32 i64) (i32.const 1) (i64.const 2) (br_if 0 (i32.const 1)) MOVE PAY end MOVE PAY PAY drop drop",
            "(i32.const 1) loop (param i32) MOVE (br_if 0 (i32.const 1)) MOVE drop end",
        ] {
            let code = code.replace("MOVE", &"PAY ".repeat(8 + 2)).replace("JOIN", &"PAY ".repeat(5));
            assert_charged(10, &code);
        }
        // No more of them than a processor has registers.
        for (locals, pay) in [(3, 0), (4, 1), (27, 6), (28, 7), (100, 7)] {
            let pay = "PAY ".repeat(8 + pay);
            assert_charged(locals, &format!("block (br_if 0 (i32.const 1)) {pay} end {pay}"));
        }
    }

    /// How often a module's code sets the counter of the stack.
    fn counted(wat: &str) -> usize {
        let text = wasmprinter::print_bytes(rewritten(wat).wasm).unwrap();
        text.matches("global.set 0").count()
    }

    #[test]
    fn calls_whose_end_is_known_are_not_counted_if_they_are_short() {
        let nops = |count| "nop ".repeat(count);
        let leaf = |count| format!("(module (func {}))", nops(count));
        assert_eq!((counted(&leaf(4079)), counted(&leaf(4080))), (0, 3), "64 KiB and 16 bytes more");
        let tree = |count| {
            format!("(module (func $top (call $b) (call $c)) (func $b (call $c)) (func $c {}))", nops(count))
        };
        // Frames of 304 and 288 bytes are above it.
        assert_eq!(counted(&tree(4042)), 0);
        assert_eq!(counted(&tree(4043)), 3, "of $top alone");
        assert_eq!(counted(&tree(4080)), 9, "and of those who call what is counted");
    }

    #[test]
    fn calls_whose_end_is_not_known_are_counted() {
        assert_eq!(counted("(module (func $a (call $b)) (func $b (call $a)) (func $c (call $b)) (func))"), 9);
        let indirect =
            "(module (table 1 funcref) (func (call_indirect (i32.const 0))) (func $a (call 0)) (func))";
        assert_eq!(counted(indirect), 6);
    }

    #[test]
    fn several_results_get_a_type_of_their_own_once() {
        let function = "(result i32 f64) i32.const 1 f64.const 2 (call 0) return";
        let wat = format!(r#"(module (func (call 0)) (func (export "f") {function}) (func {function}))"#);
        let text = wasmprinter::print_bytes(rewritten(&wat).wasm).unwrap();
        assert_eq!(text.matches("(type (;2;) (func (result i32 f64)))").count(), 1, "{text}");
        assert_eq!(text.matches("block (type 2) (result i32 f64)").count(), 2, "{text}");
        assert!(!text.contains("(type (;3;)"), "{text}");
    }

    #[test]
    fn every_mutable_global_is_exported_under_its_own_name_or_a_new_one() {
        let rewritten = rewritten(
            r#"(module (memory 1)
                (global (mut i32) (i32.const 7)) (global i32 (i32.const 1)) (global (mut i64) (i64.const 2))
                (export "mine" (global 2)) (data (i32.const 5) "x"))"#,
        );
        assert_eq!(rewritten.mutable_globals.unwrap(), ["dseq_global_0", "mine"]);
        let text = wasmprinter::print_bytes(rewritten.wasm).unwrap();
        for line in [
            "(global (;3;) (mut i32) i32.const 4194304)",
            "(global (;4;) (mut i32) i32.const 0)",
            r#"(export "mine" (global 2))"#,
            r#"(export "dseq_stack_left" (global 3))"#,
            r#"(export "dseq_dirty_pages" (global 4))"#,
            r#"(export "dseq_global_0" (global 0))"#,
            r#"(data (;0;) (i32.const 5) "x")"#,
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert_eq!(text.matches("(export").count(), 4, "{text}");
    }

    /// The engine refuses this section by its name, and a patch release may come to read others.
    #[test]
    fn custom_sections_are_left_out() {
        let mut wasm = wasm("(module (func $named))");
        wasm.extend(*b"\0\x10\x0fwebidl-bindings");
        let rewritten = rewrite(&validate(&wasm).unwrap()).unwrap().wasm;
        let text = String::from_utf8_lossy(&rewritten).into_owned();
        assert!(!text.contains("webidl") && !text.contains("named"), "{text}");
    }

    #[test]
    fn a_module_that_keeps_anything_else_is_not_reset() {
        let table = "(table 2 funcref) (func $f) (elem $e func $f) (data $d \"x\")";
        for body in [
            "(data.drop $d)",
            "(elem.drop $e)",
            "(table.init $e (i32.const 0) (i32.const 0) (i32.const 1))",
            "(table.copy (i32.const 0) (i32.const 1) (i32.const 1))",
        ] {
            let wat = format!(r#"(module (memory (export "memory") 1) {table} (func {body}))"#);
            assert!(rewritten(&wat).mutable_globals.is_none(), "{body}");
        }
        let many = "(global (mut i32) (i32.const 7))".repeat(17);
        assert!(
            rewritten(&format!(r#"(module {many} (memory (export "memory") 1))"#)).mutable_globals.is_none()
        );
    }
}
