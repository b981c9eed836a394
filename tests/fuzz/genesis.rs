//! Genesis: nothing panics over one, and what is understood is understood alike when it is written again.

use std::fs;

use dseq::app::parse_genesis;
use dseq::node::genesis_file::GenesisFile;
use dseq::node::rules::PluginFile;
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
fn a_genesis_file_is_read_and_edited_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("genesis.json");
    let text = |noise: &mut Noise| {
        if noise.below(8) == 0 {
            return params::value(noise, 3).to_string().into_bytes();
        }
        let whole = json!({
            "chain_id": "fuzzed",
            "consensus_params": { "block": { "max_bytes": noise.below(100).to_string() } },
            "app_state": if noise.below(8) == 0 { params::value(noise, 3) } else { good(noise) },
        });
        let whole = whole.to_string().into_bytes();
        if noise.below(2) == 0 { whole } else { mutate(noise, &whole) }
    };
    fuzz("genesis files", 500, |noise| {
        fs::write(&path, text(noise)).unwrap();
        let Ok(mut file) = GenesisFile::read(&path) else { return };
        let (_, _, _) = (file.chain_id(), file.block_bytes_max(), file.pinned());
        let told = file.tell(&["p0={\"a\":1}".to_owned()]);
        let limited = file.limit(&["fuel_max=1_000".to_owned()]);
        file.pin_engine();
        if let (Ok(()), Ok(()), Ok(rules)) = (told, limited, file.rules()) {
            assert_eq!(rules.pipeline.plugins[0].params.as_str(), "{\"a\":1}");
            assert_eq!((rules.pipeline.limits.fuel_max, rules.pipeline.engine), (1_000, engine_id()));
        }
        file.pin(&[], false);
        file.write().unwrap();
        assert_eq!(GenesisFile::read(&path).unwrap().rules().ok(), file.rules().ok());
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
