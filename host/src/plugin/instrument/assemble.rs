//! Putting a module together again: its sections, with the types, globals and exports that instrumentation adds.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, Encode, ExportKind, GlobalType, RawSection, SectionId,
    ValType as NewValType,
};
use wasmparser::ValType;

use crate::plugin::validate::{Function, ValidModule};

/// Types of blocks with several results: functions without parameters that have them.
pub(super) struct AddedTypes {
    first: u32,
    results: Vec<Vec<ValType>>,
}

impl AddedTypes {
    /// `first` is how many types the module has of its own.
    pub(super) fn behind(first: u32) -> Self {
        Self { first, results: Vec::new() }
    }

    /// The type of a block with a function's results.
    pub(super) fn block(&mut self, function: &Function) -> BlockType {
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
        ValType::V128 | ValType::Ref(_) => unreachable!("no valid plugin has vectors or references"),
    }
}

/// Puts the module together again. Sections that get nothing new are copied as they are,
/// and custom ones left out.
pub(super) fn assemble(
    valid: &ValidModule<'_>,
    types: &AddedTypes,
    globals: &[i32],
    exports: &[(String, u32)],
    code: &CodeSection,
) -> Vec<u8> {
    let mut module = wasm_encoder::Module::new();
    let has_globals = valid.sections.iter().any(|(id, _)| *id == SectionId::Global as u8);
    let mut lacks_globals = !has_globals;
    // What custom sections say is not for the engine, which might refuse some and take the time to read others.
    for (id, range) in valid.sections.iter().filter(|(id, _)| *id != SectionId::Custom as u8) {
        if lacks_globals && comes_after_globals(*id) {
            let mut data = Vec::new();
            globals.len().encode(&mut data);
            data.extend_from_slice(&counters(globals));
            module.section(&RawSection { id: SectionId::Global as u8, data: &data });
            lacks_globals = false;
        }
        let old = &valid.wasm[range.clone()];
        let (items, added, more) = match *id {
            id if id == SectionId::Type as u8 => (valid.types, types.results.len(), types.encoded()),
            id if id == SectionId::Global as u8 => (valid.globals, globals.len(), counters(globals)),
            id if id == SectionId::Export as u8 => (valid.exports, exports.len(), exported(exports)),
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
        data.extend_from_slice(&valid.wasm[items.first..range.end]);
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
