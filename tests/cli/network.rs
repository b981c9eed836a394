//! A network of machines, as far as it needs no CometBFT: what is refused, with its words, and that nothing changes then.

use std::fs;
use std::path::{Path, PathBuf};

use dseq::node::engine::cometbft::VERSION;
use dseq::node::engine::overrides;
use dseq::node::home::NodeHome;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::supervisor::stand_in;
use super::{dseq, good_genesis, run, text};

/// Public keys that follow from a number.
fn key(number: u8, of: u8) -> String {
    data_encoding::BASE64.encode(&[number, of].repeat(16))
}

/// The private half of a P2P key; only its second half, which is public, matters here.
fn node_key(number: u8) -> Vec<u8> {
    [[0; 32], [number; 32]].concat()
}

pub(super) fn node_id(number: u8) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest([number; 32])[..20])
}

pub(super) fn name(number: u8) -> &'static str {
    ["alice", "bob", "carol", "dave", "eve"][usize::from(number)]
}

pub(super) fn member(number: u8) -> Value {
    json!({
        "dseq_member": 1,
        "name": name(number),
        "node_id": node_id(number),
        "consensus_key": key(number, 1),
        "checkpoint_key": key(number, 2),
        "address": format!("{}.example:26656", name(number)),
        "observer": false,
    })
}

/// A network of four, with a plugin inline.
pub(super) fn network() -> Value {
    let wasm = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/assets/passthrough.wasm")).unwrap();
    let mut genesis = good_genesis();
    let validator = |number| {
        let key = json!({ "type": "tendermint/PubKeyEd25519", "value": key(number, 1) });
        json!({ "pub_key": key, "power": "10", "name": name(number) })
    };
    genesis["chain_id"] = "audit-1".into();
    genesis["validators"] = (0..4).map(validator).collect();
    genesis["app_state"]["dseq"]["pipeline"] = json!([{
        "name": "passthrough",
        "sha256": data_encoding::HEXLOWER.encode(&Sha256::digest(&wasm)),
        "params": {},
        "wasm": data_encoding::BASE64.encode(&wasm),
    }]);
    let members: Vec<Value> = (0..4).map(member).collect();
    json!({ "dseq_network": 1, "genesis": genesis, "members": members, "profile": "wide" })
}

/// A folder with homes and files of networks.
pub(super) struct Place(tempfile::TempDir);

impl Place {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, value: &Value) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, value.to_string()).unwrap();
        path
    }

    /// A home as `dseq init` makes it, as far as joining looks at it.
    pub(super) fn home(&self, number: u8) -> NodeHome {
        let home = NodeHome::new(&self.path(name(number)));
        fs::create_dir_all(home.root().join("config")).unwrap();
        let public = |of| {
            json!({ "pub_key": { "type": "tendermint/PubKeyEd25519", "value": key(number, of) } }).to_string()
        };
        fs::write(home.consensus_key(), public(1)).unwrap();
        fs::write(home.checkpoint_key(), public(2)).unwrap();
        let private = data_encoding::BASE64.encode(&node_key(number));
        fs::write(home.node_key(), json!({ "priv_key": { "value": private } }).to_string()).unwrap();
        fs::write(home.member_file(), member(number).to_string()).unwrap();
        let config = overrides::LOCAL_CONFIG.to_owned()
            + "p2p.persistent_peers = \"\"\np2p.unconditional_peer_ids = \"\"\n";
        fs::write(home.cometbft_config(), config).unwrap();
        home
    }

    /// The fingerprint of a network's file, in words and in digits.
    fn fingerprint(&self, file: &Path) -> (String, String) {
        let (code, stdout, stderr) = run(&mut dseq(&["network", "show", "--json", text(file)]));
        assert_eq!(code, 0, "{stderr}");
        let shown: Value = serde_json::from_str(&stdout).unwrap();
        let of = |form: &str| shown["fingerprint"][form].as_str().unwrap().to_owned();
        (of("words"), of("hex"))
    }

    /// Joins a network of which the right fingerprint is known, with further arguments.
    pub(super) fn join(&self, home: &NodeHome, network: &Value, more: &[&str]) -> (i32, String, String) {
        let file = self.write("network.json", network);
        let (words, _) = self.fingerprint(&file);
        join(home, &file, &words, more)
    }

    /// A network that a home must refuse; what it says, without the folder's path.
    fn refusal(&self, home: &NodeHome, network: &Value, more: &[&str]) -> String {
        let before = fs::read_to_string(home.cometbft_config()).unwrap();
        let (code, stdout, stderr) = self.join(home, network, more);
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        assert!(!home.genesis_file().exists() && !home.network_file().exists());
        assert_eq!(before, fs::read_to_string(home.cometbft_config()).unwrap());
        stderr.replace(text(self.0.path()), "")
    }

    /// A file that is no good, whoever looks at it.
    fn bad_file(&self, network: &Value) -> String {
        let file = self.write("network.json", network);
        let (code, _, stderr) = run(&mut dseq(&["network", "show", text(&file)]));
        assert_eq!(code, 1, "{stderr}");
        stderr.replace(text(self.0.path()), "")
    }
}

