//! Static admission: what a module may be, seen from its bytes, before anything is compiled.
//!
//! Every bound here is there so that compiling a module takes bounded time and memory, and that its functions' frames
//! are known; what each may be is in [`limits`]. What has passed is a [`Gated`], and nothing looks at those bytes with
//! doubt again.
//!
//! # Errors
//!
//! A refusal names the rule, what was found, the limit, and the item it is about.

use std::ops::Range;

use wasmparser::{
    BinaryReaderError, ExternalKind, FuncToValidate, FuncValidatorAllocations, FunctionBody,
    GlobalSectionReader, ImportSectionReader, MemorySectionReader, Operator, Parser, Payload, SectionLimited,
    TableSectionReader, ValType, ValidPayload, Validator, ValidatorResources,
};

use super::{abi, engine};
use crate::limits;

/// Exports that rewriting adds begin with this, and so no other may.
pub(super) const RESERVED_PREFIX: &str = "dseq_";

/// Why a module is not looked at any further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// Not wasm, or wasm that uses what is not on the list of features.
    #[error("not a module this engine accepts: {reason}")]
    Invalid {
        /// The validator's words, with the offset.
        reason: String,
    },
    /// Plugins have nothing to import from.
    #[error(
        "imports {module:?} {item:?}, but a plugin has no imports; rustc turns a symbol it cannot find into an import \
         from \"env\": an undefined extern function, or a dependency that expects WASI or JavaScript"
    )]
    Import {
        /// The module it imports from.
        module: String,
        /// What it imports.
        item: String,
    },
    /// Code that runs before the host has asked for anything.
    #[error("has a start function (function {function}); a plugin does nothing before it is called")]
    Start {
        /// Its index.
        function: u32,
    },
    /// An export whose name is the ABI's to give.
    #[error(
        "exports {name:?}, which ABI v1 does not know; names that start with {RESERVED_PREFIX:?} are its own"
    )]
    ReservedExport {
        /// The name.
        name: String,
    },
    /// Too many of something.
    #[error("has {found} {what}; at most {max} are allowed")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: u64,
        /// The limit.
        max: u64,
    },
    /// A name longer than any that means something.
    #[error("an export's name has {bytes} bytes; at most {max} are allowed", max = limits::EXPORT_NAME_BYTES_MAX)]
    LongName {
        /// Its length.
        bytes: u64,
    },
    /// A function beyond its bounds.
    #[error("function {function} has {found} {what}; at most {max} are allowed")]
    Function {
        /// Its index.
        function: u32,
        /// What there is too much of.
        what: &'static str,
        /// How many there are.
        found: u64,
        /// The limit.
        max: u64,
    },
}

impl From<BinaryReaderError> for GateError {
    fn from(error: BinaryReaderError) -> Self {
        Self::Invalid { reason: error.to_string() }
    }
}

/// How much of one limit a module uses: of the limits on functions, what the function has that comes closest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// Of what.
    pub what: &'static str,
    /// How many there are.
    pub found: u64,
    /// The limit.
    pub max: u64,
    /// Of a limit on each function: the one that has the most.
    pub function: Option<u32>,
}

/// Holds a module against the static limits, and tells how much of each it uses, in a fixed order. Nothing is compiled.
///
/// # Errors
///
/// The first rule it breaks.
pub fn limits_used(wasm: &[u8]) -> Result<Vec<Use>, GateError> {
    Ok(gate(wasm)?.used)
}

/// A section's items: how many, and where the first lies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Items {
    pub(super) count: u32,
    pub(super) first: usize,
}

impl<T> From<&SectionLimited<'_, T>> for Items {
    fn from(section: &SectionLimited<'_, T>) -> Self {
        Self { count: section.count(), first: section.original_position() }
    }
}

/// What a function takes of its caller's stack, as far as the bytecode says.
#[derive(Debug)]
pub(super) struct Function {
    /// Its body: locals, then instructions.
    pub(super) body: Range<usize>,
    /// Its instructions.
    pub(super) code: Range<usize>,
    pub(super) results: Vec<ValType>,
    /// Parameters and locals.
    pub(super) locals: u64,
    /// Most values on the operand stack at any point.
    pub(super) operands: u64,
    /// Number of instructions.
    pub(super) instructions: u64,
    /// Whether it calls any function.
    pub(super) calls: bool,
}

