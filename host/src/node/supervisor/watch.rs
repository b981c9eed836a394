//! Watches a CometBFT that runs: it may have stopped working while its process goes on.
//!
//! After a panic in its consensus CometBFT's process stays, answers RPC and calls itself healthy. It writes one line about
//! it, and its height stays where it is. Both are watched, since the line can be missing: its log level is its owner's.
//!
//! # Invariants
//!
//! - That no block is made is not enough: without more than two thirds of the voting power no node can make one, and
//!   starting again does not help. A node is stuck when most of its peers went on without it, or when it decides alone.
//! - Each time a node was stuck and made no block since, it gets twice as long, so that a wrong guess costs ever less.
//! - Peers say themselves how far they are. If most of a node's peers lie, and it makes no block meanwhile, the most that
//!   they cause is a restart after 3, 6, 12, 24, 48 and then every 60 minutes. A block starts the count over.
//! - A node that makes blocks is never asked for its consensus state, which it writes out with its consensus halted.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use crate::node::engine::listen;
use crate::node::engine::log::Words;
use crate::node::engine::rpc::{Rpc, RpcError};
use crate::node::home::NodeHome;
use crate::node::process::tail::{self, Tail};

/// How often CometBFT's log is read.
const LOG_POLL: Duration = Duration::from_millis(500);
/// How often its RPC is asked.
const RPC_POLL: Duration = Duration::from_secs(15);
const RPC_PATIENCE: Duration = Duration::from_secs(5);
/// How long a node's height must have been the same before it is asked how far its peers are, and then each time again.
const QUIET_AFTER: Duration = Duration::from_secs(30);
/// A disk with less than this free is full, in bytes: CometBFT writes more than that with a block.
const DISK_FULL_BYTES: u64 = 64 << 10;
/// From here on it has space again.
const DISK_SPACE_BYTES: u64 = 4 << 20;
/// How long work may wait without a block. An overloaded machine makes none for most of a minute.
const STUCK_AFTER: Duration = Duration::from_secs(180);
const STUCK_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What a node's RPC says about its progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Its newest block.
    pub height: u64,
    /// Whether it fetches old blocks from its peers.
    pub catching_up: bool,
    /// Transactions in its mempool.
    pub waiting: u64,
    /// Its peers.
    pub peers: u64,
    /// Those that work on a block after the one it lacks.
    pub peers_ahead: u64,
    /// Whether transactions wait and it has more than two thirds of the voting power.
    pub decides_alone: bool,
}

/// What to make of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing is wrong, or not for long.
    Fine,
    /// No block is made, and that is not this node's doing.
    Waits(String),
    /// This node stopped working.
    Stuck(String),
}

/// A node's progress, from one run of CometBFT to the next.
#[derive(Debug)]
pub struct Progress {
    height: u64,
    /// Since when there is work and no block.
    since: Option<Instant>,
    stuck_after: Duration,
    said: bool,
}

impl Default for Progress {
    fn default() -> Self {
        Self { height: 0, since: None, stuck_after: STUCK_AFTER, said: false }
    }
}

impl Progress {
    /// Judges what was seen now.
    pub fn judge(&mut self, seen: Seen, now: Instant) -> Judgement {
        if seen.height != self.height {
            *self = Self { height: seen.height, ..Self::default() };
        }
        let behind = seen.peers_ahead.saturating_mul(2) > seen.peers;
        // Before its first block it may be waiting for the time in genesis.
        let alone = seen.decides_alone && seen.height > 0;
        if seen.catching_up || !(behind || seen.waiting > 0) {
            self.since = None;
            return Judgement::Fine;
        }
        let waited = now.saturating_duration_since(*self.since.get_or_insert(now));
        if waited < self.stuck_after {
            return Judgement::Fine;
        }
        let (height, waiting, seconds) = (seen.height, seen.waiting, waited.as_secs());
        if behind || alone {
            self.since = None;
            self.stuck_after = self.stuck_after.saturating_mul(2).min(STUCK_AFTER_MAX);
            let why = if behind {
                format!("{} of its {} peers are ahead", seen.peers_ahead, seen.peers)
            } else {
                format!("{waiting} transaction(s) wait, and this node alone decides")
            };
            return Judgement::Stuck(format!(
                "CometBFT runs, but is stuck at height {height}: no block for {seconds} s, although {why}"
            ));
        }
        if self.said {
            return Judgement::Fine;
        }
        self.said = true;
        Judgement::Waits(format!(
            "no block after height {height} for {seconds} s, although {waiting} transaction(s) wait: do validators with more \
             than two thirds of the voting power run and reach each other? This node has {} peer(s)",
            seen.peers
        ))
    }

