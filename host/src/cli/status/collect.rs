//! What is known of the nodes now, and the threads that keep it fresh.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::api::health::{Check, State as CheckState};
use crate::node::health::{CONDUCT, ask};
use crate::node::home::NodeHome;
use crate::node::process::running::Running;
use crate::node::shell;
use crate::node::testnet::{self, Network, NodeState, NodeStatus};
use crate::node::view::{Agreement, Agreements, Rate, Record, Shown, Subject};

/// Time between two looks at a node.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Time between two questions for the nodes' states, which cost more.
const STATES_EVERY: Duration = Duration::from_secs(2);

/// A node as it is shown.
#[derive(Clone, Debug)]
pub(super) struct NodeView {
    pub(super) name: String,
    pub(super) rpc: String,
    /// None: it was not looked at yet.
    pub(super) look: Option<Result<Shown, String>>,
    /// What `dseq testnet status` says of it.
    pub(super) status: Option<(NodeState, Option<String>)>,
    pub(super) rate: Option<f64>,
    pub(super) agreement: Agreement,
    /// What the node's own checks find wrong, if it was asked and is the one whose network is shown.
    pub(super) checks: Vec<String>,
    /// What it finds of others' conduct, if it was asked.
    pub(super) conduct: Vec<Check>,
}

impl NodeView {
    /// Whether it was not looked at yet.
    pub(super) fn is_pending(&self) -> bool {
        self.look.is_none()
    }

    pub(super) fn shown(&self) -> Option<&Shown> {
        self.look.as_ref()?.as_ref().ok()
    }

    pub(super) fn state(&self) -> NodeState {
        let alone = match &self.look {
            Some(Ok(shown)) => shown.state,
            Some(Err(_)) => NodeState::NoAnswer,
            None => NodeState::Unknown,
        };
        match (&self.status, alone) {
            // It knows more: which processes run, what other nodes have, whether there is a quorum.
            (Some((state, _)), NodeState::Running | NodeState::NoAnswer) => match (state, alone) {
                // The two looks were not at the same moment: this one is the newer.
                (NodeState::NoAnswer, NodeState::Running) | (NodeState::Running, NodeState::NoAnswer) => {
                    alone
                }
                _ => *state,
            },
            _ => alone,
        }
    }

    pub(super) fn reason(&self) -> Option<String> {
        let state = self.state();
        if let Some((found, reason)) = &self.status
            && *found == state
        {
            return reason.clone();
        }
        match &self.look {
            Some(Ok(shown)) => shown.reason.clone(),
            Some(Err(why)) => Some(why.clone()),
            None => None,
        }
    }

    pub(super) fn differs(&self) -> bool {
        self.agreement == Agreement::Differs
    }
}

/// All nodes as they are shown.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) nodes: Vec<NodeView>,
    /// The last records, the newest first.
    pub(super) records: Vec<Record>,
    /// The node that they are of.
    pub(super) records_of: Option<usize>,
}

impl View {
    /// Whether each node that answers was compared with another, or there is nothing to compare.
    pub(super) fn is_compared(&self) -> bool {
        let answering = || self.nodes.iter().filter(|node| node.shown().is_some());
        answering().count() < 2 || answering().all(|node| node.agreement != Agreement::Unknown)
    }
}

struct State {
    view: View,
    agreements: Agreements,
    rates: Vec<Rate>,
}

/// Looks at nodes, and keeps what it saw.
pub(super) struct Collector {
    subjects: Vec<Subject>,
    network: Option<Network>,
    records: u64,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
}

/// Ends the looking when it is dropped. Threads that wait for an answer then end by themselves.
pub(super) struct Looking(Arc<AtomicBool>);

impl Drop for Looking {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Collector {
    pub(super) fn new(subjects: Vec<Subject>, network: Option<Network>, records: u64) -> Self {
        let node = |subject: &Subject| NodeView {
            name: subject.name.clone(),
            rpc: subject.rpc.clone(),
            look: None,
            status: None,
            rate: None,
            agreement: Agreement::Unknown,
            checks: Vec::new(),
            conduct: Vec::new(),
        };
        let view = View { nodes: subjects.iter().map(node).collect(), records: Vec::new(), records_of: None };
        let rates = subjects.iter().map(|_| Rate::default()).collect();
        let state = Arc::new(Mutex::new(State { view, agreements: Agreements::default(), rates }));
        Self { subjects, network, records, state, stop: Arc::default() }
    }

    /// Whom it looks at.
    pub(super) fn subjects(&self) -> &[Subject] {
        &self.subjects
    }

    /// What is known now.
    pub(super) fn view(&self) -> View {
        lock(&self.state).view.clone()
    }

    /// Looks at all nodes at once, and waits for all of them.
    pub(super) fn look_once(&self) {
        std::thread::scope(|scope| {
            for (node, subject) in self.subjects.iter().enumerate() {
                scope.spawn(move || look(node, subject, &self.state));
            }
        });
    }

    /// Asks what only the whole network tells: see [`testnet::status`].
    pub(super) fn ask_for_states(&self) {
        if let Some(network) = &self.network {
            ask_for_states(network, &self.state);
        }
    }

