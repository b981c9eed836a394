//! The plugins of this repository as files: the same bytes wherever they are built, and the ones that are pinned.
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use dseq::types::PluginHash;
use serde_json::Value;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where `make plugins` puts a plugin.
pub(crate) fn path(plugin: &str) -> PathBuf {
    let dir = env::var_os("DSEQ_PLUGIN_DIR").map_or_else(|| root().join("build/plugins"), PathBuf::from);
    dir.join(format!("{plugin}.wasm"))
}

/// The bytes of a plugin, as `make plugins` built it.
pub(crate) fn built(plugin: &str) -> Vec<u8> {
    let path = path(plugin);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make plugins`", path.display()))
}

/// The plugins that the repository pins, and their hashes.
pub(crate) fn locked() -> Vec<(String, PluginHash)> {
    let lock = fs::read_to_string(root().join("plugins/plugins.lock")).unwrap();
    let lines = lock.lines().filter(|line| !line.starts_with('#'));
    let plugins = lines.map(|line| {
        let (hash, file) = line.split_once("  ").expect("the format of sha256sum");
        (file.strip_suffix(".wasm").expect("a plugin's file").to_owned(), hash.parse().unwrap())
    });
    plugins.collect()
}

#[test]
fn the_built_plugins_are_the_locked_ones() {
    for (plugin, hash) in locked() {
        let found = PluginHash::of(&built(&plugin));
        assert_eq!(found, hash, "{plugin}: run `make plugins`; if it is built, plugins.lock is old");
    }
}

#[test]
fn every_plugin_is_locked() {
    let mut folders: Vec<String> = fs::read_dir(root().join("plugins"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    folders.sort();
    assert_eq!(locked().into_iter().map(|(plugin, _)| plugin).collect::<Vec<_>>(), folders);
}

/// Both run on the machine that builds, and so could give each machine other bytes.
#[test]
fn what_plugins_are_made_of_has_neither_build_script_nor_procedural_macro() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        "wasm32-unknown-unknown",
    ]);
    let output = cargo.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let items = |value: &Value| value.as_array().unwrap().clone();
    let (packages, nodes) = (items(&metadata["packages"]), items(&metadata["resolve"]["nodes"]));
    let by_id = |all: &[Value], id: &Value| all.iter().find(|one| one["id"] == *id).unwrap().clone();
    for (plugin, _) in locked() {
        let mut seen = vec![packages.iter().find(|one| one["name"] == *plugin).unwrap()["id"].clone()];
        let mut next = 0;
        while next < seen.len() {
            let id = seen[next].clone();
            for target in items(&by_id(&packages, &id)["targets"]) {
                let kinds = items(&target["kind"]);
                let runs = kinds.iter().any(|kind| kind == "custom-build" || kind == "proc-macro");
                assert!(!runs, "{plugin} is made of {id}, which has a {kinds:?}");
            }
            for dependency in items(&by_id(&nodes, &id)["deps"]) {
                let is_normal = items(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
                if is_normal && !seen.contains(&dependency["pkg"]) {
                    seen.push(dependency["pkg"].clone());
                }
            }
            next += 1;
        }
        assert!(seen.len() > 1, "{plugin} is made of the SDK at least");
    }
}

#[test]
fn another_folder_builds_the_same_bytes() {
    let temp = tempfile::tempdir().unwrap();
    let copy = temp.path().join("some where else");
    copy_sources(&root(), &copy);
    let out = temp.path().join("out");
    let mut build = Command::new(copy.join("plugins/build.sh"));
    build.arg(&out).current_dir("/").stdout(Stdio::null());
    for (name, _) in env::vars().filter(|(name, _)| name.starts_with("CARGO_") && name != "CARGO_HOME") {
        build.env_remove(name);
    }
    // A flag of the caller's that would change the bytes, were it not ignored.
    build.env("RUSTFLAGS", "-Copt-level=0").env("CARGO_PROFILE_PLUGIN_OPT_LEVEL", "0");
    assert!(build.status().unwrap().success());
    for (plugin, hash) in locked() {
        assert_eq!(PluginHash::of(&fs::read(out.join(format!("{plugin}.wasm"))).unwrap()), hash, "{plugin}");
    }
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
