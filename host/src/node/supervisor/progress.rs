//! What to make of a node's height, peers and waiting transactions over time: fine, waiting for others, or stuck.

use std::time::{Duration, Instant};

/// How long work may wait without a block. An overloaded machine makes none for most of a minute.
const STUCK_AFTER: Duration = Duration::from_secs(180);
const STUCK_AFTER_MAX: Duration = Duration::from_secs(3600);

/// What a node's RPC says about its progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
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
pub(super) enum Finding {
    /// Nothing is wrong, or not for long.
    Fine,
    /// No block is made, and that is not this node's doing.
    Waits(String),
    /// This node stopped working.
    Stuck(String),
}

/// A node's progress, from one run of CometBFT to the next.
#[derive(Debug)]
pub(super) struct Progress {
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
    /// Takes what was seen now.
    pub(super) fn take(&mut self, seen: Seen, now: Instant) -> Finding {
        if seen.height != self.height {
            *self = Self { height: seen.height, ..Self::default() };
        }
        let behind = seen.peers_ahead.saturating_mul(2) > seen.peers;
        // Before its first block it may be waiting for the time in genesis.
        let alone = seen.decides_alone && seen.height > 0;
        if seen.catching_up || !(behind || seen.waiting > 0) {
            self.since = None;
            return Finding::Fine;
        }
        let waited = now.saturating_duration_since(*self.since.get_or_insert(now));
        if waited < self.stuck_after {
            return Finding::Fine;
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
            return Finding::Stuck(format!(
                "CometBFT runs, but is stuck at height {height}: no block for {seconds} s, although {why}"
            ));
        }
        if self.said {
            return Finding::Fine;
        }
        self.said = true;
        Finding::Waits(format!(
            "no block after height {height} for {seconds} s, although {waiting} transaction(s) wait: do validators with more \
             than two thirds of the voting power run and reach each other? This node has {} peer(s)",
            seen.peers
        ))
    }

    /// Begins to wait anew, as after a restart.
    pub(super) fn restart(&mut self) {
        self.since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Seen =
        Seen { height: 7, catching_up: false, waiting: 0, peers: 3, peers_ahead: 0, decides_alone: false };

    /// What is made of the same sight for so many seconds, seen once a second; the last that is not fine.
    fn for_seconds(progress: &mut Progress, seen: Seen, from: Instant, seconds: u64) -> Finding {
        let found = (0..=seconds).map(|second| progress.take(seen, from + Duration::from_secs(second)));
        found.filter(|one| *one != Finding::Fine).last().unwrap_or(Finding::Fine)
    }

    fn after_an_hour(seen: Seen) -> Finding {
        for_seconds(&mut Progress::default(), seen, Instant::now(), 3600)
    }

    #[test]
    fn a_node_without_work_is_fine_however_long() {
        assert_eq!(after_an_hour(IDLE), Finding::Fine);
        assert_eq!(after_an_hour(Seen { decides_alone: true, ..IDLE }), Finding::Fine);
        assert_eq!(after_an_hour(Seen { peers: 0, decides_alone: true, ..IDLE }), Finding::Fine);
        // A peer or two may lie about their height, or just be faster.
        assert_eq!(after_an_hour(Seen { peers_ahead: 1, ..IDLE }), Finding::Fine);
    }

    #[test]
    fn a_node_that_catches_up_or_waits_for_the_time_in_genesis_is_fine() {
        assert_eq!(
            after_an_hour(Seen { catching_up: true, waiting: 5, peers_ahead: 3, ..IDLE }),
            Finding::Fine
        );
        let waits = after_an_hour(Seen { height: 0, waiting: 5, decides_alone: true, ..IDLE });
        assert!(matches!(waits, Finding::Waits(_)), "{waits:?}");
    }

    #[test]
    fn without_a_quorum_a_node_waits_and_says_so_once() {
        let mut progress = Progress::default();
        let (seen, begin) = (Seen { waiting: 5, peers: 1, ..IDLE }, Instant::now());
        let Finding::Waits(text) = for_seconds(&mut progress, seen, begin, 600) else {
            panic!("{progress:?}")
        };
        assert!(
            text.starts_with("no block after height 7 for 180 s, although 5 transaction(s) wait: "),
            "{text}"
        );
        let later = begin + Duration::from_secs(601);
        assert_eq!(for_seconds(&mut progress, seen, later, 3600), Finding::Fine);
    }

    #[test]
    fn a_node_that_most_peers_left_behind_or_that_decides_alone_is_stuck() {
        for seen in
            [Seen { peers_ahead: 2, ..IDLE }, Seen { waiting: 1, peers: 0, decides_alone: true, ..IDLE }]
        {
            let mut progress = Progress::default();
            let begin = Instant::now();
            assert_eq!(for_seconds(&mut progress, seen, begin, 179), Finding::Fine);
            let stuck = progress.take(seen, begin + Duration::from_secs(180));
            let Finding::Stuck(text) = stuck else { panic!("{stuck:?}") };
            assert!(text.contains("is stuck at height 7: no block for 180 s, although "), "{text}");
        }
    }

    #[test]
    fn a_node_that_is_stuck_again_gets_twice_as_long_until_it_makes_a_block() {
        let mut progress = Progress::default();
        let seen = Seen { peers_ahead: 3, ..IDLE };
        let mut at = Instant::now();
        for patience in [180, 360, 720, 1440, 2880, 3600, 3600] {
            assert_eq!(for_seconds(&mut progress, seen, at, patience - 1), Finding::Fine, "{patience}");
            at += Duration::from_secs(patience);
            assert!(matches!(progress.take(seen, at), Finding::Stuck(_)), "{patience}");
            progress.restart();
        }
        let seen = Seen { height: 8, ..seen };
        assert!(matches!(for_seconds(&mut progress, seen, at, 180), Finding::Stuck(_)));
    }
}
