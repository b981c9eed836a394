//! What CometBFT would refuse in a genesis is reported by `verify`, and refused by `start` with 78 before anything runs.

use std::fs;
use std::path::Path;

use dseq::node::engine::cometbft::VERSION;
use dseq::plugin::{Limits, PipelineSpec, engine_id};
use dseq::sequence::{Chain, Log, Staging};
use dseq::types::{AppHash, Height};
use serde_json::{Value, json};

use super::genesis_table::{Verdict, cases};
use super::plugins::moody;
use super::supervisor::{Supervisor, children, said, stand_in, stop};
use super::{dseq, good_genesis, home, public_key, run, text};

pub(super) fn write(home: &Path, genesis: &Value) {
    fs::write(home.join("config/genesis.json"), genesis.to_string()).unwrap();
}

pub(super) fn verify(home: &Path) -> (i32, String) {
    let (code, said, stderr) = run(&mut dseq(&["genesis", "verify", "--home", text(home)]));
    (code, said + &stderr)
}

/// `dseq start`, which is expected to end by itself without having started anything.
pub(super) fn start(home: &Path) -> (i32, String) {
    let cometbft = stand_in(home, VERSION, &format!("echo started > {}/started; exec sleep 100", text(home)));
    let (code, _, said) = run(&mut dseq(&["start", "--home", text(home), "--cometbft", text(&cometbft)]));
    assert!(!home.join("started").exists(), "{said}");
    (code, said)
}

#[test]
fn verify_says_what_each_change_of_a_genesis_does() {
    let home = home();
    for case in cases() {
        write(home.path(), &case.apply(&good_genesis()));
        let (code, said) = verify(home.path());
        match case.verdict {
            Verdict::Good => assert!(code == 0 && said.contains("is valid"), "{}: {said}", case.name),
            Verdict::Refused(words) | Verdict::Ours(words) => {
                assert!(code == 1 && said.contains(words), "{}: {said}", case.name);
                assert!(said.len() < 1000, "{}: {said}", case.name);
            }
        }
    }
}

#[test]
fn start_refuses_with_78_and_the_reason_what_cometbft_would_end_for_at_once() {
    let home = home();
    let chosen = [
        "too long chain id",
        "no validators",
        "block without quotes",
        "gas",
        "no app state",
        "no evidence params",
    ];
    for case in cases().iter().filter(|case| chosen.contains(&case.name)) {
        write(home.path(), &case.apply(&good_genesis()));
        let (Verdict::Refused(words) | Verdict::Ours(words)) = case.verdict else { panic!("{}", case.name) };
        let (code, said) = start(home.path());
        assert!(code == 78 && said.contains(words), "{}: {code} {said}", case.name);
    }
    fs::write(home.path().join("config/genesis.json"), "{").unwrap();
    let (code, said) = start(home.path());
    assert!(code == 78 && said.contains("genesis is invalid JSON"), "{code} {said}");
}

#[test]
fn a_setting_that_cometbft_would_not_take_from_us_is_refused_with_78() {
    let home = home();
    fs::write(
        home.path().join("config/config.toml"),
        "[mempool]\nmax_txs_bytes = 1\n[rpc]\nmax_body_bytes = 1\n",
    )
    .unwrap();
    let (code, said) = start(home.path());
    assert!(
        code == 78 && said.contains("config.toml lacks mempool.max_tx_bytes; add it with any value"),
        "{code} {said}"
    );
}

#[test]
fn cometbft_gets_the_bounds_that_follow_from_genesis_and_not_those_of_its_file() {
    let home = home();
    let mut genesis = good_genesis();
    genesis["app_state"]["dseq"]["limits"]["tx_bytes_max"] = json!(4 << 20);
    genesis["consensus_params"]["block"]["max_bytes"] = json!((8 << 20).to_string());
    write(home.path(), &genesis);
    let script = format!("env > {0}/env.new && mv {0}/env.new {0}/env; exec sleep 100", text(home.path()));
    let supervisor = Supervisor::start(home.path(), &stand_in(home.path(), VERSION, &script));
    children(home.path(), &[]);
    let env = super::supervisor::until(home.path(), "environment", || {
        fs::read_to_string(home.path().join("env")).ok()
    });
    for expected in [
        "CMT_MEMPOOL_MAX_TX_BYTES=5242880",
        "CMT_MEMPOOL_MAX_TXS_BYTES=5242880",
        "CMT_RPC_MAX_BODY_BYTES=10747904",
    ] {
        assert!(env.lines().any(|line| line == expected), "{expected}: {env}");
    }
    stop(supervisor);
}

