//! `dseq genesis`: rules are shown, changed and held against what a node would refuse, before a network begins.

use std::fs;
use std::path::{Path, PathBuf};

use dseq::plugin::{Limits, PipelineSpec, engine_id};
use dseq::sequence::{Chain, Log, Staging};
use dseq::types::{AppHash, Height, PluginHash};
use serde_json::{Value, json};

use super::plugins::moody;
use super::{dseq, good_genesis, home, run, text};

/// A home with a genesis as CometBFT leaves it, without our part, and a plugin's file beside it.
fn new_home() -> (tempfile::TempDir, PathBuf) {
    let dir = home();
    let mut genesis = good_genesis();
    genesis.as_object_mut().unwrap().remove("app_state");
    fs::write(dir.path().join("config/genesis.json"), genesis.to_string()).unwrap();
    let wasm = dir.path().join("moody.wasm");
    fs::write(&wasm, moody()).unwrap();
    (dir, wasm)
}

fn genesis(home: &Path) -> Value {
    serde_json::from_slice(&fs::read(home.join("config/genesis.json")).unwrap()).unwrap()
}

fn in_home(subcommand: &str, home: &Path, args: &[&str]) -> (i32, String, String) {
    run(dseq(&["genesis", subcommand, "--home", text(home)]).args(args))
}

/// What a refusal said; the file must be as it was.
fn refused(home: &Path, args: &[&str]) -> (i32, String) {
    let before = fs::read(home.join("config/genesis.json")).unwrap();
    let (code, _, stderr) = in_home("set", home, args);
    assert_eq!(fs::read(home.join("config/genesis.json")).unwrap(), before, "{args:?}");
    (code, stderr)
}

