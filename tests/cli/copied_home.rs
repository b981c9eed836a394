//! A home on another machine: what docs/run/copied-home.md says, with a mount namespace for each machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use dseq::node::engine::cometbft::VERSION;

use super::supervisor::{Supervisor, children, said, stand_in, stop};
use super::{dseq, fill, public_key, run, text};

/// Gives a home the keys and the record that `dseq init` makes, with which nothing was signed yet.
pub(crate) fn give_keys(home: &Path) {
    let private = data_encoding::BASE64.encode(&[1; 64]);
    let private = serde_json::json!({ "type": "tendermint/PrivKeyEd25519", "value": private });
    let validator = serde_json::json!({ "pub_key": public_key(1), "priv_key": private });
    let nothing = serde_json::json!({ "height": "0", "round": 0, "step": 0 });
    fs::create_dir_all(home.join("data")).unwrap();
    for (name, value) in [
        ("config/priv_validator_key.json", validator),
        ("config/node_key.json", serde_json::json!({ "priv_key": private })),
        ("data/priv_validator_state.json", nothing),
    ] {
        let path = home.join(name);
        fs::write(&path, value.to_string()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// Runs `dseq` as on a machine with this id; none: this user may not pretend that.
fn on_machine(id: &Path, args: &[&str]) -> Command {
    let mut command = dseq(&[]);
    let program = command.get_program().to_owned();
    let mut inside = Command::new("unshare");
    inside.args([
        "-m",
        "sh",
        "-c",
        "mount --bind \"$1\" /etc/machine-id && shift && exec \"$@\"",
        "sh",
        text(id),
    ]);
    inside.arg(program).args(args);
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => inside.env(name, value),
            None => inside.env_remove(name),
        };
    }
    command = inside;
    command
}

fn may_pretend(id: &Path) -> bool {
    let mut command = on_machine(id, &["version"]);
    let may = command.output().is_ok_and(|output| output.status.success());
    if !may {
        eprintln!("SKIPPED: this user may not mount over /etc/machine-id (needs unshare, mount and root)");
    }
    may
}

#[test]
fn a_home_on_another_machine_does_not_start_until_it_is_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("node");
    fill(&home);
    give_keys(&home);
    let ids = ["1", "2"].map(|digit| {
        let path = dir.path().join(digit);
        fs::write(&path, digit.repeat(32)).unwrap();
        path
    });
    if !may_pretend(&ids[0]) {
        return;
    }
    let cometbft = stand_in(dir.path(), VERSION, "exec sleep 1000");
    let start = |id: &Path| on_machine(id, &["start", "--cometbft", text(&cometbft)]);
    let supervisor = Supervisor::with(&home, &mut start(&ids[0]));
    children(&home, &[]);
    stop(supervisor);

    let mut second = Supervisor::with(&home, &mut start(&ids[1]));
    assert_eq!(second.exit_code(), Some(78), "{}", said(&home));
    assert!(said(&home).contains("was last started on another machine"), "{}", said(&home));
    drop(second);
    let (code, stdout, _) = run(&mut on_machine(&ids[1], &["doctor", "--home", text(&home)]));
    assert!(code == 1 && stdout.contains("FAILED   machine"), "{stdout}");

    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/run/copied-home.md")).unwrap();
    let block = page.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let adopt = block.lines().next().unwrap().replace("/var/lib/dseq", text(&home));
    let words: Vec<&str> = adopt.split_whitespace().skip(1).collect();
    let (code, stdout, stderr) = run(&mut on_machine(&ids[1], &words));
    assert_eq!(code, 0, "{stdout}{stderr}");
    let third = Supervisor::with(&home, &mut start(&ids[1]));
    children(&home, &[]);
    stop(third);
}

#[test]
fn a_copy_beside_its_original_does_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let (home, copy) = (dir.path().join("node"), dir.path().join("copy"));
    fill(&home);
    give_keys(&home);
    let cometbft = stand_in(dir.path(), VERSION, "exec sleep 1000");
    let supervisor = Supervisor::start(&home, &cometbft);
    children(&home, &[]);
    stop(supervisor);
    assert!(Command::new("cp").arg("-a").args([&home, &copy]).status().unwrap().success());
    let mut second = Supervisor::start(&copy, &cometbft);
    assert_eq!(second.exit_code(), Some(78), "{}", said(&copy));
    assert!(said(&copy).contains(&format!("is a copy of {}", text(&home))), "{}", said(&copy));
    // A home that is only moved goes on.
    fs::remove_dir_all(&home).unwrap();
    drop(second);
    let third = Supervisor::start(&copy, &cometbft);
    children(&copy, &[]);
    stop(third);
}

#[test]
fn what_does_not_fit_is_no_upgrade() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("node");
    fill(&home);
    let own = env!("CARGO_BIN_EXE_dseq");
    let check = |program: &str| run(&mut dseq(&["upgrade", "check", program, "--home", text(&home)]));
    let (code, stdout, stderr) = check(own);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(stdout.contains("fits; same engine, same formats"), "{stdout}");

    let (_, version, _) = run(&mut dseq(&["version", "--json"]));
    let engine = dseq::plugin::engine_id().to_string();
    let other = stand_in(dir.path(), "unused", "");
    let script = |text: &str| {
        let script = format!("#!/bin/sh\ncat <<'END'\n{text}\nEND\n");
        let mut shell = Command::new("sh");
        shell.args(["-c", "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", &script, text_of(&other)]);
        assert!(shell.status().unwrap().success());
    };
    script(&version.replace(&engine, &"0".repeat(64)));
    let (code, stdout, _) = check(text(&other));
    assert!(code == 1 && stdout.contains("may compute other results"), "{stdout}");
    script("hello");
    let (code, _, stderr) = check(text(&other));
    assert!(code == 1 && stderr.contains("does not answer `version --json`"), "{stderr}");
}

fn text_of(path: &Path) -> &str {
    text(path)
}
