//! Rewriting of a module before it is compiled: the host gets hold of what the module keeps from call to call.
//!
//! An instance's state is its memory, its mutable globals, its tables, and which segments it has dropped. The host
//! reaches the memory by its export. Here the mutable globals get exports too, and the code is looked through for
//! instructions that touch the rest. If there are none, the host can put an instance back to where it was.
//!
//! # Determinism
//!
//! An added export changes no result and no fuel: the rewritten module computes what the original does.

use std::borrow::Cow;
use std::ops::Range;

use wasm_encoder::{Encode, ExportKind, RawSection};
use wasmparser::{BinaryReaderError, ExternalKind, FunctionBody, Operator, Parser, Payload, Validator};

use super::engine;
use crate::limits;

/// What an added export is called, followed by the global's index.
const EXPORT_PREFIX: &str = "dseq_global_";

/// A module as it will be compiled.
pub(super) struct Rewritten<'a> {
    pub(super) wasm: Cow<'a, [u8]>,
    /// Names of the exports of all mutable globals; `None` if the module keeps anything out of the host's reach.
    pub(super) mutable_globals: Option<Vec<String>>,
}

/// What of a module matters here.
#[derive(Default)]
struct Found {
    /// The sections in order: id and place of the content.
    sections: Vec<(u8, Range<usize>)>,
    mutable_globals: Vec<u32>,
    /// Names and indices of the globals that are exported already.
    exported_globals: Vec<(String, u32)>,
    /// Number of exports, and the place of the first.
    exports: Option<(u32, usize)>,
    /// Whether its state is memory and globals of its own and nothing else.
    is_restorable: bool,
}

/// Validates a module and rewrites it. One that cannot be put back, or need not be touched, stays as it is.
///
/// # Errors
///
/// The bytes are no valid module of the admitted features.
pub(super) fn rewrite(wasm: &[u8]) -> Result<Rewritten<'_>, BinaryReaderError> {
    Validator::new_with_features(engine::features()).validate_all(wasm)?;
    let found = find(wasm)?;
    let untouched = Rewritten { wasm: Cow::Borrowed(wasm), mutable_globals: None };
    let Some((count, first)) = found.exports.filter(|_| found.is_restorable) else { return Ok(untouched) };
    let mut names = Vec::new();
    let mut added = Vec::new();
    for index in &found.mutable_globals {
        let exported = found.exported_globals.iter().find(|(_, exported)| exported == index);
        let name = exported.map_or_else(|| format!("{EXPORT_PREFIX}{index}"), |(name, _)| name.clone());
        if exported.is_none() {
            added.push((name.clone(), *index));
        }
        names.push(name);
    }
    let wasm = match added.is_empty() {
        true => Cow::Borrowed(wasm),
        false => Cow::Owned(with_exports(wasm, &found.sections, count, first, &added)),
    };
    Ok(Rewritten { wasm, mutable_globals: Some(names) })
}

fn find(wasm: &[u8]) -> Result<Found, BinaryReaderError> {
    let mut found = Found { is_restorable: true, ..Found::default() };
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        found.sections.extend(payload.as_section());
        match payload {
            // Imports are refused later, by name; they would shift the indices of globals.
            Payload::ImportSection(imports) if imports.count() > 0 => found.is_restorable = false,
            Payload::GlobalSection(globals) => {
                for (index, global) in (0..).zip(globals) {
                    if global?.ty.mutable {
                        found.mutable_globals.push(index);
                    }
                }
            }
            Payload::ExportSection(exports) => {
                found.exports = Some((exports.count(), exports.original_position()));
                for export in exports {
                    let export = export?;
                    // Whatever already has a name of ours must keep it.
                    found.is_restorable &= !export.name.starts_with(EXPORT_PREFIX);
                    if export.kind == ExternalKind::Global {
                        found.exported_globals.push((export.name.to_owned(), export.index));
                    }
                }
            }
            Payload::CodeSectionEntry(body) => found.is_restorable &= keeps_to_memory_and_globals(&body)?,
            _ => {}
        }
    }
    found.is_restorable &= found.mutable_globals.len() as u64 <= limits::RESTORED_GLOBALS_MAX;
    Ok(found)
}

