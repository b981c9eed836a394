//! `dseq plugin new` and `build`: from nothing to a plugin that a network takes.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::super::{dseq, run, text};

/// Without what the cargo that runs these tests has set for them: people's shells do not have it.
pub(super) fn plain(mut command: Command, dir: &Path) -> Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_") && name != "CARGO_HOME") {
        command.env_remove(name);
    }
    command.env_remove("RUSTUP_TOOLCHAIN").current_dir(dir);
    command
}

#[test]
fn a_new_project_tests_builds_and_is_admitted_as_it_is() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("price-feed");
    let (code, stdout, stderr) = run(&mut dseq(&["plugin", "new", text(&dir)]));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with(&format!("created {}\n", text(&dir))), "{stdout}");

    let mut cargo = plain(Command::new("cargo"), &dir);
    let (code, stdout, stderr) = run(cargo.args(["test", "--locked", "--offline", "--lib"]));
    assert!(code == 0 && stdout.contains("3 passed"), "{stdout}{stderr}");
    let (code, stdout, stderr) = run(plain(Command::new("cargo"), &dir).args(["fmt", "--check"]));
    assert_eq!(code, 0, "formatting the project would change it: {stdout}{stderr}");
    let here = |args: &[&str]| run(&mut plain(dseq(args), &dir));
    let (code, stdout, stderr) = here(&["plugin", "build", "--json"]);
    assert_eq!(code, 0, "{stderr}");
    let built: Value = serde_json::from_str(&stdout).unwrap();
    let wasm = built["path"].as_str().unwrap();
    assert!(wasm.ends_with("price-feed/build/plugins/price-feed.wasm"), "{wasm}");
    let (_, hash, _) = run(&mut dseq(&["plugin", "hash", wasm]));
    assert!(hash.starts_with(built["sha256"].as_str().unwrap()), "{hash}");
    let (code, stdout, stderr) = here(&["plugin", "check", wasm]);
    assert!(code == 0 && stdout.contains(" is admitted\n"), "{stderr}");
    let (_, stdout, _) = here(&["plugin", "inspect", "--json", wasm]);
    let found: Value = serde_json::from_str(&stdout).unwrap();
    let metadata = &found["metadata"];
    assert_eq!((&metadata["name"], &metadata["version"]), (&"price-feed".into(), &"0.1.0".into()));
    let bytes = fs::read(wasm).unwrap();
    let place = text(temp.path()).as_bytes();
    let has_place = bytes.windows(place.len()).any(|window| window == place);
    assert!(!has_place, "the folder's path is in the plugin");

    // The goldens come without fuel, which the compiler decides; written once, they hold.
    let (code, stdout, stderr) = here(&["plugin", "test"]);
    assert!(code == 0 && stdout.ends_with("test result: ok. 4 passed; 0 failed\n"), "{stdout}{stderr}");
    let (code, stdout, _) = here(&["plugin", "test", "--update"]);
    assert!(code == 0 && stdout.ends_with("test result: ok. 1 passed; 0 failed; 3 updated\n"), "{stdout}");
    let (code, stdout, _) = here(&["plugin", "test"]);
    assert!(code == 0 && stdout.ends_with("test result: ok. 4 passed; 0 failed\n"), "{stdout}");
    same_bytes_elsewhere(temp.path(), &built);
}

/// With flags that would change the bytes were they not ignored, and settings of two files that would.
fn same_bytes_elsewhere(temp: &Path, built: &Value) {
    let elsewhere = temp.join("some where").join("else");
    fs::create_dir_all(&elsewhere).unwrap();
    let (code, ..) = run(&mut dseq(&["plugin", "new", "--name", "price-feed", text(&elsewhere)]));
    assert_eq!(code, 0);
    let manifest = elsewhere.join("Cargo.toml");
    let settings = "\n[profile.plugin]\ninherits = \"dev\"\nopt-level = 0\n";
    fs::write(&manifest, fs::read_to_string(&manifest).unwrap() + settings).unwrap();
    let config = "[build]\nrustc = \"/nowhere\"\nincremental = true\nrustflags = [\"-Copt-level=0\"]\nrustc-wrapper = \"/nowhere\"\n\
                  [profile.plugin]\ninherits = \"dev\"\nlto = \"off\"\n\
                  [target.wasm32-unknown-unknown]\nlinker = \"/nowhere\"\nrustflags = [\"-Copt-level=1\"]\n";
    fs::create_dir(elsewhere.join(".cargo")).unwrap();
    fs::write(elsewhere.join(".cargo/config.toml"), config).unwrap();
    let mut build = plain(dseq(&["plugin", "build", "--json", text(&elsewhere), "--out", "out"]), temp);
    build.env("RUSTFLAGS", "-Copt-level=0").env("CARGO_PROFILE_PLUGIN_LTO", "off");
    build.env("CARGO_BUILD_INCREMENTAL", "true").env("RUSTC_FORCE_RUSTC_VERSION", "another");
    let (code, stdout, stderr) = run(&mut build);
    assert_eq!(code, 0, "{stderr}");
    let again: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(again["sha256"], built["sha256"]);
    assert_eq!(again["path"].as_str().unwrap(), text(&temp.join("out/price-feed.wasm")));
}

#[test]
fn a_project_is_not_made_over_something_or_with_a_name_that_cannot_be() {
    let temp = tempfile::tempdir().unwrap();
    let new = |name: &[&str]| run(dseq(&["plugin", "new", text(temp.path())]).args(name));
    fs::write(temp.path().join("notes"), "mine").unwrap();
    let (code, _, stderr) = new(&["--name", "mine"]);
    assert!(code == 1 && stderr.contains("not an empty folder; nothing was changed"), "{stderr}");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    fs::remove_file(temp.path().join("notes")).unwrap();
    for (name, words) in [
        ("Mine", "plugin name \"Mine\" is not valid; use 1 to 32 characters of a-z, 0-9 and '-'"),
        ("../mine", "is not valid"),
        ("match", "plugin name \"match\" is reserved in Rust; choose another"),
        ("dseq-sdk", "is reserved in Rust"),
    ] {
        let (code, _, stderr) = new(&["--name", name]);
        assert!(code == 2 && stderr.contains(words), "{name}: {code} {stderr}");
    }
    let (code, _, stderr) = run(&mut dseq(&["plugin", "new", text(&temp.path().join("A b"))]));
    assert!(
        code == 2 && stderr.contains("the default is the folder's name, set another with --name"),
        "{stderr}"
    );
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_built_is_refused_with_the_reason() {
    let temp = tempfile::tempdir().unwrap();
    let build = || run(&mut plain(dseq(&["plugin", "build"]), temp.path()));
    let (code, _, stderr) = build();
    assert!(
        code == 1 && stderr.contains("has no Cargo.toml; create a project with `dseq plugin new`"),
        "{stderr}"
    );
    run(&mut plain(dseq(&["plugin", "new", ".", "--name", "mine"]), temp.path()));
    fs::write(temp.path().join("src/lib.rs"), "this is no Rust").unwrap();
    let (code, stdout, stderr) = build();
    assert!(
        code == 1 && stderr.ends_with("error: cannot build .: correct what is said above\n"),
        "{stdout}{stderr}"
    );
    assert!(stderr.contains("src/lib.rs"), "{stderr}");
    fs::remove_file(temp.path().join("Cargo.lock")).unwrap();
    let (code, _, stderr) = build();
    assert!(code == 1 && stderr.contains("/Cargo.lock; `cargo generate-lockfile` makes it"), "{stderr}");
}
