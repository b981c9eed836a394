//! The plugins of this repository, and the transactions they are run on.

use std::path::{Path, PathBuf};
use std::{env, fs};

use bytes::Bytes;
use dseq::plugin::CanonicalJson;

use super::noise::Noise;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The plugins of this repository, as `make plugins` built them.
pub(crate) fn built() -> Vec<(String, Vec<u8>)> {
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

/// The params and transactions of a plugin's golden files. A plugin without any gets the params `{}`.
pub(crate) fn golden_inputs(name: &str) -> Vec<(String, Vec<Bytes>)> {
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
    (CanonicalJson::parse(&params.to_string()).unwrap().as_str().to_owned(), txs.collect())
}

/// Transactions for any plugin: what tempts parsers, and noise of many lengths.
pub(crate) fn anything(name: &str) -> Vec<Bytes> {
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
    let mut noise = Noise::new(name.len() as u64);
    let len = 1 + noise.below(100_000);
    txs.extend([1, 2, 31, 32, 33, 63, 64, 65, len].map(|len| Bytes::from(noise.bytes(len))));
    txs
}
