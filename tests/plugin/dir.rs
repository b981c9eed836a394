//! The folder a node finds its plugins in.
use std::fs;
use std::os::unix::fs::symlink;

use dseq::plugin::{PluginDir, PluginDirError};
use dseq::types::PluginHash;

use super::name;

#[test]
fn a_plugin_is_found_by_its_hash_whatever_its_file_is_called() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("a.wasm"), b"one").unwrap();
    fs::write(temp.path().join("zz.wasm"), b"two").unwrap();
    let dir = PluginDir::new(temp.path());
    assert_eq!(dir.find(&PluginHash::of(b"two")).unwrap(), b"two");
    assert_eq!(dir.find(&PluginHash::of(b"one")).unwrap(), b"one");
}

#[test]
fn a_missing_plugin_is_named_with_the_folder_and_all_that_is_there() {
    let temp = tempfile::tempdir().unwrap();
    let dir = PluginDir::new(temp.path());
    let wanted = PluginHash::of(b"wanted");
    let here = temp.path().display();
    let words = |dir: &PluginDir| dir.find(&wanted).unwrap_err().to_string();
    assert_eq!(
        words(&dir),
        format!(
            "no file in {here} has sha256 {wanted}, which genesis pins; there is no .wasm file there; \
             put the plugin's .wasm file there"
        )
    );

    fs::write(temp.path().join("b.wasm"), b"two").unwrap();
    fs::write(temp.path().join("a.wasm"), b"one").unwrap();
    fs::write(temp.path().join("notes.txt"), b"wanted").unwrap();
    fs::create_dir(temp.path().join("c.wasm")).unwrap();
    fs::File::create(temp.path().join("d.wasm")).unwrap().set_len((4 << 20) + 1).unwrap();
    symlink("nowhere", temp.path().join("e.wasm")).unwrap();
    let (one, two) = (PluginHash::of(b"one"), PluginHash::of(b"two"));
    assert_eq!(
        words(&dir),
        format!(
            "no file in {here} has sha256 {wanted}, which genesis pins; found a.wasm with sha256 {one}, \
             b.wasm with sha256 {two}, c.wasm (not a regular file), d.wasm (larger than 4194304 bytes), \
             e.wasm (No such file or directory (os error 2)); put the plugin's .wasm file there"
        )
    );
}

#[test]
fn a_folder_that_is_not_there_holds_no_plugin() {
    let dir = PluginDir::new("/nonexistent/plugins");
    assert!(
        matches!(dir.find(&PluginHash::of(b"")), Err(PluginDirError::NotFound { found, .. }) if found.is_empty())
    );
}

#[test]
fn what_is_stored_is_found_and_named_after_its_hash() {
    let temp = tempfile::tempdir().unwrap();
    let dir = PluginDir::new(temp.path().join("home/plugins"));
    let path = dir.store(&name("lines"), b"abc").unwrap();
    assert_eq!(path, dir.path().join("lines-ba7816bf8f01.wasm"));
    assert_eq!(dir.store(&name("lines"), b"abc").unwrap(), path, "storing again is fine");
    assert_eq!(dir.find(&PluginHash::of(b"abc")).unwrap(), b"abc");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left behind");

    let error = dir.store(&name("lines"), &vec![0; (4 << 20) + 1]).unwrap_err();
    assert_eq!(error.to_string(), "the plugin is 4194305 bytes; at most 4194304 are allowed");
}
