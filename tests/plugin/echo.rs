//! However long a foreign text is, an error quotes little of it, and says how long it is.

use dseq::app::parse_genesis;
use dseq::plugin::{CanonicalJson, Limits, Pipeline, PluginName};
use serde_json::{Value, json};

use super::{Guest, admit, params, refusal, spec};

/// A text that no error may quote whole.
fn long() -> String {
    "x".repeat(50_000)
}

#[track_caller]
fn assert_short(error: &str) {
    assert!(error.len() < 600, "{} bytes: {}...", error.len(), &error[..600]);
    assert!(error.contains(&"x".repeat(40)), "the beginning is told: {error}");
}

#[test]
fn names_of_a_module_are_cut() {
    let long = long();
    let head = "x".repeat(64);
    for (extra, words) in [
        (
            format!(r#"(import "{long}" "{long}" (func))"#),
            format!(
                r#"plugin p0: imports "{head}"... (50000 bytes) "{head}"... (50000 bytes), but a plugin"#
            ),
        ),
        (
            format!(r#"(func (export "dseq_{}"))"#, &long[..900]),
            format!(r#"plugin p0: exports "dseq_{}"... (905 bytes), which ABI v1"#, &head[..59]),
        ),
        (
            format!(r#"(func (export "{long}") (export "{long}"))"#),
            "plugin p0: not a module this engine accepts: duplicate export name `xxx".to_owned(),
        ),
        (
            format!("(func ${long}) (start ${long})"),
            format!(r#"plugin p0: has a start function (function 0 ("{head}"... (50000 bytes))"#),
        ),
    ] {
        let memory = format!("{extra} {}", Guest::default().memory);
        let wasm = Guest { memory: &memory, ..Guest::default() }.wasm();
        let error = refusal(admit(Limits::default(), &[wasm])).to_string();
        assert!(error.starts_with(&words), "{:?}", &error[..error.len().min(600)]);
        assert_short(&error);
    }
}

#[test]
fn params_of_a_plugin_that_does_not_take_them_are_cut() {
    for init in ["(i64.const 0x0003000400000000)", "unreachable"] {
        let wasm = Guest { init, ..Guest::default() }.wasm();
        let mut spec = spec(Limits::default(), std::slice::from_ref(&wasm));
        spec.plugins[0].params = params(&format!("\"{}\"", long()));
        let error = refusal(Pipeline::admit(spec, &[wasm])).to_string();
        assert!(error.contains("x... (50002 bytes): "), "{error}");
        assert_short(&error);
    }
}

#[test]
fn params_that_cannot_be_read_are_cut() {
    let long = long();
    for text in [
        format!(r#"{{"{long}":1,"{long}":1}}"#),
        format!(r#"{{"{long}":{{"{long}":{{"{long}":9007199254740993}}}}}}"#),
        format!(r#"{{"{long}":tru}}"#),
    ] {
        let error = CanonicalJson::parse(&text).unwrap_err().to_string();
        assert!(error.len() < 700, "{} bytes", error.len());
    }
    let digits = "9".repeat(50_000);
    let error = CanonicalJson::parse(&digits).unwrap_err().to_string();
    assert!(error.contains("9... (50000 bytes), which") && error.len() < 300, "{error}");
    let unsorted = CanonicalJson::try_from(format!(r#"{{"b":1,"a":"{long}"}}"#)).unwrap_err();
    assert_short(&unsorted.to_string());
    assert_short(&PluginName::try_from(long).unwrap_err().to_string());
}

#[test]
fn texts_of_a_genesis_are_cut() {
    let long = long();
    let edits: [fn(&mut Value, String); 6] = [
        |g, long| g[long] = json!(1),
        |g, long| g["engine"] = json!(long),
        |g, long| g["limits"]["fuel_max"] = json!(long),
        |g, long| g["pipeline"][0]["name"] = json!(long),
        |g, long| g["pipeline"][0]["sha256"] = json!(long),
        |g, long| g["pipeline"][0][long] = json!(1),
    ];
    for edit in edits {
        let mut genesis = json!({
            "engine": "11".repeat(32),
            "limits": Limits::default(),
            "pipeline": [{ "name": "p", "sha256": "22".repeat(32) }]
        });
        edit(&mut genesis, long.clone());
        let text = json!({ "dseq": genesis }).to_string();
        assert_short(&parse_genesis(text.as_bytes()).unwrap_err().to_string());
    }
}
