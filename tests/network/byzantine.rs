//! A member whose CometBFT breaks the rules (tests/byzantine) among three honest ones: they stay equal and live, and name it.
//!
//! Four members make a network by files, as several companies do. Mallory's CometBFT behaves as a file in its home says, one way
//! after the other, while producers write at the three others.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use dseq::node::home::NodeHome;
use dseq::node::keys;
use dseq::node::process::ProcessId;
use rustix::process::Signal;

use crate::four_nodes::StopOnDrop;
use crate::support::{PATIENCE, ask, dseq, free_base_port, gallery, processes, run, until, workspace_file};

const NAMES: [&str; 4] = ["alice", "bob", "carol", "mallory"];
const MALLORY: usize = 3;
/// What mallory proposes although no pipeline with the plugin json accepts it.
const REJECTED: &str = "byzantine: this is not JSON";

/// A member's node.
struct Node {
    name: &'static str,
    home: NodeHome,
    rpc: u16,
    http: u16,
    log: PathBuf,
    child: Option<Child>,
}

impl Node {
    /// Makes its keys and its member file.
    fn new(dir: &Path, number: usize, base_port: u16) -> Self {
        let name = NAMES[number];
        let port = base_port + 4 * u16::try_from(number).unwrap();
        let root = dir.join(name);
        let at = |port: u16| format!("127.0.0.1:{port}");
        let (p2p, rpc, http) = (at(port), at(port + 1), at(port + 2));
        let home = root.to_str().unwrap();
        succeeds(&mut dseq(&[
            "init",
            "--home",
            home,
            "--name",
            name,
            "--address",
            &p2p,
            "--listen",
            &p2p,
            "--rpc",
            &rpc,
            "--http",
            &http,
        ]));
        let log = dir.join(format!("{name}.log"));
        Self { name, home: NodeHome::new(&root), rpc: port + 1, http: port + 2, log, child: None }
    }

    fn root(&self) -> &str {
        self.home.root().to_str().unwrap()
    }

    /// Starts it and waits until it takes transactions.
    fn start(&mut self) {
        let mut command = dseq(&["start", "--home", self.root()]);
        command.env_remove("DSEQ_HTTP");
        if self.name == NAMES[MALLORY] {
            command.env("DSEQ_COMETBFT", workspace_file("build/tools/byzantine/cometbft"));
        }
        let log = File::options().append(true).create(true).open(&self.log).unwrap();
        self.child = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    fn awaited(&self) {
        self.succeeds(&["health", "--ready", "--wait", "120s"]);
    }

    /// Ends all of it at once, as a lost machine does.
    fn kill(&mut self) {
        let ids = processes(&self.home);
        ids.iter().for_each(|id| drop(id.signal(Signal::KILL)));
        self.child.take().unwrap().wait().unwrap();
        assert!(ids.iter().all(|id| id.wait_gone(PATIENCE)));
    }

    /// What a command says of its home, whatever the exit code.
    fn says(&self, args: &[&str]) -> (i32, String) {
        let mut command = dseq(args);
        run(command.env_remove("DSEQ_HTTP").args(["--home", self.root()]))
    }

    fn succeeds(&self, args: &[&str]) -> String {
        let (code, said) = self.says(args);
        assert_eq!(code, 0, "{}: {args:?}: {said}", self.name);
        said
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The value of a series of `/metrics`.
    fn metric(&self, series: &str) -> u64 {
        let address = format!("127.0.0.1:{}", self.http);
        let text = http_get(&address, "/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} at {}: {text}", self.name)).parse().unwrap()
    }

    fn height(&self) -> u64 {
        let status = until("status", || ask(self.rpc, "status"));
        status["result"]["sync_info"]["latest_block_height"].as_str().unwrap().parse().unwrap()
    }

    fn sequence(&self) -> Vec<u8> {
        fs::read(self.home.sequence_dir().join("sequence.bin")).unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("{}:\n{}", self.name, lines[lines.len().saturating_sub(20)..].join("\n"));
        }
        let Some(child) = &mut self.child else { return };
        if let Some(id) = ProcessId::of(child.id()) {
            let _ = id.signal(Signal::TERM);
        }
        let _ = child.wait();
    }
}

