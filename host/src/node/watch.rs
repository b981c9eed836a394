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

use std::time::{Duration, Instant};

use serde_json::Value;

use super::home::NodeHome;
use super::listen;
use super::rotate;
use super::rpc::Rpc;
use super::tail::{self, Tail};
use super::words::Words;

/// How often CometBFT's log is read.
const LOG_POLL: Duration = Duration::from_millis(500);
/// How often its RPC is asked.
const RPC_POLL: Duration = Duration::from_secs(15);
const RPC_PATIENCE: Duration = Duration::from_secs(5);
/// How long work may wait without a block. An overloaded machine makes none for most of a minute.
const STUCK_AFTER: Duration = Duration::from_secs(180);
const STUCK_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What a node's RPC says about its progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Whether it has more than two thirds of the voting power.
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
    rotated: Vec<std::path::PathBuf>,
    rpc: Option<Rpc>,
    /// What it has said.
    pub words: Words,
}

impl Watch {
    /// Watches what CometBFT says from now on. Where `dseq` itself writes into the home, that log is kept in bounds too.
    #[must_use]
    pub fn new(home: &NodeHome, with_own_log: bool) -> Self {
        let log = home.cometbft_log();
        let start = tail::length(&log).unwrap_or(0);
        let own = with_own_log.then(|| home.app_log());
        let rpc = listen::rpc(home).map(|(host, port)| {
            let host = if host.contains(':') { format!("[{host}]") } else { host };
            Rpc::at(format!("http://{host}:{port}"), RPC_PATIENCE)
        });
        Self {
            log: Tail::from(&log, start),
            rotated: own.into_iter().chain([log]).collect(),
            rpc,
            words: Words::default(),
        }
    }

    /// Returns when CometBFT has stopped working, with the reason.
    pub async fn until_stuck(&mut self, progress: &mut Progress) -> String {
        progress.restart();
        let mut last_asked = Instant::now();
        let mut answer = None;
        loop {
            tokio::time::sleep(LOG_POLL).await;
            self.read_log();
            self.keep_logs_in_bounds();
            if let Some(reason) = self.words.consensus_failure() {
                return format!("CometBFT's consensus failed, and its process goes on without it: {reason}");
            }
            if answer.is_none() && last_asked.elapsed() >= RPC_POLL {
                last_asked = Instant::now();
                answer = self.rpc.clone().map(ask);
            }
            let Some(seen) = answer.as_ref().and_then(|answer| answer.try_recv().ok()) else { continue };
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

    fn keep_logs_in_bounds(&self) {
        for log in &self.rotated {
            if let Err(err) = rotate::rotate(log) {
                tracing::warn!("cannot empty {}, which grows: {err}", log.display());
            }
        }
    }
}

/// Asks in a thread of its own: the supervisor has to hear signals meanwhile.
fn ask(rpc: Rpc) -> std::sync::mpsc::Receiver<Option<Seen>> {
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || send.send(see(&rpc)));
    receive
}

/// Asks how a node progresses; none: it does not answer, or not as expected.
fn see(rpc: &Rpc) -> Option<Seen> {
    let status = rpc.get("status").ok()?;
    let waiting = rpc.get("num_unconfirmed_txs?limit=1").ok()?;
    let consensus = rpc.get("dump_consensus_state").ok()?;
    seen(&status, &waiting, &consensus)
}

fn seen(status: &Value, waiting: &Value, consensus: &Value) -> Option<Seen> {
    let number = |value: &Value| value.as_str()?.parse::<u64>().ok();
    let height = number(&status["sync_info"]["latest_block_height"])?;
    let power = number(&status["validator_info"]["voting_power"])?;
    let validators = consensus["round_state"]["validators"]["validators"].as_array()?;
    let total: u64 = validators.iter().filter_map(|one| number(&one["voting_power"])).sum();
    let peers = consensus["peers"].as_array().map_or(&[][..], Vec::as_slice);
    // The height that a peer works on is one above its newest block.
    let ahead = |peer: &&Value| {
        number(&peer["peer_state"]["round_state"]["height"]).is_some_and(|at| at > height.saturating_add(1))
    };
    Some(Seen {
        height,
        catching_up: status["sync_info"]["catching_up"].as_bool()?,
        waiting: number(&waiting["total"])?,
        peers: peers.len() as u64,
        peers_ahead: peers.iter().filter(ahead).count() as u64,
        decides_alone: power.saturating_mul(3) > total.saturating_mul(2),
    })
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn what_cometbft_answers_is_understood() {
        let status = serde_json::json!({
            "sync_info": { "latest_block_height": "7", "catching_up": false },
            "validator_info": { "voting_power": "10" },
        });
        let waiting = serde_json::json!({ "n_txs": "1", "total": "5" });
        let peer =
            |height: &str| serde_json::json!({ "peer_state": { "round_state": { "height": height } } });
        let consensus = serde_json::json!({
            "round_state": { "validators": { "validators": [{ "voting_power": "10" }, { "voting_power": "10" }] } },
            "peers": [peer("8"), peer("9"), { "peer_state": null }],
        });
        let expected = Seen { waiting: 5, peers_ahead: 1, ..IDLE };
        assert_eq!(seen(&status, &waiting, &consensus), Some(expected));
    }
}