    /// Asks the nodes of this machine what their checks find, each once: of all what they find of others' conduct, and of `own`, the
    /// node whose network is shown, whether it runs and the rest too.
    pub(super) fn ask_for_checks(&self, own: Option<&NodeHome>) {
        let homes = self.subjects.iter().map(|subject| subject.home.as_deref().map(NodeHome::new));
        for (node, home) in homes.enumerate().filter_map(|(node, home)| Some((node, home?))) {
            let is_own = own.is_some_and(|own| own.root() == home.root());
            let answers = self.view().nodes[node].shown().is_some();
            if !answers && !is_own {
                continue;
            }
            if !answers && !Running::read(&home).is_some_and(|running| running.supervisor.is_alive()) {
                let start = format!("it does not run: dseq start --home {}", shell::word(home.root()));
                lock(&self.state).view.nodes[node].status = Some((NodeState::Stopped, Some(start)));
                continue;
            }
            let (conduct, others) = split(ask::running(&home).report.checks);
            let mut state = lock(&self.state);
            let shown = &mut state.view.nodes[node];
            shown.conduct = if answers { conduct } else { Vec::new() };
            shown.checks = if is_own { others } else { Vec::new() };
        }
    }

    /// Reads the last records of the node that has most of them.
    pub(super) fn look_at_records(&self) {
        look_at_records(&self.subjects, self.records, &self.state);
    }

    /// Keeps looking, on threads of its own, until what it returns is dropped.
    pub(super) fn keep_looking(&self) -> Looking {
        for (node, subject) in self.subjects.iter().cloned().enumerate() {
            let state = Arc::clone(&self.state);
            self.repeat(LOOK_EVERY, move || look(node, &subject, &state));
        }
        if let Some(network) = self.network.clone() {
            let state = Arc::clone(&self.state);
            self.repeat(STATES_EVERY, move || ask_for_states(&network, &state));
        }
        if self.records > 0 {
            let (subjects, count) = (self.subjects.clone(), self.records);
            let state = Arc::clone(&self.state);
            self.repeat(LOOK_EVERY, move || look_at_records(&subjects, count, &state));
        }
        Looking(Arc::clone(&self.stop))
    }

    fn repeat(&self, every: Duration, mut work: impl FnMut() + Send + 'static) {
        let stop = Arc::clone(&self.stop);
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                work();
                std::thread::sleep(every);
            }
        });
    }
}

/// What a node's checks find wrong: of others' conduct, and the rest in words.
fn split(checks: Vec<Check>) -> (Vec<Check>, Vec<String>) {
    // A node without HTTP cannot be asked, and RPC says whether it answers.
    let wrong =
        checks.into_iter().filter(|check| check.state >= CheckState::Warning && check.name != ask::RUNS);
    let is_of_others =
        |check: &Check| check.state == CheckState::Warning && CONDUCT.contains(&check.name.as_ref());
    let (conduct, own): (Vec<Check>, Vec<Check>) = wrong.partition(is_of_others);
    let said = |check: Check| format!("{}: {}", check.name, check.reason.unwrap_or_default());
    (conduct, own.into_iter().map(said).collect())
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn look(node: usize, subject: &Subject, state: &Mutex<State>) {
    let look = subject.look().map_err(|err| err.to_string());
    let mut state = lock(state);
    let State { view, agreements, rates } = &mut *state;
    if let Ok(shown) = &look {
        agreements.note(node, shown.records, &shown.app_hash);
        rates[node].note(Instant::now(), shown.records);
    }
    view.nodes[node].rate = look.is_ok().then(|| rates[node].per_second()).flatten();
    view.nodes[node].look = Some(look);
    // What one node shows may be what another is compared with.
    for (node, shown) in view.nodes.iter_mut().enumerate() {
        shown.agreement = agreements.of(node);
    }
}

fn ask_for_states(network: &Network, state: &Mutex<State>) {
    // A network that is removed meanwhile has no states; its nodes do not answer either.
    let Ok(all) = testnet::status(network) else { return };
    let mut state = lock(state);
    for NodeStatus { node, state: found, reason, .. } in all {
        if let Some(shown) = state.view.nodes.iter_mut().find(|shown| shown.name == node) {
            shown.status = Some((found, reason));
        }
    }
}

fn look_at_records(subjects: &[Subject], count: u64, state: &Mutex<State>) {
    let (most, known) = {
        let state = lock(state);
        let shown = state.view.nodes.iter().enumerate();
        let most = shown.filter_map(|(node, shown)| Some((shown.shown()?.records, std::cmp::Reverse(node))));
        (most.max(), state.view.records.clone())
    };
    let Some((records, std::cmp::Reverse(node))) = most else { return };
    // A node that ends just now shows no records; the old ones stay.
    if let Ok(last) = subjects[node].last_records(records, count, &known) {
        let mut state = lock(state);
        state.view.records = last;
        state.view.records_of = Some(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_of_others_is_kept_apart() {
        let check = |name, state| Check::new(name, state, Some("why".to_owned()));
        let (conduct, own) = split(vec![
            check("disk", CheckState::Warning),
            check("signing", CheckState::Warning),
            check("messages", CheckState::Unknown),
            check(ask::RUNS, CheckState::Failed),
        ]);
        assert_eq!(conduct, [check("signing", CheckState::Warning)]);
        assert_eq!(own, ["disk: why"]);
    }
}
