//! `dseq start` with the real app and a stand-in for CometBFT that does nothing but run.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use dseq::node::engine::cometbft::VERSION;
use dseq::node::process::ProcessId;
use rustix::process::Signal;

use super::supervisor::{Supervisor, children, said, stand_in, stop, until};
use super::{config_with, dseq, home, run, text};

#[test]
fn when_either_dies_both_are_ended_and_started_again() {
    let home = home();
    let supervisor = Supervisor::start(home.path(), &stand_in(home.path(), VERSION, "exec sleep 1000"));
    let first = children(home.path(), &[]);
    first[0].signal(Signal::KILL).unwrap();
    let second = children(home.path(), &first);
    assert!(first.iter().all(|id| !id.is_alive()), "the old CometBFT must go with its app");
    assert!(said(home.path()).contains("the app ended (signal: 9 (SIGKILL)); restarting both in 0.2 s"));

    second[1].signal(Signal::KILL).unwrap();
    children(home.path(), &second);
    assert!(second.iter().all(|id| !id.is_alive()), "the old app must go with its CometBFT");
    assert!(said(home.path()).contains("CometBFT ended (signal: 9 (SIGKILL))"), "{}", said(home.path()));
    stop(supervisor);
}

#[test]
fn a_cometbft_that_keeps_ending_is_tried_again_and_the_end_of_its_log_is_shown() {
    let home = home();
    let script = format!("echo x >> {0}/starts; echo no genesis here; exit 3", text(home.path()));
    let mut supervisor = Supervisor::start(home.path(), &stand_in(home.path(), VERSION, &script));
    until(home.path(), "third start", || {
        fs::read_to_string(home.path().join("starts")).ok().filter(|starts| starts.lines().count() >= 3)
    });
    assert_eq!(supervisor.asked_to_stop(), Some(0));
    let said = said(home.path());
    assert!(
        said.contains("CometBFT ended (exit status: 3); the end of its log:\n  no genesis here; restarting"),
        "{said}"
    );
}

#[test]
fn an_app_that_refuses_ends_the_node_with_78_and_is_not_tried_again() {
    let home = home();
    fs::create_dir(home.path().join("sequence")).unwrap();
    fs::write(home.path().join("sequence/sequence.bin"), "bytes nobody committed").unwrap();
    let mut supervisor = Supervisor::start(home.path(), &stand_in(home.path(), VERSION, "exec sleep 1000"));
    assert_eq!(supervisor.exit_code(), Some(78));
    assert_eq!(said(home.path()).matches("no commit file beside it").count(), 1, "{}", said(home.path()));
}

#[test]
fn the_app_does_not_outlive_a_supervisor_that_was_killed_and_the_next_one_takes_over() {
    let home = home();
    // The real CometBFT ends when its app does; so does this one, which waits for it.
    let pid = "$(sed -n '/\"app\"/,/}/s/.*\"pid\": \\([0-9]*\\).*/\\1/p' \"$2/run/processes.json\")";
    let script = format!("app={pid}; while kill -0 $app; do sleep 0.1; done");
    let cometbft = stand_in(home.path(), VERSION, &script);
    let mut supervisor = Supervisor::start(home.path(), &cometbft);
    let first = children(home.path(), &[]);
    supervisor.child.kill().unwrap();
    supervisor.child.wait().unwrap();
    for id in first {
        until(home.path(), "end of the orphans", || (!id.is_alive()).then_some(()));
    }
    let next = Supervisor::start(home.path(), &cometbft);
    children(home.path(), &first);
    stop(next);
}

#[test]
fn a_home_has_one_supervisor() {
    let home = home();
    let cometbft = stand_in(home.path(), VERSION, "exec sleep 1000");
    let supervisor = Supervisor::start(home.path(), &cometbft);
    children(home.path(), &[]);
    let mut second = Supervisor::start(home.path(), &cometbft);
    assert_eq!(second.exit_code(), Some(1));
    let said = said(home.path());
    assert!(said.contains(&format!("is already running, by pid {}", supervisor.child.id())), "{said}");
    stop(supervisor);
}

#[test]
fn another_version_of_cometbft_is_refused_by_name() {
    let home = home();
    let cometbft = stand_in(home.path(), "0.38.0-rc3", "exec sleep 1000");
    let (code, _, stderr) =
        run(&mut dseq(&["start", "--home", text(home.path()), "--cometbft", text(&cometbft)]));
    assert_eq!(code, 78);
    assert!(
        stderr.contains(&format!("{}: is version 0.38.0-rc3, not {VERSION}", text(&cometbft))),
        "{stderr}"
    );
}

