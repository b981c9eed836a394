//! The same plugins and transactions on other engines: the same verdict, the same output, the same class of fault; and the
//! same fuel wherever wasmtime is below, however it compiles.
//!
//! All run the module that the product compiles, instrumentation and all, through a second host for the ABI (`driver`).
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic, as its tests may")]

mod compare;
mod driver;
#[path = "../hostile/generated.rs"]
mod generated;
mod interpreter;
mod native;
#[path = "../support/noise.rs"]
mod noise;
mod random;
#[path = "../support/smith.rs"]
mod smith;
#[path = "../hostile/suite.rs"]
mod suite;

use std::path::{Path, PathBuf};
use std::{env, fs};

use bytes::Bytes;
use compare::{Panel, Plugin};
use dseq::plugin::{CanonicalJson, Limits};
use suite::Expected;

#[test]
fn hostile_plugins_end_alike_on_every_engine() {
    let panel = Panel::new();
    for hostile in suite::all() {
        let Expected::Endings(endings) = &hostile.expected else { continue };
        let txs: Vec<Bytes> = endings.iter().map(|(tx, _)| tx.clone()).collect();
        let plugin = told_nothing(&hostile.name, &hostile.wasm);
        let tally = panel.compare(&plugin, &txs).unwrap_or_else(|differs| panic!("{differs}"));
        assert_eq!(tally.judged(), txs.len(), "{} is not admitted", hostile.name);
    }
}

/// What the hostile modules do before there is a transaction.
#[test]
fn plugins_that_fail_at_init_do_so_on_every_engine() {
    let panel = Panel::new();
    let mut failed = 0;
    for hostile in suite::all() {
        let Expected::Refused(words) = &hostile.expected else { continue };
        let plugin = told_nothing(&hostile.name, &hostile.wasm);
        let tally = panel.compare(&plugin, &[]).unwrap_or_else(|differs| panic!("{differs}"));
        failed += tally.init_failed;
        assert_eq!(tally.init_failed + tally.not_admitted, 1, "{}: {words}", hostile.name);
    }
    assert!(failed >= 8, "only {failed} failed at init");
}

#[test]
fn the_gallery_judges_alike_on_every_engine() {
    let panel = Panel::new();
    let mut judged = 0;
    for (name, wasm) in gallery() {
        for (params, mut txs) in told(&name) {
            txs.extend(anything(&name));
            let plugin = Plugin { params: &params, ..told_nothing(&name, &wasm) };
            let tally = panel.compare(&plugin, &txs).unwrap_or_else(|differs| panic!("{differs}"));
            assert_eq!(tally.not_admitted, 0, "{name}: {params}");
            judged += tally.judged();
        }
    }
    assert!(judged > 0);
}

/// A plugin whose params are `{}`.
fn told_nothing<'a>(name: &'a str, wasm: &'a [u8]) -> Plugin<'a> {
    Plugin { name, wasm, params: "{}", limits: Limits::default(), shows_nans: name == "nan-bits" }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The plugins of this repository, as `make plugins` built them.
fn gallery() -> Vec<(String, Vec<u8>)> {
    let dir = env::var_os("DSEQ_PLUGIN_DIR").map_or_else(|| root().join("build/plugins"), PathBuf::from);
    let lock = fs::read_to_string(root().join("plugins/plugins.lock")).unwrap();
    let names = lock.lines().filter_map(|line| line.split_once("  ")?.1.strip_suffix(".wasm"));
    let plugins = names.map(|name| {
        let path = dir.join(format!("{name}.wasm"));
        let wasm = fs::read(&path);
        let wasm = wasm.unwrap_or_else(|error| panic!("{}: {error}; run `make plugins`", path.display()));
        (name.to_owned(), wasm)
    });
    plugins.collect()
}

/// What a plugin's golden files tell it: params, and transactions. A plugin without any is told `{}`.
fn told(name: &str) -> Vec<(String, Vec<Bytes>)> {
    let Ok(files) = fs::read_dir(root().join("plugins").join(name).join("goldens")) else {
        return vec![("{}".to_owned(), Vec::new())];
    };
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    files.iter().map(|path| golden(&fs::read_to_string(path).unwrap())).collect()
}

fn golden(text: &str) -> (String, Vec<Bytes>) {
    let table: toml::Table = text.parse().unwrap();
    let params =
        table.get("params").map_or(serde_json::json!({}), |params| serde_json::to_value(params).unwrap());
    let cases = table.get("case").and_then(|cases| cases.as_array()).into_iter().flatten();
    let txs = cases.map(|case| match (case.get("tx"), case.get("tx_hex")) {
        (Some(tx), _) => Bytes::from(tx.as_str().unwrap().to_owned()),
        (_, Some(digits)) => {
            let digits = digits.as_str().unwrap();
            Bytes::from(data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).unwrap())
        }
        _ => panic!("a case without a transaction"),
    });
    (CanonicalJson::new(&params).unwrap().as_str().to_owned(), txs.collect())
}

/// Transactions for any plugin: what tempts parsers, and noise of many lengths.
fn anything(name: &str) -> Vec<Bytes> {
    let mut txs: Vec<Bytes> = [
        "a",
        "0x",
        "0xDEADBEEF",
        "0xdeadbee",
        "line\n",
        "two\nlines\n",
        "\r\n",
        "{}",
        "{\"b\":1.0,\"a\":[1e400,-0]}",
        "[[[[[[[[[[]]]]]]]]]]",
        "\"\\ud800\"",
        "\"\\u0000\"",
        "-1.5e-7",
        "1e-400",
        "123456789012345678901234567890",
        "null",
        "\u{feff}{}",
        "\u{1F600}",
    ]
    .map(|text| Bytes::from_static(text.as_bytes()))
    .into();
    txs.extend([&b"\xff"[..], b"\0", b"\xed\xa0\x80"].map(Bytes::from_static));
    txs.push(Bytes::from("[".repeat(10_000)));
    txs.push(Bytes::from(vec![b'7'; 1 << 20]));
    let mut noise = noise::Noise::new(name.len() as u64);
    txs.extend([1, 2, 31, 32, 33, 63, 64, 65, 1_000, 65_536].map(|len| Bytes::from(noise.bytes(len))));
    txs
}
