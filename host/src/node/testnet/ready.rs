//! Waiting until nodes accept transactions, and finding out which of them is at fault when they do not.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::Node;
use super::launch::{Launched, logs};
use crate::api::health;
use crate::node::engine::rpc::{AppStatus, Rpc};
use crate::node::health::ask;
use crate::node::process::ProcessId;
use crate::node::process::running::Running;
use crate::node::process::tail;

const READY_POLL: Duration = Duration::from_millis(100);
const RPC_PATIENCE: Duration = Duration::from_secs(2);
/// How many lines of a node's own log, and of CometBFT's, are shown when it does not come up. What made CometBFT end is in
/// the former.
const LAST_LINES: [usize; 2] = [15, 5];
/// A node whose CometBFT was started this often within one wait keeps ending. Its supervisor gets over less by itself.
const STARTS_MAX: usize = 4;
/// When too few nodes are left for a quorum, those that answer get this long to show what is wrong with them.
const SETTLE: Duration = Duration::from_secs(3);

/// Why a node does not accept transactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The reason, in one line or several.
    pub why: String,
    /// The ends of what its logs say since this start; empty when they would tell nothing more.
    pub logs: String,
    /// Whether it was not started because a port of it is taken.
    pub port_taken: bool,
}

/// How far a node has come.
pub(super) enum State {
    /// It lacks this, or has not been asked yet.
    Pending(Option<Lack>),
    /// It accepts transactions.
    Ready,
    /// It does not run, or not for long.
    Failed(Failure),
}

/// What a node lacks to accept transactions.
pub(super) enum Lack {
    /// Nobody answers for it.
    Answer(String),
    /// Its app refuses every transaction.
    App(String),
    /// What it can only get from its peers.
    Peers(String),
    /// A check of its health fails.
    Check(String),
}

/// A node that is waited for.
pub(super) struct Watched<'a> {
    pub(super) node: &'a Node,
    /// Its supervisor, if this call started it.
    pub(super) launched: Option<Launched>,
    pub(super) state: State,
    /// How long its logs were before.
    log_starts: [u64; 2],
    /// Every CometBFT that was seen to run it.
    starts: BTreeSet<(u32, u64)>,
}

impl<'a> Watched<'a> {
    /// A node as it is before anything is started.
    pub(super) fn new(node: &'a Node) -> Self {
        let length = |path: PathBuf| tail::length(&path).unwrap_or(0);
        let log_starts = logs(node).map(|(_, path)| length(path));
        Self { node, launched: None, state: State::Pending(None), log_starts, starts: BTreeSet::new() }
    }

    pub(super) fn fail(&mut self, why: String) {
        self.state = State::Failed(Failure { why, logs: String::new(), port_taken: false });
    }

    fn fail_with_logs(&mut self, why: String) {
        self.state = State::Failed(Failure { why, logs: self.tails(), port_taken: false });
    }

    fn is_gone(&self) -> bool {
        matches!(self.state, State::Failed(_))
    }

    /// Notices a node whose processes have ended, or keep ending.
    fn look_at_processes(&mut self) {
        if self.is_gone() {
            return;
        }
        if let Some(launched) = &mut self.launched {
            match launched.child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return self.fail_with_logs(format!("it ended ({status})")),
                Err(err) => return self.fail_with_logs(format!("cannot watch it: {err}")),
            }
        }
        let Some(running) = Running::read(&self.node.home) else { return };
        if self.launched.is_none() && !running.supervisor.is_alive() {
            return self.fail_with_logs("it ended".to_owned());
        }
        self.starts.extend(running.cometbft.map(|ProcessId { pid, start_ticks }| (pid, start_ticks)));
        if self.starts.len() >= STARTS_MAX {
            self.fail_with_logs("CometBFT keeps ending; it is started again and again".to_owned());
        }
    }

    /// Whether it accepts transactions, when it is to have so many peers.
    fn ask(&mut self, peers: usize) {
        if matches!(self.state, State::Pending(_)) {
            self.state = match lack(self.node, peers) {
                None => State::Ready,
                lack => State::Pending(lack),
            };
        }
    }

    /// The ends of what was written to its logs since they were this long.
    fn tails(&self) -> String {
        let logs = logs(self.node).into_iter().zip(self.log_starts).zip(LAST_LINES);
        let tails = logs.filter_map(|(((name, path), since), count)| {
            let lines = tail::Tail::from(&path, since).last_lines(count).ok()?;
            let lines: Vec<String> = lines.iter().map(|line| format!("    {line}")).collect();
            (!lines.is_empty()).then(|| format!("  the end of its {name}:\n{}", lines.join("\n")))
        });
        tails.collect::<Vec<_>>().join("\n")
    }
}