#[test]
fn what_cannot_be_recorded_or_started_now_is_tried_again() {
    let home = home();
    let cometbft = stand_in(home.path(), VERSION, "exec sleep 1000");
    let supervisor = Supervisor::start(home.path(), &cometbft);
    let first = children(home.path(), &[]);
    // The record is written under this name first: as on a full disk, that fails.
    let in_the_way = home.path().join("run/processes.json.partial");
    fs::create_dir(&in_the_way).unwrap();
    first[0].signal(Signal::KILL).unwrap();
    until(home.path(), "second failure", || {
        (said(home.path()).matches("cannot record who runs the home: ").count() >= 2).then_some(())
    });
    fs::remove_dir(&in_the_way).unwrap();
    let second = children(home.path(), &first);

    fs::remove_file(&cometbft).unwrap();
    second[1].signal(Signal::KILL).unwrap();
    let failed = format!("cannot start {} with its output in ", text(&cometbft));
    until(home.path(), "second failure", || (said(home.path()).matches(&failed).count() >= 2).then_some(()));
    stand_in(home.path(), VERSION, "exec sleep 1000");
    children(home.path(), &[first, second].concat());
    stop(supervisor);
}

#[test]
fn cometbft_is_not_started_beside_an_app_of_somebody_else() {
    let (foreign, home) = (home(), home());
    let address = format!("unix://{}", text(&foreign.path().join("run/abci.sock")));
    let cometbft = stand_in(foreign.path(), VERSION, "exec sleep 1000");
    let theirs = Supervisor::start(foreign.path(), &cometbft);
    children(foreign.path(), &[]);

    let script = format!("echo started >> {}/starts; exec sleep 1000", text(home.path()));
    let cometbft = stand_in(home.path(), VERSION, &script);
    let mut command = dseq(&["start", "--abci", &address]);
    let mut ours = Supervisor::with(home.path(), command.arg("--cometbft").arg(&cometbft));
    until(home.path(), "third attempt", || {
        (said(home.path()).matches("restarting both").count() >= 3).then_some(())
    });
    assert_eq!(ours.asked_to_stop(), Some(0));
    assert!(!home.path().join("starts").exists(), "{}", said(home.path()));
    stop(theirs);
}

#[test]
fn a_signal_during_the_pause_before_a_restart_ends_it() {
    let home = home();
    let mut supervisor = Supervisor::start(home.path(), &stand_in(home.path(), VERSION, "exit 3"));
    until(home.path(), "long pause", || said(home.path()).contains("restarting both in 1.0 s").then_some(()));
    assert_eq!(supervisor.asked_to_stop(), Some(0));
    assert!(said(home.path()).trim_end().ends_with("SIGTERM: stopping"), "{}", said(home.path()));
}

#[test]
fn a_node_started_to_outlive_its_terminal_does() {
    let home = home();
    let cometbft = stand_in(home.path(), VERSION, "exec sleep 1000");
    let mut command = Command::new("sh");
    let dseq = env!("CARGO_BIN_EXE_dseq");
    command.args(["-c", "trap '' HUP; exec \"$@\"", "sh", dseq, "start"]).arg("--cometbft").arg(&cometbft);
    // Others may have the default port.
    command.env("DSEQ_HTTP", "off");
    let supervisor = Supervisor::with(home.path(), &mut command);
    let first = children(home.path(), &[]);
    ProcessId::of(supervisor.child.id()).unwrap().signal(Signal::HUP).unwrap();
    first[0].signal(Signal::KILL).unwrap();
    children(home.path(), &first);
    stop(supervisor);
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let home = home();
    let cometbft = stand_in(home.path(), VERSION, "exec sleep 1000");
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut command = dseq(&["start", "--home", text(home.path()), "--cometbft", text(&cometbft)]);
    let mut child = command.stderr(full).spawn().unwrap();
    fs::write(home.path().join("said"), "").unwrap();
    let first = children(home.path(), &[]);
    first[0].signal(Signal::KILL).unwrap();
    children(home.path(), &first);
    ProcessId::of(child.id()).unwrap().signal(Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_wrong_version_on_path_is_noticed_and_the_right_one_behind_it_used() {
    let home = home();
    let (wrong, right) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let wrong_cometbft = stand_in(wrong.path(), "1.0.1", "exec sleep 1000");
    let right_cometbft = stand_in(right.path(), VERSION, "exec sleep 1000");
    let path = format!("{}:{}:{}", text(wrong.path()), text(right.path()), std::env::var("PATH").unwrap());
    let supervisor = Supervisor::with(home.path(), dseq(&["start"]).env("PATH", path));
    children(home.path(), &[]);
    let said = said(home.path());
    assert!(
        said.contains(&format!("not used: {}: is version 1.0.1, not {VERSION}", text(&wrong_cometbft))),
        "{said}"
    );
    assert!(said.contains(&format!("CometBFT is {}", text(&right_cometbft))), "{said}");
    stop(supervisor);
}

#[test]
fn a_port_in_use_is_named_with_its_holder_and_where_to_change_it() {
    let home = home();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let config = home.path().canonicalize().unwrap().join("config/config.toml");
    fs::write(&config, config_with(&format!("laddr = \"tcp://127.0.0.1:{port}\"\n"))).unwrap();
    let cometbft = stand_in(home.path(), VERSION, "exec sleep 1000");
    let mut supervisor = Supervisor::start(home.path(), &cometbft);
    assert_eq!(supervisor.exit_code(), Some(1));
    let said = said(home.path());
    assert!(said.contains(&format!("error: port {port} is held by pid {}: ", std::process::id())), "{said}");
    assert!(said.ends_with(&format!("\nfree them, or choose others in {}\n", text(&config))), "{said}");
}