fn join(home: &NodeHome, file: &Path, expected: &str, more: &[&str]) -> (i32, String, String) {
    let args = ["network", "join", "--home", text(home.root()), text(file), "--expect", expected];
    run(dseq(&args).args(more))
}

#[test]
fn a_member_joins_and_its_home_has_genesis_plugins_and_peers() {
    let place = Place::new();
    let home = place.home(0);
    let (code, _, stderr) = run(&mut dseq(&["start", "--home", text(home.root())]));
    assert!(code == 78 && stderr.contains("is in no network yet. Send its member.json to"), "{stderr}");

    let (code, stdout, stderr) = place.join(&home, &network(), &[]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("is in the network audit-1, as a validator, and dials 3 members.\n"), "{stdout}");
    assert!(
        stdout.contains("A block takes 3 of 4 validators: the network goes on while 1 of them is down."),
        "{stdout}"
    );
    let read = |path: PathBuf| serde_json::from_slice::<Value>(&fs::read(path).unwrap()).unwrap();
    assert_eq!(read(home.genesis_file()), network()["genesis"]);
    assert_eq!(read(home.network_file()), network());
    assert_eq!(fs::read_dir(home.plugins_dir()).unwrap().count(), 1);
    let config = fs::read_to_string(home.cometbft_config()).unwrap();
    let peers = (1..4).map(|number| format!("{}@{}.example:26656", node_id(number), name(number)));
    let peers = peers.collect::<Vec<_>>().join(",");
    assert!(config.contains(&format!("p2p.persistent_peers = \"{peers}\"")), "{config}");
    let ids = (1..4).map(node_id).collect::<Vec<_>>().join(",");
    assert!(config.contains(&format!("p2p.unconditional_peer_ids = \"{ids}\"")), "{config}");
    assert!(config.contains("consensus.timeout_commit = \"200ms\""), "of the wide profile: {config}");

    let (code, stdout, _) = place.join(&home, &network(), &[]);
    assert!(code == 0 && stdout.contains("is in the network audit-1 already, as a validator;"), "{stdout}");
}

#[test]
fn who_changes_the_genesis_of_a_joined_home_is_shown_that_it_left_the_network_and_can_join_again() {
    let place = Place::new();
    let home = place.home(0);
    assert_eq!(place.join(&home, &network(), &[]).0, 0);
    let before = place.fingerprint(&home.network_file()).1;
    let set = ["genesis", "set", "--home", text(home.root()), "--limit", "fuel_max=50_000_000"];
    let (code, stdout, stderr) = run(&mut dseq(&set));
    assert_eq!(code, 0, "{stderr}");
    let after = place.fingerprint(&home.network_file()).1;
    assert!(after != before && stdout.contains(&after), "{before}: {stdout}");
    assert!(stdout.contains("another network than the one it joined"), "{stdout}");

    let (code, stdout, stderr) = place.join(&home, &network(), &[]);
    assert!(code == 0 && stdout.contains("is in the network audit-1, as a validator"), "{stdout}{stderr}");
    assert_eq!(place.fingerprint(&home.network_file()).1, before);
}

