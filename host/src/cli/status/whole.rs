//! The network as a whole, when it is asked once: quorum, behind, who signed twice, and whom nodes of this machine accuse.

use std::collections::BTreeSet;

use super::collect::View;
use crate::api::health::State as CheckState;
use crate::node::health::{CONDUCT, ask};
use crate::node::home::NodeHome;
use crate::node::network::Member;
use crate::node::testnet::NodeState;
use crate::node::verdict::{Known, State, Verdict};
use crate::node::view::Subject;

/// In how many blocks proofs of misdeeds are looked for.
const BLOCKS: u64 = 100;
/// From so many blocks on, a node counts as behind: others are a block ahead at times.
const BEHIND: u64 = 3;

/// What the nodes come to together.
pub(super) struct Whole {
    pub(super) verdict: Verdict,
    /// Whether no node answers, so that nothing is known of the network.
    is_silent: bool,
    /// Who signed twice, as the last blocks prove: the block with the proof, and the validator's address; none: nobody could be asked.
    pub(super) twice: Option<Vec<(u64, String)>>,
}

/// Puts together what was seen, and asks the node that is ahead who the validators are and who signed twice.
pub(super) fn of(view: &View, subjects: &[Subject], members: &[Member]) -> Whole {
    let shown: Vec<_> = view.nodes.iter().map(|node| node.shown()).collect();
    let ahead = (0..shown.len())
        .filter(|node| shown[*node].is_some())
        .max_by_key(|node| shown[*node].map(|one| one.height));
    let rpc = ahead.and_then(|node| subjects.get(node)).map(Subject::client);
    let twice = rpc.as_ref().and_then(|rpc| rpc.misdeeds(BLOCKS).ok());
    let validators = rpc.as_ref().and_then(|rpc| rpc.validators().ok()).unwrap_or_default();
    let powers = validators.into_iter().filter_map(|one| Some((one.address?, one.power))).collect();
    let answering = || shown.iter().copied().flatten();
    let mut up: BTreeSet<String> = answering().filter_map(|one| one.validator.clone()).collect();
    let ids: BTreeSet<&String> = answering().map(|one| &one.id).collect();
    let connected: BTreeSet<&String> = answering().flat_map(|one| &one.connected).collect();
    let mut named: BTreeSet<&String> = ids.clone();
    let mut troubles = troubles(view);
    troubles.extend(accusations(view, subjects));
    let is_silent = answering().next().is_none();
    // Of nobody nothing follows.
    for member in members.iter().filter(|_| !is_silent) {
        named.insert(&member.node_id);
        if connected.contains(&member.node_id) {
            up.insert(member.validator_address());
        } else if !ids.contains(&member.node_id) {
            troubles.push(format!("{}: no node that answers is connected to it", member.name));
        }
    }
    for (block, address) in twice.iter().flatten() {
        troubles.push(format!("validator {address} signed twice, as block {block} proves"));
    }
    let has_unknown = connected.iter().any(|id| !named.contains(*id));
    Whole { verdict: Verdict::of(Known { powers, up, has_unknown, troubles, is_silent }), is_silent, twice }
}

/// How other validators and nodes behave by what the nodes of this machine found: of each check, what the first node says.
fn accusations(view: &View, subjects: &[Subject]) -> Vec<String> {
    let mut found = Vec::new();
    let mut said = BTreeSet::new();
    for (node, subject) in view.nodes.iter().zip(subjects) {
        let Some(home) = subject.home.as_ref().filter(|_| node.shown().is_some()) else { continue };
        for check in ask::running(&NodeHome::new(home)).report.checks {
            if let (CheckState::Warning, Some(reason)) = (check.state, &check.reason)
                && CONDUCT.contains(&&*check.name)
                && said.insert(check.name.clone())
            {
                found.push(format!("{} says: {reason}", node.name));
            }
        }
    }
    found
}

/// What is wrong with single nodes.
fn troubles(view: &View) -> Vec<String> {
    let newest = view.nodes.iter().filter_map(|node| node.shown()).map(|one| one.height).max().unwrap_or(0);
    let mut found = Vec::new();
    for node in &view.nodes {
        let mut add = |what: String| found.push(format!("{}: {what}", node.name));
        match (node.state(), node.shown()) {
            (NodeState::Running, _) => {}
            (state, _) => add(state.to_string()),
        }
        node.checks.iter().for_each(|check| add(check.clone()));
        if let Some(shown) = node.shown() {
            let behind = newest.saturating_sub(shown.height);
            if behind >= BEHIND {
                add(format!("{behind} blocks behind"));
            }
        }
        if node.differs() {
            add("its app hash differs from the others'".to_owned());
        }
    }
    found
}

impl Whole {
    /// As people read it.
    pub(super) fn lines(&self) -> Vec<String> {
        if self.is_silent {
            let mut lines = vec!["network: NO ANSWER; its state is unknown here".to_owned()];
            lines.extend(self.verdict.reasons.iter().map(|reason| format!("  {reason}")));
            return lines;
        }
        let word = match self.verdict.state {
            State::Fine => "fine",
            State::Degraded => "DEGRADED",
            State::NoQuorum => "NO QUORUM",
        };
        let power = match self.verdict.power_of_all {
            Some(all) => format!("validators with voting power {} of {all} are up", self.verdict.power_up),
            None => "the validators are not known".to_owned(),
        };
        let twice = match &self.twice {
            None => "not known",
            Some(all) if all.is_empty() => "nobody",
            Some(_) => "see below",
        };
        let mut lines =
            vec![format!("network: {word}; {power}; signed twice in the last {BLOCKS} blocks: {twice}")];
        lines.extend(self.verdict.reasons.iter().map(|reason| format!("  {reason}")));
        lines
    }
}
