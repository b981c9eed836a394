//! Genesis: nothing panics over one, and what is understood is understood alike when it is written again.

use std::fs;

use dseq::app::parse_genesis;
use dseq::node::genesis::file::GenesisFile;
use dseq::node::genesis::rules::PluginFile;
use dseq::plugin::{Limits, engine_id};
use dseq::types::PluginHash;
use serde_json::{Value, json};

use super::fuzz;
use super::mutate::mutate;
use super::noise::Noise;
use super::params::Writer;

/// A good `app_state`, with params of any kind, unless the writer made it say more than one thing.
fn app_state(writer: &mut Writer<'_>, plugins: usize) -> String {
    let plugin = |n: usize| {
        let wasm = vec![b'x'; n];
        let (sha256, wasm) = (PluginHash::of(&wasm).to_string(), data_encoding::BASE64.encode(&wasm));
        let params = writer.any(3);
        writer.object(&[
            ("name", json!(format!("p{n}")).to_string()),
            ("sha256", json!(sha256).to_string()),
            ("params", params),
            ("wasm", json!(wasm).to_string()),
        ])
    };
    let plugins: Vec<String> = (0..plugins).map(plugin).collect();
    let ours = writer.object(&[
        ("engine", json!(engine_id().to_string()).to_string()),
        ("limits", json!(Limits::default()).to_string()),
        ("pipeline", format!("[{}]", plugins.join(","))),
    ]);
    writer.object(&[("dseq", ours)])
}

#[test]
fn a_genesis_is_refused_or_understood_the_same_way_twice() {
    let understood = std::cell::Cell::new(0);
    fuzz("genesis", 20_000, |noise| {
        let plugins = noise.below(4);
        let mut writer = Writer::new(noise);
        let (text, says_one_thing) = (app_state(&mut writer, plugins), writer.says_one_thing);
        let rules = if noise.below(2) == 0 {
            let rules = parse_genesis(text.as_bytes());
            assert_eq!(rules.is_ok(), says_one_thing, "{text}: {rules:?}");
            rules
        } else {
            parse_genesis(&mutate(noise, text.as_bytes()))
        };
        let Ok(rules) = rules else { return };
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

/// A genesis file, and the `app_state` in it.
fn file(noise: &mut Noise) -> (Vec<u8>, String) {
    let (kind, plugins, bytes) = (noise.below(8), noise.below(4), noise.below(100).to_string());
    let mut writer = Writer::new(noise);
    let app_state = match kind {
        0 => writer.any(3),
        1 => {
            let other = writer.any(2);
            writer.object(&[("other", other)])
        }
        _ => app_state(&mut writer, plugins),
    };
    let whole = writer.object(&[
        ("chain_id", json!("fuzzed").to_string()),
        ("consensus_params", json!({ "block": { "max_bytes": bytes } }).to_string()),
        ("app_state", app_state.clone()),
    ]);
    (whole.into_bytes(), app_state)
}

#[test]
fn a_genesis_file_says_to_people_what_it_says_to_a_node() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("genesis.json");
    let understood = std::cell::Cell::new(0);
    fuzz("genesis files as nodes see them", 500, |noise| {
        let (text, app_state) = file(noise);
        fs::write(&path, text).unwrap();
        let Ok(file) = GenesisFile::read(&path) else { return };
        let (rules, node) = (file.rules(), parse_genesis(app_state.as_bytes()));
        match (rules, node) {
            (Ok(rules), Ok(node)) => {
                assert_eq!(rules, node);
                understood.set(understood.get() + 1);
            }
            // In the same words, with the same line and column.
            (Err(rules), Err(node)) => {
                assert_eq!(rules.to_string(), format!("{}: {node}", path.display()));
            }
            (rules, node) => panic!("{app_state}: {rules:?}, but {node:?}"),
        }
    });
    println!("{} were understood", understood.get());
    assert!(understood.get() > 0);
}

#[test]
fn a_genesis_file_is_read_and_edited_or_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("genesis.json");
    let text = |noise: &mut Noise| {
        let (whole, _) = file(noise);
        match noise.below(8) {
            0 => Writer::new(noise).any(3).into_bytes(),
            1..4 => whole,
            _ => mutate(noise, &whole),
        }
    };
    fuzz("genesis files", 500, |noise| {
        fs::write(&path, text(noise)).unwrap();
        let Ok(mut file) = GenesisFile::read(&path) else { return };
        let (_, _, _) = (file.chain_id(), file.doc(), file.pinned());
        let (_, _) = (file.check(), file.network_id());
        let told = file.set_params(&["p0={\"a\":1}".to_owned()]);
        let limited = file.set_limits(&["fuel_max=1_000".to_owned()]);
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