/// A valid module within all bounds.
#[derive(Debug)]
pub(super) struct Gated<'a> {
    pub(super) wasm: &'a [u8],
    /// The sections in order: id, and place of the content.
    pub(super) sections: Vec<(u8, Range<usize>)>,
    pub(super) types: Items,
    pub(super) globals: Items,
    pub(super) exports: Items,
    pub(super) mutable_globals: Vec<u32>,
    /// Names and indices of the globals that are exported.
    pub(super) exported_globals: Vec<(String, u32)>,
    /// In the order of their indices.
    pub(super) functions: Vec<Function>,
    /// Whether all of an instance's state is its memory and its globals.
    pub(super) keeps_to_memory_and_globals: bool,
    /// Each limit that was looked at, in that order.
    pub(super) used: Vec<Use>,
}

impl Gated<'_> {
    fn uses(&mut self, new: Use) {
        let same = |old: &&mut Use| old.what == new.what && old.function.is_some() == new.function.is_some();
        match self.used.iter_mut().find(same) {
            Some(old) if old.found >= new.found => {}
            Some(old) => *old = new,
            None => self.used.push(new),
        }
    }

    /// Takes note of what a module has, and refuses more than its limit.
    fn bound(&mut self, what: &'static str, found: u32, max: u64) -> Result<(), GateError> {
        let found = u64::from(found);
        self.uses(Use { what, found, max, function: None });
        if found > max { Err(GateError::TooMany { what, found, max }) } else { Ok(()) }
    }
}

/// Validates a module and holds it against the limits.
///
/// # Errors
///
/// The first rule it breaks.
pub(super) fn gate(wasm: &[u8]) -> Result<Gated<'_>, GateError> {
    let mut gate = Gate {
        validator: Validator::new_with_features(engine::features()),
        types: Vec::new(),
        allocations: FuncValidatorAllocations::default(),
        gated: Gated {
            wasm,
            sections: Vec::new(),
            types: Items::default(),
            globals: Items::default(),
            exports: Items::default(),
            mutable_globals: Vec::new(),
            exported_globals: Vec::new(),
            functions: Vec::new(),
            keeps_to_memory_and_globals: true,
            used: Vec::new(),
        },
    };
    for payload in Parser::new(0).parse_all(wasm) {
        gate.payload(payload?)?;
    }
    Ok(gate.gated)
}

/// The gate half way through a module.
struct Gate<'a> {
    validator: Validator,
    /// Number of parameters, and results, of each type.
    types: Vec<(u64, Vec<ValType>)>,
    allocations: FuncValidatorAllocations,
    gated: Gated<'a>,
}

