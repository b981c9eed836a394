//! The checks of how other validators and nodes behave: what they propose, sign and send.

use std::cmp::Reverse;

use super::{Found, OK, of_engine, unknown, warning};
use crate::node::health::silent::{CAUSES, who};
use crate::node::health::snapshot::{Lack, Learned, Silent, Snapshot};

/// For how many blocks it is shown that a proposal was voted down.
const VOTED_DOWN_BLOCKS: u64 = 1000;

/// The address of this node's validator.
fn own(snapshot: &Snapshot) -> Option<&str> {
    match &snapshot.engine {
        Learned::Known(engine) => engine.validator.as_deref(),
        Learned::Unasked(_) | Learned::Silent(_) => None,
    }
}

/// Whether this node had to vote against a proposal lately.
pub(super) fn proposals(snapshot: &Snapshot) -> Found {
    let is_recent = |height: u64| snapshot.height.saturating_sub(height) < VOTED_DOWN_BLOCKS;
    let mut recent: Vec<_> = snapshot.accused.iter().filter(|one| is_recent(one.height)).collect();
    recent.sort_by_key(|one| one.height);
    let Some(last) = recent.last() else { return OK };
    let who = who(&last.proposer, own(snapshot), &snapshot.names);
    let times = times(last.times);
    let others = others(recent.len());
    warning(format!(
        "{who} proposed what this node votes against, {times}, most recently for block {}: {}{others}",
        last.height, last.why
    ))
}

/// Whether blocks have the signatures of all validators that are up, and are proposed by each in its turn.
pub(super) fn signing(snapshot: &Snapshot) -> Found {
    let Some(silent) = &snapshot.silent else {
        return of_engine(snapshot, |engine| {
            unknown(if engine.catching_up {
                "this node catches up, and cannot tell who signs the newest blocks"
            } else {
                "this node does not know which validators its peers have: no network file or persistent peer says it"
            })
        });
    };
    // Who signs nothing comes first.
    let by_lack = |one: &&Silent| (Reverse(one.lack), one.blocks);
    let Some(Silent { validator, lack, blocks }) = silent.iter().max_by_key(by_lack) else {
        return OK;
    };
    let who = who(validator, own(snapshot), &snapshot.names);
    let lacks = match lack {
        Lack::Signs => format!("its signature is in none of the last {blocks} blocks"),
        Lack::Proposes => format!("it proposed none of the last {blocks} blocks"),
    };
    let others = others(silent.len());
    warning(format!("{who} is up, and {lacks}: {CAUSES}{others}"))
}

/// Whether peers keep to CometBFT's protocol.
pub(super) fn messages(snapshot: &Snapshot) -> Found {
    let Some(last) = snapshot.violations.iter().min_by_key(|one| one.ago) else { return OK };
    let (times, seconds) = (times(last.times), last.ago.as_secs());
    let others = others(snapshot.violations.len());
    warning(format!(
        "CometBFT ended the connection to {} because of what it sent, {times}, most recently {seconds} s ago: {}{others}",
        last.node, last.why
    ))
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// Says how many more there are beside the one that is named.
fn others(all: usize) -> String {
    match all {
        0 | 1 => String::new(),
        2 => "; 1 more does so".to_owned(),
        all => format!("; {} more do so", all.saturating_sub(1)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::api::health::State;
    use crate::node::health::observed::Accused;
    use crate::node::health::snapshot::Violation;
    use crate::node::names::Names;

    fn after(check: fn(&Snapshot) -> Found, change: impl FnOnce(&mut Snapshot)) -> (State, String) {
        let mut snapshot = Snapshot::well();
        snapshot.names = Arc::new(Names::from(&[("carol", "id3", "V3")]));
        change(&mut snapshot);
        let (state, reason) = check(&snapshot);
        (state, reason.unwrap_or_default())
    }

    #[test]
    fn a_validator_whose_proposals_are_voted_down_is_named_for_a_thousand_blocks() {
        let accused = |proposer: &str, times, height| Accused {
            proposer: proposer.to_owned(),
            times,
            height,
            why: "it is too large".to_owned(),
        };
        let at = |height, accused: Vec<Accused>| {
            after(proposals, |snapshot| {
                snapshot.height = height;
                snapshot.accused = accused;
            })
        };
        let why = "validator carol (V3) proposed what this node votes against, 2 times, most recently for block 5: it is too large";
        assert_eq!(at(7, vec![accused("V3", 2, 5)]), (State::Warning, why.to_owned()));
        assert_eq!(at(1005, vec![accused("V3", 2, 5)]).0, State::Ok);
        let (_, why) = at(7, vec![accused("V3", 2, 5), accused("V0", 1, 6)]);
        assert!(
            why.starts_with("this node's validator V0 proposed") && why.ends_with("; 1 more does so"),
            "{why}"
        );
        // While a block is decided, its height is above the last one's.
        assert_eq!(at(4, vec![accused("V3", 1, 5)]).0, State::Warning);
    }

    fn silent(validator: &str, lack: Lack, blocks: u64) -> Silent {
        Silent { validator: validator.to_owned(), lack, blocks }
    }

    #[test]
    fn a_validator_that_is_up_and_signs_nothing_is_named() {
        let (state, why) = after(signing, |snapshot| {
            snapshot.silent = Some(vec![silent("V2", Lack::Proposes, 90), silent("V3", Lack::Signs, 70)]);
        });
        let expected = format!(
            "validator carol (V3) is up, and its signature is in none of the last 70 blocks: {CAUSES}; 1 more does so"
        );
        assert_eq!((state, why), (State::Warning, expected));
        let (_, why) =
            after(signing, |snapshot| snapshot.silent = Some(vec![silent("V0", Lack::Proposes, 90)]));
        let expected =
            format!("this node's validator V0 is up, and it proposed none of the last 90 blocks: {CAUSES}");
        assert_eq!(why, expected);
    }

    #[test]
    fn who_signs_is_unknown_while_it_is_unknown_who_is_up() {
        let why = |change: fn(&mut Snapshot)| {
            let (state, why) = after(signing, |snapshot| {
                snapshot.silent = None;
                change(snapshot);
            });
            assert_eq!(state, State::Unknown, "{why}");
            why
        };
        assert!(why(|_| ()).contains("no network file"));
        assert!(why(|snapshot| snapshot.engine_mut().catching_up = true).contains("catches up"));
        let why = why(|snapshot| snapshot.engine = Learned::Silent("it hangs".to_owned()));
        assert!(why.contains("does not answer"), "{why}");
    }

    #[test]
    fn a_peer_that_sent_what_the_protocol_does_not_allow_is_named() {
        let (state, why) = after(messages, |snapshot| {
            let why = "unknown channel 99".to_owned();
            snapshot.violations = vec![Violation {
                node: "carol (node id3)".to_owned(),
                times: 1,
                why,
                ago: Duration::from_secs(3),
            }];
        });
        let expected = "CometBFT ended the connection to carol (node id3) because of what it sent, once, most recently 3 s ago: \
                        unknown channel 99";
        assert_eq!((state, why.as_str()), (State::Warning, expected));
        assert_eq!(after(messages, |_| ()).0, State::Ok);
    }
}
