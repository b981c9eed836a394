//! `dseq plugin replay`, against a stand-in for a node's RPC that has three blocks.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::super::{dseq, run, text};
use super::file;
use crate::plugins::{genesis, moody, moody_genesis};

fn base64(bytes: &[u8]) -> String {
    data_encoding::BASE64.encode(bytes)
}

/// A node that let everything in unchanged but what begins with `?`: four records, `hello`, `~`, `!`, `hello`.
fn answers() -> BTreeMap<String, Value> {
    let mut answers = BTreeMap::new();
    let sync_info = json!({ "earliest_block_height": "2", "latest_block_height": "4", "catching_up": false });
    answers.insert("/status".to_owned(), json!({ "sync_info": sync_info }));
    let (mut index, mut offset) = (0_u64, 0_u64);
    for (height, txs) in [(2_u64, vec!["hello", "~"]), (3, vec![]), (4, vec!["!", "?", "hello"])] {
        let encoded: Vec<String> = txs.iter().map(|tx| base64(tx.as_bytes())).collect();
        let mut results = Vec::new();
        for tx in &txs {
            if tx.starts_with('?') {
                results.push(json!({ "code": 3, "codespace": "plugin/old", "log": "no questions" }));
                continue;
            }
            let fields = [height, index, offset, tx.len() as u64].map(u64::to_le_bytes);
            results.push(json!({ "code": 0, "data": base64(&fields.concat()) }));
            let query = format!("/abci_query?path=%22/record/{index}%22");
            answers.insert(query, json!({ "response": { "code": 0, "value": base64(tx.as_bytes()) } }));
            (index, offset) = (index + 1, offset + tx.len() as u64);
        }
        // An empty list is null, as Go writes it.
        let list = |list: Vec<Value>| if list.is_empty() { Value::Null } else { list.into() };
        let encoded = list(encoded.into_iter().map(Value::from).collect());
        answers.insert(format!("/block?height={height}"), json!({ "block": { "data": { "txs": encoded } } }));
        answers.insert(format!("/block_results?height={height}"), json!({ "txs_results": list(results) }));
    }
    answers
}

/// Serves these answers on a port of its own until the tests end; answers with its address.
fn serve(answers: BTreeMap<String, Value>) -> String {
    serve_at("127.0.0.1:0", answers)
}

fn serve_at(listen: &str, answers: BTreeMap<String, Value>) -> String {
    let listener = TcpListener::bind(listen).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answers = Arc::new(answers);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answers = Arc::clone(&answers);
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let Some(Ok(request)) = lines.next() else { return };
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                let path = request.split(' ').nth(1).unwrap();
                let body = match answers.get(path) {
                    Some(result) => json!({ "result": result }),
                    None => json!({ "error": { "data": format!("the stand-in does not know {path}") } }),
                };
                let body = body.to_string();
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
                stream.write_all((head + &body).as_bytes()).unwrap();
            });
        }
    });
    address
}

fn replay(args: &[&str]) -> (i32, String, String) {
    run(dseq(&["plugin", "replay"]).args(args))
}