    /// Begins to wait anew, as after a restart.
    pub fn restart(&mut self) {
        self.since = None;
    }
}

/// One run of CometBFT, as its log and its RPC tell it.
#[derive(Debug)]
pub struct Watch {
    log: Tail,
    rpc: Option<Rpc>,
    data: PathBuf,
    disk: Disk,
    /// What it has said.
    pub words: Words,
}

/// Whether the disk of a node's data was full while CometBFT ran.
///
/// A write that fails there ends CometBFT's consensus, and the line that would say so may be lost: its log is on the same
/// disk. So CometBFT is restarted as soon as there is space.
#[derive(Debug, Default, PartialEq, Eq)]
struct Disk {
    was_full: bool,
}

impl Disk {
    /// Takes how many bytes are free now; whether there is space again after there was none.
    fn has_space_again(&mut self, free_bytes: u64) -> bool {
        self.was_full |= free_bytes < DISK_FULL_BYTES;
        self.was_full && free_bytes >= DISK_SPACE_BYTES
    }
}

impl Watch {
    /// Watches what CometBFT says from now on.
    #[must_use]
    pub fn new(home: &NodeHome) -> Self {
        let log = home.cometbft_log();
        let start = tail::length(&log).unwrap_or(0);
        let rpc = listen::rpc_url(home).map(|url| Rpc::at(url, RPC_PATIENCE));
        let (log, data) = (Tail::from(&log, start), home.data_dir());
        Self { log, rpc, data, disk: Disk::default(), words: Words::default() }
    }

    /// Returns when CometBFT has stopped working, with the reason.
    pub async fn until_stuck(&mut self, progress: &mut Progress) -> String {
        progress.restart();
        let mut last_asked = Instant::now();
        let (mut quiet, mut answer) = (None, None);
        loop {
            tokio::time::sleep(LOG_POLL).await;
            self.read_log();
            if let Some(reason) = self.words.consensus_failure() {
                return format!("CometBFT's consensus failed, and its process goes on without it: {reason}");
            }
            if free_bytes(&self.data).is_some_and(|free| self.disk.has_space_again(free)) {
                return "the disk was full, which stops CometBFT's consensus, and has space again".to_owned();
            }
            if answer.is_none() && last_asked.elapsed() >= RPC_POLL {
                last_asked = Instant::now();
                answer = self.rpc.clone().and_then(|rpc| ask(rpc, quiet));
            }
            let seen = match answer.as_ref().map(Receiver::try_recv) {
                None | Some(Err(TryRecvError::Empty)) => continue,
                Some(Ok(Some((now_quiet, seen)))) => {
                    quiet = Some(now_quiet);
                    seen
                }
                Some(Ok(None) | Err(TryRecvError::Disconnected)) => None,
            };
            answer = None;
            match seen.map_or(Judgement::Fine, |seen| progress.judge(seen, Instant::now())) {
                Judgement::Fine => {}
                Judgement::Waits(text) => tracing::warn!("{text}"),
                Judgement::Stuck(text) => return text,
            }
        }
    }

    /// Takes what CometBFT has said since it was last read. A log that cannot be read now is read later.
    pub fn read_log(&mut self) {
        for line in self.log.new_lines().unwrap_or_default() {
            self.words.take(&line);
        }
    }
}

