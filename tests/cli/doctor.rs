//! What `dseq doctor` finds out by asking: the node itself, the other members of its network, and what they hold.

use std::fs::{self, OpenOptions};
use std::io::Write;

use dseq::node::home::NodeHome;
use dseq::node::network::{Member, NetworkFile};
use serde_json::{Value, json};

use super::mock::{Node, Reply};
use super::network::{Place, name, network, node_id};
use super::played::{Played, Says};
use super::{dseq, run, text};

/// Alice's home in a network of four, of which CometBFT's RPC is played.
pub(super) struct Network {
    _place: Place,
    pub(super) home: NodeHome,
    /// Of alice, bob, carol and dave. Dave's RPC is for nobody.
    nodes: Vec<Played>,
    /// The addresses of their validators' keys.
    validators: Vec<String>,
}

impl Network {
    pub(super) fn new() -> Self {
        let nodes: Vec<Played> = (0..4).map(|number| Played::start(Says::one_of_four(number))).collect();
        let mut file = network();
        for number in 0..3 {
            file["members"][number]["rpc"] = nodes[number].rpc.as_str().into();
        }
        let place = Place::new();
        let home = place.home(0);
        let (code, _, stderr) = place.join(&home, &file, &[]);
        assert_eq!(code, 0, "{stderr}");
        let joined = NetworkFile::joined(&home).unwrap().unwrap();
        let validators: Vec<String> = joined.members().iter().map(Member::validator_address).collect();
        for (number, node) in (0..).zip(&nodes) {
            node.change(|says| {
                says.id = node_id(number);
                says.validator.clone_from(&validators[usize::from(number)]);
                let others = (0..4).filter(|other| *other != number);
                says.peers = others.map(|other| (node_id(other), name(other).to_owned(), None)).collect();
                says.validators = validators.iter().map(|address| (address.clone(), 10)).collect();
                says.signers.clone_from(&validators);
            });
        }
        let mut config = OpenOptions::new().append(true).open(home.cometbft_config()).unwrap();
        writeln!(config, "rpc.laddr = \"tcp://{}\"", nodes[0].rpc).unwrap();
        let network = Self { _place: place, home, nodes, validators };
        network.signed(9);
        network
    }

    /// Makes the home's record say that its validator has signed up to this block.
    fn signed(&self, height: u64) {
        fs::create_dir_all(self.home.data_dir()).unwrap();
        let record = json!({ "height": height.to_string(), "round": 0, "step": 3 });
        fs::write(self.home.data_dir().join("priv_validator_state.json"), record.to_string()).unwrap();
    }

    /// Lets nobody answer at alice's RPC.
    pub(super) fn stop(&self) {
        let config = fs::read_to_string(self.home.cometbft_config()).unwrap();
        fs::write(self.home.cometbft_config(), config.replace(&self.nodes[0].rpc, "127.0.0.1:1")).unwrap();
    }

    pub(super) fn change(&self, number: usize, change: impl FnOnce(&mut Says)) {
        self.nodes[number].change(change);
    }

    /// What doctor finds of these things, as `state  found`, with the nodes' names for their addresses.
    fn found<const N: usize>(&self, checks: [&str; N], http: &str) -> [String; N] {
        let (_, said, stderr) =
            run(&mut dseq(&["doctor", "--json", "--home", text(self.home.root()), "--http", http]));
        let mut said = said;
        for (number, node) in (0..).zip(&self.nodes) {
            said = said.replace(&node.rpc, &format!("{}'s RPC", name(number)));
        }
        let found: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{stderr}"));
        let findings = found["findings"].as_array().unwrap();
        checks.map(|check| {
            let of = findings.iter().filter(|one| one["check"] == check);
            let line = |one: &Value| {
                format!("{}: {}", one["state"].as_str().unwrap(), one["found"].as_str().unwrap())
            };
            of.map(line).collect::<Vec<_>>().join("\n")
        })
    }
}

/// A node's HTTP, which says this of its checks.
pub(super) fn http(checks: Value) -> Node {
    Node::start(move |_| Reply::json("200 OK", &json!({ "checks": checks })))
}

const ALL: [&str; 6] = ["node", "members", "same network", "peers' versions", "quorum", "key copies"];

#[test]
fn of_a_node_that_runs_among_its_members_nothing_is_wrong() {
    let network = Network::new();
    let http = http(json!([
        { "name": "abci", "state": "ok" },
        { "name": "agreement", "state": "unknown", "reason": "nobody was compared yet" },
    ]));
    let found = network.found(ALL, &http.address.to_string());
    let expected = [
        "ok: it runs, and all its checks pass; unknown: agreement: nobody was compared yet",
        "ok: connected to all 3 other validators",
        "ok: 2 peers are of audit-1 too",
        "ok: all run CometBFT 0.39.4",
        "",
        "ok: no signature of this validator is from elsewhere",
    ];
    assert_eq!(found, expected);
    // What its own checks find is said with what to do.
    let http = self::http(json!([
        { "name": "abci", "state": "ok" },
        { "name": "peers", "state": "failed", "reason": "it reaches voting power 20 of 40" },
        { "name": "disk", "state": "warning" },
    ]));
    let address = http.address.to_string();
    let found = network.found(["node"], &address);
    assert_eq!(
        found,
        ["failed: peers: it reaches voting power 20 of 40\nwarning: disk: it does not say why"]
    );
    let (code, said, _) =
        run(&mut dseq(&["doctor", "--home", text(network.home.root()), "--http", &address]));
    let remedy = "\nFAILED   node             peers: it reaches voting power 20 of 40\n\
        \x20                         to do: start the other validators, or mend the network between them\n\
        warning  node             disk: it does not say why\n";
    assert!(code == 1 && said.contains(remedy), "{said}");
}

