//! A home that other users could open is refused, with the command that closes it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use dseq::node::engine::cometbft::VERSION;

use super::supervisor::{Supervisor, children, said, stand_in, stop};
use super::{dseq, home, run, text};

#[test]
fn a_home_or_key_that_others_could_open_is_refused_until_it_is_closed() {
    let home = home();
    let key = home.path().join("config/priv_validator_key.json");
    fs::write(&key, "{}").unwrap();
    // A key without the record of what it signed is refused for itself.
    fs::create_dir(home.path().join("data")).unwrap();
    fs::write(home.path().join("data/priv_validator_state.json"), "{\"height\":\"0\"}").unwrap();
    let cometbft = stand_in(home.path(), VERSION, "exec sleep 1000");
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(&key, 0o644);
    mode(home.path(), 0o755);

    let mut supervisor = Supervisor::start(home.path(), &cometbft);
    assert_eq!(supervisor.exit_code(), Some(78));
    let (root, file) = (text(home.path()), text(&key));
    let expected = format!(
        "other users of this machine can open private files of this node: {root} has mode 0755 (at most 0700), {file} \
         has mode 0644 (at most 0600); run: chmod 700 {root} && chmod 600 {file}"
    );
    assert!(said(home.path()).contains(&expected), "{}", said(home.path()));
    let (code, stdout, _) = run(&mut dseq(&["config", "check", "--home", root]));
    assert_eq!((code, stdout), (1, format!("{expected}\n")));

    let (_, command) = expected.split_once("run: ").unwrap();
    assert!(Command::new("sh").args(["-c", command]).status().unwrap().success());
    let supervisor = Supervisor::start(home.path(), &cometbft);
    children(home.path(), &[]);
    stop(supervisor);
}
