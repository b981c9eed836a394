//! Rewriting of a module before it is compiled: the host gets hold of what the module keeps from call to call, and its
//! stack is counted.
//!
//! An instance's state is its memory, its mutable globals, its tables, and which segments it has dropped. The host
//! reaches the memory by its export. Here the mutable globals get exports too. If the module touches nothing else, the
//! host can put an instance back to where it was; and `marks` in the code tell it how much of the memory that takes.
//!
//! # Determinism
//!
//! Every module is rewritten, in one way, whatever the host. An added export changes no result and no fuel; what
//! counting the stack adds is said in `stack`, what marking adds in `marks`.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, Encode, ExportKind, GlobalType, RawSection, SectionId,
    ValType as NewValType,
};
use wasmparser::{BinaryReaderError, ValType};

use super::insert::Insertions;
use super::stack;
use super::write_barrier::{Marks, Silent};
use crate::limits;
use crate::plugin::validate::Function;
use crate::plugin::validate::{GateError, Gated, RESERVED_PREFIX, gate};

/// The counter of what is left of the stack.
pub(in crate::plugin) const STACK_EXPORT: &str = "dseq_stack_left";

/// The pieces of the memory that were stored to.
pub(in crate::plugin) const TOUCHED_EXPORT: &str = "dseq_touched";

/// A module as it will be compiled.
pub(in crate::plugin) struct Rewritten {
    pub(in crate::plugin) wasm: Vec<u8>,
    /// Names of the exports of all its mutable globals; `None` if its instances cannot be put back, or it does not pay.
    /// If they can, there is [`TOUCHED_EXPORT`] beside [`STACK_EXPORT`].
    pub(in crate::plugin) mutable_globals: Option<Vec<String>>,
}

/// What this host compiles in place of a module: what any engine would have to run to come to the same results.
///
/// # Errors
///
/// When the module breaks a static limit.
pub fn instrumented(wasm: &[u8]) -> Result<Vec<u8>, GateError> {
    Ok(rewrite(&gate(wasm)?)?.wasm)
}

/// Rewrites a module.
///
/// # Errors
///
/// Never for what the gate has passed.
pub(in crate::plugin) fn rewrite(gated: &Gated<'_>) -> Result<Rewritten, BinaryReaderError> {
    let is_restorable = gated.keeps_to_memory_and_globals
        && gated.mutable_globals.len() as u64 <= limits::RESTORED_GLOBALS_MAX
        && gated.memory_bytes <= limits::RESTORED_MEMORY_BYTES_MAX;
    let left = gated.globals.count;
    let touched = is_restorable.then(|| left.saturating_add(1));
    let mut types = AddedTypes { first: gated.types.count, results: Vec::new() };
    let mut code = CodeSection::new();
    for body in bodies(gated, left, touched, &mut types)? {
        code.raw(&body);
    }
    let restored = if is_restorable { gated.mutable_globals.as_slice() } else { &[] };
    let mut globals = vec![limits::STACK_BYTES_MAX];
    let mut exports = vec![(STACK_EXPORT.to_owned(), left)];
    if let Some(touched) = touched {
        globals.push(0);
        exports.push((TOUCHED_EXPORT.to_owned(), touched));
    }
    let named = |index: &u32| {
        exported_as(gated, *index).unwrap_or_else(|| {
            let name = format!("{RESERVED_PREFIX}global_{index}");
            exports.push((name.clone(), *index));
            name
        })
    };
    let named = restored.iter().map(named).collect();
    let wasm = assemble(gated, &types, &globals, &exports, &code);
    Ok(Rewritten { wasm, mutable_globals: is_restorable.then_some(named) })
}