/// What CometBFT leaves behind when the app has refused its genesis.
pub(super) fn leave_databases(home: &Path, signed: u64) {
    for name in ["state.db", "blockstore.db", "evidence.db"] {
        fs::create_dir_all(home.join("data").join(name)).unwrap();
    }
    let state = format!("{{\"height\":\"{signed}\",\"round\":0,\"step\":3}}");
    fs::write(home.join("data/priv_validator_state.json"), state).unwrap();
    fs::write(home.join("data/keys"), "kept").unwrap();
}

/// Starts a node until it runs, and stops it.
pub(super) fn runs(home: &Path) -> String {
    let supervisor = Supervisor::start(home, &stand_in(home, VERSION, "exec sleep 100"));
    children(home, &[]);
    stop(supervisor);
    said(home)
}

pub(super) fn changed(chain_id: &str) -> Value {
    let mut genesis = good_genesis();
    genesis["chain_id"] = json!(chain_id);
    genesis["app_state"]["dseq"]["limits"]["fuel_max"] = json!(1_000_000);
    genesis
}

#[test]
fn a_mended_genesis_counts_while_nothing_is_committed_and_nothing_was_signed() {
    let home = home();
    runs(home.path());
    leave_databases(home.path(), 0);
    let words = runs(home.path());
    assert!(home.path().join("data/state.db").exists(), "it is the same genesis: {words}");
    // Laid out otherwise, it still says the same.
    fs::write(home.path().join("config/genesis.json"), format!("{:#}", good_genesis())).unwrap();
    runs(home.path());
    assert!(home.path().join("data/state.db").exists());

    write(home.path(), &changed("c"));
    let words = runs(home.path());
    assert!(words.contains("nothing is committed yet: CometBFT begins anew with network "), "{words}");
    assert!(!home.path().join("data/state.db").exists() && !home.path().join("data/blockstore.db").exists());
    assert!(home.path().join("data/keys").exists());
    let kept: Value =
        serde_json::from_slice(&fs::read(home.path().join("data/genesis.json")).unwrap()).unwrap();
    assert_eq!(kept, changed("c"));
}

