//! The network as a whole, when it is asked once: quorum, behind, who signed twice, and whom nodes of this machine accuse.

use std::collections::BTreeSet;

use super::collect::View;
use crate::api::health::Check;
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
    troubles.extend(accusations(view.nodes.iter().map(|node| (node.name.as_str(), &node.conduct[..]))));
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

/// How other validators and nodes behave by what the nodes of this machine found: who is accused of the same by several is named once.
fn accusations<'a>(nodes: impl Iterator<Item = (&'a str, &'a [Check])>) -> Vec<String> {
    let mut found = Vec::new();
    let mut said = BTreeSet::new();
    for (node, checks) in nodes {
        for check in checks {
            let Some(reason) = &check.reason else { continue };
            // Up to the first comma it says who did what, and then how often and when.
            let accused = reason.split(',').next().unwrap_or(reason);
            if said.insert((&check.name, accused)) {
                found.push(format!("{node} says: {reason}"));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::health::State as CheckState;

    #[test]
    fn each_accused_is_named_once() {
        let signing = |reason: &str| Check::new("signing", CheckState::Warning, Some(reason.to_owned()));
        let alice = [signing("validator carol is up, and its signature is in none of the last 20 blocks")];
        let bob = [
            signing("validator carol is up, and its signature is in none of the last 21 blocks"),
            signing("validator dave is up, and its signature is in none of the last 30 blocks"),
        ];
        let found = accusations([("alice", &alice[..]), ("bob", &bob[..])].into_iter());
        let expected = [
            "alice says: validator carol is up, and its signature is in none of the last 20 blocks",
            "bob says: validator dave is up, and its signature is in none of the last 30 blocks",
        ];
        assert_eq!(found, expected);
    }
}
