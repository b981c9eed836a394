//! What is in a module, for people: read from its bytes, which may be malformed or hostile.
//!
//! Nothing here decides anything. A module that would not be admitted is shown as far as it can be read.

mod sections;
mod types;

use wasmparser::{Parser, Validator, WasmFeatures};

pub use self::types::{Export, Feature, Global, Import, Inspection, Metadata, Section, SizeRange};
use super::validate::{FEATURES, features as allowed_features};
use crate::limits;

/// Reads a module as far as it can be read.
#[must_use]
pub fn inspect(wasm: &[u8]) -> Inspection {
    let mut reading = sections::Reading::default();
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
    let allowed = allowed_features();
    // Some features are others and one thing more; that one is what tells.
    let others = all.iter_names().filter_map(|(name, feature)| {
        let own = feature.difference(allowed);
        (!own.is_empty() && name != "GC_TYPES").then(|| (name.to_lowercase().replace('_', "-"), own, false))
    });
    let ours = FEATURES.iter().map(|(name, feature)| ((*name).to_owned(), *feature, true));
    let needed = |feature: WasmFeatures| {
        Validator::new_with_features(all.difference(feature)).validate_all(wasm).is_err()
    };
    let used = ours.chain(others).filter(|(_, feature, _)| needed(*feature));
    used.map(|(name, _, allowed)| Feature { name, allowed }).collect()
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
    fn everything_in_a_module_is_shown() {
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
        assert_eq!(found.memories, [SizeRange { initial: 2, max: Some(5) }]);
        assert_eq!(found.tables, [SizeRange { initial: 3, max: None }]);
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
