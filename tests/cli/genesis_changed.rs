//! A genesis that is changed while nothing is committed: what CometBFT had made is moved aside, blocks are never lost, and
//! no validator signs twice for one height of one chain.

use std::fs;
use std::path::{Path, PathBuf};

use dseq::plugin::{Limits, PipelineSpec, engine_id};
use dseq::sequence::{Chain, Log};
use dseq::types::Height;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::genesis_checked::{changed, id_of, leave_databases, runs, start, verify, write};
use super::{config_with, good_genesis, home, text};

const STATE: &str = "data/priv_validator_state.json";

fn signed(home: &Path) -> Value {
    serde_json::from_slice(&fs::read(home.join(STATE)).unwrap()).unwrap()
}

/// Where the record of a chain that was left is kept.
fn record(home: &Path, chain_id: &str) -> PathBuf {
    let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(chain_id)[..5]);
    home.join(format!("data/priv_validator_state.{digest}.json"))
}

fn network_id(home: &Path) -> String {
    id_of(&verify(home).1).to_owned()
}

/// A home that began with chain c and signed for its height 1, with a log to tell that nothing was deleted.
fn home_that_signed() -> tempfile::TempDir {
    let home = home();
    runs(home.path());
    leave_databases(home.path(), 1);
    fs::create_dir(home.path().join("data/cs.wal")).unwrap();
    fs::write(home.path().join("data/cs.wal/wal"), "proposals").unwrap();
    home
}

fn is_refused(home: &Path, chain_id: &str, words: &str) {
    let (code, said) = start(home);
    let signed = format!(
        "already signed for height 1 of that chain, before its genesis was changed to another one ({}",
        text(&record(home, chain_id))
    );
    assert!(code == 78 && said.contains(&signed) && said.contains(words), "{code} {said}");
}

#[test]
fn a_validator_never_returns_to_a_chain_that_it_signed_for_and_left() {
    let home = home_that_signed();
    let home = home.path();
    write(home, &changed("d"));
    runs(home);
    assert_eq!(signed(home), json!({"height": "0", "round": 0, "step": 0}));

    // Neither with another genesis nor with the one it had.
    for genesis in [changed("c"), good_genesis()] {
        write(home, &genesis);
        is_refused(home, "c", "Give the genesis a chain_id that this home never used, on all nodes");
    }
    leave_databases(home, 1);
    write(home, &changed("e"));
    runs(home);
    for chain_id in ["c", "d"] {
        write(home, &changed(chain_id));
        is_refused(home, chain_id, "make another home with `dseq init`");
    }
    write(home, &changed("e"));
    runs(home);
}

#[test]
fn a_chain_for_which_nothing_was_signed_can_be_returned_to() {
    let home = home();
    for genesis in [good_genesis(), changed("d"), good_genesis()] {
        write(home.path(), &genesis);
        runs(home.path());
        leave_databases(home.path(), 0);
    }
    assert!(!record(home.path(), "c").exists() && !record(home.path(), "d").exists());
}

#[test]
fn a_crash_while_a_genesis_is_renewed_leaves_nothing_that_could_be_signed_twice() {
    // The steps in their order, until the copy of the genesis would be replaced.
    for done in 1..=3 {
        for next in ["c", "d", "e"] {
            let home = home_that_signed();
            let home = home.path();
            fs::copy(home.join(STATE), record(home, "c")).unwrap();
            if done > 1 {
                fs::write(home.join(STATE), "{\"height\":\"0\",\"round\":0,\"step\":0}").unwrap();
            }
            if done > 2 {
                fs::rename(home.join("data/cs.wal"), home.join("data/moved")).unwrap();
            }
            if next == "c" {
                is_refused(home, "c", "");
                continue;
            }
            write(home, &changed(next));
            runs(home);
            assert_eq!(signed(home)["height"], "0", "{done} {next}");
            write(home, &good_genesis());
            is_refused(home, "c", "");
        }
    }
}

#[test]
fn what_cometbft_had_made_is_moved_into_a_folder_that_the_log_names() {
    let home = home_that_signed();
    let home = home.path();
    let id = network_id(home);
    write(home, &changed("d"));
    let words = runs(home);
    let moved = home.join(format!("data/replaced-{id}"));
    let expected = format!(
        "what it had made of network {id} is in {}, to be removed once the new one has committed a block",
        text(&moved)
    );
    assert!(words.contains(&expected), "{words}");
    for name in ["state.db", "blockstore.db", "evidence.db", "cs.wal/wal"] {
        assert!(moved.join(name).exists() && !home.join("data").join(name).exists(), "{name}");
    }
    assert!(home.join("data/keys").exists());
}

