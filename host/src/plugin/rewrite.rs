//! Rewriting of a module before it is compiled: the host gets hold of what the module keeps from call to call, and its
//! stack is counted.
//!
//! An instance's state is its memory, its mutable globals, its tables, and which segments it has dropped. The host
//! reaches the memory by its export. Here the mutable globals get exports too. If the module touches nothing else, the
//! host can put an instance back to where it was.
//!
//! # Determinism
//!
//! Every module is rewritten, in one way, whatever the host. An added export changes no result and no fuel; what
//! counting the stack adds is said in `stack`.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, Encode, ExportKind, GlobalType, RawSection, SectionId,
    ValType as NewValType,
};
use wasmparser::{BinaryReaderError, ValType};

use super::body::Function;
use super::gate::{GateError, Gated, RESERVED_PREFIX, gate};
use super::stack;
use crate::limits;

/// The counter of what is left of the stack.
pub(super) const STACK_EXPORT: &str = "dseq_stack_left";

/// A module as it will be compiled.
pub(super) struct Rewritten {
    pub(super) wasm: Vec<u8>,
    /// Names of the exports of all mutable globals; `None` if the module keeps anything out of the host's reach.
    pub(super) mutable_globals: Option<Vec<String>>,
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
pub(super) fn rewrite(gated: &Gated<'_>) -> Result<Rewritten, BinaryReaderError> {
    let left = gated.globals.count;
    let mut types = AddedTypes { first: gated.types.count, results: Vec::new() };
    let mut code = CodeSection::new();
    for function in &gated.functions {
        match stack::counted(gated.wasm, function, left, types.block(function))? {
            Some(body) => code.raw(&body),
            None => code.raw(&gated.wasm[function.body.clone()]),
        };
    }
    let is_restorable = gated.keeps_to_memory_and_globals
        && gated.mutable_globals.len() as u64 <= limits::RESTORED_GLOBALS_MAX;
    let restored = if is_restorable { gated.mutable_globals.as_slice() } else { &[] };
    let mut exports = vec![(STACK_EXPORT.to_owned(), left)];
    let named = |index: &u32| {
        exported_as(gated, *index).unwrap_or_else(|| {
            let name = format!("{RESERVED_PREFIX}global_{index}");
            exports.push((name.clone(), *index));
            name
        })
    };
    let named = restored.iter().map(named).collect();
    let wasm = assemble(gated, &types, &exports, &code);
    Ok(Rewritten { wasm, mutable_globals: is_restorable.then_some(named) })
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

/// Puts the module together again. Sections that get nothing new are copied as they are.
fn assemble(gated: &Gated<'_>, types: &AddedTypes, exports: &[(String, u32)], code: &CodeSection) -> Vec<u8> {
    let mut module = wasm_encoder::Module::new();
    let has_globals = gated.sections.iter().any(|(id, _)| *id == SectionId::Global as u8);
    let mut lacks_counter = !has_globals;
    for (id, range) in &gated.sections {
        if lacks_counter && comes_after_globals(*id) {
            module.section(&RawSection {
                id: SectionId::Global as u8,
                data: &[&[1], counter().as_slice()].concat(),
            });
            lacks_counter = false;
        }
        let old = &gated.wasm[range.clone()];
        let (items, added, more) = match *id {
            id if id == SectionId::Type as u8 => (gated.types, types.results.len(), types.encoded()),
            id if id == SectionId::Global as u8 => (gated.globals, 1, counter()),
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

/// The counter's global: it starts with all there is.
fn counter() -> Vec<u8> {
    let mut bytes = Vec::new();
    GlobalType { val_type: NewValType::I32, mutable: true, shared: false }.encode(&mut bytes);
    ConstExpr::i32_const(limits::STACK_BYTES_MAX).encode(&mut bytes);
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
    use super::super::gate::gate;
    use super::*;

    fn wasm(wat: &str) -> Vec<u8> {
        wat::parse_str(wat).unwrap()
    }

    fn rewritten(wat: &str) -> Rewritten {
        let wasm = wasm(wat);
        let rewritten = rewrite(&gate(&wasm).unwrap()).unwrap();
        let features = super::super::engine::features();
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
                (global (mut i32) (i32.const 4194304))
                (export "f" (func 0)) (export "dseq_stack_left" (global 0))
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

    #[test]
    fn a_short_leaf_stays_as_it_is_and_a_long_one_is_counted() {
        let leaf = |nops| format!(r#"(module (memory 1) (func (export "f") {}))"#, "nop ".repeat(nops));
        let code =
            |wat: &str| wasmprinter::print_bytes(rewritten(wat).wasm).unwrap().matches("global.set").count();
        assert_eq!((code(&leaf(239)), code(&leaf(240))), (0, 3), "4096 bytes and 16 more");
    }

    #[test]
    fn several_results_get_a_type_of_their_own_once() {
        let function = "(result i32 f64) i32.const 1 f64.const 2 (call 0) return";
        let wat = format!(r#"(module (func) (func (export "f") {function}) (func {function}))"#);
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
            r#"(export "mine" (global 2))"#,
            r#"(export "dseq_stack_left" (global 3))"#,
            r#"(export "dseq_global_0" (global 0))"#,
            r#"(data (;0;) (i32.const 5) "x")"#,
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert_eq!(text.matches("(export").count(), 3, "{text}");
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