#[test]
fn a_pipeline_is_set_verified_and_shown() {
    let (dir, wasm) = new_home();
    let plugin = format!("moody={}", text(&wasm));
    let (code, said, stderr) =
        in_home("set", dir.path(), &["--plugin", &plugin, "--limit", "fuel_max=5_000_000"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(said.contains("is changed; its pipeline id is "), "{said}");
    let rules = genesis(dir.path())["app_state"]["dseq"].clone();
    let hash = PluginHash::of(&moody()).to_string();
    assert_eq!(rules["pipeline"], json!([{ "name": "moody", "sha256": hash, "params": {} }]));
    assert_eq!(rules["engine"], engine_id().to_string());
    assert_eq!(
        (&rules["limits"]["fuel_max"], &rules["limits"]["tx_bytes_max"]),
        (&json!(5_000_000), &json!(1_048_576))
    );
    assert_eq!(genesis(dir.path())["chain_id"], "c", "what is CometBFT's stays");
    let kept: Vec<_> =
        fs::read_dir(dir.path().join("plugins")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!((kept.len(), fs::read(&kept[0]).unwrap()), (1, moody()), "the node finds the plugin");

    let (code, said, _) = in_home("verify", dir.path(), &[]);
    assert!(code == 0 && said.contains("is valid: pipeline moody, id "), "{said}");
    let (code, said, _) = in_home("show", dir.path(), &[]);
    assert!(code == 0 && said.contains(&hash) && said.contains("(this build's)"), "{said}");
    let (_, said, _) = in_home("show", dir.path(), &["--json"]);
    let shown: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&shown["chain_id"], &shown["is_engine_of_this_build"]), (&json!("c"), &json!(true)));
    assert_eq!(shown["pipeline"][0]["inline"], false);
}

#[test]
fn a_plugin_in_the_file_itself_needs_no_other() {
    let (dir, wasm) = new_home();
    let file = dir.path().join("config/genesis.json");
    let plugin = format!("moody={}", text(&wasm));
    let (code, _, stderr) =
        run(&mut dseq(&["genesis", "set", "--file", text(&file), "--plugin", &plugin, "--inline"]));
    assert_eq!(code, 0, "{stderr}");
    assert!(!dir.path().join("config/plugins").exists());
    fs::remove_file(&wasm).unwrap();
    let (code, said, stderr) = run(&mut dseq(&["genesis", "verify", "--file", text(&file)]));
    assert!(code == 0, "{said}{stderr}");
}

#[test]
fn nonsense_is_refused_and_nothing_is_written() {
    let (dir, wasm) = new_home();
    let plugin = format!("moody={}", text(&wasm));
    let set = |args: &[&str]| refused(dir.path(), args);
    for (args, code, words) in [
        (vec![], 2, "required"),
        (vec!["--plugin", "moody"], 2, "plugin \"moody\" must be written name=path.wasm"),
        (vec!["--plugin", &plugin, "--plugin", &plugin], 2, "plugin name moody is given twice"),
        (vec!["--plugin", "ghost=/nowhere.wasm"], 1, "no file for plugin ghost at /nowhere.wasm"),
        (vec!["--plugin", &plugin, "--params", "other={}"], 2, "but the pipeline has moody"),
        (vec!["--plugin", &plugin, "--params", "moody={"], 2, "plugin moody: params is invalid JSON: EOF"),
        (
            vec!["--plugin", &plugin, "--params", "moody={\"a\":1,\"a\":1}"],
            2,
            "plugin moody: params.a is a duplicate key",
        ),
        (
            vec!["--plugin", &plugin, "--params", "moody=123456789012345678901234567890"],
            2,
            "plugin moody: params is the integer 123456789012345678901234567890, which",
        ),
        (vec!["--plugin", &plugin, "--params", "moody={\"a\":1}"], 1, "these params are not for me"),
        (
            vec!["--plugin", &plugin, "--limit", "fuel=1"],
            2,
            "\"fuel=1\" is not a limit: write name=NUMBER, where name is tx_bytes_max",
        ),
        (
            vec!["--plugin", &plugin, "--limit", "fuel_max=0"],
            1,
            "limits.fuel_max is 0; it must be from 1 to 2000000000",
        ),
        (vec!["--plugin", &plugin, "--limit", "memory_bytes_max=100"], 1, "must be a multiple of 65536"),
        (vec!["--inline"], 2, "--plugin"),
    ] {
        let (found, stderr) = set(&args);
        assert!(found == code && stderr.contains(words), "{args:?}: {found} {stderr}");
    }
    assert!(!dir.path().join("plugins").exists(), "a plugin that was refused is kept nowhere");
}

#[test]
fn rules_that_are_there_are_changed_one_by_one() {
    let (dir, wasm) = new_home();
    let plugin = format!("moody={}", text(&wasm));
    assert_eq!(in_home("set", dir.path(), &["--plugin", &plugin]).0, 0);
    assert_eq!(in_home("set", dir.path(), &["--limit", "record_bytes_max=100"]).0, 0);
    let rules = genesis(dir.path())["app_state"]["dseq"].clone();
    assert_eq!(
        (&rules["limits"]["record_bytes_max"], &rules["pipeline"][0]["name"]),
        (&json!(100), &json!("moody"))
    );
    let (code, stderr) = refused(dir.path(), &["--params", "moody=[1]"]);
    assert!(code == 1 && stderr.contains("these params are not for me"), "{stderr}");
}

#[test]
fn a_change_of_the_engine_is_said() {
    let (dir, wasm) = new_home();
    let plugin = format!("moody={}", text(&wasm));
    let (_, said, _) = in_home("set", dir.path(), &["--plugin", &plugin]);
    assert!(!said.contains("engine"), "there was none: {said}");
    let mut old = genesis(dir.path());
    old["app_state"]["dseq"]["engine"] = "11".repeat(32).into();
    fs::write(dir.path().join("config/genesis.json"), old.to_string()).unwrap();
    let (code, said, _) = in_home("set", dir.path(), &["--limit", "fuel_max=5000000"]);
    assert!(code == 0 && said.contains(&format!("It pinned engine {}", "11".repeat(32))), "{said}");
    assert_eq!(genesis(dir.path())["app_state"]["dseq"]["engine"], engine_id().to_string());
}

#[test]
fn what_a_node_would_refuse_is_told_before_it_does() {
    let (dir, wasm) = new_home();
    let plugin = format!("moody={}", text(&wasm));
    assert_eq!(in_home("set", dir.path(), &["--plugin", &plugin]).0, 0);
    let good = genesis(dir.path());
    let verify = |edit: &dyn Fn(&mut Value)| {
        let mut edited = good.clone();
        edit(&mut edited);
        fs::write(dir.path().join("config/genesis.json"), edited.to_string()).unwrap();
        let (code, _, stderr) = in_home("verify", dir.path(), &[]);
        assert_eq!(code, 1, "{stderr}");
        stderr
    };
    let engine = verify(&|genesis| genesis["app_state"]["dseq"]["engine"] = "11".repeat(32).into());
    assert!(engine.contains("but this build of dseq has engine"), "{engine}");
    let unknown = verify(&|genesis| genesis["app_state"]["dseq"]["pipelin"] = json!([]));
    assert!(unknown.contains("unknown field `pipelin`"), "{unknown}");
    let unbounded = verify(&|genesis| genesis["consensus_params"]["block"]["max_bytes"] = "-1".into());
    assert!(unbounded.contains("max_bytes is -1, no bound at all"), "{unbounded}");
    let missing = verify(&|genesis| {
        genesis["app_state"]["dseq"]["pipeline"][0]["sha256"] = "22".repeat(32).into();
    });
    assert!(
        missing.contains(&format!("has sha256 {}", "22".repeat(32))) && missing.contains("found moody-"),
        "{missing}"
    );
}

#[test]
fn a_file_is_judged_as_it_is_written() {
    let (dir, wasm) = new_home();
    let plugin = format!("moody={}", text(&wasm));
    assert_eq!(in_home("set", dir.path(), &["--plugin", &plugin]).0, 0);
    let good = genesis(dir.path()).to_string();
    for (one, other, words) in [
        (
            "\"pipeline\":",
            "\"pipeline\":[],\"pipeline\":",
            "genesis.app_state.dseq.pipeline is a duplicate key",
        ),
        ("\"app_state\":", "\"app_state\":{},\"app_state\":", "genesis.app_state is a duplicate key"),
        (
            "\"params\":{}",
            "\"params\":{\"a\":{\"b\":1,\"b\":1}}",
            "genesis.app_state.dseq.pipeline[0].params.a.b is a duplicate key",
        ),
        (
            "\"params\":{}",
            "\"params\":[123456789012345678901234567890]",
            "genesis.app_state.dseq.pipeline[0].params[0] is the integer 123456789012345678901234567890, which",
        ),
    ] {
        let edited = good.replacen(one, other, 1);
        assert_ne!(edited, good);
        fs::write(dir.path().join("config/genesis.json"), edited).unwrap();
        for subcommand in ["verify", "show"] {
            let (code, said, stderr) = in_home(subcommand, dir.path(), &[]);
            assert!(code == 1 && stderr.contains(words), "{subcommand}: {said}{stderr}");
        }
        let (code, stderr) = refused(dir.path(), &["--limit", "fuel_max=100000000"]);
        assert!(code == 1 && stderr.contains(words), "{stderr}");
    }
    fs::write(dir.path().join("config/genesis.json"), "[]").unwrap();
    let (code, _, stderr) = in_home("verify", dir.path(), &[]);
    assert!(
        code == 1 && stderr.contains("is not a genesis file: it is valid JSON, but not an object"),
        "{stderr}"
    );
}

/// A log with one block.
fn commit(home: &Path) {
    let mut log = Log::open(&home.join("sequence")).unwrap();
    let pipeline = PipelineSpec { engine: engine_id(), limits: Limits::default(), plugins: Vec::new() };
    let id = pipeline.id();
    log.init_chain(Chain { chain_id: "c".to_owned(), initial_height: Height(1), pipeline }).unwrap();
    let staged = Staging::begin(log.head(), Height(1)).finish();
    log.commit(&staged, AppHash([1; 32]), id).unwrap();
}

#[test]
fn a_network_keeps_its_rules_once_a_block_is_committed_and_not_before() {
    let (dir, wasm) = new_home();
    let plugin = format!("moody={}", text(&wasm));
    assert_eq!(in_home("set", dir.path(), &["--plugin", &plugin]).0, 0);
    let mut log = Log::open(&dir.path().join("sequence")).unwrap();
    let pipeline = PipelineSpec { engine: engine_id(), limits: Limits::default(), plugins: Vec::new() };
    log.init_chain(Chain { chain_id: "c".to_owned(), initial_height: Height(1), pipeline }).unwrap();
    drop(log);
    fs::create_dir_all(dir.path().join("data")).unwrap();
    fs::copy(dir.path().join("config/genesis.json"), dir.path().join("data/genesis.json")).unwrap();
    let (code, said, stderr) = in_home("set", dir.path(), &["--limit", "fuel_max=100000000"]);
    assert!(code == 0 && said.contains("it takes this one at its next start"), "{said}{stderr}");
    commit(dir.path());
    let (code, stderr) = refused(dir.path(), &["--plugin", &plugin]);
    assert!(code == 1 && stderr.contains("has committed blocks and keeps the rules"), "{stderr}");
}
