//! A local network of its own for each test, and the few questions the tests ask it.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use dseq::node::home::NodeHome;
use dseq::node::process::ProcessId;
use dseq::node::process::running::Running;
use dseq::node::testnet::{Network, Node};
use serde_json::Value;

use crate::program;

/// Generous: it only decides how long a broken build takes to fail. A node whose turn to restart for lost peers is the last of four may take
/// two and a half minutes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);

/// What one test's network may take, counted from its base port.
const PORTS_PER_TEST: u16 = 22;

pub(crate) fn workspace_file(path: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    file.canonicalize().unwrap_or_else(|err| panic!("{path}: {err}; run `make e2e`, which builds it"))
}

/// `dseq` with the CometBFT of this repository, and nothing else from the environment.
pub(crate) fn dseq(args: &[&str]) -> Command {
    let mut command = program::dseq(args);
    command.env("DSEQ_COMETBFT", workspace_file("build/cometbft"));
    command
}

/// Its exit code and all that it said.
pub(crate) fn run(command: &mut Command) -> (i32, String) {
    let (code, stdout, stderr) = program::run(command);
    (code, stdout + &stderr)
}

pub(crate) fn plugin() -> String {
    gallery("passthrough")
}

/// A plugin of this repository, as `--plugin` takes it.
pub(crate) fn gallery(name: &str) -> String {
    format!("{name}={}", workspace_file(&format!("build/plugins/{name}.wasm")).display())
}

/// A base port with free ports above it, out of the range from which the kernel takes ports for connections.
pub(crate) fn free_base_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let process = u16::try_from(std::process::id() % 500).unwrap();
    for _ in 0..500 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let base = 12_000 + (process + step) % 500 * PORTS_PER_TEST;
        if (base..base + PORTS_PER_TEST).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
    panic!("no {PORTS_PER_TEST} free ports in a row");
}

pub(crate) fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "no {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What a node's RPC answers, if it does; asked as curl asks, with every character of the path as it stands.
pub(crate) fn ask(port: u16, path: &str) -> Option<Value> {
    ask_at("127.0.0.1", port, path)
}

/// As [`ask`], of a node that listens on another address.
pub(crate) fn ask_at(host: &str, port: u16, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect((host, port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(!head.contains(" 400 "), "{path}: {answer}");
    serde_json::from_str(body).ok()
}

/// Offset and length of a committed transaction's record, by its receipt; nothing else says that it is committed.
pub(crate) fn receipt(answer: &Value) -> Option<(u64, u64)> {
    let data = answer["result"]["tx_result"]["data"].as_str()?;
    let bytes = data_encoding::BASE64.decode(data.as_bytes()).unwrap();
    let numbers: Vec<u64> =
        bytes.chunks_exact(8).map(|eight| u64::from_le_bytes(eight.try_into().unwrap())).collect();
    let [_height, _index, offset, length] = numbers[..] else { panic!("no receipt: {answer}") };
    Some((offset, length))
}

/// Every process that runs this home.
pub(crate) fn processes(home: &NodeHome) -> Vec<ProcessId> {
    let running = Running::read(home).unwrap();
    [Some(running.supervisor), running.app, running.cometbft].into_iter().flatten().collect()
}

/// Starts a node that must refuse to run, with exit code 78; answers why.
pub(crate) fn refusal(home: &NodeHome) -> String {
    let log = home.root().join("refusal.log");
    let mut command = dseq(&["start", "--home", home.root().to_str().unwrap()]);
    let mut child = command.stdin(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
    let status = until("refusal", || child.try_wait().unwrap());
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!(status.code(), Some(78), "{said}");
    said
}

/// A network of four nodes that ends with the test.
pub(crate) struct Testnet {
    dir: tempfile::TempDir,
    pub(crate) base_port: u16,
    pipeline: Vec<String>,
}

impl Testnet {
    pub(crate) fn new() -> Self {
        Self::with(vec!["--plugin".to_owned(), plugin()])
    }

    /// A network whose pipeline is what these options say.
    pub(crate) fn with(pipeline: Vec<String>) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), base_port: free_base_port(), pipeline }
    }

    pub(crate) fn dir(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    pub(crate) fn start(&self) -> (i32, String) {
        run(&mut self.start_command())
    }

    /// Starts it, which must succeed; answers what was said.
    pub(crate) fn started(&self) -> String {
        let (code, said) = self.start();
        assert_eq!(code, 0, "{said}");
        said
    }

    pub(crate) fn start_command(&self) -> Command {
        let base_port = self.base_port.to_string();
        let mut command = dseq(&["testnet", "start", "--dir", self.dir(), "--base-port", &base_port]);
        command.args(&self.pipeline);
        command
    }

    pub(crate) fn stop(&self) -> (i32, String) {
        run(&mut dseq(&["testnet", "stop", "--dir", self.dir()]))
    }

    pub(crate) fn nodes(&self) -> Vec<Node> {
        Network::open(self.dir.path()).unwrap().nodes().unwrap()
    }

    /// What `dseq checksum --json` says.
    pub(crate) fn checksum(&self) -> Value {
        let output = dseq(&["checksum", "--json", "--dir", self.dir()]).output().unwrap();
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Waits until all nodes have committed equally much, and returns the bytes, which must be the same.
    pub(crate) fn settled(&self) -> Vec<u8> {
        let found = until("common length of all nodes", || {
            let found = self.checksum();
            let lengths: Vec<_> =
                found["nodes"].as_array().unwrap().iter().map(|node| &node["length"]).collect();
            lengths.windows(2).all(|pair| pair[0] == pair[1]).then_some(found)
        });
        assert_eq!(found["identical"], true, "{found}");
        let mut bytes = std::fs::read(self.nodes()[0].home.sequence_dir().join("sequence.bin")).unwrap();
        bytes.truncate(usize::try_from(found["common_length"].as_u64().unwrap()).unwrap());
        bytes
    }
}

impl Drop for Testnet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", run(&mut dseq(&["testnet", "logs", "-n", "30", "--dir", self.dir()])).1);
        }
        let (code, said) = self.stop();
        if !std::thread::panicking() {
            assert_eq!(code, 0, "{said}");
        }
    }
}