fn succeeds(command: &mut Command) -> String {
    let (code, said) = run(command);
    assert_eq!(code, 0, "{command:?}: {said}");
    said
}

fn http_get(address: &str, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The network: its members, and what producers were told is committed.
struct Net {
    nodes: Vec<Node>,
    /// Mallory's validator, as messages call it.
    mallory: String,
    committed: Mutex<BTreeSet<String>>,
    _dir: tempfile::TempDir,
}

impl Net {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let base_port = free_base_port();
        let mut nodes: Vec<Node> = (0..4).map(|number| Node::new(dir.path(), number, base_port)).collect();
        let file = dir.path().join("network.json");
        let file = file.to_str().unwrap();
        let mut create =
            dseq(&["network", "create", "--chain-id", "byzantine-1", "--profile", "local", "-o", file]);
        create.args(["--plugin", &gallery("json")]);
        create.args(nodes.iter().map(|node| node.home.member_file()));
        succeeds(&mut create);
        let shown: serde_json::Value =
            serde_json::from_str(&succeeds(&mut dseq(&["network", "show", "--json", file]))).unwrap();
        let fingerprint = shown["fingerprint"]["hex"].as_str().unwrap().to_owned();
        for node in &mut nodes {
            node.succeeds(&["network", "join", file, "--expect", &fingerprint]);
            node.start();
        }
        nodes.iter().for_each(Node::awaited);
        let address = keys::show(&nodes[MALLORY].home).unwrap().address.unwrap();
        let (mallory, committed) = (format!("mallory ({address})"), Mutex::default());
        Self { nodes, mallory, committed, _dir: dir }
    }

    fn honest(&self) -> &[Node] {
        &self.nodes[..MALLORY]
    }

    /// Mallory behaves like this from now on.
    fn mallory_is(&self, behaviour: &str) {
        fs::write(self.nodes[MALLORY].home.root().join("byzantine"), behaviour).unwrap();
    }

    /// Lets producers write at the honest nodes until this is so, at each of these nodes. All that they wrote is committed then,
    /// and at least some blocks were.
    fn write_until(&self, phase: &str, nodes: &[Node], is_so: impl Fn(&Node) -> bool) {
        let began = std::time::Instant::now();
        let heights: Vec<u64> = nodes.iter().map(Node::height).collect();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for node in nodes {
                scope.spawn(|| self.produce(phase, node, &stop));
            }
            let running = StopOnDrop(&stop);
            for node in nodes {
                until(&format!("{phase} seen by {}", node.name), || is_so(node).then_some(()));
            }
            for (node, before) in nodes.iter().zip(&heights) {
                until("blocks", || (node.height() >= before + 4).then_some(()));
            }
            drop(running);
        });
        eprintln!(
            "{phase}: {:.1} s, {} blocks",
            began.elapsed().as_secs_f64(),
            nodes[0].height().saturating_sub(heights[0])
        );
    }

    /// Writes at a node, one transaction after the other, each of which has to be committed.
    fn produce(&self, phase: &str, node: &Node, stop: &AtomicBool) {
        let address = format!("127.0.0.1:{}", node.http);
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let tx = format!("{{\"{phase}\":\"{} {number}\"}}", node.name);
            let said = succeeds(&mut dseq(&["submit", "--node", &address, "--timeout", "100s", &tx]));
            assert!(said.starts_with("committed"), "{tx}: {said}");
            self.committed.lock().unwrap().insert(tx);
        }
    }

    /// Holds these nodes to the same bytes, with each committed transaction once and nothing that the pipeline rejects.
    fn check(&self, nodes: &[Node]) {
        let sequence = until("the same bytes everywhere", || {
            let all: Vec<Vec<u8>> = nodes.iter().map(Node::sequence).collect();
            all.windows(2).all(|two| two[0] == two[1]).then(|| all[0].clone())
        });
        let text = String::from_utf8(sequence).unwrap();
        for tx in &*self.committed.lock().unwrap() {
            assert_eq!(text.matches(tx.as_str()).count(), 1, "{tx}");
        }
        assert!(!text.contains(REJECTED));
    }

    /// Each honest node has said this in its log, and in `dseq doctor` with what to do, and in `dseq status`.
    fn named(&self, log: &str, check: &str, remedy: &str) {
        for node in self.honest() {
            assert!(node.log().contains(log), "{log:?} in the log of {}", node.name);
            let (_, doctor) = until(&format!("{check} in dseq doctor"), || {
                Some(node.says(&["doctor"])).filter(|(_, said)| said.contains(check))
            });
            assert!(doctor.contains(remedy), "{doctor}");
            let (code, health) = node.says(&["health"]);
            assert!(code == 1 && health.contains(check), "{health}");
        }
    }

    /// What the commands of the page for operators say at a node.
    fn by_the_page(&self, node: &Node) -> String {
        let page = fs::read_to_string(workspace_file("docs/run/misbehaviour.md")).unwrap();
        let block = page.split("```sh\n").nth(1).expect("a block").split("```").next().unwrap();
        let bin = Path::new(env!("CARGO_BIN_EXE_dseq")).parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-euc", &block.replace("/var/lib/dseq", node.root())]).env("PATH", path);
        shell.env("DSEQ_COMETBFT", workspace_file("build/cometbft")).env_remove("DSEQ_HTTP");
        let (code, said) = run(&mut shell);
        assert_eq!(code, 1, "{said}");
        said
    }

    fn in_status(&self, words: &str) {
        let (code, said) = self.nodes[0].says(&["status"]);
        assert!(code == 1 && said.contains(words), "{words:?} in: {said}");
    }

    /// How often mallory says in its log that it did this.
    fn times(&self, deed: &str) -> usize {
        self.nodes[MALLORY].log().matches(deed).count()
    }
}