#[test]
fn a_fingerprint_is_expected_in_words_or_digits_and_another_one_is_refused() {
    let place = Place::new();
    let file = place.write("network.json", &network());
    let (words, hex) = place.fingerprint(&file);
    let home = place.home(0);
    let mut other = network();
    other["profile"] = "local".into();
    let other = place.write("other.json", &other);
    for expected in [&words, &hex] {
        let (code, _, stderr) = join(&home, &other, expected, &[]);
        assert_eq!(code, 1);
        assert!(
            stderr.contains("is not the file that was expected: its fingerprint is\n  ")
                && stderr.contains(&format!("\nand not\n  {expected}\n")),
            "{stderr}"
        );
    }
    for (expected, why) in [("able-able", "these are 2 words"), ("abc", "these are 3 digits")] {
        let (code, _, stderr) = join(&home, &file, expected, &[]);
        assert!(code == 2 && stderr.contains(why), "{stderr}");
    }
    assert!(!home.genesis_file().exists());
    assert_eq!(join(&home, &file, &hex, &[]).0, 0);
    let with_blanks = words.replace('-', " ");
    assert_eq!(join(&place.home(1), &file, &with_blanks, &[]).0, 0);
}

#[test]
fn a_home_whose_key_is_not_in_the_network_joins_only_as_a_full_node() {
    let place = Place::new();
    let eve = place.home(4);
    let said = place.refusal(&eve, &network(), &[]);
    assert_eq!(
        said,
        "error: no member of audit-1 has the key of /eve; its members are alice, bob, carol, dave. Send \
         /eve/member.json to whoever makes the network file; or join as a full node, which has every block and no \
         vote, with --observer\n"
    );
    let alice = place.home(0);
    let said = place.refusal(&alice, &network(), &["--observer"]);
    assert_eq!(said, "error: alice is a validator of audit-1: leave out --observer\n");
    let (code, stdout, stderr) = place.join(&eve, &network(), &["--observer"]);
    assert!(
        code == 0 && stdout.contains("as a full node, without a vote, and dials 4 members."),
        "{stdout}{stderr}"
    );
}

#[test]
fn a_home_that_was_made_as_a_full_node_needs_to_say_so_no_more() {
    let place = Place::new();
    let home = place.home(4);
    let mut own = member(4);
    own["observer"] = true.into();
    fs::write(home.member_file(), own.to_string()).unwrap();
    let mut with = network();
    with["members"].as_array_mut().unwrap().push(own);
    for network in [network(), with] {
        fs::remove_file(home.genesis_file()).ok();
        let (code, stdout, _) = place.join(&home, &network, &[]);
        assert!(code == 0 && stdout.contains("as a full node"), "{stdout}");
    }
}

#[test]
fn a_home_that_has_begun_a_network_takes_no_other_one() {
    let place = Place::new();
    let home = place.home(0);
    fs::create_dir_all(home.data_dir()).unwrap();
    let mut began = network()["genesis"].clone();
    began["chain_id"] = "audit-0".into();
    fs::write(home.kept_genesis(), began.to_string()).unwrap();
    let said = place.refusal(&home, &network(), &[]);
    assert_eq!(
        said,
        "error: /alice has begun the network audit-0 and takes no other one; for audit-1 make another home with `dseq \
         init`\n"
    );
    // One that was never started may join another.
    fs::remove_file(home.kept_genesis()).unwrap();
    assert_eq!(place.join(&home, &network(), &[]).0, 0);
    let mut other = network();
    other["genesis"]["chain_id"] = "audit-2".into();
    assert_eq!(place.join(&home, &other, &[]).0, 0);
    let genesis = fs::read_to_string(home.genesis_file()).unwrap();
    assert!(genesis.contains("audit-2"));
}

#[test]
fn a_home_and_its_member_file_have_to_belong_together() {
    let place = Place::new();
    let home = place.home(0);
    let mut other = network();
    other["members"][0]["node_id"] = node_id(9).into();
    let said = place.refusal(&home, &other, &[]);
    assert!(
        said.starts_with(
            "error: audit-1 has alice with the consensus key of /alice but another node id. Send "
        ),
        "{said}"
    );
    fs::remove_file(home.member_file()).unwrap();
    let said = place.refusal(&home, &network(), &[]);
    assert!(said.starts_with("error: /alice has no member.json: it was made by an older dseq"), "{said}");
    fs::write(home.checkpoint_key(), "{}").unwrap();
    let said = place.refusal(&home, &network(), &[]);
    assert!(said.contains("checkpoint_key.json is damaged"), "{said}");
}

