//! Validation of a module as a whole: its sections, and the limits on what they hold.
//!
//! Every limit here is there so that compiling a module takes little time and memory, and that its functions' frames
//! are known.
//!
//! # Errors
//!
//! A refusal names the rule, what was found, the limit, and the item it is about.

use std::collections::BTreeSet;

use wasmparser::{
    ElementItems, ElementKind, ElementSectionReader, ExportSectionReader, ExternalKind, FuncToValidate,
    FuncType, FuncValidatorAllocations, FunctionBody, GlobalSectionReader, ImportSectionReader,
    MemorySectionReader, Operator, Parser, Payload, TableSectionReader, ValidPayload, Validator,
    ValidatorResources,
};

use super::error::{Item, RESERVED_PREFIX, ValidateError};
use super::features::features;
use super::types::{COMPILE_WORK, Items, Type, Use, ValidModule};
use super::{encoding, function};
use crate::limits;
use crate::plugin::abi;

/// Checks a module against the static limits; how much of each it uses, in a fixed order. Nothing is compiled.
///
/// # Errors
///
/// The first rule it breaks.
pub fn limits_used(wasm: &[u8]) -> Result<Vec<Use>, ValidateError> {
    Ok(validate(wasm)?.used)
}

/// Validates a module and checks it against the limits.
///
/// # Errors
///
/// The first rule it breaks.
pub(in crate::plugin) fn validate(wasm: &[u8]) -> Result<ValidModule<'_>, ValidateError> {
    validate_sections(wasm).map_err(|error| error.explained(wasm))
}

fn validate_sections(wasm: &[u8]) -> Result<ValidModule<'_>, ValidateError> {
    let mut validation = Validation {
        validator: Validator::new_with_features(features()),
        types: Vec::new(),
        allocations: FuncValidatorAllocations::default(),
        compile_work: 0,
        most_work: None,
        module: ValidModule {
            wasm,
            sections: Vec::new(),
            types: Items::default(),
            globals: Items::default(),
            exports: Items::default(),
            mutable_globals: Vec::new(),
            exported_globals: Vec::new(),
            functions: Vec::new(),
            entered: BTreeSet::new(),
            keeps_to_memory_and_globals: true,
            memory_bytes: 0,
            table_elements: 0,
            passive_segments: 0,
            passive_elements: 0,
            used: Vec::new(),
        },
    };
    // The parser says it in a dozen lines.
    if !wasm.starts_with(b"\0asm") {
        let reason = "it does not begin with the bytes of WebAssembly, \\0asm (at offset 0x0)".to_owned();
        return Err(ValidateError::Invalid { reason });
    }
    validation.module.check("bytes", wasm.len() as u64, limits::WASM_BYTES_MAX)?;
    for payload in Parser::new(0).parse_all(wasm) {
        validation.payload(payload?)?;
    }
    validation.check_compile_work()?;
    Ok(validation.module)
}

/// A module of which only the beginning is known to be valid.
struct Validation<'a> {
    validator: Validator,
    types: Vec<Type>,
    allocations: FuncValidatorAllocations,
    /// Units that the functions so far are estimated to cost the compiler.
    compile_work: u64,
    /// The most of one function, and which.
    most_work: Option<(u64, Item)>,
    module: ValidModule<'a>,
}