#[test]
fn a_validator_that_has_signed_does_not_begin_anew_under_the_same_chain_id() {
    let home = home();
    runs(home.path());
    leave_databases(home.path(), 1);
    write(home.path(), &changed("c"));
    let (code, said) = start(home.path());
    assert!(code == 78 && said.contains("already signed for height 1 of chain \"c\""), "{code} {said}");
    assert!(home.path().join("data/state.db").exists());

    write(home.path(), &changed("d"));
    runs(home.path());
    assert!(!home.path().join("data/state.db").exists());
    let state = fs::read_to_string(home.path().join("data/priv_validator_state.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&state).unwrap(), json!({"height": "0", "round": 0, "step": 0}));
}

/// A log with one block, under the rules of a genesis.
pub(super) fn commit(home: &Path, chain_id: &str) {
    let mut log = Log::open(&home.join("sequence")).unwrap();
    let pipeline = PipelineSpec { engine: engine_id(), limits: Limits::default(), plugins: Vec::new() };
    let id = pipeline.id();
    log.init_chain(Chain { chain_id: chain_id.to_owned(), initial_height: Height(1), pipeline }).unwrap();
    let staged = Staging::begin(log.head(), Height(1)).finish();
    log.commit(&staged, AppHash([1; 32]), id).unwrap();
}

pub(super) fn id_of(said: &str) -> &str {
    let (_, rest) = said.split_once("\nnetwork ").unwrap();
    rest.split_once(':').unwrap().0
}

#[test]
fn another_genesis_is_refused_with_both_ids_once_blocks_are_committed() {
    let home = home();
    let (_, first) = verify(home.path());
    runs(home.path());
    commit(home.path(), "c");
    write(home.path(), &changed("c"));
    let file = home.path().join("config/genesis.json");
    let (_, second, _) = run(&mut dseq(&["genesis", "verify", "--file", text(&file)]));
    assert_ne!(id_of(&first), id_of(&second));
    let (code, said) = verify(home.path());
    assert!(code == 1 && said.contains("is the genesis of network "), "{code} {said}");
    let (code, said) = start(home.path());
    let words = format!(
        "is the genesis of network {}, but this node began with network {}",
        id_of(&second),
        id_of(&first)
    );
    assert!(code == 78 && said.contains(&words) && said.contains("cp "), "{code} {said}");
    // The way out that it names.
    let cp = said.split("began with: ").nth(1).unwrap().split(". To take").next().unwrap();
    assert!(std::process::Command::new("sh").args(["-c", cp]).status().unwrap().success());
    assert_eq!(verify(home.path()).1, first);
}

#[test]
fn a_home_of_an_older_version_is_held_against_the_rules_it_kept() {
    let home = home();
    commit(home.path(), "c");
    write(home.path(), &changed("c"));
    let (code, said) = start(home.path());
    assert!(code == 78 && said.contains("began with chain id \"c\" and pipeline"), "{code} {said}");
    assert!(!home.path().join("data/genesis.json").exists());
    is_kept(home.path());
}

/// The genesis of the log is taken for the one it began with, and kept from then on.
fn is_kept(home: &Path) {
    write(home, &good_genesis());
    // The log's app hash is made up: the app refuses it, but only after the genesis was kept.
    let _ = start(home);
    assert!(home.join("data/genesis.json").exists());
}

#[test]
fn validators_and_the_part_of_a_home_among_them_are_told() {
    let home = home();
    super::copied_home::give_keys(home.path());
    assert!(verify(home.path()).1.contains(": 1 validator: this node decides alone\n"));
    let words = runs(home.path());
    assert!(
        words.contains("1 validator: this node decides alone") && words.contains("network_id"),
        "{words}"
    );

    let mut genesis = good_genesis();
    for byte in 2..5 {
        let validators = genesis["validators"].as_array_mut().unwrap();
        validators.push(json!({ "pub_key": public_key(byte), "power": "10", "name": "" }));
    }
    write(home.path(), &genesis);
    let words = "4 validators with power 10 each; this node is validators[0] with power 10 of 40\n";
    assert!(verify(home.path()).1.contains(words), "{}", verify(home.path()).1);
    let show = |args: &[&str]| {
        let (code, said, stderr) = run(dseq(&["genesis", "show", "--home", text(home.path())]).args(args));
        assert_eq!(code, 0, "{stderr}");
        said
    };
    assert!(show(&[]).contains(&format!("validators   {words}")), "{}", show(&[]));
    let shown: Value = serde_json::from_str(&show(&["--json"])).unwrap();
    assert_eq!((&shown["validators"], &shown["validator"]), (&json!(4), &json!(0)));
    assert!(verify(home.path()).1.contains(&format!("network {}: ", shown["network_id"].as_str().unwrap())));

    genesis["validators"].as_array_mut().unwrap().remove(0);
    write(home.path(), &genesis);
    assert!(
        verify(home.path()).1.contains("this node is not a validator: it is a full node and has no vote")
    );
}

#[test]
fn init_makes_nothing_of_what_no_node_would_run() {
    let dir = tempfile::tempdir().unwrap();
    let script = format!("echo started > {}/started", text(dir.path()));
    let cometbft = stand_in(dir.path(), VERSION, &script);
    let (moody_file, broken) = (dir.path().join("moody.wasm"), dir.path().join("broken.wasm"));
    fs::write(&moody_file, moody()).unwrap();
    fs::write(&broken, "no module").unwrap();
    let before = fs::read_dir(dir.path()).unwrap().count();
    let (moody, broken) = (format!("moody={}", text(&moody_file)), format!("broken={}", text(&broken)));
    for (args, words) in [
        (vec!["--plugin", &moody, "--params", "moody={\"a\":1}"], "these params are not for me"),
        (vec!["--plugin", &broken], "plugin broken"),
    ] {
        let home = dir.path().join("home");
        let mut command = dseq(&["init", "--solo", "--home", text(&home), "--cometbft", text(&cometbft)]);
        let (code, _, stderr) = run(command.args(args));
        assert!(code == 1 && stderr.contains(words), "{code} {stderr}");
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            before,
            "nothing is made, and CometBFT not asked"
        );
    }
}
