//! How a whole network is, by what its nodes show: fine, degraded, or without a quorum.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::health::quorum;

/// How a network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nobody needs to look.
    Fine,
    /// It makes blocks, and somebody should look.
    Degraded,
    /// It makes no blocks, as far as can be seen.
    NoQuorum,
}

/// What is known of the nodes of a network.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The power of each validator, by its address; empty: nobody says.
    pub powers: BTreeMap<String, u64>,
    /// Validators that answer, or that a node that answers is connected to.
    pub up: BTreeSet<String>,
    /// Whether a node that answers is connected to others, of which it is not known whether they vote.
    pub has_unknown: bool,
    /// What is wrong with single nodes.
    pub troubles: Vec<String>,
    /// Whether no node answers at all.
    pub is_silent: bool,
}

/// How a network is, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// How it is.
    pub state: State,
    /// The voting power of the validators that are up.
    pub power_up: u64,
    /// That of all; none: not known.
    pub power_of_all: Option<u64>,
    /// Why it is not fine.
    pub reasons: Vec<String>,
}

impl Verdict {
    /// Decides.
    #[must_use]
    pub fn of(known: Known) -> Self {
        let sum = |powers: &mut dyn Iterator<Item = &u64>| {
            powers.fold(0_u64, |sum, power| sum.saturating_add(*power))
        };
        let power_up = sum(&mut known.up.iter().filter_map(|address| known.powers.get(address)));
        let power_of_all = (!known.powers.is_empty()).then(|| sum(&mut known.powers.values()));
        let mut reasons = known.troubles;
        let mut state = if reasons.is_empty() { State::Fine } else { State::Degraded };
        if known.is_silent {
            reasons.insert(0, "no node answers".to_owned());
            return Self { state: State::NoQuorum, power_up, power_of_all, reasons };
        }
        match power_of_all {
            None => {
                state = state.max(State::Degraded);
                reasons.push("no node says who the validators are".to_owned());
            }
            Some(all) if !quorum::decides(power_up, all) && known.has_unknown => {
                state = state.max(State::Degraded);
                reasons.push(format!(
                    "validators with voting power {power_up} of {all} are seen; whether the other peers vote is not known"
                ));
            }
            Some(all) if !quorum::decides(power_up, all) => {
                state = State::NoQuorum;
                reasons.insert(
                    0,
                    format!("validators with voting power {power_up} of {all} are up; a block takes more than two thirds"),
                );
            }
            Some(all) if power_up < all && !known.has_unknown => {
                state = state.max(State::Degraded);
                reasons
                    .push(format!("validators with voting power {} of {all} are not seen", all - power_up));
            }
            Some(_) => {}
        }
        Self { state, power_up, power_of_all, reasons }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four validators of power 10, so many of which are up.
    fn known(up: usize) -> Known {
        let names = ["V0", "V1", "V2", "V3"].map(str::to_owned);
        Known {
            powers: names.iter().map(|name| (name.clone(), 10)).collect(),
            up: names.into_iter().take(up).collect(),
            ..Known::default()
        }
    }

    #[test]
    fn a_network_is_fine_degraded_or_without_a_quorum() {
        let states = [4, 3, 2, 0].map(|up| Verdict::of(known(up)).state);
        assert_eq!(states, [State::Fine, State::Degraded, State::NoQuorum, State::NoQuorum]);
        let silent = Verdict::of(Known { is_silent: true, ..Known::default() });
        assert_eq!((silent.state, silent.reasons), (State::NoQuorum, vec!["no node answers".to_owned()]));
    }

    #[test]
    fn what_is_wrong_with_a_node_degrades_and_what_is_not_known_decides_nothing() {
        let trouble = Known { troubles: vec!["node1 is behind".to_owned()], ..known(4) };
        assert_eq!(Verdict::of(trouble).state, State::Degraded);
        assert_eq!(Verdict::of(Known { has_unknown: true, ..known(1) }).state, State::Degraded);
        assert_eq!(Verdict::of(Known { has_unknown: true, ..known(3) }).state, State::Fine);
        assert_eq!(Verdict::of(Known { powers: BTreeMap::new(), ..known(4) }).state, State::Degraded);
        // A stranger lends no power.
        let mut stranger = known(2);
        stranger.up.insert("X".to_owned());
        assert_eq!(Verdict::of(stranger).state, State::NoQuorum);
    }
}
