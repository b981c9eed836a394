//! What a node refuses to run, and the words it says so with.
use dseq::plugin::{AdmitError, Limits, Pipeline, PipelineSpec, engine_id, limits_used};
use dseq::types::{EngineId, PluginHash};

use super::{ACCEPT, Guest, admit, params, refusal, spec};

/// The refusal of this module, in words.
fn words(wasm: Vec<u8>) -> String {
    refusal(admit(Limits::default(), &[wasm])).to_string()
}

fn wat_words(wat: &str) -> String {
    words(wat::parse_str(wat).unwrap())
}

#[test]
fn another_engine_is_refused_and_both_are_named() {
    let wasm = Guest::default().wasm();
    let other =
        PipelineSpec { engine: EngineId([0x11; 32]), ..spec(Limits::default(), std::slice::from_ref(&wasm)) };
    let error = refusal(Pipeline::admit(other, &[wasm])).to_string();
    assert!(error.contains(&"11".repeat(32)) && error.contains(&engine_id().to_string()), "{error}");
}

#[test]
fn a_changed_byte_is_refused_and_both_hashes_are_named() {
    let wasm = Guest::default().wasm();
    let spec = spec(Limits::default(), std::slice::from_ref(&wasm));
    for at in [0, wasm.len() / 2, wasm.len() - 1] {
        let mut changed = wasm.clone();
        changed[at] ^= 1;
        let error = refusal(Pipeline::admit(spec.clone(), std::slice::from_ref(&changed))).to_string();
        let (pinned, found) = (PluginHash::of(&wasm), PluginHash::of(&changed));
        assert_eq!(
            error,
            format!("plugin p0: genesis pins sha256 {pinned}, but the module has sha256 {found}")
        );
    }
}

#[test]
fn bytes_that_are_not_wasm_are_refused() {
    for bytes in [b"".as_slice(), b"(module)", b"\0asm", b"\0asm\x02\0\0\0", b"#!/bin/sh\n"] {
        let error = words(bytes.to_vec());
        assert!(error.starts_with("plugin p0: not a module this engine accepts: "), "{error}");
    }
}

#[test]
fn a_module_beyond_the_size_limit_is_refused_before_it_is_looked_at() {
    assert_eq!(
        words(vec![0; (4 << 20) + 1]),
        "plugin p0: the module is 4194305 bytes; at most 4194304 are allowed (`dseq plugin build` leaves debug information \
         out)"
    );
}