#[test]
fn what_this_program_could_not_run_is_refused() {
    let place = Place::new();
    let home = place.home(0);
    let mut other = network();
    other["genesis"]["app_state"]["dseq"]["engine"] = "11".repeat(32).into();
    let said = place.refusal(&home, &other, &[]);
    assert!(
        said.starts_with(&format!("error: /network.json is for engine {}, and this dseq (", "11".repeat(32))),
        "{said}"
    );
    let (code, stdout, _) = run(&mut dseq(&["network", "show", text(&place.path("network.json"))]));
    assert!(code == 0 && stdout.contains("and cannot run it)"), "it is shown all the same: {stdout}");

    let mut broken = network();
    let plugin = &mut broken["genesis"]["app_state"]["dseq"]["pipeline"][0];
    plugin["sha256"] = data_encoding::HEXLOWER.encode(&Sha256::digest(b"broken")).into();
    plugin["wasm"] = data_encoding::BASE64.encode(b"broken").into();
    let said = place.refusal(&home, &broken, &[]);
    assert!(said.contains("passthrough"), "{said}");
    let mut absent = network();
    absent["genesis"]["app_state"]["dseq"]["pipeline"][0].as_object_mut().unwrap().remove("wasm");
    let said = place.refusal(&home, &absent, &[]);
    assert!(said.contains("which genesis pins; there is no .wasm file there"), "{said}");
}

#[test]
fn members_that_cannot_be_told_apart_are_refused() {
    let place = Place::new();
    for (field, what) in [
        ("consensus_key", "consensus key"),
        ("checkpoint_key", "checkpoint key"),
        ("node_id", "node id"),
        ("name", "name"),
        ("address", "address"),
    ] {
        let mut file = network();
        file["members"][2][field] = file["members"][0][field].clone();
        let said = place.bad_file(&file);
        assert!(said.contains(&format!("have the same {what}, ")), "{said}");
    }
}

#[test]
fn a_file_that_is_damaged_or_of_another_version_says_so() {
    let place = Place::new();
    let edited = |edit: &dyn Fn(&mut Value)| {
        let mut file = network();
        edit(&mut file);
        place.bad_file(&file)
    };
    let other = edited(&|file| file["dseq_network"] = 2.into());
    assert!(
        other.starts_with("error: /network.json is a network file of version 2, and this dseq ("),
        "{other}"
    );
    assert_eq!(
        edited(&|file| *file = member(0)),
        "error: /network.json is no network file: it has no \"dseq_network\"\n"
    );
    assert!(edited(&|file| file["colour"] = 1.into()).ends_with("\"colour\" is unknown\n"));
    assert!(edited(&|file| file["members"] = json!([])).ends_with("it has no members\n"));
    assert!(
        edited(&|file| file["profile"] = "far".into()).ends_with("its profile is neither local nor wide\n")
    );
    assert!(edited(&|file| file["genesis"] = 1.into()).contains("is not a genesis file"));
    let said = edited(&|file| file["genesis"]["validators"][3]["pub_key"]["value"] = key(9, 9).into());
    assert!(
        said.contains("is damaged: dave is no validator of its genesis, and no observer. Ask for it again"),
        "{said}"
    );
    let said = edited(&|file| file["members"][3]["observer"] = true.into());
    assert!(said.contains("that is no member. Ask for it again"), "{said}");
    let said = edited(&|file| file["members"][1]["priv_key"] = "x".into());
    assert!(said.contains("has a private key in it (members[1].priv_key)"), "{said}");
    let said = edited(&|file| file["members"][1]["address"] = "bob".into());
    assert!(said.contains("network.json: members[1].address is \"bob\"; it must be HOST:PORT"), "{said}");

    let file = place.path("network.json");
    fs::write(&file, network().to_string().replace("\"profile\"", "\"members\":[],\"profile\"")).unwrap();
    let (code, _, said) = run(&mut dseq(&["network", "show", text(&file)]));
    assert!(code == 1 && said.contains("duplicate key"), "{said}");
    let (code, _, said) = run(&mut dseq(&["network", "show", text(&place.path("absent.json"))]));
    assert!(code == 1 && said.contains("cannot use ") && said.contains("No such file"), "{said}");
}