impl Gate<'_> {
    /// Bounds come first, so that the validator never sees more than they allow; then the section must be valid; then
    /// it is read.
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), GateError> {
        let found = match &payload {
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
                Some(("element segments", segments.count(), limits::MODULE_SEGMENTS_MAX))
            }
            Payload::DataSection(segments) => {
                Some(("data segments", segments.count(), limits::MODULE_SEGMENTS_MAX))
            }
            Payload::ImportSection(imports) => {
                refuse_imports(imports)?;
                None
            }
            Payload::StartSection { func, .. } => return Err(GateError::Start { function: *func }),
            Payload::TableSection(tables) => {
                bound_tables(tables)?;
                None
            }
            Payload::MemorySection(memories) => {
                bound_memories(memories)?;
                None
            }
            _ => None,
        };
        if let Some((what, found, max)) = found {
            self.gated.bound(what, found, max)?;
        }
        let valid = self.validator.payload(&payload)?;
        self.gated.sections.extend(payload.as_section());
        if let ValidPayload::Func(function, body) = valid {
            return self.function(function, &body);
        }
        match payload {
            Payload::TypeSection(types) => {
                self.gated.types = Items::from(&types);
                for ty in types.into_iter_err_on_gc_types() {
                    let ty = ty?;
                    self.types.push((ty.params().len() as u64, ty.results().to_vec()));
                }
            }
            Payload::GlobalSection(globals) => self.globals(globals)?,
            Payload::ExportSection(exports) => {
                self.gated.exports = Items::from(&exports);
                for export in exports {
                    let export = export?;
                    refuse_name(export.name)?;
                    if export.kind == ExternalKind::Global {
                        self.gated.exported_globals.push((export.name.to_owned(), export.index));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn globals(&mut self, globals: GlobalSectionReader<'_>) -> Result<(), GateError> {
        self.gated.globals = Items::from(&globals);
        for (index, global) in (0..).zip(globals) {
            if global?.ty.mutable {
                self.gated.mutable_globals.push(index);
            }
        }
        Ok(())
    }

    fn function(
        &mut self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
    ) -> Result<(), GateError> {
        let index = function.index;
        let mut seen = Vec::new();
        let mut check = |what, found, max| {
            seen.push(Use { what, found, max, function: Some(index) });
            if found > max { Err(GateError::Function { function: index, what, found, max }) } else { Ok(()) }
        };
        check("bytes of code", body.range().len() as u64, limits::FUNCTION_BYTES_MAX)?;
        let (params, results) = self.types.get(function.ty as usize).cloned().unwrap_or_default();
        check("parameters", params, limits::FUNCTION_PARAMS_MAX)?;
        check("results", results.len() as u64, limits::FUNCTION_RESULTS_MAX)?;
        let mut declared = params;
        for local in body.get_locals_reader()? {
            declared = declared.saturating_add(u64::from(local?.0));
        }
        check("parameters and locals", declared, limits::FUNCTION_LOCALS_MAX)?;

        let mut validator = function.into_validator(std::mem::take(&mut self.allocations));
        let mut reader = body.get_binary_reader();
        validator.read_locals(&mut reader)?;
        reader.set_features(engine::features());
        let mut operators = wasmparser::OperatorsReader::new(reader);
        let code = operators.original_position()..body.range().end;
        let (mut operands, mut instructions, mut calls) = (0, 0_u64, false);
        let mut control = Control::default();
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset()?;
            validator.op(offset, &operator)?;
            operands = operands.max(validator.operand_stack_height());
            instructions = instructions.saturating_add(1);
            control.see(&operator);
            calls |= matches!(operator, Operator::Call { .. } | Operator::CallIndirect { .. });
            self.gated.keeps_to_memory_and_globals &= !changes_other_state(&operator);
        }
        operators.finish()?;
        check("blocks, branches and calls", control.branches, limits::FUNCTION_BRANCHES_MAX)?;
        check("targets of branch tables", control.targets, limits::FUNCTION_BRANCH_TARGETS_MAX)?;
        let paths = declared.saturating_mul(control.branches);
        check("locals times branches", paths, limits::FUNCTION_LOCALS_TIMES_BRANCHES_MAX)?;
        check("loops within loops", control.loops_max, limits::FUNCTION_LOOP_DEPTH_MAX)?;
        seen.into_iter().for_each(|used| self.gated.uses(used));
        self.allocations = validator.into_allocations();
        let (body, operands) = (body.range(), u64::from(operands));
        self.gated.functions.push(Function {
            body,
            code,
            results,
            locals: declared,
            operands,
            instructions,
            calls,
        });
        Ok(())
    }
}

fn bound_tables(tables: &TableSectionReader<'_>) -> Result<(), GateError> {
    for table in tables.clone() {
        let (found, max) = (table?.ty.initial, limits::TABLE_ELEMENTS_MAX);
        if found > max {
            return Err(GateError::TooMany { what: "table elements", found, max });
        }
    }
    Ok(())
}

/// What no genesis may allow. The bound of the network's own genesis is for admission.
fn bound_memories(memories: &MemorySectionReader<'_>) -> Result<(), GateError> {
    let max = limits::MEMORY_BYTES_CEILING / limits::WASM_PAGE_BYTES;
    for memory in memories.clone() {
        let found = memory?.initial;
        if found > max {
            return Err(GateError::TooMany { what: "pages of memory", found, max });
        }
    }
    Ok(())
}

fn refuse_imports(imports: &ImportSectionReader<'_>) -> Result<(), GateError> {
    match imports.clone().into_imports().next() {
        None => Ok(()),
        Some(import) => {
            let import = import?;
            Err(GateError::Import { module: import.module.to_owned(), item: import.name.to_owned() })
        }
    }
}

fn refuse_name(name: &str) -> Result<(), GateError> {
    let bytes = name.len() as u64;
    if bytes > limits::EXPORT_NAME_BYTES_MAX {
        return Err(GateError::LongName { bytes });
    }
    let is_known = [abi::MARKER, abi::BUFFER, abi::INIT, abi::APPLY, abi::OUTPUT, abi::PANIC].contains(&name);
    if name.starts_with(RESERVED_PREFIX) && !is_known {
        return Err(GateError::ReservedExport { name: name.to_owned() });
    }
    Ok(())
}

/// How a function's control flow taxes the compiler.
#[derive(Default)]
struct Control {
    /// Blocks, branches and calls; one through a table is several to the compiler.
    branches: u64,
    /// Targets of branch tables.
    targets: u64,
    /// The open blocks: whether each is a loop.
    open: Vec<bool>,
    loops: u64,
    /// Most loops open at any point.
    loops_max: u64,
}

impl Control {
    fn see(&mut self, operator: &Operator<'_>) {
        let weight = match operator {
            Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Else
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::BrTable { .. }
            | Operator::Return
            | Operator::Call { .. } => 1,
            Operator::CallIndirect { .. } => 4,
            _ => 0,
        };
        self.branches = self.branches.saturating_add(weight);
        match operator {
            Operator::Block { .. } | Operator::If { .. } => self.open.push(false),
            Operator::Loop { .. } => {
                self.open.push(true);
                self.loops = self.loops.saturating_add(1);
                self.loops_max = self.loops_max.max(self.loops);
            }
            Operator::End if self.open.pop() == Some(true) => self.loops = self.loops.saturating_sub(1),
            Operator::BrTable { targets } => {
                self.targets = self.targets.saturating_add(u64::from(targets.len()));
            }
            _ => {}
        }
    }
}

/// Whether an instruction changes anything of its instance but memory and globals. These are all of the admitted
/// features that do.
fn changes_other_state(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::DataDrop { .. }
            | Operator::ElemDrop { .. }
            | Operator::TableInit { .. }
            | Operator::TableCopy { .. }
            | Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(wat: &str) -> String {
        let wasm = wat::parse_str(wat).unwrap();
        gate(&wasm).map(|_| ()).unwrap_err().to_string()
    }

    fn passes(wat: &str) {
        let wasm = wat::parse_str(wat).unwrap();
        assert!(gate(&wasm).is_ok());
    }

    #[test]
    fn bytes_that_are_no_module_are_refused_with_the_place() {
        let mut cut = wat::parse_str(r#"(module (memory (export "memory") 1) (func))"#).unwrap();
        cut.pop();
        for bytes in [&b""[..], b"not wasm", &cut] {
            let error = gate(bytes).map(|_| ()).unwrap_err().to_string();
            assert!(
                error.starts_with("not a module this engine accepts") && error.contains("offset"),
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
        assert_eq!(refusal(&named(1001)), "an export's name has 1001 bytes; at most 1000 are allowed");
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

    #[test]
    fn a_function_beyond_its_bounds_is_refused_by_its_index() {
        let function = |head: &str, count: usize, body: &str| {
            format!("(module (func) (func ({head} {}) {body}))", "i32 ".repeat(count))
        };
        let nops = |count: usize| format!("(module (func) (func {}))", "nop ".repeat(count));
        let ones = |count: usize| "i32.const 1 ".repeat(count);
        for (at_most, one_more, words) in [
            (
                function("param", 100, ""),
                function("param", 101, ""),
                "function 1 has 101 parameters; at most 100 are allowed",
            ),
            (
                function("result", 16, &ones(16)),
                function("result", 17, &ones(17)),
                "function 1 has 17 results; at most 16 are allowed",
            ),
            (
                function("local", 1_000, ""),
                function("local", 1_001, ""),
                "function 1 has 1001 parameters and locals; at most 1000 are allowed",
            ),
            (
                format!("(module (func) (func {}))", "(call 0)".repeat(5_000)),
                format!("(module (func) (func {}))", "(call 0)".repeat(5_001)),
                "function 1 has 5001 blocks, branches and calls; at most 5000 are allowed",
            ),
            (
                format!("(module (func) (func {} {}))", "(loop ".repeat(25), ")".repeat(25)),
                format!("(module (func) (func {} {}))", "(loop ".repeat(26), ")".repeat(26)),
                "function 1 has 26 loops within loops; at most 25 are allowed",
            ),
            (
                format!("(module (func) (func (br_table {} (i32.const 0))))", "0 ".repeat(20_001)),
                format!("(module (func) (func (br_table {} (i32.const 0))))", "0 ".repeat(20_002)),
                "function 1 has 20001 targets of branch tables; at most 20000 are allowed",
            ),
            (
                function("local", 1_000, &"(call 0)".repeat(1_000)),
                function("local", 1_000, &"(call 0)".repeat(1_001)),
                "function 1 has 1001000 locals times branches; at most 1000000 are allowed",
            ),
            (
                nops((128 << 10) - 2),
                nops((128 << 10) - 1),
                "function 1 has 131073 bytes of code; at most 131072 are allowed",
            ),
        ] {
            passes(&at_most);
            assert_eq!(refusal(&one_more), words);
        }
    }

    #[test]
    fn what_a_function_takes_is_counted() {
        let wasm = wat::parse_str(
            r#"(module (func (param i32 i64) (result f64) (local f32 f32 i64)
                (drop (i32.add (i32.const 1) (i32.mul (i32.const 2) (i32.const 3)))) (f64.const 1))
              (func (drop (call 0 (i32.const 1) (i64.const 1)))))"#,
        );
        let wasm = wasm.unwrap();
        let functions = gate(&wasm).unwrap().functions;
        let counts = |f: &Function| (f.locals, f.operands, f.instructions, f.calls, f.results.len());
        assert_eq!(
            functions.iter().map(counts).collect::<Vec<_>>(),
            [(5, 3, 8, false, 1), (0, 2, 5, true, 0)]
        );
    }
}