#[test]
fn an_import_is_refused_by_name_with_its_usual_cause() {
    let extra = r#"(import "env" "time" (func $time (result i64)))"#;
    let guest = Guest { memory: extra, extra: Guest::default().memory, ..Guest::default() };
    let error = words(guest.wasm());
    assert!(error.starts_with(r#"plugin p0: imports "env" "time", but a plugin has no imports"#), "{error}");
    assert!(error.contains("rustc turns a symbol it cannot find into an import"), "{error}");
}

#[test]
fn each_export_of_the_abi_is_asked_for() {
    for (export, expected) in [
        ("memory", "a memory"),
        ("dseq_abi_v1", "a function () -> ()"),
        ("dseq_buffer", "a function (i32) -> i32"),
        ("dseq_init", "a function (i32) -> i64"),
        ("dseq_apply", "a function (i32) -> i64"),
        ("dseq_output", "a function () -> i32"),
    ] {
        let renamed = Guest::default().wat().replace(&format!("\"{export}\""), "\"other\"");
        let error = wat_words(&renamed);
        assert_eq!(
            error,
            format!("plugin p0: does not export \"{export}\", which ABI v1 asks for as {expected}")
        );
    }
}

#[test]
fn an_export_of_another_type_is_refused_with_both_types() {
    let wat = Guest::default().wat();
    let error = wat_words(&wat.replace(
        r#""dseq_output") (result i32) (i32.const 1024)"#,
        r#""dseq_output") (result i64) (i64.const 1024)"#,
    ));
    assert_eq!(
        error,
        "plugin p0: exports \"dseq_output\" as a function () -> i64, but ABI v1 asks for a function () -> i32"
    );

    let error = wat_words(&wat.replace(
        r#"(func (export "dseq_output") (result i32)"#,
        r#"(func (export "dseq_output") (param f32) (result i32)"#,
    ));
    assert_eq!(
        error,
        "plugin p0: exports \"dseq_output\" as a function (f32) -> i32, but ABI v1 asks for a function () -> i32"
    );

    let error = wat_words(&wat.replace(
        r#"(func (export "dseq_abi_v1"))"#,
        r#"(func (export "dseq_abi_v1") (result i32 i64) (i32.const 1) (i64.const 2))"#,
    ));
    assert_eq!(
        error,
        "plugin p0: exports \"dseq_abi_v1\" as a function () -> (i32, i64), but ABI v1 asks for a function () -> ()"
    );

    let error = wat_words(&wat.replace(
        r#"(memory (export "memory") 1)"#,
        r#"(memory 1) (global (export "memory") i32 (i32.const 0))"#,
    ));
    assert_eq!(
        error,
        "plugin p0: exports \"memory\" as an immutable global of type i32, but ABI v1 asks for a memory"
    );
}

#[test]
fn what_is_not_on_the_list_of_features_is_refused() {
    for (feature, extra) in [
        ("SIMD", "(func (result v128) (v128.const i64x2 0 0))"),
        ("threads", "(func (result i32) (i32.atomic.load (i32.const 0)))"),
        ("several memories", "(memory 1)"),
        ("reference types", "(table $t 1 externref)"),
        (
            "table.grow",
            "(table $t 1 funcref) (func (result i32) (table.grow $t (ref.null func) (i32.const 1)))",
        ),
        ("tail calls", "(func $f (return_call $f))"),
        ("exceptions", "(tag $e) (func (throw $e))"),
        ("extended constants", "(global i32 (i32.add (i32.const 1) (i32.const 2)))"),
        ("garbage collection", "(type (struct (field i32)))"),
        (
            "wide arithmetic",
            "(func (param i64 i64) (result i64 i64) (i64.mul_wide_s (local.get 0) (local.get 1)))",
        ),
    ] {
        let error = words(Guest { extra, ..Guest::default() }.wasm());
        assert!(error.starts_with("plugin p0: not a module this engine accepts: "), "{feature}: {error}");
    }
    let error = words(Guest { memory: r#"(memory (export "memory") i64 1)"#, ..Guest::default() }.wasm());
    assert!(error.starts_with("plugin p0: not a module this engine accepts: "), "64-bit memory: {error}");
}

#[test]
fn more_memory_at_birth_than_the_network_allows_is_refused() {
    let wasm = Guest { memory: r#"(memory (export "memory") 257)"#, ..Guest::default() }.wasm();
    assert_eq!(
        words(wasm),
        "plugin p0: starts with 16842752 bytes of memory, but limits.memory_bytes_max is 6291456"
    );
}

#[test]
fn a_table_beyond_its_limit_is_refused() {
    assert!(
        admit(Limits::default(), &[Guest { extra: "(table 65536 funcref)", ..Guest::default() }.wasm()])
            .is_ok()
    );
    let error = words(Guest { extra: "(table 65537 funcref)", ..Guest::default() }.wasm());
    assert_eq!(error, "plugin p0: has 65537 table elements; at most 65536 are allowed");
}

#[test]
fn refused_params_are_shown_with_the_plugins_words() {
    let extra = r#"(data (i32.const 2000) "colour is not known")"#;
    let init = "(i64.const 0x0003000400000013)";
    let wasm = Guest { extra, init, output: "(i32.const 2000)", ..Guest::default() }.wasm();
    let mut spec = spec(Limits::default(), std::slice::from_ref(&wasm));
    spec.plugins[0].params = params(r#"{ "colour": "blue" }"#);
    assert_eq!(
        refusal(Pipeline::admit(spec, &[wasm])).to_string(),
        "plugin p0: refuses its params {\"colour\":\"blue\"}: colour is not known (code 4)"
    );
}

#[test]
fn a_plugin_that_breaks_its_contract_at_init_is_refused() {
    for (init, expected) in [
        ("unreachable", "(code 1000)"),
        ("(loop $again (br $again)) unreachable", "(code 1001)"),
        ("(i64.const 0x0002000000000001)", "(code 1014)"),
        ("(i64.const 0)", "(code 1014)"),
    ] {
        let error = words(Guest { init, ..Guest::default() }.wasm());
        assert!(error.starts_with("plugin p0: faulted when given its params {}: "), "{error}");
        assert!(error.ends_with(expected), "{error}");
    }
    let error = words(Guest { extra: "(func $f unreachable) (start $f)", ..Guest::default() }.wasm());
    assert!(error.starts_with("plugin p0: has a start function (function 0"), "{error}");
    let error = words(Guest { extra: r#"(data (i32.const 65536) "beyond")"#, ..Guest::default() }.wasm());
    assert!(error.ends_with("(code 1002)"), "{error}");
}

#[test]
fn limits_and_the_shape_of_the_pipeline_are_checked() {
    let wasm = Guest { apply: ACCEPT, ..Guest::default() }.wasm();
    let one = std::slice::from_ref(&wasm);

    let error = refusal(admit(Limits { fuel_max: 0, ..Limits::default() }, one));
    assert!(matches!(error, AdmitError::Limits(_)), "{error}");

    let error = refusal(Pipeline::admit(spec(Limits::default(), one), &[]));
    assert_eq!(error.to_string(), "the pipeline has 1 plugins, but 0 modules were given");

    let many = vec![wasm.clone(); 17];
    let error = refusal(admit(Limits::default(), &many));
    assert_eq!(error.to_string(), "the pipeline has 17 plugins; at most 16 are allowed");
    let limits = Limits { fuel_max: 1_000_000_001, ..Limits::default() };
    assert_eq!(
        refusal(admit(limits, &[wasm.clone(), wasm.clone()])).to_string(),
        "limits.fuel_max is 1000000001 for each of 2 plugins; together they may have at most 2000000000; lower fuel_max"
    );
    let limits = Limits { fuel_max: 125_000_000, ..Limits::default() };
    assert!(admit(limits, &many[..16]).is_ok());

    let mut twins = spec(Limits::default(), &many[..2]);
    twins.plugins[1].name = twins.plugins[0].name.clone();
    let error = refusal(Pipeline::admit(twins, &many[..2]));
    assert_eq!(error.to_string(), "two plugins of the pipeline are named p0; give each its own name");

    let error = refusal(admit(Limits { record_bytes_max: 10, ..Limits::default() }, &[]));
    assert!(matches!(error, AdmitError::RecordsTooShort { record_bytes_max: 10, .. }), "{error}");
}

/// What a plugin with the `regex` crate (1.13.2, all its default features, rustc of the SDK's toolchain) has of what is
/// bounded. `make regex` builds one anew; this says it without crates.io.
const OF_REGEX: &[(&str, bool, u64)] = &[
    ("bytes", false, 1_070_400),
    ("types", false, 32),
    ("parameters", true, 23),
    ("functions", false, 1_251),
    ("exports", false, 9),
    ("elements of all segments", false, 592),
    ("bytes of code", false, 711_693),
    ("bytes of code", true, 48_771),
    ("parameters and locals", true, 447),
    ("blocks, branches and calls", true, 1_364),
    ("targets of branch tables", true, 208),
    ("live values at branches", true, 410_078),
    ("phis (locals that branches join)", true, 62_840),
    ("loops within loops", true, 7),
    ("locals with phis times loops", true, 9_366),
    ("units of compile work", true, 5_011_638),
    ("units of compile work", false, 11_152_923),
];

#[test]
fn the_limits_have_room_for_the_regex_crate() {
    let wasm = Guest { extra: r#"(table 1 funcref) (elem func) (data "")"#, ..Guest::default() }.wasm();
    let used = limits_used(&wasm).unwrap();
    for (what, of_each, found) in OF_REGEX {
        let limit = used.iter().find(|used| used.what == *what && used.item.is_some() == *of_each);
        let max = limit.unwrap_or_else(|| panic!("{what}")).max;
        assert!(found * 10 <= max * 8, "{what}: {found} of {max}");
    }
}
