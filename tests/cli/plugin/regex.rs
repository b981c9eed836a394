//! The `regex` crate, as it comes from crates.io, in a plugin of the plain recipe. It is the largest of what people reach
//! for: where it has room, what they write has.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::super::{dseq, run, text};
use super::project::plain;

/// With all its default features: Unicode tables and every engine.
#[test]
#[ignore = "downloads crates: `make regex` runs it"]
fn a_plugin_with_the_regex_crate_is_admitted() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("matching");
    let (code, _, stderr) = run(&mut dseq(&["plugin", "new", text(&dir)]));
    assert_eq!(code, 0, "{stderr}");
    edit(&dir.join("Cargo.toml"), &[(", default-features = false }", " }")]);
    let (code, _, stderr) = run(plain(Command::new("cargo"), &dir).args(["add", "regex@=1.13.2"]));
    assert_eq!(code, 0, "{stderr}");
    edit(
        &dir.join("src/lib.rs"),
        &[
            ("#![cfg_attr(target_arch = \"wasm32\", no_std)]", ""),
            ("    params: Params,\n}", "    params: Params,\n    pattern: regex::Regex,\n}"),
            (
                "Ok(Self { params })",
                "Ok(Self { params, pattern: regex::Regex::new(r\"^\\p{L}+\").unwrap() })",
            ),
            ("if text.trim().is_empty()", "if !self.pattern.is_match(text)"),
        ],
    );
    let (code, stdout, stderr) = run(&mut plain(dseq(&["plugin", "build", "--json"]), &dir));
    assert_eq!(code, 0, "{stderr}");
    let built: Value = serde_json::from_str(&stdout).unwrap();
    let wasm = built["path"].as_str().unwrap();
    let (code, stdout, stderr) = run(&mut dseq(&["plugin", "check", "--json", wasm]));
    assert_eq!(code, 0, "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    for limit in report["limits"].as_array().unwrap() {
        let (found, max) = (limit["found"].as_u64().unwrap(), limit["max"].as_u64().unwrap());
        assert!(found * 10 <= max * 9, "another release of it may not fit: {limit}");
    }
}

fn edit(path: &std::path::Path, replacements: &[(&str, &str)]) {
    let mut content = fs::read_to_string(path).unwrap();
    for (old, new) in replacements {
        assert!(content.contains(old), "{old} is not in {}", path.display());
        content = content.replace(old, new);
    }
    fs::write(path, content).unwrap();
}