/// The functions' bodies, with their frames counted by the global `left`, and what they store to marked in `touched`.
fn bodies(
    gated: &Gated<'_>,
    left: u32,
    touched: Option<u32>,
    types: &mut AddedTypes,
) -> Result<Vec<Vec<u8>>, BinaryReaderError> {
    let functions = &gated.functions;
    let insertions: Vec<Insertions> = match touched {
        Some(touched) => {
            let marks: Vec<&Marks> = functions.iter().map(|function| &function.marks).collect();
            let silent = Silent::among(&marks, &gated.entered);
            let mut marks_left = limits::MODULE_MARKS_MAX;
            let of = |(index, function): (usize, &Function)| {
                Insertions::of(function, silent.marks(index, &function.marks), touched, &mut marks_left)
            };
            functions.iter().enumerate().map(of).collect()
        }
        None => functions.iter().map(|_| Insertions::default()).collect(),
    };
    let frame = |(function, insertions): (_, &Insertions)| stack::frame_bytes(function, insertions.added());
    let frames: Vec<u64> = functions.iter().zip(&insertions).map(frame).collect();
    let counted = stack::counted(functions, &frames);
    let mut bodies = Vec::with_capacity(functions.len());
    for (index, function) in functions.iter().enumerate() {
        let counting = counted[index].then(|| stack::counting(frames[index], left, types.block(function)));
        bodies.push(insertions[index].body(gated.wasm, function, counting.as_ref())?);
    }
    Ok(bodies)
}

/// A name under which a global is exported.
fn exported_as(gated: &Gated<'_>, index: u32) -> Option<String> {
    let exported = gated.exported_globals.iter().find(|(_, exported)| *exported == index);
    exported.map(|(name, _)| name.clone())
}

/// Types of blocks with several results: functions without parameters that have them.
struct AddedTypes {
    first: u32,
    results: Vec<Vec<ValType>>,
}

impl AddedTypes {
    fn block(&mut self, function: &Function) -> BlockType {
        match function.results.as_slice() {
            [] => BlockType::Empty,
            [one] => BlockType::Result(new_type(*one)),
            several => {
                let known = self.results.iter().position(|results| results == several);
                let place = known.unwrap_or_else(|| {
                    self.results.push(several.to_vec());
                    self.results.len().saturating_sub(1)
                });
                let place =
                    u32::try_from(place).expect("no more types than functions, whose number is bounded");
                BlockType::FunctionType(self.first.saturating_add(place))
            }
        }
    }

    fn encoded(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for results in &self.results {
            let results = results.iter().map(|ty| new_type(*ty));
            bytes.push(FUNCTION_TYPE);
            0_u32.encode(&mut bytes);
            results.len().encode(&mut bytes);
            results.for_each(|ty| ty.encode(&mut bytes));
        }
        bytes
    }
}

/// What a function's type begins with.
const FUNCTION_TYPE: u8 = 0x60;

fn new_type(ty: ValType) -> NewValType {
    match ty {
        ValType::I32 => NewValType::I32,
        ValType::I64 => NewValType::I64,
        ValType::F32 => NewValType::F32,
        ValType::F64 => NewValType::F64,
        ValType::V128 | ValType::Ref(_) => unreachable!("the gate passes no vectors and no references"),
    }
}

