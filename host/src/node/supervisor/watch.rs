//! Watches a CometBFT that runs: it may have stopped working, or dialing its peers, while its process goes on.
//!
//! After a panic in its consensus CometBFT's process stays, answers RPC and calls itself healthy. It writes one line about
//! it, and its height stays where it is. Both are watched, since the line can be missing: its log level is its owner's.
//!
//! # Invariants
//!
//! - That no block is made is not enough: without more than two thirds of the voting power no node can make one. A node is stuck
//!   when most of its peers went on without it, when it decides alone, or when it does not dial peers that can be reached
//!   ([`super::connections`]).
//! - Each time a node was stuck and made no block since, it gets twice as long, so that a wrong guess costs ever less.
//! - Peers say themselves how far they are. If most of a node's peers lie, and it makes no block meanwhile, the most that
//!   they cause by this is a restart after 3, 6, 12, 24, 48 and then every 60 minutes. A block starts the count over.
//! - A node that makes blocks is never asked for its consensus state, which it writes out with its consensus halted.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use super::connections::{Connections, PersistentPeers, Unconnected};
use super::progress::{Finding, Progress, Seen};
use crate::disk;
use crate::node::engine::listen;
use crate::node::engine::log::Words;
use crate::node::engine::log_line;
use crate::node::engine::rpc::{Rpc, RpcError, Status};
use crate::node::home::NodeHome;
use crate::node::process::tail::{self, Tail};
use crate::telemetry;

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
/// One run of CometBFT, as its log and its RPC tell it.
#[derive(Debug)]
pub(super) struct Watch {
    log: Tail,
    rpc: Option<Rpc>,
    persistent: Arc<PersistentPeers>,
    data: PathBuf,
    disk: Disk,
    /// What it has said.
    pub words: Words,
    /// Whether its lines go into our log too.
    relays: bool,
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
    /// Watches what CometBFT says from now on, and puts it into our log too if it is to.
    #[must_use]
    pub(super) fn new(home: &NodeHome, relays: bool) -> Self {
        let log = home.cometbft_log();
        let start = tail::length(&log).unwrap_or(0);
        let rpc = listen::rpc_url(home).map(|url| Rpc::at(url, RPC_PATIENCE));
        let persistent = Arc::new(PersistentPeers::of(home));
        let (log, data) = (Tail::from(&log, start), home.data_dir());
        Self { log, rpc, persistent, data, disk: Disk::default(), words: Words::default(), relays }
    }

    /// Returns when CometBFT has stopped working, with the reason.
    pub(super) async fn until_stuck(
        &mut self,
        progress: &mut Progress,
        connections: &mut Connections,
    ) -> String {
        progress.restart();
        connections.restart();
        let mut last_asked = Instant::now();
        let (mut quiet, mut answer) = (None, None);
        loop {
            tokio::time::sleep(LOG_POLL).await;
            self.read_log();
            if let Some(reason) = self.words.consensus_failure() {
                return format!("CometBFT's consensus failed, and its process goes on without it: {reason}");
            }
            // A disk that cannot be asked now is asked again at the next turn.
            if disk::free_bytes(&self.data).is_ok_and(|free| self.disk.has_space_again(free)) {
                return "the disk was full, which stops CometBFT's consensus, and has space again".to_owned();
            }
            if answer.is_none() && last_asked.elapsed() >= RPC_POLL {
                last_asked = Instant::now();
                answer = self.rpc.clone().and_then(|rpc| ask(rpc, Arc::clone(&self.persistent), quiet));
            }
            let sight = match answer.as_ref().map(Receiver::try_recv) {
                None | Some(Err(TryRecvError::Empty)) => continue,
                Some(Ok(sight)) => sight,
                Some(Err(TryRecvError::Disconnected)) => None,
            };
            answer = None;
            let Some(Sight { quiet: now_quiet, seen, unconnected, at }) = sight else {
                connections.restart();
                continue;
            };
            quiet = Some(now_quiet);
            if let Some(reason) = connections.take(now_quiet.height, unconnected.as_ref(), Instant::now()) {
                return reason;
            }
            match seen.map_or(Finding::Fine, |seen| progress.take(seen, at)) {
                Finding::Fine => {}
                Finding::Waits(text) => tracing::warn!("{text}"),
                Finding::Stuck(text) => return text,
            }
        }
    }

    /// Takes what CometBFT has said since it was last read. A log that cannot be read now is read later.
    pub(super) fn read_log(&mut self) {
        for line in self.log.new_lines().unwrap_or_default() {
            self.words.take(&line);
            if self.relays
                && let Some(line) = log_line::parse(&line)
            {
                telemetry::relay(line);
            }
        }
    }
}

/// How long a node's height has been the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quiet {
    height: u64,
    /// When it was first seen, or the node was last asked all there is to ask.
    since: Instant,
}

/// What a node tells when it is asked.
#[derive(Debug)]
struct Sight {
    quiet: Quiet,
    seen: Option<Seen>,
    /// See [`PersistentPeers::unconnected`].
    unconnected: Option<Unconnected>,
    /// When it was seen; to look up a name may take long.
    at: Instant,
}

/// What came of asking; none: the node does not answer, or not as expected.
type Answer = Option<Sight>;

/// Asks in a thread of its own: the supervisor has to hear signals meanwhile. None: no thread can be made now.
fn ask(rpc: Rpc, persistent: Arc<PersistentPeers>, quiet: Option<Quiet>) -> Option<Receiver<Answer>> {
    let (send, receive) = mpsc::channel();
    let look = move || {
        let status = rpc.status()?;
        let at = Instant::now();
        let (quiet, seen) = see(&rpc, &status, quiet, at)?;
        // If it does not tell now, nobody was seen to be reachable.
        let unconnected =
            persistent.unconnected(&rpc, &status).unwrap_or_else(|_| Some(Unconnected::default()));
        Ok::<_, RpcError>(Sight { quiet, seen, unconnected, at })
    };
    let asking = move || send.send(look().ok());
    thread::Builder::new().name("watch".to_owned()).spawn(asking).ok()?;
    Some(receive)
}

/// Asks how a node progresses, and no more than there is a reason for: to say how far its peers are, it halts its
/// consensus. Nothing is seen while that may still change.
fn see(
    rpc: &Rpc,
    status: &Status,
    quiet: Option<Quiet>,
    now: Instant,
) -> Result<(Quiet, Option<Seen>), RpcError> {
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
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use serde_json::{Value, json};

    use super::*;

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
            let (now_quiet, seen) =
                see(rpc, &rpc.status().unwrap(), quiet, begin + Duration::from_secs(second)).unwrap();
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
        let found = asked(&rpc, 225, || {});
        let found = found.into_iter().enumerate().filter_map(|(turn, seen)| {
            Some(progress.take(seen?, begin + Duration::from_secs(15 * turn as u64)))
        });
        let found: Vec<_> = found.filter(|one| *one != Finding::Fine).collect();
        let [Finding::Stuck(text)] = found.as_slice() else { panic!("{found:?}") };
        assert!(text.contains("no block for 180 s, although 3 of its 3 peers are ahead"), "{text}");
    }
}
