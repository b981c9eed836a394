//! What `dseq start` sees to before CometBFT runs, with a stand-in for it.

use std::fs;

use dseq::node::engine::cometbft::VERSION;

use super::supervisor::{Supervisor, said, stand_in, stop, until};
use super::{config_with, dseq, home, text};

/// What a CometBFT that was started under these variables has of Go's.
fn go_settings(variables: &[(&str, &str)]) -> String {
    let home = home();
    let script =
        format!("echo $GOGC $GOMEMLIMIT ${{GOMAXPROCS:-all}} > '{}/go'; exec sleep 1000", text(home.path()));
    let cometbft = stand_in(home.path(), VERSION, &script);
    let mut command = dseq(&["start", "--cometbft", text(&cometbft)]);
    command
        .env_remove("GOGC")
        .env_remove("GOMEMLIMIT")
        .env_remove("GOMAXPROCS")
        .envs(variables.iter().copied());
    let supervisor = Supervisor::with(home.path(), &mut command);
    let found = until(home.path(), "start of CometBFT", || {
        fs::read_to_string(home.path().join("go")).ok().filter(|found| found.ends_with('\n'))
    });
    stop(supervisor);
    found
}

#[test]
fn cometbft_gets_measured_settings_of_gos_runtime_unless_the_operator_has_others() {
    let few = std::thread::available_parallelism().is_ok_and(|processors| processors.get() < 8);
    let threads = if few { "8" } else { "all" };
    assert_eq!(go_settings(&[]), format!("400 2GiB {threads}\n"));
    let own = [("GOGC", "50"), ("GOMEMLIMIT", "8GiB"), ("GOMAXPROCS", "3")];
    assert_eq!(go_settings(&own), "50 8GiB 3\n");
}

#[test]
fn a_mempool_that_does_not_ask_the_app_is_refused_with_78() {
    let home = home();
    fs::write(
        home.path().join("config/config.toml"),
        config_with("").replace("[mempool]\n", "[mempool]\ntype = \"nop\"\n"),
    )
    .unwrap();
    let cometbft = stand_in(home.path(), VERSION, "exec sleep 1000");
    let mut supervisor = Supervisor::start(home.path(), &cometbft);
    assert_eq!(supervisor.exit_code(), Some(78));
    let said = said(home.path());
    let expected =
        "config.toml: mempool.type is \"nop\"; it must be \"flood\", or no transaction reaches dseq\n";
    assert!(said.ends_with(expected), "{said}");
}