fn report(args: &[&str]) -> Value {
    let (code, stdout, stderr) = replay(&[args, &["--json"]].concat());
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

#[test]
fn what_would_change_is_counted_and_shown() {
    let (_dir, path) = file();
    let rpc = serve(answers());
    let plugin = format!("new={}", text(&path));
    let found = report(&["--rpc", &rpc, "--plugin", &plugin]);
    assert_eq!((&found["from"], &found["to"], &found["transactions"]), (&2.into(), &4.into(), &5.into()));
    assert_eq!(found["accepted"], json!({ "committed": 4, "candidate": 4 }));
    assert_eq!(
        (&found["same"], &found["other_record"], &found["newly_accepted"]),
        (&2.into(), &1.into(), &1.into())
    );
    assert_eq!(found["newly_rejected"], json!([{ "codespace": "plugin/new", "code": 7, "count": 1 }]));
    let first = &found["differences"][0];
    assert_eq!((&first["height"], &first["position"]), (&2.into(), &1.into()));
    assert_eq!(first["committed"], json!({ "verdict": "accepted", "record_hex": "7e" }));
    assert_eq!(first["candidate"], json!({ "verdict": "accepted", "record_hex": "77617665" }));

    let (code, stdout, _) = replay(&["--rpc", &rpc, "--plugin", &plugin, "--differences", "2"]);
    assert_eq!(code, 0);
    for words in [
        "5 transactions of the heights 2 to 4, through new {}\n",
        "  plugin/new, code 7",
        "first 2 of 3 differences\n",
        "height 4, transaction 0: \"!\"\n  committed  accepted\n  candidate  rejected   by new, code 7: no shouting",
    ] {
        assert!(stdout.contains(words), "{words:?} is not in {stdout}");
    }
    assert!(!stdout.contains("no questions"), "only two were asked for: {stdout}");

    let found = report(&["--rpc", &rpc, "--plugin", &plugin, "--from", "2", "--to", "3"]);
    assert_eq!((&found["transactions"], &found["same"]), (&2.into(), &1.into()));
}

#[test]
fn the_pipeline_of_a_genesis_is_replayed_as_it_stands() {
    let (dir, _) = file();
    let rpc = serve(answers());
    let file = dir.path().join("genesis.json");
    fs::write(&file, whole(&moody_genesis())).unwrap();
    let found = report(&["--rpc", &rpc, "--genesis", text(&file)]);
    assert_eq!((&found["candidate"][0]["name"], &found["other_record"]), (&"moody".into(), &1.into()));
    // Without plugins everything is accepted as it is.
    fs::write(&file, whole(&genesis(&json!([])))).unwrap();
    let found = report(&["--rpc", &rpc, "--genesis", text(&file)]);
    assert_eq!((&found["candidate"], &found["same"]), (&json!([]), &4.into()));
    // What it pins but does not carry is looked for in the home.
    let hash = dseq::types::PluginHash::of(&moody()).to_string();
    fs::write(&file, whole(&genesis(&json!([{ "name": "moody", "sha256": hash }])))).unwrap();
    let home = home(dir.path(), &rpc);
    let found = report(&["--home", text(&home), "--genesis", text(&file)]);
    assert_eq!((&found["candidate"][0]["name"], &found["other_record"]), (&"moody".into(), &1.into()));
}

#[test]
fn a_node_is_reached_by_ipv6_too() {
    let (code, _, stderr) = replay(&["--rpc", "http://::1:26657", "--plugin", "new=x.wasm"]);
    assert_eq!((code, stderr.contains("in brackets: http://[::1]:26657")), (2, true), "{stderr}");
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("skipped: this machine has no IPv6");
        return;
    }
    let (dir, path) = file();
    let plugin = format!("new={}", text(&path));
    for listen in ["[::1]:0", "[::]:0"] {
        let rpc = serve_at(listen, answers());
        let home = home(dir.path(), &rpc);
        let found = report(&["--home", text(&home), "--plugin", &plugin]);
        assert_eq!(found["transactions"], 5);
        let port = rpc.rsplit_once(':').unwrap().1;
        let found = report(&["--rpc", &format!("http://[::1]:{port}/"), "--plugin", &plugin]);
        assert_eq!(found["transactions"], 5);
    }
}

fn whole(app_state: &Value) -> String {
    json!({ "chain_id": "x", "app_state": app_state }).to_string()
}

/// A home that says where the RPC is, and holds the sequence and the plugin.
fn home(dir: &Path, rpc: &str) -> std::path::PathBuf {
    let home = dir.join("home");
    for folder in ["config", "sequence", "plugins"] {
        fs::create_dir_all(home.join(folder)).unwrap();
    }
    let laddr = rpc.replace("http://", "tcp://");
    fs::write(home.join("config/config.toml"), format!("[rpc]\nladdr = \"{laddr}\"\n")).unwrap();
    fs::write(home.join("config/genesis.json"), whole(&moody_genesis())).unwrap();
    fs::write(home.join("plugins/moody.wasm"), moody()).unwrap();
    fs::write(home.join("sequence/sequence.bin"), "hello~!hello").unwrap();
    home
}

