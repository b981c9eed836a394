//! What is in a module, for people: read from its bytes with no more trust than that they may be wrong.
//!
//! Nothing here decides anything. A module that would not be admitted is shown as far as it can be read.

use serde::{Deserialize, Serialize};
use wasmparser::{
    BinaryReaderError, CompositeInnerType, ExportSectionReader, ExternalKind, FuncType, ImportSectionReader,
    Parser, Payload, TypeRef, ValType, Validator, WasmFeatures,
};

use super::engine;
use crate::limits;

/// The custom section in which a plugin says what it is.
const METADATA_SECTION: &str = "dseq_plugin";

/// What a plugin says of itself. Postcard in the custom section `dseq_plugin`, in this order; it decides nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Its package's name.
    pub name: String,
    /// Its package's version.
    pub version: String,
    /// The kit it is written with, and that one's version.
    pub sdk: String,
    /// Its package's description.
    pub description: String,
}

/// What was found in a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// What it says of itself; `None` if it says nothing that can be read.
    pub metadata: Option<Metadata>,
    /// In their order.
    pub sections: Vec<Section>,
    /// In their order.
    pub imports: Vec<Import>,
    /// In their order.
    pub exports: Vec<Export>,
    /// Memories it defines.
    pub memories: Vec<Bounds>,
    /// Tables it defines.
    pub tables: Vec<Bounds>,
    /// Globals it defines.
    pub globals: Vec<Global>,
    /// How many functions it defines.
    pub functions: u64,
    /// The function that would run before any other.
    pub start: Option<u32>,
    /// Number of data segments.
    pub data_segments: u64,
    /// What they hold together, in bytes.
    pub data_bytes: u64,
    /// What of wasm it makes use of beyond the first version; `None` if it is not valid or too large to try.
    pub features: Option<Vec<Feature>>,
    /// Why it could not be read to its end, or is not valid.
    pub problem: Option<String>,
}

/// A section of a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// What kind; of a custom one its name.
    pub name: String,
    /// Whether the name is of the module's own choosing.
    pub custom: bool,
    /// Length of its content.
    pub bytes: u64,
}

/// Something a module wants from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Import {
    /// From where.
    pub module: String,
    /// What.
    pub name: String,
    /// Of which type.
    #[serde(rename = "type")]
    pub ty: String,
}

/// Something a module offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
}

/// How large a memory (in pages of 64 KiB) or a table (in elements) is at first, and may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Bounds {
    /// At first.
    pub initial: u64,
    /// At most; `None`: as much as the host allows.
    pub max: Option<u64>,
}

/// A global.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Global {
    /// The type of its value.
    #[serde(rename = "type")]
    pub ty: String,
    /// Whether it can change.
    pub mutable: bool,
}

/// A feature of wasm that a module makes use of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// Its name.
    pub name: String,
    /// Whether plugins may.
    pub allowed: bool,
}

/// Reads a module as far as it can be read.
#[must_use]
pub fn inspect(wasm: &[u8]) -> Inspection {
    let mut reading = Reading::default();
    let read = Parser::new(0).parse_all(wasm).try_for_each(|payload| reading.payload(payload?));
    let mut found = reading.found;
    found.problem = read.err().map(|error| error.to_string());
    let all = all_features();
    if found.problem.is_none() && wasm.len() as u64 <= limits::WASM_BYTES_MAX {
        match Validator::new_with_features(all).validate_all(wasm) {
            Ok(_) => found.features = Some(features(wasm, all)),
            Err(error) => found.problem = Some(error.to_string()),
        }
    }
    found
}

/// Everything that wasmparser knows of core wasm.
fn all_features() -> WasmFeatures {
    let all = WasmFeatures::all().iter_names();
    let core = all.filter(|(name, _)| !name.starts_with("CM_") && *name != "COMPONENT_MODEL");
    core.fold(WasmFeatures::empty(), |all, (_, feature)| all | feature)
}

/// The features without which the module is not valid.
fn features(wasm: &[u8], all: WasmFeatures) -> Vec<Feature> {
    let allowed = engine::features();
    // Some features are others and one thing more; that one is what tells.
    let others = all.iter_names().filter_map(|(name, feature)| {
        let own = feature.difference(allowed);
        (!own.is_empty() && name != "GC_TYPES").then(|| (name.to_lowercase().replace('_', "-"), own, false))
    });
    let ours = engine::FEATURES.iter().map(|(name, feature)| ((*name).to_owned(), *feature, true));
    let needed = |feature: WasmFeatures| {
        Validator::new_with_features(all.difference(feature)).validate_all(wasm).is_err()
    };
    let used = ours.chain(others).filter(|(_, feature, _)| needed(*feature));
    used.map(|(name, _, allowed)| Feature { name, allowed }).collect()
}

/// A module half read.
#[derive(Default)]
struct Reading {
    found: Inspection,
    types: Vec<String>,
    /// The text of the type of each function, memory, table and global: the imported ones come first.
    functions: Vec<String>,
    memories: Vec<String>,
    tables: Vec<String>,
    globals: Vec<String>,
    tags: Vec<String>,
}