#[test]
fn a_second_folder_for_the_same_network_has_a_number() {
    let home = home();
    let home = home.path();
    let id = network_id(home);
    for genesis in [good_genesis(), changed("c"), good_genesis(), changed("c")] {
        write(home, &genesis);
        runs(home);
        leave_databases(home, 0);
    }
    for name in [format!("replaced-{id}"), format!("replaced-{id}-2")] {
        assert!(home.join("data").join(&name).join("state.db").exists(), "{name}");
    }
}

/// A block in CometBFT's store: what it writes is first in the journal.
fn store_block(databases: &Path) {
    fs::write(databases.join("blockstore.db/000001.log"), "blockStore").unwrap();
}

/// What the app keeps of InitChain, before it has committed anything.
fn init_chain(home: &Path) {
    let mut log = Log::open(&home.join("sequence")).unwrap();
    let pipeline = PipelineSpec { engine: engine_id(), limits: Limits::default(), plugins: Vec::new() };
    log.init_chain(Chain { chain_id: "c".to_owned(), initial_height: Height(1), pipeline }).unwrap();
}

#[test]
fn blocks_that_are_still_to_be_replayed_fix_the_genesis() {
    let home = home();
    let home = home.path();
    runs(home);
    leave_databases(home, 0);
    store_block(&home.join("data"));
    // The sequence was moved away, and the replay came no further than InitChain.
    init_chain(home);
    write(home, &changed("d"));
    let (code, said) = start(home);
    assert!(code == 78 && said.contains("but this node began with network "), "{code} {said}");
    assert!(home.join("data/blockstore.db/000001.log").exists());
    // The same before InitChain.
    fs::remove_dir_all(home.join("sequence")).unwrap();
    assert_eq!(start(home).0, 78);
    write(home, &good_genesis());
    runs(home);
    assert!(home.join("data/blockstore.db/000001.log").exists());
}

#[test]
fn without_a_copy_of_the_genesis_nothing_is_moved() {
    for has_block in [true, false] {
        let home = home();
        let home = home.path();
        fs::create_dir(home.join("data")).unwrap();
        leave_databases(home, 0);
        if has_block {
            store_block(&home.join("data"));
        }
        runs(home);
        assert!(home.join("data/state.db").exists() && home.join("data/blockstore.db").exists());
        let kept: Value = serde_json::from_slice(&fs::read(home.join("data/genesis.json")).unwrap()).unwrap();
        assert_eq!(kept, good_genesis());
    }
    let home = home();
    init_chain(home.path());
    write(home.path(), &changed("d"));
    let (code, said) = start(home.path());
    assert!(code == 78 && said.contains("began with chain id \"c\" and pipeline"), "{code} {said}");
}

#[test]
fn databases_and_log_are_where_the_configuration_has_them() {
    let home = home();
    let home = home.path();
    let config = format!("db_dir = \"db\"\n{}[consensus]\nwal_file = \"wals/log\"\n", config_with(""));
    fs::write(home.join("config/config.toml"), config).unwrap();
    runs(home);
    let id = network_id(home);
    leave_databases(home, 0);
    fs::rename(home.join("data"), home.join("db")).unwrap();
    fs::create_dir_all(home.join("data")).unwrap();
    fs::copy(home.join("db/genesis.json"), home.join("data/genesis.json")).unwrap();
    fs::create_dir(home.join("wals")).unwrap();
    for name in ["log", "log.000", "log.CORRUPTED", "logbook"] {
        fs::write(home.join("wals").join(name), name).unwrap();
    }

    store_block(&home.join("db"));
    write(home, &changed("d"));
    assert_eq!(start(home).0, 78, "it has a block");
    fs::write(home.join("db/blockstore.db/000001.log"), "").unwrap();

    let words = runs(home);
    let [databases, log] = ["db", "wals"].map(|dir| home.join(dir).join(format!("replaced-{id}")));
    assert!(words.contains(&format!("is in {} and {}", text(&databases), text(&log))), "{words}");
    assert!(databases.join("state.db").exists() && databases.join("blockstore.db/000001.log").exists());
    for name in ["log", "log.000", "log.CORRUPTED"] {
        assert!(log.join(name).exists() && !home.join("wals").join(name).exists(), "{name}");
    }
    assert!(home.join("wals/logbook").exists(), "it is not CometBFT's");
}