#[test]
fn a_home_says_where_the_node_is_and_has_its_records() {
    let (dir, path) = file();
    let mut answers = answers();
    answers.retain(|path, _| !path.starts_with("/abci_query"));
    let rpc = serve(answers);
    let home = home(dir.path(), &rpc);
    let plugin = format!("new={}", text(&path));
    let found = report(&["--home", text(&home), "--plugin", &plugin]);
    assert_eq!((&found["same"], &found["other_record"]), (&2.into(), &1.into()));
    let (code, _, stderr) = replay(&["--rpc", &rpc, "--plugin", &plugin]);
    assert!(code == 1 && stderr.contains("the stand-in does not know /abci_query"), "{stderr}");
    fs::write(home.join("sequence/sequence.bin"), "hel").unwrap();
    let (code, _, stderr) = replay(&["--home", text(&home), "--plugin", &plugin]);
    assert!(
        code == 1 && stderr.contains("has no record of 5 bytes at offset 0; is it the home of another node?"),
        "{stderr}"
    );
}

/// Another version of a plugin is replayed under the params that the network has, not under none.
#[test]
fn a_plugin_of_the_same_name_is_told_the_params_of_the_network() {
    let (dir, path) = file();
    let rpc = serve(answers());
    let home = home(dir.path(), &rpc);
    let hash = dseq::types::PluginHash::of(&moody()).to_string();
    let pinned = json!([{ "name": "moody", "sha256": hash, "params": { "a": 1 } }]);
    fs::write(home.join("config/genesis.json"), whole(&genesis(&pinned))).unwrap();
    let home = text(&home);
    let (same, other) = (format!("moody={}", text(&path)), format!("other={}", text(&path)));
    // It takes none but {}.
    let (code, _, stderr) = replay(&["--home", home, "--plugin", &same]);
    assert!(code == 1 && stderr.contains(r#"plugin moody: refuses its params {"a":1}"#), "{stderr}");
    for args in [vec!["--plugin", &other], vec!["--plugin", &same, "--params", "{}"]] {
        let found = report(&[&["--home", home], &args[..]].concat());
        assert_eq!(found["candidate"][0]["params"], json!({}), "{found}");
    }
}

#[test]
fn a_replay_that_cannot_be_is_refused_with_the_reason() {
    let (_dir, path) = file();
    let rpc = serve(answers());
    let plugin = format!("new={}", text(&path));
    for (args, expected, words) in [
        (vec!["--plugin", &plugin], 2, "no node is given; use --home or --rpc"),
        (vec!["--rpc", &rpc], 2, "no plugins are given; use --plugin NAME=FILE or --genesis FILE"),
        (vec!["--rpc", "https://x", "--plugin", &plugin], 2, "must begin with http://"),
        (
            vec!["--rpc", &rpc, "--plugin", &plugin, "--from", "1"],
            1,
            "the blocks from height 2 to 4, not those from 1 to 4",
        ),
        (
            vec!["--rpc", &rpc, "--plugin", &plugin, "--from", "4", "--to", "3"],
            2,
            "--from 4 comes after --to 3",
        ),
        (
            vec!["--rpc", "http://127.0.0.1:1", "--plugin", &plugin],
            1,
            "cannot reach the node; replay needs a running one\n  caused by: no answer from http://127.0.0.1:1/status",
        ),
        (vec!["--home", "/nowhere", "--plugin", &plugin], 78, "no node home at /nowhere"),
    ] {
        let (code, _, stderr) = replay(&args);
        assert!(code == expected && stderr.contains(words), "{args:?}: {code} {stderr}");
    }
}