/// Whether a function changes nothing of its instance but memory and globals. These are all instructions of the
/// admitted features that do.
fn keeps_to_memory_and_globals(body: &FunctionBody<'_>) -> Result<bool, BinaryReaderError> {
    for operator in body.get_operators_reader()? {
        match operator? {
            Operator::DataDrop { .. }
            | Operator::ElemDrop { .. }
            | Operator::TableInit { .. }
            | Operator::TableCopy { .. }
            | Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. } => return Ok(false),
            _ => {}
        }
    }
    Ok(true)
}

/// Copies the module, with more exports of globals behind the `count` it has, which start at `first`.
fn with_exports(
    wasm: &[u8],
    sections: &[(u8, Range<usize>)],
    count: u32,
    first: usize,
    added: &[(String, u32)],
) -> Vec<u8> {
    let mut module = wasm_encoder::Module::new();
    for (id, range) in sections {
        if *id != wasm_encoder::SectionId::Export as u8 {
            module.section(&RawSection { id: *id, data: &wasm[range.clone()] });
            continue;
        }
        let mut data = Vec::new();
        (count as usize).saturating_add(added.len()).encode(&mut data);
        data.extend_from_slice(&wasm[first..range.end]);
        for (name, index) in added {
            name.encode(&mut data);
            ExportKind::Global.encode(&mut data);
            index.encode(&mut data);
        }
        module.section(&RawSection { id: *id, data: &data });
    }
    module.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wasm(wat: &str) -> Vec<u8> {
        wat::parse_str(wat).unwrap()
    }

    /// The exports of globals, by name and index.
    fn globals(wasm: &[u8]) -> Vec<(String, u32)> {
        find(wasm).unwrap().exported_globals
    }

    #[test]
    fn every_mutable_global_gets_an_export_and_the_rest_stays_as_it_is() {
        let original = wasm(
            r#"(module (memory (export "memory") 1)
                (global (mut i32) (i32.const 7)) (global i32 (i32.const 1)) (global (mut i64) (i64.const 2))
                (export "mine" (global 2))
                (func (export "f") (result i32) (global.get 0)) (data (i32.const 5) "x"))"#,
        );
        let Rewritten { wasm, mutable_globals } = rewrite(&original).unwrap();
        assert_eq!(mutable_globals.unwrap(), ["dseq_global_0", "mine"]);
        assert_eq!(globals(&wasm), [("mine".to_owned(), 2), ("dseq_global_0".to_owned(), 0)]);
        Validator::new_with_features(engine::features()).validate_all(&wasm).unwrap();
        let sections = |wasm: &[u8]| -> Vec<Vec<u8>> {
            let places = find(wasm).unwrap().sections;
            let kept = places.into_iter().filter(|(id, _)| *id != wasm_encoder::SectionId::Export as u8);
            kept.map(|(_, range)| wasm[range].to_vec()).collect()
        };
        assert_eq!(sections(&wasm), sections(&original));
    }

    #[test]
    fn a_module_whose_globals_are_all_in_reach_is_not_touched() {
        let original =
            wasm(r#"(module (memory (export "memory") 1) (global (export "g") (mut i32) (i32.const 7)))"#);
        let rewritten = rewrite(&original).unwrap();
        assert_eq!(rewritten.mutable_globals.unwrap(), ["g"]);
        assert!(matches!(rewritten.wasm, Cow::Borrowed(_)));
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
            let original = wasm(&format!(r#"(module (memory (export "memory") 1) {table} (func {body}))"#));
            assert!(rewrite(&original).unwrap().mutable_globals.is_none(), "{body}");
        }
        let many = "(global (mut i32) (i32.const 7))".repeat(17);
        for rest in ["(import \"a\" \"b\" (func))", "(func (export \"dseq_global_0\"))", &many] {
            let original = wasm(&format!(r#"(module {rest} (memory (export "memory") 1))"#));
            assert!(rewrite(&original).unwrap().mutable_globals.is_none(), "{rest}");
        }
    }

    #[test]
    fn bytes_that_are_no_module_are_refused_with_the_place() {
        let mut cut = wasm(r#"(module (memory (export "memory") 1) (func))"#);
        cut.pop();
        for bytes in [&b""[..], b"not wasm", &cut] {
            let error = rewrite(bytes).err().unwrap().to_string();
            assert!(error.contains("offset"), "{error}");
        }
    }
}
