//! Paths and addresses that a node cannot use are refused in words, before anything is made or tried twice.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use dseq::node::engine::cometbft::VERSION;

use super::supervisor::stand_in;
use super::{dseq, fill, home, run, text};

#[test]
fn an_abci_address_that_cometbft_cannot_be_told_is_refused_wherever_it_was_set() {
    let home = home();
    let cometbft = stand_in(home.path(), VERSION, "exec sleep 1000");
    let long = format!("unix:///{}", "x".repeat(107));
    for (address, words) in [
        ("tcp://127.0.0.1:0", "tcp://host:port, the port from 1 to 65535"),
        (long.as_str(), "is 108 bytes long, and the system takes at most 107"),
    ] {
        for subcommand in ["start", "serve"] {
            let command = || {
                let mut command = dseq(&[subcommand, "--home", text(home.path())]);
                command.env("DSEQ_COMETBFT", &cometbft);
                command
            };
            let (code, _, stderr) = run(command().args(["--abci", address]));
            assert_eq!((code, stderr.contains(words)), (2, true), "{stderr}");
            let (code, _, stderr) = run(command().env("DSEQ_ABCI", address));
            assert_eq!((code, stderr.contains(words)), (78, true), "{stderr}");
            fs::write(home.path().join("dseq.toml"), format!("abci = {address:?}\n")).unwrap();
            let (code, _, stderr) = run(&mut command());
            assert_eq!((code, stderr.contains(words)), (78, true), "{stderr}");
            fs::remove_file(home.path().join("dseq.toml")).unwrap();
        }
    }
}

#[test]
fn a_socket_path_that_is_too_long_even_in_the_temporary_folder_is_refused_with_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("h".repeat(100));
    fill(&home);
    let temporary = dir.path().join("t".repeat(100));
    fs::create_dir(&temporary).unwrap();
    let cometbft = stand_in(dir.path(), VERSION, "exec sleep 1000");
    for subcommand in ["start", "serve"] {
        let mut command = dseq(&[subcommand, "--home", text(&home)]);
        let (code, _, stderr) = run(command.env("TMPDIR", &temporary).env("DSEQ_COMETBFT", &cometbft));
        assert_eq!(code, 78, "{stderr}");
        assert!(
            stderr.contains("bytes, and the system takes at most 107; use a home with a shorter path"),
            "{stderr}"
        );
    }
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0);
}

#[test]
fn a_home_whose_path_does_not_reach_cometbft_as_it_is_is_refused_by_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let cometbft = stand_in(dir.path(), VERSION, "exit 1");
    for (name, why) in [
        (OsStr::from_bytes(b"n\xf8de"), "its path is not valid UTF-8"),
        (OsStr::new("a$b"), "CometBFT takes a `$` in a path for the name of a variable"),
    ] {
        let refused = |arguments: &[&str], flag: &str, path: &Path| {
            let mut command = dseq(arguments);
            let output = command.env("DSEQ_COMETBFT", &cometbft).arg(flag).arg(path).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(78), "{arguments:?}: {said}");
            assert!(
                said.contains("cannot be a node's home: ") && said.contains(why),
                "{arguments:?}: {said}"
            );
        };
        let new = dir.path().join("new").join(name);
        refused(&["init", "--solo"], "--home", &new);
        refused(&["testnet", "start"], "--dir", &new);
        assert!(!dir.path().join("new").exists());

        let there = dir.path().join(name);
        fs::create_dir_all(there.join("config")).unwrap();
        fs::write(there.join("config/genesis.json"), "{}").unwrap();
        for arguments in [
            &["start"][..],
            &["serve"],
            &["checksum"],
            &["config", "show"],
            &["genesis", "show"],
            &["genesis", "verify"],
            &["genesis", "set", "--limit", "fuel_max=1"],
            &["plugin", "replay", "--plugin", "x=x.wasm"],
        ] {
            refused(arguments, "--home", &there);
        }
    }
}

/// Tries to make a home, with a CometBFT that fails, so that nothing may be left.
fn init(dir: &Path, home: &Path) -> (i32, String) {
    let cometbft = stand_in(dir, VERSION, "echo no luck >&2; exit 1");
    let plugin = dir.join("x.wasm");
    fs::write(&plugin, wat::parse_str("(module)").unwrap()).unwrap();
    let mut command = dseq(&["init", "--solo", "--plugin", &format!("x={}", text(&plugin)), "--home"]);
    let (code, _, stderr) = run(command.arg(home).env("DSEQ_COMETBFT", cometbft));
    (code, stderr)
}

fn names(dir: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

#[test]
fn init_names_what_is_in_the_way_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    for name in ["lost+found", "b", "a", "d", "c"] {
        fs::create_dir_all(home.join(name)).unwrap();
    }
    let (code, said) = init(dir.path(), &home);
    let expected = format!(
        "error: {} is there already, with \"a\", \"b\", \"c\" and 1 more in it; nothing was changed. Choose another \
         folder, or move it away\n",
        text(&home)
    );
    assert_eq!((code, said), (1, expected));
    assert_eq!(names(&home).len(), 5);
    let (code, said) = init(dir.path(), &home.join("../x.wasm"));
    assert_eq!(code, 1);
    assert!(said.contains("x.wasm is there already and is no folder"), "{said}");
}

#[test]
fn an_init_that_fails_leaves_nothing_of_what_it_made() {
    let dir = tempfile::tempdir().unwrap();
    let there = dir.path().join("there");
    fs::create_dir_all(there.join("lost+found")).unwrap();
    fs::set_permissions(&there, fs::Permissions::from_mode(0o755)).unwrap();
    for home in [dir.path().join("new/of/this"), there.clone()] {
        let (code, said) = init(dir.path(), &home);
        assert_eq!(code, 1, "{said}");
        assert!(!dir.path().join("new").exists());
        assert_eq!(names(&there), [there.join("lost+found")]);
    }
}

#[test]
fn init_where_nothing_can_be_made_says_so_before_cometbft_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    // Not even root may make a folder here.
    let (code, said) = init(dir.path(), Path::new("/proc/self/home"));
    assert_eq!(code, 1);
    assert!(said.starts_with("error: cannot make a folder for /proc/"), "{said}");
    assert!(said.contains("nothing was changed\n  caused by: "), "{said}");
}