impl Reading {
    fn payload(&mut self, payload: Payload<'_>) -> Result<(), BinaryReaderError> {
        if let Some((id, range)) = payload.as_section() {
            let custom = match &payload {
                Payload::CustomSection(section) => Some(section.name().to_owned()),
                _ => None,
            };
            let is_custom = custom.is_some();
            let name = custom.unwrap_or_else(|| section_name(id));
            self.found.sections.push(Section { name, custom: is_custom, bytes: range.len() as u64 });
        }
        match payload {
            Payload::TypeSection(types) => {
                for group in types {
                    self.types.extend(group?.into_types().map(|ty| type_text(&ty.composite_type.inner)));
                }
            }
            Payload::FunctionSection(functions) => {
                for ty in functions {
                    self.item(TypeRef::Func(ty?));
                    self.found.functions = self.found.functions.saturating_add(1);
                }
            }
            Payload::TableSection(tables) => {
                for table in tables {
                    let ty = table?.ty;
                    self.item(TypeRef::Table(ty));
                    self.found.tables.push(Bounds { initial: ty.initial, max: ty.maximum });
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories {
                    let ty = memory?;
                    self.item(TypeRef::Memory(ty));
                    self.found.memories.push(Bounds { initial: ty.initial, max: ty.maximum });
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals {
                    let ty = global?.ty;
                    self.item(TypeRef::Global(ty));
                    self.found.globals.push(Global { ty: ty.content_type.to_string(), mutable: ty.mutable });
                }
            }
            Payload::StartSection { func, .. } => self.found.start = Some(func),
            Payload::DataSection(segments) => {
                for segment in segments {
                    let bytes = segment?.data.len() as u64;
                    self.found.data_segments = self.found.data_segments.saturating_add(1);
                    self.found.data_bytes = self.found.data_bytes.saturating_add(bytes);
                }
            }
            Payload::CustomSection(section) if section.name() == METADATA_SECTION => {
                self.found.metadata = postcard::from_bytes(section.data()).ok();
            }
            Payload::ImportSection(imports) => self.imports(imports)?,
            Payload::ExportSection(exports) => self.exports(exports)?,
            _ => {}
        }
        Ok(())
    }

    fn imports(&mut self, imports: ImportSectionReader<'_>) -> Result<(), BinaryReaderError> {
        for import in imports.into_imports() {
            let import = import?;
            let ty = self.item(import.ty);
            let (module, name) = (import.module.to_owned(), import.name.to_owned());
            self.found.imports.push(Import { module, name, ty });
        }
        Ok(())
    }

    fn exports(&mut self, exports: ExportSectionReader<'_>) -> Result<(), BinaryReaderError> {
        for export in exports {
            let export = export?;
            let ty = self.exported(export.kind, export.index);
            self.found.exports.push(Export { name: export.name.to_owned(), ty });
        }
        Ok(())
    }

    fn function_of(&self, ty: u32) -> String {
        let ty = self.types.get(ty as usize).cloned();
        format!("function {}", ty.unwrap_or_else(|| "of no known type".to_owned()))
    }

    /// Gives an import or a definition the next index of its kind; answers with the text of its type.
    fn item(&mut self, ty: TypeRef) -> String {
        let (text, kind) = match ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => (self.function_of(ty), &mut self.functions),
            TypeRef::Table(ty) => (bounded("table", ty.initial, ty.maximum), &mut self.tables),
            TypeRef::Memory(ty) => (bounded("memory", ty.initial, ty.maximum), &mut self.memories),
            TypeRef::Global(ty) => (global_text(ty.content_type, ty.mutable), &mut self.globals),
            TypeRef::Tag(_) => ("tag".to_owned(), &mut self.tags),
        };
        kind.push(text.clone());
        text
    }

    fn exported(&self, kind: ExternalKind, index: u32) -> String {
        let of = match kind {
            ExternalKind::Func | ExternalKind::FuncExact => &self.functions,
            ExternalKind::Table => &self.tables,
            ExternalKind::Memory => &self.memories,
            ExternalKind::Global => &self.globals,
            ExternalKind::Tag => &self.tags,
        };
        of.get(index as usize).cloned().unwrap_or_else(|| format!("{kind:?} {index}, which is not there"))
    }
}

fn type_text(ty: &CompositeInnerType) -> String {
    match ty {
        CompositeInnerType::Func(ty) => function_text(ty),
        _ => "of no kind that can be called".to_owned(),
    }
}

fn function_text(ty: &FuncType) -> String {
    let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match ty.results() {
        [one] => format!("({}) -> {one}", list(ty.params())),
        results => format!("({}) -> ({})", list(ty.params()), list(results)),
    }
}

fn global_text(ty: ValType, mutable: bool) -> String {
    format!("global {}{ty}", if mutable { "mut " } else { "" })
}

fn bounded(what: &str, initial: u64, max: Option<u64>) -> String {
    let max = max.map_or_else(|| "no maximum".to_owned(), |max| format!("at most {max}"));
    format!("{what} of {initial}, {max}")
}

/// The name of a section by its id, as the specification has it.
fn section_name(id: u8) -> String {
    const NAMES: [&str; 14] = [
        "custom",
        "type",
        "import",
        "function",
        "table",
        "memory",
        "global",
        "export",
        "start",
        "element",
        "code",
        "data",
        "data count",
        "tag",
    ];
    NAMES.get(usize::from(id)).map_or_else(|| format!("unknown {id}"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(wat: &str) -> Inspection {
        inspect(&wat::parse_str(wat).unwrap())
    }

    fn names(found: &Inspection) -> Vec<(&str, bool)> {
        found.features.iter().flatten().map(|feature| (feature.name.as_str(), feature.allowed)).collect()
    }

    #[test]
    fn everything_in_a_module_is_told() {
        let found = of(r#"(module
            (import "env" "now" (func (param i32 i64) (result f32)))
            (memory (export "memory") 2 5)
            (table 3 funcref)
            (global (export "sp") (mut i32) (i32.const 7))
            (func $f (export "f") (param i32) (result i32 i32) (local.get 0) (local.get 0))
            (start 2)
            (func)
            (data (i32.const 0) "four")
            (data "passive"))"#);
        assert_eq!(found.problem, None);
        let ty = |name: &str| found.exports.iter().find(|one| one.name == name).unwrap().ty.as_str();
        assert_eq!(ty("memory"), "memory of 2, at most 5");
        assert_eq!(ty("sp"), "global mut i32");
        assert_eq!(ty("f"), "function (i32) -> (i32, i32)");
        assert_eq!(found.imports[0].ty, "function (i32, i64) -> f32");
        assert_eq!(found.memories, [Bounds { initial: 2, max: Some(5) }]);
        assert_eq!(found.tables, [Bounds { initial: 3, max: None }]);
        assert_eq!((found.functions, found.start), (2, Some(2)));
        assert_eq!((found.data_segments, found.data_bytes), (2, 11));
        let code = found.sections.iter().find(|section| section.name == "code").unwrap();
        assert_eq!(code.bytes, 11);
        assert_eq!(
            names(&found),
            [("bulk-memory", true), ("floats", true), ("multi-value", true), ("mutable-global", true)]
        );
    }

    #[test]
    fn a_feature_that_plugins_may_not_use_is_named() {
        assert_eq!(names(&of("(module (func (drop (v128.const i64x2 0 0))))")), [("simd", false)]);
        assert_eq!(names(&of("(module (func (return_call 0)))")), [("tail-call", false)]);
        assert_eq!(names(&of("(module (memory i64 1))")), [("memory64", false)]);
        assert_eq!(
            names(&of("(module (func (result externref) (ref.null extern)))")),
            [("call-indirect-overlong", true), ("reference-types", false)]
        );
        assert_eq!(
            names(&of("(module (func (result i32) (i32.extend8_s (i32.const 1))))")),
            [("sign-extension", true)]
        );
        assert!(names(&of("(module (func (result i32) (i32.const 1)))")).is_empty());
    }

    #[test]
    fn metadata_is_what_the_section_says() {
        let mut wasm = wat::parse_str("(module)").unwrap();
        let section = b"\x0bdseq_plugin\x03hex\x050.1.0\x0edseq-sdk 0.1.0\x09text to x";
        wasm.extend([0, u8::try_from(section.len()).unwrap()]);
        wasm.extend_from_slice(section);
        let metadata = inspect(&wasm).metadata.unwrap();
        assert_eq!((metadata.name.as_str(), metadata.version.as_str()), ("hex", "0.1.0"));
        assert_eq!((metadata.sdk.as_str(), metadata.description.as_str()), ("dseq-sdk 0.1.0", "text to x"));
        // A length that goes beyond the section.
        let place = wasm.len() - 10;
        wasm[place] = 0x7f;
        assert_eq!(inspect(&wasm).metadata, None);
    }

    /// Every beginning of a module, and every byte of it changed: never a panic, and what comes before the damage is shown.
    #[test]
    fn damaged_bytes_are_shown_as_far_as_they_go() {
        let whole = wat::parse_str(
            r#"(module (import "a" "b" (func)) (memory (export "memory") 1) (table 1 funcref) (global i32 (i32.const 1))
               (func (export "f") (param i32) (result i32) (br_table 0 0 (i32.const 1) (local.get 0)))
               (elem (i32.const 0) func 0) (data (i32.const 8) "data"))"#,
        )
        .unwrap();
        for end in 0..whole.len() {
            let found = inspect(&whole[..end]);
            assert!(found.problem.is_some() || found.exports.len() < 3, "{end}");
        }
        for place in 0..whole.len() {
            for byte in [0, 1, 0x0b, 0x40, 0x7f, 0x80, 0xff] {
                let mut damaged = whole.clone();
                damaged[place] = byte;
                let _ = inspect(&damaged);
            }
        }
        let cut = inspect(&whole[..whole.len() - 1]);
        assert!(cut.problem.is_some() && cut.exports.len() == 2, "{cut:?}");
    }
}