fn proposes_what_is_rejected(net: &Net) {
    net.mallory_is("reject");
    let Net { mallory, .. } = net;
    let rejected = "dseq_proposals_total{vote=\"reject\"}";
    net.write_until("reject", net.honest(), |node| {
        node.metric(rejected) >= 3 && node.metric("dseq_silent_validators") == 1
    });
    net.mallory_is("");
    net.check(&net.nodes);
    let proposed = format!(
        "proposed in the name of validator {mallory} (whoever proposes a block can forge the name), "
    );
    let log = format!("rejecting a block proposed in the name of {mallory}: transaction ");
    net.named(&log, &proposed, "compare dseq genesis verify and dseq version with its operator");
    net.in_status(&proposed);
    // It may well propose a block that is taken meanwhile, and then the check passes.
    for node in net.honest() {
        assert!(
            node.log().contains(&format!("blocks was proposed by validator {mallory}, which is up")),
            "{}",
            node.name
        );
    }
    let said = net.by_the_page(&net.nodes[1]);
    assert!(
        said.contains("  bob says: this node rejected ")
            && said.contains(&proposed)
            && said.contains("to do: "),
        "{said}"
    );
}

/// No honest node takes a forged name for a proof.
fn proposes_as_another(net: &Net) {
    net.mallory_is("forge");
    let framed = |log: &str| {
        let log = log.split("rejecting a block proposed in the name of ");
        log.skip(1).any(|one| net.honest().iter().any(|node| one.starts_with(node.name)))
    };
    net.write_until("forge", net.honest(), |node| framed(&node.log()));
    // Its CometBFT's lines come into its log a little later.
    until("what mallory did", || (net.times("proposed as another") > 0).then_some(()));
    net.mallory_is("");
    net.check(&net.nodes);
    for node in net.honest() {
        let (code, said) = node.says(&["health"]);
        assert!(code == 1 && said.contains("(whoever proposes a block can forge the name)"), "{said}");
    }
}

