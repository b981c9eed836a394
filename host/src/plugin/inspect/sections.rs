//! Reading a module's sections one after the other, as far as they can be read.

use wasmparser::{
    BinaryReaderError, CompositeInnerType, DataSectionReader, ExportSectionReader, ExternalKind, FuncType,
    FunctionSectionReader, GlobalSectionReader, ImportSectionReader, MemorySectionReader, Payload,
    TableSectionReader, TypeRef, ValType,
};

use super::types::{Export, Global, Import, Inspection, Section, SizeRange};

/// The custom section in which a plugin says what it is.
const METADATA_SECTION: &str = "dseq_plugin";

/// A module half read.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) found: Inspection,
    types: Vec<String>,
    /// The text of the type of each function, memory, table and global: the imported ones come first.
    functions: Vec<String>,
    memories: Vec<String>,
    tables: Vec<String>,
    globals: Vec<String>,
    tags: Vec<String>,
}

impl Reading {
    pub(super) fn payload(&mut self, payload: Payload<'_>) -> Result<(), BinaryReaderError> {
        self.section(&payload);
        match payload {
            Payload::TypeSection(types) => {
                for group in types {
                    self.types.extend(group?.into_types().map(|ty| type_text(&ty.composite_type.inner)));
                }
            }
            Payload::FunctionSection(functions) => self.functions(functions)?,
            Payload::TableSection(tables) => self.tables(tables)?,
            Payload::MemorySection(memories) => self.memories(memories)?,
            Payload::GlobalSection(globals) => self.globals(globals)?,
            Payload::StartSection { func, .. } => self.found.start = Some(func),
            Payload::DataSection(segments) => self.data(segments)?,
            Payload::CustomSection(section) if section.name() == METADATA_SECTION => {
                self.found.metadata = postcard::from_bytes(section.data()).ok();
            }
            Payload::ImportSection(imports) => self.imports(imports)?,
            Payload::ExportSection(exports) => self.exports(exports)?,
            _ => {}
        }
        Ok(())
    }

    fn section(&mut self, payload: &Payload<'_>) {
        let Some((id, range)) = payload.as_section() else { return };
        let custom = match payload {
            Payload::CustomSection(section) => Some(section.name().to_owned()),
            _ => None,
        };
        let is_custom = custom.is_some();
        let name = custom.unwrap_or_else(|| section_name(id));
        self.found.sections.push(Section { name, custom: is_custom, bytes: range.len() as u64 });
    }

    fn functions(&mut self, functions: FunctionSectionReader<'_>) -> Result<(), BinaryReaderError> {
        for ty in functions {
            self.item(TypeRef::Func(ty?));
            self.found.functions = self.found.functions.saturating_add(1);
        }
        Ok(())
    }

    fn tables(&mut self, tables: TableSectionReader<'_>) -> Result<(), BinaryReaderError> {
        for table in tables {
            let ty = table?.ty;
            self.item(TypeRef::Table(ty));
            self.found.tables.push(SizeRange { initial: ty.initial, max: ty.maximum });
        }
        Ok(())
    }

    fn memories(&mut self, memories: MemorySectionReader<'_>) -> Result<(), BinaryReaderError> {
        for memory in memories {
            let ty = memory?;
            self.item(TypeRef::Memory(ty));
            self.found.memories.push(SizeRange { initial: ty.initial, max: ty.maximum });
        }
        Ok(())
    }

    fn globals(&mut self, globals: GlobalSectionReader<'_>) -> Result<(), BinaryReaderError> {
        for global in globals {
            let ty = global?.ty;
            self.item(TypeRef::Global(ty));
            self.found.globals.push(Global { ty: ty.content_type.to_string(), mutable: ty.mutable });
        }
        Ok(())
    }

    fn data(&mut self, segments: DataSectionReader<'_>) -> Result<(), BinaryReaderError> {
        for segment in segments {
            let bytes = segment?.data.len() as u64;
            self.found.data_segments = self.found.data_segments.saturating_add(1);
            self.found.data_bytes = self.found.data_bytes.saturating_add(bytes);
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