/// Calls `dseq network create` with these members, and a CometBFT that only makes a genesis. As in a container, there is no folder
/// for temporary files.
fn create(place: &Place, members: &[Value], more: &[&str]) -> (i32, String, String) {
    let genesis = place.write("generated.json", &good_genesis());
    let script = format!("mkdir -p \"$2/config\" && cp {} \"$2/config/genesis.json\"", text(&genesis));
    let cometbft = stand_in(place.0.path(), VERSION, &script);
    let mut command = dseq(&["network", "create", "--chain-id", "audit-1", "--cometbft", text(&cometbft)]);
    for (number, member) in members.iter().enumerate() {
        command.arg(place.write(&format!("{number}.json"), member));
    }
    let (code, stdout, stderr) =
        run(command.args(more).current_dir(place.0.path()).env("TMPDIR", place.path("absent")));
    let names = fs::read_dir(place.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(".dseq")).collect();
    assert!(left.is_empty(), "{left:?} is left");
    (code, stdout, stderr)
}

#[test]
fn a_network_is_created_from_its_members_files_and_never_twice_in_one_place() {
    let place = Place::new();
    let members: Vec<Value> = (0..4).map(member).collect();
    let (code, stdout, stderr) = create(&place, &members, &["--limit", "tx_bytes_max=65536"]);
    assert_eq!(code, 0, "{stderr}");
    let file = place.path("network.json");
    let (words, hex) = place.fingerprint(&file);
    assert!(stdout.contains(&format!("fingerprint  {words}\n             {hex}\n")), "{stdout}");
    assert!(stdout.contains("tx_bytes_max 65536") && stdout.contains("profile      wide\n"), "{stdout}");
    let made: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    assert_eq!(made["members"], Value::from(members.clone()));
    assert_eq!(made["genesis"]["validators"].as_array().unwrap().len(), 4);
    assert!(made["genesis"]["app_state"]["dseq"]["pipeline"][0]["wasm"].is_string());
    let (code, _, stderr) = join(&place.home(3), &file, &words, &[]);
    assert_eq!(code, 0, "{stderr}");

    let (code, _, stderr) = create(&place, &members, &[]);
    assert!(code == 1 && stderr.contains("network.json is there already; nothing was changed"), "{stderr}");
    assert_eq!(place.fingerprint(&file), (words, hex));
}

#[test]
fn a_network_of_machines_is_not_made_by_accident() {
    let place = Place::new();
    let mut observer = member(1);
    observer["observer"] = true.into();
    let (code, _, stderr) = create(&place, &[member(0), observer], &[]);
    assert!(
        code == 1 && stderr.contains("of the members given, 1 would vote") && stderr.contains("--solo"),
        "{stderr}"
    );
    let (code, _, stderr) = create(&place, &[member(0), member(0)], &[]);
    assert!(code == 1 && stderr.contains("alice and alice have the same consensus key, "), "{stderr}");
    assert!(stderr.contains("or one member's file is given twice"), "{stderr}");
    let secret = json!({ "pub_key": {}, "priv_key": {} });
    let (code, _, stderr) = create(&place, &[member(0), secret], &[]);
    assert!(code == 1 && stderr.contains("1.json has a private key in it (priv_key)"), "{stderr}");
    assert!(!place.path("network.json").exists());
}

#[test]
fn init_asks_what_the_node_is_to_be() {
    let place = Place::new();
    let home = place.path("home");
    let cometbft = stand_in(place.0.path(), VERSION, "exit 1");
    let refused = |more: &[&str]| {
        let args = ["init", "--home", text(&home), "--cometbft", text(&cometbft)];
        let (code, _, stderr) = run(dseq(&args).args(more));
        assert!(code == 2 && !home.exists(), "{code} {stderr}");
        stderr
    };
    for some in [&[][..], &["--name", "alice"], &["--address", "a:1", "--observer"]] {
        assert!(refused(some).starts_with("error: what is this node to be?\n"));
    }
    let both = ["--name", "alice", "--address", "a.example:26656"];
    assert!(
        refused(&[&both[..], &["--plugin", "x=x.wasm"]].concat()).contains("plugins belong to the network")
    );
    assert!(refused(&[&both[..], &["--chain-id", "c"]].concat()).contains("--solo"));
    assert!(
        refused(&["--name", "a b", "--address", "a:1"])
            .contains("--name is \"a b\"; it must be 1 to 70 letters")
    );
    for address in ["a", "0.0.0.0:26656", "a:0", "a@b:1"] {
        let said = refused(&["--name", "alice", "--address", address]);
        assert!(said.contains(&format!("--address is {address:?}; it must be HOST:PORT")), "{said}");
    }
}
