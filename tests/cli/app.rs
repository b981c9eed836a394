//! What the app says in its log while CometBFT talks to it.

use std::fs;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dseq::abci::transport::ListenAddr;
use dseq::sequence::Log;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tendermint_proto::google::protobuf::Timestamp;
use tendermint_proto::v0_38::abci::{
    Misbehavior, MisbehaviorType, RequestFinalizeBlock, RequestInitChain, Validator,
};

use super::client::Client;
use super::plugins::moody_genesis;
use super::{dseq, home, run, text};

/// The app, listening.
pub(crate) struct App {
    pub(crate) child: Child,
    pub(crate) client: Client,
}

impl App {
    pub(crate) fn start(home: &Path) -> Self {
        Self::with_log(home, "json")
    }

    pub(crate) fn with_log(home: &Path, format: &str) -> Self {
        Self::start_with(home, format, &[])
    }

    pub(crate) fn start_with(home: &Path, format: &str, variables: &[(&str, &str)]) -> Self {
        let mut command = dseq(&["serve", "--home", text(home), "--log-format", format]);
        command.envs(variables.iter().copied());
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let listens = ListenAddr::Unix(home.join("run/abci.sock"));
        let started = Instant::now();
        loop {
            match Client::try_connect(&listens) {
                Ok(client) => return Self { child, client },
                Err(err) => assert!(started.elapsed() < Duration::from_secs(60), "nobody listens: {err}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn init(&mut self, app_state: &Value) {
        init(&mut self.client, app_state);
    }

    fn block(&mut self, height: i64, misbehavior: Vec<Misbehavior>) {
        self.client.finalize_block(RequestFinalizeBlock { height, misbehavior, ..Default::default() });
        self.client.commit();
    }

    /// Stops it; the lines of its log of this level.
    pub(crate) fn stop(mut self, level: &str) -> Vec<Value> {
        drop(self.client);
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{said}");
        let lines = said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["level"] == level).collect()
    }
}

/// Starts a chain with these rules.
pub(crate) fn init(client: &mut Client, app_state: &Value) {
    client.init_chain(RequestInitChain {
        chain_id: "c".to_owned(),
        initial_height: 1,
        app_state_bytes: app_state.to_string().into_bytes().into(),
        ..Default::default()
    });
}

fn misdeed(kind: MisbehaviorType, address: &'static [u8]) -> Misbehavior {
    Misbehavior {
        r#type: kind.into(),
        validator: Some(Validator { address: address.into(), power: 10 }),
        height: 1,
        time: Some(Timestamp { seconds: 1_767_225_600, nanos: 0 }),
        total_voting_power: 40,
    }
}

#[test]
fn a_validator_that_signed_twice_is_named_once_with_what_to_do() {
    let home = home();
    let mut app = App::start(home.path());
    app.init(&moody_genesis());
    app.block(1, Vec::new());
    app.block(
        2,
        vec![
            misdeed(MisbehaviorType::DuplicateVote, b"\xab\x01"),
            misdeed(MisbehaviorType::LightClientAttack, b"\xcd\x02"),
        ],
    );
    app.block(3, Vec::new());
    // A block that is decided but was not committed is replayed, and told of then.
    let third = vec![misdeed(MisbehaviorType::DuplicateVote, b"\xef\x03")];
    app.client.finalize_block(RequestFinalizeBlock {
        height: 4,
        misbehavior: third.clone(),
        ..Default::default()
    });
    let told = app.stop("ERROR");
    let facts = |line: &Value| {
        let fact = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        (
            fact("validator"),
            fact("kind"),
            fact("time"),
            line["height"].clone(),
            line["power"].clone(),
            line["block"].clone(),
        )
    };
    let expected = |validator: &str, kind: &str, block: u64| {
        (
            validator.to_owned(),
            kind.to_owned(),
            "2026-01-01T00:00:00Z".to_owned(),
            1.into(),
            10.into(),
            block.into(),
        )
    };
    let said: Vec<_> = told.iter().map(facts).collect();
    assert_eq!(said, [expected("AB01", "duplicate vote", 2), expected("CD02", "light client attack", 2)]);
    let words = told[0]["message"].as_str().unwrap();
    assert!(
        words.contains("double signing") && words.contains("stop all nodes with this key but one"),
        "{words}"
    );

    let mut app = App::start(home.path());
    app.block(4, third);
    let said: Vec<_> = app.stop("ERROR").iter().map(facts).collect();
    assert_eq!(said, [expected("EF03", "duplicate vote", 4)]);
}

#[test]
fn going_on_from_the_older_commit_record_is_said_with_both_heights() {
    let home = home();
    let dir = home.path().join("sequence");
    let mut app = App::start(home.path());
    app.init(&moody_genesis());
    app.block(1, Vec::new());
    app.block(2, Vec::new());
    assert_eq!(app.stop("WARN"), Vec::<Value>::new());
    let app = App::start(home.path());
    assert_eq!(app.stop("WARN"), Vec::<Value>::new(), "both are whole");

    // A bit of the newest slot's hash, far behind its height. Slots are used in turn, and the first has height 0.
    let commit = fs::File::options().read(true).write(true).open(dir.join("commit")).unwrap();
    flip(&commit, 12 + 20);
    let app = App::start(home.path());
    let told = app.stop("WARN");
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["height"], &told[0]["broken"]), (&1.into(), &2.into()));
    let words = told[0]["message"].as_str().unwrap();
    assert!(
        words.contains("commit records is not whole") && words.contains("CometBFT sends again"),
        "{words}"
    );
}

fn flip(file: &fs::File, offset: u64) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}

/// As the README promises: what is missing, and the last block's bytes, are looked at; what is further back is not, and
/// the sum of the file tells.
#[test]
fn a_disk_that_lost_bytes_is_noticed_as_far_as_is_promised() {
    let home = home();
    let dir = home.path().join("sequence");
    let mut app = App::start(home.path());
    app.init(&moody_genesis());
    for (height, txs) in
        [(1, vec![Bytes::from_static(b"first")]), (2, vec![Bytes::from_static(b"second")]), (3, vec![])]
    {
        app.client.finalize_block(RequestFinalizeBlock { height, txs, ..Default::default() });
        app.client.commit();
    }
    app.stop("ERROR");
    let root = Log::open(&dir).unwrap().head().sequence_root().to_string();
    let path = dir.join("sequence.bin");
    let good = fs::read(&path).unwrap();
    assert_eq!(blake3::hash(&good).to_string(), root);

    fs::write(&path, &good[..good.len() - 1]).unwrap();
    let (code, _, stderr) = run(&mut dseq(&["serve", "--home", text(home.path())]));
    assert!(code == 78 && stderr.contains("has 10 bytes, but 11 were committed"), "{stderr}");
    fs::write(&path, b"firstsecOnd").unwrap();
    let (code, _, stderr) = run(&mut dseq(&["serve", "--home", text(home.path())]));
    assert!(code == 78 && stderr.contains("record 1 in "), "{stderr}");
    fs::write(&path, b"fIrstsecond").unwrap();
    assert!(Log::open(&dir).is_ok(), "further back nothing is looked at");
    assert_ne!(blake3::hash(&fs::read(&path).unwrap()).to_string(), root);
}
