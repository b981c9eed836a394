//! Genesis: nothing panics over one, and what is understood is understood alike when it is written again.

use std::fs;

use dseq::app::parse_genesis;
use dseq::node::genesis::{PluginFile, pinned};
use dseq::node::home::NodeHome;
use dseq::plugin::{Limits, engine_id};
use dseq::types::PluginHash;
use serde_json::{Value, json};

use super::mutate::mutate;
use super::noise::Noise;
use super::{fuzz, params};

/// A good `app_state`, with params of any kind.
fn good(noise: &mut Noise) -> Value {
    let plugin = |n: usize, noise: &mut Noise| {
        let wasm = noise.bytes(n);
        json!({
            "name": format!("p{n}"),
            "sha256": PluginHash::of(&wasm).to_string(),
            "params": params::value(noise, 3),
            "wasm": data_encoding::BASE64.encode(&wasm),
        })
    };
    let plugins: Vec<Value> = (0..noise.below(4)).map(|n| plugin(n, noise)).collect();
    json!({ "dseq": { "engine": engine_id().to_string(), "limits": Limits::default(), "pipeline": plugins } })
}

#[test]
fn a_genesis_is_refused_or_understood_the_same_way_twice() {
    let understood = std::cell::Cell::new(0);
    fuzz("genesis", 20_000, |noise| {
        let text = good(noise).to_string().into_bytes();
        let text = if noise.below(4) == 0 { text } else { mutate(noise, &text) };
        let Ok(rules) = parse_genesis(&text) else { return };
        understood.set(understood.get() + 1);
        let plugins = rules.pipeline.plugins.iter().zip(&rules.inline_wasm).map(|(plugin, wasm)| {
            json!({
                "name": plugin.name.as_str(),
                "sha256": plugin.sha256.to_string(),
                "params": serde_json::from_str::<Value>(plugin.params.as_str()).unwrap(),
                "wasm": wasm.as_deref().map(|wasm| data_encoding::BASE64.encode(wasm)),
            })
        });
        let again = json!({ "dseq": {
            "engine": rules.pipeline.engine.to_string(),
            "limits": rules.pipeline.limits,
            "pipeline": plugins.collect::<Vec<_>>(),
        } });
        let again = parse_genesis(again.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again, rules);
        assert_eq!(again.pipeline.id(), rules.pipeline.id());
    });
    println!("{} were understood", understood.get());
    assert!(understood.get() > 0);
}

#[test]
fn a_home_with_any_genesis_says_what_it_pins_or_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let home = NodeHome::new(dir.path());
    fs::create_dir_all(home.genesis_file().parent().unwrap()).unwrap();
    fuzz("genesis files", 2_000, |noise| {
        let text = json!({ "chain_id": "fuzzed", "app_state": good(noise) }).to_string();
        let text = mutate(noise, text.as_bytes());
        fs::write(home.genesis_file(), &text).unwrap();
        if let Err(error) = pinned(&home) {
            assert!(!error.to_string().is_empty());
        }
    });
}

#[test]
fn a_plugin_on_the_command_line_is_refused_or_read() {
    fuzz("name=path", 20_000, |noise| {
        let text = mutate(noise, b"length-prefix=plugins/length-prefix.wasm");
        let text = String::from_utf8_lossy(&text);
        if let Ok(file) = PluginFile::parse(&text) {
            assert_eq!(format!("{}={}", file.name, file.path.display()), text);
        }
    });
}
