//! The run that is interfered with, what an untroubled node makes of it, and what must be true after any crash.

use std::path::PathBuf;
use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::Value;

use super::process::{Life, Place, Process, Watched, live};
use super::strace::{Fault, Point};
use super::support::client::Client;
use super::support::consensus::{Chain, Node, Progress};
use super::support::plugins::moody_genesis;

/// Height at which the first life ends in order.
const FIRST_LIFE_HEIGHT: usize = 4;

/// A record of many BLAKE3 chunks, longer than the commit file.
const LARGE_RECORD_BYTES: usize = 300_000;

/// The transactions of each block, from height 1 on. The moody plugin makes `~` a wave and rejects `!`.
fn blocks() -> Vec<Vec<Bytes>> {
    let large: Vec<u8> = (0..LARGE_RECORD_BYTES).map(|at| b'a' + u8::try_from(at % 23).unwrap()).collect();
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    vec![
        vec![text("one|"), text("~")],
        vec![],
        vec![Bytes::from(large), text("!no")],
        vec![text("four|")],
        vec![text("five|"), text("!no"), text("~more")],
        vec![],
        vec![text("seven")],
    ]
}

/// The run, with everything an untroubled node answered and wrote.
pub(crate) struct Golden {
    pub(crate) chain: Chain,
    /// Length of the sequence at each height, from 0 on.
    pub(crate) lengths: Vec<usize>,
    /// Number of records at each height, from 0 on.
    pub(crate) counts: Vec<usize>,
    /// The sequence, from the transactions alone.
    sequence: Vec<u8>,
    records: Vec<u8>,
    rules: Vec<u8>,
    status: Value,
}

impl Golden {
    pub(crate) fn get() -> &'static Self {
        static GOLDEN: OnceLock<Golden> = OnceLock::new();
        GOLDEN.get_or_init(Self::make)
    }

    fn make() -> Self {
        let (mut node, mut chain) = (Node::new(), Chain::new(&moody_genesis()));
        chain.handshake(&mut node);
        let (mut sequence, mut lengths, mut counts) = (Vec::new(), vec![0], vec![0]);
        for txs in blocks() {
            let records = txs.iter().filter_map(|tx| match tx[0] {
                b'!' => None,
                b'~' => Some(Bytes::from_static(b"wave")),
                _ => Some(tx.clone()),
            });
            let records: Vec<Bytes> = records.collect();
            sequence.extend(records.iter().flatten());
            lengths.push(sequence.len());
            counts.push(counts.last().unwrap() + records.len());
            chain.decide(&mut node, txs);
        }
        let status = status(node.client());
        let read = |name| std::fs::read(node.sequence_dir().join(name)).unwrap();
        let (records, rules) = (read("records"), read("chain"));
        assert_eq!(node.sequence(), sequence, "the model is what an untroubled node writes");
        Self { chain, lengths, counts, sequence, records, rules, status }
    }

    pub(crate) fn height(&self) -> i64 {
        self.chain.next_height() - 1
    }

    /// Starts again unaided, as often as it takes to finish the run: nothing lost, nothing twice, nothing else.
    pub(crate) fn assert_recovers(&self, place: &Place, progress: Progress, after: &str) {
        let mut process = Process::start(place);
        let mut client = process.connect().unwrap_or_else(|_| panic!("no start after {after}"));
        let found = status(&mut client);
        let height = found["height"].as_i64().unwrap();
        assert!(
            (progress.answered..=progress.sent).contains(&height),
            "at height {height} after {after}, and {progress:?}"
        );
        let length = self.lengths[usize::try_from(height).unwrap()];
        assert!(place.read("sequence/sequence.bin") == self.sequence[..length], "other bytes after {after}");
        let mut redone = Progress::default();
        let followed = self.chain.try_follow(&mut client, self.height(), &mut redone);
        let followed = followed.unwrap_or_else(|error| panic!("{error} when going on after {after}"));
        if let Some(app_hash) = followed.genesis_app_hash {
            assert_eq!(app_hash, self.chain.genesis_app_hash, "after {after}");
        }
        assert_eq!(status(&mut client), self.status, "after {after}");
        drop(client);
        process.terminate();
        let ended = process.ended();
        assert!(ended.status.success(), "{ended:?} after {after}");
        assert!(place.read("sequence/sequence.bin") == self.sequence, "other bytes in the end after {after}");
        assert!(place.read("sequence/records") == self.records, "other records in the end after {after}");
        assert!(place.read("sequence/chain") == self.rules, "other rules in the end after {after}");
    }
}