/// Puts the module together again. Sections that get nothing new are copied as they are,
/// and custom ones left out.
fn assemble(
    gated: &Gated<'_>,
    types: &AddedTypes,
    globals: &[i32],
    exports: &[(String, u32)],
    code: &CodeSection,
) -> Vec<u8> {
    let mut module = wasm_encoder::Module::new();
    let has_globals = gated.sections.iter().any(|(id, _)| *id == SectionId::Global as u8);
    let mut lacks_globals = !has_globals;
    // What custom sections say is not for the engine, which might refuse some and take the time to read others.
    for (id, range) in gated.sections.iter().filter(|(id, _)| *id != SectionId::Custom as u8) {
        if lacks_globals && comes_after_globals(*id) {
            let mut data = Vec::new();
            globals.len().encode(&mut data);
            data.extend_from_slice(&counters(globals));
            module.section(&RawSection { id: SectionId::Global as u8, data: &data });
            lacks_globals = false;
        }
        let old = &gated.wasm[range.clone()];
        let (items, added, more) = match *id {
            id if id == SectionId::Type as u8 => (gated.types, types.results.len(), types.encoded()),
            id if id == SectionId::Global as u8 => (gated.globals, globals.len(), counters(globals)),
            id if id == SectionId::Export as u8 => (gated.exports, exports.len(), exported(exports)),
            id if id == SectionId::Code as u8 => {
                module.section(code);
                continue;
            }
            id => {
                module.section(&RawSection { id, data: old });
                continue;
            }
        };
        let mut data = Vec::new();
        (items.count as usize).saturating_add(added).encode(&mut data);
        data.extend_from_slice(&gated.wasm[items.first..range.end]);
        data.extend_from_slice(&more);
        module.section(&RawSection { id: *id, data: &data });
    }
    module.finish()
}

/// Globals of the host's own, with what they start with.
fn counters(starts: &[i32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for start in starts {
        GlobalType { val_type: NewValType::I32, mutable: true, shared: false }.encode(&mut bytes);
        ConstExpr::i32_const(*start).encode(&mut bytes);
    }
    bytes
}

fn exported(exports: &[(String, u32)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, index) in exports {
        name.encode(&mut bytes);
        ExportKind::Global.encode(&mut bytes);
        index.encode(&mut bytes);
    }
    bytes
}

/// Whether a section's place is behind that of the globals.
fn comes_after_globals(id: u8) -> bool {
    let after =
        [SectionId::Export, SectionId::Element, SectionId::DataCount, SectionId::Code, SectionId::Data];
    after.iter().any(|section| *section as u8 == id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::validate::gate;

    fn wasm(wat: &str) -> Vec<u8> {
        wat::parse_str(wat).unwrap()
    }

    fn rewritten(wat: &str) -> Rewritten {
        let wasm = wasm(wat);
        let rewritten = rewrite(&gate(&wasm).unwrap()).unwrap();
        let features = crate::plugin::engine::features();
        wasmparser::Validator::new_with_features(features).validate_all(&rewritten.wasm).unwrap();
        rewritten
    }

    /// The rewritten module must be, byte for byte, what the assembler makes of `expected`.
    fn assert_becomes(wat: &str, expected: &str) {
        let found = wasmprinter::print_bytes(rewritten(wat).wasm).unwrap();
        assert_eq!(found, wasmprinter::print_bytes(wasm(expected)).unwrap());
    }

    #[test]
    fn a_function_that_calls_takes_its_frame_and_gives_it_back_however_it_ends() {
        // Its frame: 256, two values, eight instructions, each of these 16 bytes.
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
                (export "f" (func 0)) (export "dseq_stack_left" (global 0)) (export "dseq_touched" (global 1))
                (func (param i32) (result i32)
                  global.get 0
                  i32.const 416
                  i32.lt_u
                  if
                    i32.const -1
                    global.set 0
                    unreachable
                  end
                  global.get 0
                  i32.const 416
                  i32.sub
                  global.set 0
                  block (result i32)
                    local.get 0
                    if
                      i32.const 7
                      br 1
                    end
                    local.get 0
                    call 0
                  end
                  global.get 0
                  i32.const 416
                  i32.add
                  global.set 0))"#,
        );
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
    fn every_mutable_global_is_in_reach_under_its_own_name_or_a_new_one() {
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
            r#"(export "dseq_touched" (global 4))"#,
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
        let rewritten = rewrite(&gate(&wasm).unwrap()).unwrap().wasm;
        let text = String::from_utf8_lossy(&rewritten).into_owned();
        assert!(!text.contains("webidl") && !text.contains("named"), "{text}");
    }

    #[test]
    fn a_module_that_keeps_anything_else_is_not_put_back() {
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