/// What this user may still write to a folder's disk, in bytes; none: it cannot be looked at now.
fn free_bytes(dir: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(dir).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// How long a node's height has been the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quiet {
    height: u64,
    /// When it was first seen, or the node was last asked all there is to ask.
    since: Instant,
}

/// What came of asking; none: the node does not answer, or not as expected.
type Answer = Option<(Quiet, Option<Seen>)>;

/// Asks in a thread of its own: the supervisor has to hear signals meanwhile. None: no thread can be made now.
fn ask(rpc: Rpc, quiet: Option<Quiet>) -> Option<Receiver<Answer>> {
    let (send, receive) = mpsc::channel();
    let asking = move || send.send(see(&rpc, quiet, Instant::now()).ok());
    thread::Builder::new().name("watch".to_owned()).spawn(asking).ok()?;
    Some(receive)
}

/// Asks how a node progresses, and no more than there is a reason for: to say how far its peers are, it halts its
/// consensus. Nothing is seen while that may still change.
fn see(rpc: &Rpc, quiet: Option<Quiet>, now: Instant) -> Result<(Quiet, Option<Seen>), RpcError> {
    let status = rpc.status()?;
    let (height, catching_up) = (status.height, status.catching_up);
    let moves = Seen { height, catching_up, ..Seen::default() };
    let quiet = match quiet {
        Some(quiet) if quiet.height == height && !catching_up => quiet,
        _ => return Ok((Quiet { height, since: now }, Some(moves))),
    };
    if now.saturating_duration_since(quiet.since) < QUIET_AFTER {
        return Ok((quiet, None));
    }
    let (waiting, peers) = (rpc.waiting()?, rpc.peers()?.len() as u64);
    let heights = if peers > 0 { rpc.heights_of_peers()? } else { Vec::new() };
    // The height that a peer works on is one above its newest block.
    let is_ahead = |at: &&Option<u64>| at.is_some_and(|at| at > height.saturating_add(1));
    let peers_ahead = heights.iter().filter(is_ahead).count() as u64;
    let decides_alone = waiting > 0 && status.power.saturating_mul(3) > rpc.power_of_all()?.saturating_mul(2);
    let peers = heights.len() as u64;
    let seen = Seen { waiting, peers, peers_ahead, decides_alone, ..moves };
    Ok((Quiet { since: now, ..quiet }, Some(seen)))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use serde_json::{Value, json};

    use super::*;

    const IDLE: Seen =
        Seen { height: 7, catching_up: false, waiting: 0, peers: 3, peers_ahead: 0, decides_alone: false };

    /// What is made of the same sight for so many seconds, seen once a second; the last that is not fine.
    fn for_seconds(progress: &mut Progress, seen: Seen, from: Instant, seconds: u64) -> Judgement {
        let judged = (0..=seconds).map(|second| progress.judge(seen, from + Duration::from_secs(second)));
        judged.filter(|one| *one != Judgement::Fine).last().unwrap_or(Judgement::Fine)
    }

    fn after_an_hour(seen: Seen) -> Judgement {
        for_seconds(&mut Progress::default(), seen, Instant::now(), 3600)
    }

    #[test]
    fn a_disk_that_was_full_is_reported_once_it_has_space() {
        let mut disk = Disk::default();
        let after = |disk: &mut Disk, free: u64| disk.has_space_again(free);
        assert!(
            !after(&mut disk, DISK_SPACE_BYTES) && !after(&mut disk, DISK_FULL_BYTES),
            "it was never full"
        );
        assert!(!after(&mut disk, 0) && !after(&mut disk, DISK_SPACE_BYTES - 1), "it is still full");
        assert!(after(&mut disk, DISK_SPACE_BYTES));
        assert!(free_bytes(Path::new("/")).is_some() && free_bytes(Path::new("/nowhere")).is_none());
    }

    #[test]
    fn a_node_without_work_is_fine_however_long() {
        assert_eq!(after_an_hour(IDLE), Judgement::Fine);
        assert_eq!(after_an_hour(Seen { decides_alone: true, ..IDLE }), Judgement::Fine);
        assert_eq!(after_an_hour(Seen { peers: 0, decides_alone: true, ..IDLE }), Judgement::Fine);
        // A peer or two may lie about their height, or just be faster.
        assert_eq!(after_an_hour(Seen { peers_ahead: 1, ..IDLE }), Judgement::Fine);
    }

    #[test]
    fn a_node_that_catches_up_or_waits_for_the_time_in_genesis_is_fine() {
        assert_eq!(
            after_an_hour(Seen { catching_up: true, waiting: 5, peers_ahead: 3, ..IDLE }),
            Judgement::Fine
        );
        let waits = after_an_hour(Seen { height: 0, waiting: 5, decides_alone: true, ..IDLE });
        assert!(matches!(waits, Judgement::Waits(_)), "{waits:?}");
    }

    #[test]
    fn without_a_quorum_a_node_waits_and_says_so_once() {
        let mut progress = Progress::default();
        let (seen, begin) = (Seen { waiting: 5, peers: 1, ..IDLE }, Instant::now());
        let Judgement::Waits(text) = for_seconds(&mut progress, seen, begin, 600) else {
            panic!("{progress:?}")
        };
        assert!(
            text.starts_with("no block after height 7 for 180 s, although 5 transaction(s) wait: "),
            "{text}"
        );
        let later = begin + Duration::from_secs(601);
        assert_eq!(for_seconds(&mut progress, seen, later, 3600), Judgement::Fine);
    }

    #[test]
    fn a_node_that_most_peers_left_behind_or_that_decides_alone_is_stuck() {
        for seen in
            [Seen { peers_ahead: 2, ..IDLE }, Seen { waiting: 1, peers: 0, decides_alone: true, ..IDLE }]
        {
            let mut progress = Progress::default();
            let begin = Instant::now();
            assert_eq!(for_seconds(&mut progress, seen, begin, 179), Judgement::Fine);
            let stuck = progress.judge(seen, begin + Duration::from_secs(180));
            let Judgement::Stuck(text) = stuck else { panic!("{stuck:?}") };
            assert!(text.contains("is stuck at height 7: no block for 180 s, although "), "{text}");
        }
    }

    #[test]
    fn a_node_that_is_stuck_again_gets_twice_as_long_until_it_makes_a_block() {
        let mut progress = Progress::default();
        let seen = Seen { peers_ahead: 3, ..IDLE };
        let mut at = Instant::now();
        for patience in [180, 360, 720, 1440, 2880, 3600, 3600] {
            assert_eq!(for_seconds(&mut progress, seen, at, patience - 1), Judgement::Fine, "{patience}");
            at += Duration::from_secs(patience);
            assert!(matches!(progress.judge(seen, at), Judgement::Stuck(_)), "{patience}");
            progress.restart();
        }
        let seen = Seen { height: 8, ..seen };
        assert!(matches!(for_seconds(&mut progress, seen, at, 180), Judgement::Stuck(_)));
    }

    /// A node's RPC that counts how often it is asked for its whole state.
    struct Answers {
        height: AtomicU64,
        waiting: AtomicU64,
        peers: Vec<&'static str>,
        dumps: AtomicU64,
    }

    impl Answers {
        fn to(&self, path: &str) -> Value {
            let power = json!({ "voting_power": "10" });
            let text = |number: &AtomicU64| number.load(SeqCst).to_string();
            match path {
                "/status" => json!({
                    "node_info": { "id": "x" }, "validator_info": power,
                    "sync_info": { "latest_block_height": text(&self.height), "catching_up": false },
                }),
                "/num_unconfirmed_txs" => json!({ "total": text(&self.waiting) }),
                "/net_info" => {
                    json!({ "peers": vec![json!({ "node_info": { "id": "y" } }); self.peers.len()] })
                }
                "/validators?per_page=100&page=1" => json!({ "validators": [power, power], "total": "2" }),
                "/dump_consensus_state" => {
                    self.dumps.fetch_add(1, SeqCst);
                    let peer = |height| json!({ "peer_state": { "round_state": { "height": height } } });
                    json!({ "peers": self.peers.iter().map(peer).collect::<Vec<_>>() })
                }
                _ => panic!("{path} was not expected"),
            }
        }

        fn serve(height: u64, waiting: u64, peers: &[&'static str]) -> (Arc<Self>, Rpc) {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let rpc = Rpc::at(format!("http://{}", listener.local_addr().unwrap()), RPC_PATIENCE);
            let (height, waiting) = (height.into(), waiting.into());
            let answers = Arc::new(Self { height, waiting, peers: peers.to_vec(), dumps: 0.into() });
            let served = Arc::clone(&answers);
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    let request = lines.next().unwrap().unwrap();
                    while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                    let body = json!({ "result": served.to(request.split(' ').nth(1).unwrap()) }).to_string();
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", body.len());
                    stream.write_all((head + "Connection: close\r\n\r\n" + &body).as_bytes()).unwrap();
                }
            });
            (answers, rpc)
        }
    }

    /// What is seen when a node is asked every 15 s for so long, while `change` is made of its answers before each.
    fn asked(rpc: &Rpc, seconds: u64, mut change: impl FnMut()) -> Vec<Option<Seen>> {
        let (begin, mut quiet) = (Instant::now(), None);
        let mut sights = Vec::new();
        for second in (0..=seconds).step_by(15) {
            change();
            let (now_quiet, seen) = see(rpc, quiet, begin + Duration::from_secs(second)).unwrap();
            quiet = Some(now_quiet);
            sights.push(seen);
        }
        sights
    }

    #[test]
    fn a_node_that_makes_blocks_is_never_asked_for_its_whole_state() {
        let (answers, rpc) = Answers::serve(7, 5, &["8", "9", "9"]);
        let sights = asked(&rpc, 300, || _ = answers.height.fetch_add(1, SeqCst));
        assert_eq!(sights.len(), 21);
        assert!(sights.iter().all(|seen| seen.is_some_and(|seen| seen.peers_ahead == 0)), "{sights:?}");
        assert_eq!(answers.dumps.load(SeqCst), 0);
        // Nor is one that makes a block in every other interval.
        let mut turn = 0;
        asked(&rpc, 300, || {
            turn += 1;
            answers.height.fetch_add(turn % 2, SeqCst);
        });
        assert_eq!(answers.dumps.load(SeqCst), 0);
    }

    #[test]
    fn a_node_without_peers_is_never_asked_for_its_whole_state() {
        let (answers, rpc) = Answers::serve(7, 5, &[]);
        let seen = asked(&rpc, 30, || {}).pop().unwrap();
        assert_eq!(seen, Some(Seen { height: 7, waiting: 5, ..Seen::default() }));
        assert_eq!(answers.dumps.load(SeqCst), 0);
    }

    #[test]
    fn a_quiet_node_is_asked_for_it_twice_a_minute() {
        let (answers, rpc) = Answers::serve(7, 5, &["8", "9", "9"]);
        let sights = asked(&rpc, 60, || {});
        let seen = Some(Seen { height: 7, waiting: 5, peers: 3, peers_ahead: 2, ..Seen::default() });
        assert_eq!(sights, [Some(Seen { height: 7, ..Seen::default() }), None, seen, None, seen]);
        assert_eq!(answers.dumps.load(SeqCst), 2);
    }

    #[test]
    fn a_node_that_others_left_behind_is_stuck_also_when_seen_twice_a_minute() {
        let (_, rpc) = Answers::serve(7, 0, &["9", "9", "9"]);
        let (mut progress, begin) = (Progress::default(), Instant::now());
        let judged = asked(&rpc, 225, || {});
        let judged = judged.into_iter().enumerate().filter_map(|(turn, seen)| {
            Some(progress.judge(seen?, begin + Duration::from_secs(15 * turn as u64)))
        });
        let judged: Vec<_> = judged.filter(|one| *one != Judgement::Fine).collect();
        let [Judgement::Stuck(text)] = judged.as_slice() else { panic!("{judged:?}") };
        assert!(text.contains("no block for 180 s, although 3 of its 3 peers are ahead"), "{text}");
    }
}