impl Validation<'_> {
    /// Limits come first, so that the validator never reads more than they allow; then the section must be valid; then
    /// it is read.
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), ValidateError> {
        self.check_counts(&payload)?;
        let valid = self.validator.payload(&payload)?;
        if let Some((id, range)) = payload.as_section() {
            // Of the code this is only the beginning: its end may be cut off.
            if let Some(content) = self.module.wasm.get(range.clone()) {
                encoding::check(id, content, range.start)?;
            }
            self.module.sections.push((id, range));
        }
        if let ValidPayload::Func(function, body) = valid {
            return self.function(function, &body);
        }
        match payload {
            Payload::TypeSection(types) => {
                self.module.types = Items::from(&types);
                for (index, ty) in (0..).zip(types.into_iter_err_on_gc_types()) {
                    self.function_type(index, &ty?)?;
                }
            }
            Payload::GlobalSection(globals) => self.globals(globals)?,
            Payload::ExportSection(exports) => self.exports(exports)?,
            Payload::ElementSection(segments) => self.elements(segments)?,
            _ => {}
        }
        Ok(())
    }

    /// Checks the number of a section's items against its limit.
    fn check_counts(&mut self, payload: &Payload<'_>) -> Result<(), ValidateError> {
        let found = match payload {
            Payload::TypeSection(types) => Some(("types", types.count(), limits::MODULE_TYPES_MAX)),
            Payload::FunctionSection(functions) => {
                Some(("functions", functions.count(), limits::MODULE_FUNCTIONS_MAX))
            }
            Payload::GlobalSection(globals) => Some(("globals", globals.count(), limits::MODULE_GLOBALS_MAX)),
            Payload::ExportSection(exports) => Some(("exports", exports.count(), limits::MODULE_EXPORTS_MAX)),
            Payload::CodeSectionStart { size, .. } => {
                Some(("bytes of code", *size, limits::MODULE_CODE_BYTES_MAX))
            }
            Payload::ElementSection(segments) => {
                self.check_element_segments(segments)?;
                None
            }
            Payload::DataSection(segments) => {
                Some(("data segments", segments.count(), limits::MODULE_SEGMENTS_MAX))
            }
            Payload::ImportSection(imports) => {
                refuse_imports(imports)?;
                None
            }
            Payload::StartSection { func, .. } => {
                return Err(ValidateError::Start { function: Item::Function(*func).into() });
            }
            Payload::TableSection(tables) => {
                self.check_tables(tables)?;
                None
            }
            Payload::MemorySection(memories) => {
                self.check_memories(memories)?;
                None
            }
            _ => None,
        };
        found.map_or(Ok(()), |(what, found, max)| self.module.check(what, u64::from(found), max))
    }

    fn check_element_segments(&mut self, segments: &ElementSectionReader<'_>) -> Result<(), ValidateError> {
        self.module.check("element segments", u64::from(segments.count()), limits::MODULE_SEGMENTS_MAX)?;
        let mut elements = 0_u64;
        for segment in segments.clone() {
            let segment = segment?;
            let count = u64::from(match segment.items {
                ElementItems::Functions(functions) => functions.count(),
                ElementItems::Expressions(_, expressions) => expressions.count(),
            });
            elements = elements.saturating_add(count);
            if matches!(segment.kind, ElementKind::Passive) {
                self.module.passive_segments = self.module.passive_segments.saturating_add(1);
                self.module.passive_elements = self.module.passive_elements.saturating_add(count);
            }
        }
        self.module.check("elements of all segments", elements, limits::MODULE_ELEMENTS_MAX)
    }

    fn function_type(&mut self, index: u32, ty: &FuncType) -> Result<(), ValidateError> {
        let (params, results) = (ty.params().len() as u64, ty.results().to_vec());
        for (what, found, max) in [
            ("parameters", params, limits::TYPE_PARAMS_MAX),
            ("results", results.len() as u64, limits::TYPE_RESULTS_MAX),
        ] {
            self.module.check_item(Item::Type(index), what, found, max)?;
        }
        self.types.push(Type { params, results });
        Ok(())
    }

    fn check_tables(&mut self, tables: &TableSectionReader<'_>) -> Result<(), ValidateError> {
        for table in tables.clone() {
            let found = table?.ty.initial;
            self.module.check("table elements", found, limits::TABLE_ELEMENTS_MAX)?;
            self.module.table_elements = self.module.table_elements.saturating_add(found);
        }
        Ok(())
    }

    /// The bound is what no genesis may allow; that of the network's own genesis is for admission.
    fn check_memories(&mut self, memories: &MemorySectionReader<'_>) -> Result<(), ValidateError> {
        let max = limits::MEMORY_BYTES_CEILING / limits::WASM_PAGE_BYTES;
        for memory in memories.clone() {
            let found = memory?.initial;
            if found > max {
                return Err(ValidateError::TooMany {
                    what: "pages of memory",
                    found,
                    max,
                    unoptimised: false,
                });
            }
            self.module.memory_bytes = found.saturating_mul(limits::WASM_PAGE_BYTES);
        }
        Ok(())
    }

    fn exports(&mut self, exports: ExportSectionReader<'_>) -> Result<(), ValidateError> {
        self.module.exports = Items::from(&exports);
        for (index, export) in (0..).zip(exports) {
            let export = export?;
            self.check_name(index, export.name)?;
            match export.kind {
                ExternalKind::Global => {
                    self.module.exported_globals.push((export.name.to_owned(), export.index));
                }
                ExternalKind::Func | ExternalKind::FuncExact => {
                    self.module.entered.insert(export.index);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_name(&mut self, export: u32, name: &str) -> Result<(), ValidateError> {
        let (bytes, max) = (name.len() as u64, limits::EXPORT_NAME_BYTES_MAX);
        self.module.check_item(Item::Export(export), "bytes of name", bytes, max)?;
        let is_known =
            [abi::MARKER, abi::BUFFER, abi::INIT, abi::APPLY, abi::OUTPUT, abi::PANIC].contains(&name);
        if name.starts_with(RESERVED_PREFIX) && !is_known {
            return Err(ValidateError::ReservedExport { name: name.into() });
        }
        Ok(())
    }

    fn globals(&mut self, globals: GlobalSectionReader<'_>) -> Result<(), ValidateError> {
        self.module.globals = Items::from(&globals);
        for (index, global) in (0..).zip(globals) {
            if global?.ty.mutable {
                self.module.mutable_globals.push(index);
            }
        }
        Ok(())
    }

    fn elements(&mut self, segments: ElementSectionReader<'_>) -> Result<(), ValidateError> {
        for segment in segments {
            match segment?.items {
                ElementItems::Functions(functions) => {
                    for function in functions {
                        self.module.entered.insert(function?);
                    }
                }
                ElementItems::Expressions(_, expressions) => {
                    for expression in expressions {
                        for operator in expression?.get_operators_reader() {
                            if let Operator::RefFunc { function_index } = operator? {
                                self.module.entered.insert(function_index);
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn function(
        &mut self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
    ) -> Result<(), ValidateError> {
        let function_index = function.index;
        let valid = function::validate(function, body, &self.types, &mut self.allocations)?;
        let item = Item::Function(function_index);
        if self.most_work.is_none_or(|(most, _)| most < valid.compile_work) {
            self.most_work = Some((valid.compile_work, item));
        }
        valid.used.into_iter().for_each(|used| self.module.count(used));
        self.compile_work = self.compile_work.saturating_add(valid.compile_work);
        self.module.keeps_to_memory_and_globals &= !valid.changes_other_state;
        self.module.functions.push(valid.function);
        Ok(())
    }

    /// At the end, so that the message can name the function that has most of it.
    fn check_compile_work(&mut self) -> Result<(), ValidateError> {
        let (found, max) = (self.compile_work, limits::MODULE_COMPILE_WORK_MAX);
        match self.most_work {
            Some((most, item)) if found > max => {
                Err(ValidateError::CompileWork { found, max, most, item: item.into(), unoptimised: false })
            }
            _ => self.module.check(COMPILE_WORK, found, max),
        }
    }
}

fn refuse_imports(imports: &ImportSectionReader<'_>) -> Result<(), ValidateError> {
    match imports.clone().into_imports().next() {
        None => Ok(()),
        Some(import) => {
            let import = import?;
            Err(ValidateError::Import { module: import.module.into(), item: import.name.into() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(wat: &str) -> String {
        let wasm = wat::parse_str(wat).unwrap();
        validate(&wasm).map(|_| ()).unwrap_err().to_string()
    }

    fn passes(wat: &str) {
        let wasm = wat::parse_str(wat).unwrap();
        assert!(validate(&wasm).is_ok());
    }

    #[test]
    fn bytes_that_are_no_module_are_refused_with_the_place() {
        let mut cut = wat::parse_str(r#"(module (memory (export "memory") 1) (func))"#).unwrap();
        cut.pop();
        for bytes in [&b""[..], b"not wasm", &cut] {
            let error = validate(bytes).map(|_| ()).unwrap_err().to_string();
            assert!(
                error.starts_with("not a module this engine accepts")
                    && error.contains("offset")
                    && error.lines().count() == 1,
                "{error}"
            );
        }
    }

    #[test]
    fn what_a_module_may_not_be_is_refused_by_name() {
        assert!(
            refusal(r#"(module (import "env" "time" (func)))"#).starts_with(r#"imports "env" "time", but"#)
        );
        assert_eq!(
            refusal("(module (func) (func) (start 1))"),
            "has a start function (function 1); a plugin does nothing before it is called"
        );
        assert_eq!(
            refusal(r#"(module (func (export "dseq_aply")))"#),
            "exports \"dseq_aply\", which ABI v1 does not know; names that start with \"dseq_\" are its own"
        );
        let named = |bytes| format!(r#"(module (func (export "{}")))"#, "x".repeat(bytes));
        passes(&named(1000));
        assert_eq!(refusal(&named(1001)), "export 0 has 1001 bytes of name; at most 1000 are allowed");
    }

    #[test]
    fn too_many_of_anything_are_refused_with_both_numbers() {
        let of = |what: &str, count: usize| {
            format!("(module (memory 1) (table 1 funcref) (func) {})", what.repeat(count))
        };
        let exports = |count| {
            let exports: String = (0..count).map(|n| format!("(export \"e{n}\" (func 0))")).collect();
            format!("(module (func) {exports})")
        };
        let types = |count| format!("(module {})", "(type (func))".repeat(count));
        for (at_most, one_more, words) in [
            (of("(func)", 9_999), of("(func)", 10_000), "has 10001 functions; at most 10000 are allowed"),
            (
                of("(global i32 (i32.const 0))", 1_000),
                of("(global i32 (i32.const 0))", 1_001),
                "has 1001 globals; at most 1000 are allowed",
            ),
            (
                of("(data (i32.const 0) \"\")", 1_000),
                of("(data (i32.const 0) \"\")", 1_001),
                "has 1001 data segments; at most 1000 are allowed",
            ),
            (
                of("(elem (i32.const 0) func 0)", 1_000),
                of("(elem (i32.const 0) func 0)", 1_001),
                "has 1001 element segments; at most 1000 are allowed",
            ),
            (
                format!("(module (func) (elem func {0}) (elem func {0}))", "0 ".repeat(2_500)),
                format!("(module (func) (elem func {0} 0) (elem func {0}))", "0 ".repeat(2_500)),
                "has 5001 elements of all segments; at most 5000 are allowed",
            ),
            (exports(1_000), exports(1_001), "has 1001 exports; at most 1000 are allowed"),
            (
                "(module (memory 4096))".to_owned(),
                "(module (memory 4097))".to_owned(),
                "has 4097 pages of memory; at most 4096 are allowed",
            ),
            (types(1_000), types(1_001), "has 1001 types; at most 1000 are allowed"),
        ] {
            passes(&at_most);
            assert_eq!(refusal(&one_more), words);
        }
    }
}