/// Waits until all nodes accept transactions, or those that do not never will without help. Returns the signal that cut
/// it short, if one did.
pub(super) fn wait(
    watched: &mut [Watched<'_>],
    patience: Duration,
    stop: &Receiver<&'static str>,
) -> Option<&'static str> {
    let began = Instant::now();
    let quorum = others_for_quorum(watched.len());
    let mut without_quorum = None;
    loop {
        watched.iter_mut().for_each(Watched::look_at_processes);
        let alive = watched.iter().filter(|one| !one.is_gone()).count();
        watched.iter_mut().for_each(|one| one.ask(alive.saturating_sub(1).max(quorum)));
        let unanswered =
            |one: &Watched<'_>| matches!(one.state, State::Pending(None | Some(Lack::Answer(_))));
        let lonely =
            |one: &Watched<'_>| matches!(one.state, State::Pending(Some(Lack::Peers(_) | Lack::Check(_))));
        let all_answer = !watched.iter().any(unanswered);
        if all_answer && !watched.iter().any(lonely) {
            break;
        }
        if all_answer && alive <= quorum {
            let since = *without_quorum.get_or_insert_with(Instant::now);
            if since.elapsed() >= SETTLE {
                break;
            }
        }
        if began.elapsed() >= patience {
            break;
        }
        if let Ok(signal) = stop.recv_timeout(READY_POLL) {
            return Some(signal);
        }
    }
    settle(watched, began.elapsed());
    None
}

/// How many others make a quorum with a node of so many nodes; all have the same voting power, as they were made.
fn others_for_quorum(nodes: usize) -> usize {
    nodes.saturating_mul(2) / 3
}

/// Tells those that are at fault from those that wait for them.
fn settle(watched: &mut [Watched<'_>], waited: Duration) {
    let seconds = waited.as_secs();
    for one in watched.iter_mut() {
        match &one.state {
            State::Pending(Some(Lack::Answer(why) | Lack::Check(why))) => {
                let why = format!("{why}, after {seconds} s");
                one.fail_with_logs(why);
            }
            State::Pending(Some(Lack::App(why))) => {
                let why = why.clone();
                one.fail(why);
            }
            _ => {}
        }
    }
    let quorum = others_for_quorum(watched.len());
    let blamed = watched.iter().any(Watched::is_gone);
    for one in watched {
        // One that was ready may have lost its peers since.
        if blamed && matches!(one.state, State::Ready) {
            one.state = State::Pending(None);
        }
        // One that has enough peers for a quorum accepts transactions without the rest.
        one.ask(quorum);
        if let State::Pending(Some(Lack::App(why))) = &one.state {
            let why = why.clone();
            one.fail(why);
        }
        if !blamed && let State::Pending(Some(Lack::Peers(why))) = &one.state {
            let why = format!("{why}, after {seconds} s");
            one.fail_with_logs(why);
        }
    }
}

/// What a node lacks to accept transactions, when it is to have so many peers.
fn lack(node: &Node, peers: usize) -> Option<Lack> {
    let rpc = Rpc::at(node.rpc_url(), RPC_PATIENCE);
    let status = match rpc.status() {
        Ok(status) => status,
        Err(err) => return Some(Lack::Answer(err.to_string())),
    };
    let found = match rpc.peers() {
        Ok(found) => found.len(),
        Err(err) => return Some(Lack::Answer(err.to_string())),
    };
    if found < peers {
        return Some(Lack::Peers(format!("it has {found} of {peers} peers")));
    }
    if status.height == 0 {
        return Some(Lack::Peers("it has no block yet".to_owned()));
    }
    if status.catching_up {
        return Some(Lack::Peers(format!("it is catching up, at height {}", status.height)));
    }
    match rpc.app_status() {
        Ok(AppStatus { unready: Some(why), .. }) => Some(Lack::App(why)),
        Ok(_) => failed_check(node).map(Lack::Check),
        Err(err) => Some(Lack::Answer(err.to_string())),
    }
}

/// The first check that fails in a node, if it serves HTTP and so has checks.
fn failed_check(node: &Node) -> Option<String> {
    let found = ask::home(&node.home, Some(&node.http_url()?));
    let failed = found.report.checks.into_iter().find(|check| check.state == health::State::Failed)?;
    Some(format!("the check {:?} fails: {}", failed.name, failed.reason.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_more_than_two_thirds() {
        assert_eq!([1, 2, 3, 4, 6, 7, 32].map(others_for_quorum), [0, 1, 2, 2, 4, 4, 21]);
        for nodes in 1..=32 {
            let quorum = others_for_quorum(nodes) + 1;
            assert!(quorum * 3 > nodes * 2 && (quorum - 1) * 3 <= nodes * 2);
        }
    }
}