#[test]
fn members_that_are_not_connected_are_named_with_their_addresses() {
    let network = Network::new();
    network.change(0, |says| says.peers.truncate(1));
    let expected = "warning: not connected to 2 of 3 other validators: carol (carol.example:26656), dave (dave.example:26656)";
    assert_eq!(network.found(["members"], "off"), [expected]);
}

#[test]
fn of_a_node_that_does_not_run_the_others_say_what_there_is_to_know() {
    let network = Network::new();
    network.stop();
    let one = ["node", "members", "quorum", "key copies"];
    let away = |says: &mut Says| says.peers.retain(|(id, _, _)| *id != node_id(0));
    (1..3).for_each(|number| network.change(number, away));
    let expected = [
        "unknown: it does not run; only what is on disk was looked at",
        "",
        "unknown: validators with power 20 of 40 answer here",
        "ok: no signature of this validator is from elsewhere",
    ];
    assert_eq!(network.found(one, "off"), expected);
    network.change(2, |says| says.power = 17);
    assert_eq!(
        network.found(["quorum"], "off"),
        ["ok: validators with power 27 of 40 answer without this node"]
    );
    let silent = |says: &mut Says| says.validators.clear();
    (1..3).for_each(|number| network.change(number, silent));
    let expected = "unknown: no peer says who the validators are";
    assert_eq!(network.found(["quorum"], "off"), [expected]);
}

#[test]
fn a_second_node_with_the_same_keys_is_found_by_its_connections_and_by_its_signatures() {
    let network = Network::new();
    network.signed(8);
    let by_signature = "failed: block 9 has this validator's signature, and this home has signed nothing above 8: another node votes \
                        with its key, or this home is an older copy";
    assert_eq!(network.found(["key copies"], "off"), [by_signature]);
    fs::remove_file(network.home.data_dir().join("priv_validator_state.json")).unwrap();
    let expected = "unknown: the record of what this validator signed is missing";
    assert_eq!(network.found(["key copies"], "off"), [expected]);
    // Without such a signature there is nothing to find.
    network.signed(8);
    (0..3).for_each(|number| {
        network.change(number, |says| says.signers.retain(|one| *one != network.validators[0]));
    });
    assert_eq!(
        network.found(["key copies"], "off"),
        ["ok: no signature of this validator is from elsewhere"]
    );
    network.stop();
    let expected = format!(
        "failed: this node does not run, and bob (http://bob's RPC) is connected to a node with its id {}",
        node_id(0)
    );
    assert_eq!(network.found(["key copies"], "off"), [expected]);
}

#[test]
fn a_peer_of_another_network_with_another_block_or_of_another_version_is_named() {
    let network = Network::new();
    network.change(1, |says| says.version = "0.38.0");
    network.change(2, |says| says.block = "B1");
    let checks = ["same network", "peers' versions"];
    let expected = [
        "failed: carol (http://carol's RPC) has another block 1 than follows from this home",
        "warning: this node runs CometBFT 0.39.4; bob (http://bob's RPC) runs 0.38.0",
    ];
    assert_eq!(network.found(checks, "off"), expected);
    network.change(2, |says| says.chain_id = "audit-2");
    let expected =
        "failed: carol (http://carol's RPC) is of network \"audit-2\", and this home of \"audit-1\"";
    assert_eq!(network.found(["same network"], "off"), [expected]);
}

#[test]
fn the_clock_is_compared_with_the_dates_of_peers_and_without_them_with_votes() {
    let network = Network::new();
    assert_eq!(network.found(["clock", "network"], "off"), ["unknown: no peer says what time it is", ""]);
    (1..3)
        .for_each(|number| network.change(number, |says| says.date = Some("Sun, 06 Nov 1994 08:49:37 GMT")));
    let [found] = network.found(["clock"], "off");
    let (begin, end) = ("failed: this machine's clock is ", " s ahead of those of 2 of 2 peers");
    assert!(found.starts_with(begin) && found.ends_with(end), "{found}");

    // Its own RPC answers as the others' do: what it says of itself tells them apart.
    for number in 1..3 {
        network.change(number, |says| says.id = node_id(0));
    }
    let why = "unknown: no peer's RPC can be asked from here, so its blocks and version are not compared with this node's";
    let expected = ["ok: as the clocks of 3 validators, by their votes", why];
    assert_eq!(network.found(["clock", "network"], "off"), expected);
}
