//! The default plugin as it is shipped: its bytes, its verdicts, its fuel.
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use bytes::Bytes;
use dseq::plugin::{Limits, Pipeline};
use dseq::types::{PluginHash, TxHash};

use super::{admit, apply, params, record, refusal, spec};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn built() -> Vec<u8> {
    let dir = env::var_os("DSEQ_PLUGIN_DIR").map_or_else(|| root().join("build/plugins"), PathBuf::from);
    let path = dir.join("passthrough.wasm");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make plugins`", path.display()))
}

/// The hash that the repository pins.
fn locked() -> PluginHash {
    let lock = fs::read_to_string(root().join("plugins/plugins.lock")).unwrap();
    let hash = lock.lines().find_map(|line| line.strip_suffix("  passthrough.wasm")).expect("its line");
    hash.parse().unwrap()
}

fn passthrough() -> Pipeline {
    admit(Limits::default(), &[built()]).unwrap()
}

#[test]
fn the_built_plugin_is_the_locked_one() {
    assert_eq!(PluginHash::of(&built()), locked(), "run `make plugins`; if it is built, plugins.lock is old");
}

#[test]
fn another_folder_builds_the_same_bytes() {
    let temp = tempfile::tempdir().unwrap();
    let copy = temp.path().join("some where else");
    copy_sources(&root(), &copy);
    let out = temp.path().join("out");
    let mut build = Command::new(copy.join("plugins/build.sh"));
    build.arg(&out).current_dir("/");
    for (name, _) in env::vars().filter(|(name, _)| name.starts_with("CARGO_") && name != "CARGO_HOME") {
        build.env_remove(name);
    }
    // A flag of the caller's that would change the bytes, were it not ignored.
    build.env("RUSTFLAGS", "-Copt-level=0").env("CARGO_PROFILE_PLUGIN_OPT_LEVEL", "0");
    assert!(build.status().unwrap().success());
    assert_eq!(PluginHash::of(&fs::read(out.join("passthrough.wasm")).unwrap()), locked());
}

/// Copies the repository without what was built from it.
fn copy_sources(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (name, kind) = (entry.file_name(), entry.file_type().unwrap());
        if ["target", "build", ".git"].iter().any(|skipped| name == *skipped) {
            continue;
        }
        if kind.is_dir() {
            copy_sources(&entry.path(), &to.join(name));
        } else if kind.is_file() {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

#[test]
fn every_transaction_is_its_own_record() {
    let pipeline = passthrough();
    for len in [1, 2, 255, 16 << 10, (16 << 10) + 1, 70_000, 1 << 20] {
        let tx = Bytes::from(vec![0xab; len]);
        let outcome = pipeline.apply(&TxHash::of(&tx), &tx).unwrap();
        assert_eq!(record(outcome).as_ptr(), tx.as_ptr(), "{len} bytes");
    }
}

/// Fuel is part of every transaction's result. A change here forks the networks that run this plugin.
#[test]
fn its_fuel_is_fixed() {
    let pipeline = passthrough();
    let fuel = [b"x".as_slice(), &[7; 256], &[7; 20_000]].map(|tx| apply(&pipeline, tx).fuel.0);
    assert_eq!(fuel, [52, 52, 510]);
}

#[test]
fn params_are_refused() {
    let wasm = built();
    let mut spec = spec(Limits::default(), std::slice::from_ref(&wasm));
    spec.plugins[0].params = params(r#"{"max": 3}"#);
    assert_eq!(
        refusal(Pipeline::admit(spec, &[wasm])).to_string(),
        "plugin p0: refuses its params {\"max\":3}: passthrough takes no params; write {} (code 1)"
    );
}