fn signs_twice(net: &Net, behaviour: &str, deed: &str) {
    let series = "dseq_misbehaviour_total{kind=\"duplicate_vote\"}";
    let (before, did) = (net.nodes[0].metric(series), net.times(deed));
    net.mallory_is(behaviour);
    net.write_until(behaviour, net.honest(), |node| {
        net.times(deed) >= did + 5 && node.metric(series) >= before + 5
    });
    net.mallory_is("");
    net.check(&net.nodes);
    let Net { mallory, .. } = net;
    let log = format!("the validator {mallory} signed two different votes at one height (double signing)");
    net.named(
        &log,
        &format!("double-signing: {mallory} signed twice, "),
        "stop all nodes with this key but one",
    );
    net.in_status("signed twice, as block ");
}

fn signs_nothing(net: &Net) {
    net.mallory_is("withhold");
    let Net { mallory, .. } = net;
    let log = format!("blocks has the signature of validator {mallory}, which is up");
    net.write_until("withhold", net.honest(), |node| node.log().contains(&log));
    net.named(
        &log,
        &format!("signing: validator {mallory} is up, and its signature is in none of the last "),
        "ask its operator whether it catches up, recovers, is overloaded or cut off",
    );
    net.in_status(&format!("validator {mallory} is up, and its signature is in none of the last "));
    net.mallory_is("");
    net.write_until("sign", net.honest(), |node| node.metric("dseq_silent_validators") == 0);
    net.check(&net.nodes);
}

/// Meanwhile an honest node is lost and comes back: without it nobody decides, and lies about heights must not keep it away.
fn sends_garbage(net: &mut Net) {
    net.mallory_is("garbage");
    let violations = "dseq_peer_violations_total";
    // Each ends a connection, and two that dial each other again at once may stop for good: a few have to be enough.
    net.write_until("garbage", net.honest(), |node| node.metric(violations) >= 10);
    let id = keys::show(&net.nodes[MALLORY].home).unwrap().node_id.unwrap();
    let node = format!("CometBFT ended the connection to mallory (node {id}) because of what it sent");
    net.named(&node, &format!("messages: {node}, "), "ask its operator which program sends this");
    net.in_status(&node);
    net.nodes[2].kill();
    net.nodes[2].start();
    net.nodes[2].awaited();
    net.write_until("garbage to one that came back", net.honest(), |node| node.metric(violations) >= 10);
    net.check(net.honest());
}

#[test]
#[ignore = "needs CometBFT and the byzantine one; run by make e2e"]
fn a_byzantine_validator_is_named_and_three_honest_ones_stay_equal_and_live() {
    let mut net = Net::start();
    let running = |net: &Net| -> Vec<_> { net.honest().iter().map(|node| processes(&node.home)).collect() };
    let before = running(&net);
    net.write_until("honest", net.honest(), |_| true);
    net.check(&net.nodes);
    for node in net.honest() {
        let said = node.succeeds(&["health", "--wait", "60s"]);
        assert!(!said.contains("mallory"), "nobody is accused yet: {said}");
    }
    proposes_what_is_rejected(&net);
    proposes_as_another(&net);
    signs_twice(&net, "equivocate", "proposed different blocks");
    signs_twice(&net, "double-vote", "signed twice component=cometbft");
    signs_nothing(&net);
    assert_eq!(running(&net), before, "an honest node ended or restarted its engine");
    sends_garbage(&mut net);
    assert_eq!(running(&net)[..2], before[..2], "an honest node ended or restarted its engine");

    // Mallory mends its ways, and has what the others have.
    net.mallory_is("");
    net.nodes[MALLORY].awaited();
    net.write_until("restored", &net.nodes, |_| true);
    net.check(&net.nodes);
}