/// Height, lengths, both roots and the app hash, as the node tells them.
fn status(client: &mut Client) -> Value {
    serde_json::from_slice(&client.query("/status", "").value).expect("the status is JSON")
}

/// One of the two lives of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Which {
    /// On an empty home.
    First,
    /// On what the first one left, with torn tails behind it.
    Second,
}

impl Which {
    /// The four stretches of the run that strace can watch.
    pub(crate) const STRETCHES: [(Self, Watched); 4] = [
        (Self::First, Watched::Starting),
        (Self::First, Watched::Serving),
        (Self::Second, Watched::Starting),
        (Self::Second, Watched::Serving),
    ];

    /// A home as this life finds it.
    pub(crate) fn place(self) -> Place {
        static AFTER_FIRST: OnceLock<Place> = OnceLock::new();
        match self {
            Self::First => Place::new(),
            Self::Second => AFTER_FIRST.get_or_init(torn_after_first_life).copy(),
        }
    }

    /// The height at which it ends.
    pub(crate) fn height(self) -> i64 {
        match self {
            Self::First => i64::try_from(FIRST_LIFE_HEIGHT).unwrap(),
            Self::Second => Golden::get().height(),
        }
    }

    /// How far the node is when it starts.
    pub(crate) fn progress(self) -> Progress {
        match self {
            Self::First => Progress::default(),
            Self::Second => Progress { answered: Self::First.height(), sent: Self::First.height() },
        }
    }

    /// Lives it, up to its end.
    pub(crate) fn live(self, place: &Place, watched: Watched, point: Option<(&Point, Fault)>) -> Life {
        let mut life = live(place, &Golden::get().chain, self.height(), watched, point);
        life.progress = further(self.progress(), life.progress);
        life
    }
}

/// What of two lives in a row was sent and answered.
pub(crate) fn further(before: Progress, after: Progress) -> Progress {
    Progress { answered: before.answered.max(after.answered), sent: before.sent.max(after.sent) }
}

/// What the first life leaves, and what a crash in the next commit could have added: bytes behind both data files, and
/// half a commit record in the slot that was next.
fn torn_after_first_life() -> Place {
    let place = Place::new();
    let mut process = Process::start(&place);
    let mut client = process.connect().expect("the node starts");
    let followed =
        Golden::get().chain.try_follow(&mut client, Which::First.height(), &mut Progress::default());
    followed.expect("nothing is in its way");
    drop(client);
    process.terminate();
    assert!(process.ended().status.success());
    let edit = |name: &str, edit: &dyn Fn(&mut Vec<u8>)| {
        let path: PathBuf = place.sequence_dir().join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        edit(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
    };
    edit("sequence.bin", &|bytes| bytes.extend_from_slice(&[b'#'; 1000]));
    edit("records", &|bytes| bytes.extend_from_slice(&[b'#'; 100]));
    // Height 4 is in the first slot.
    edit("commit", &|bytes| bytes[8192 + 20..8192 + 60].fill(b'#'));
    place
}

/// Does each job once, on as many threads as there are processors. A job that panics fails the test.
pub(crate) fn each<T: Sync>(jobs: &[T], job: impl Fn(&T) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(one) = jobs.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    job(one);
                }
            });
        }
    });
}
