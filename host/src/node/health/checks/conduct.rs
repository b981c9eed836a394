//! The checks of how other validators and nodes behave: what they propose, sign and send.

use std::cmp::Reverse;

use super::{Found, OK, of_engine, unknown, warning};
use crate::node::engine::cut_off;
use crate::node::health::silent::{CAUSES, who};
use crate::node::health::snapshot::{Lack, Learned, Silent, Snapshot};

/// The address of this node's validator.
fn own(snapshot: &Snapshot) -> Option<&str> {
    match &snapshot.engine {
        Learned::Known(engine) => engine.validator.as_deref(),
        Learned::Unasked(_) | Learned::Silent(_) => None,
    }
}

/// Whether this node had to reject a proposal lately. Who proposed it is not proven: the block's header alone says it.
pub(super) fn proposals(snapshot: &Snapshot) -> Found {
    let Some(last) = snapshot.accused.last() else { return OK };
    let who = who(&last.proposer, own(snapshot), &snapshot.names);
    let blocks = if last.times == 1 { "1 block".to_owned() } else { format!("{} blocks", last.times) };
    let others = match snapshot.accused.len() {
        0 | 1 => String::new(),
        2 => "; and blocks in the name of 1 more validator".to_owned(),
        all => format!("; and blocks in the name of {} more validators", all.saturating_sub(1)),
    };
    warning(format!(
        "this node rejected {blocks} proposed in the name of {who} (whoever proposes a block can forge the name), \
         most recently at height {}: {}{others}",
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
        "CometBFT ended the connection to {} {}, {times}, most recently {seconds} s ago: {}{others}",
        last.node,
        cut_off::because(&last.why),
        last.why
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
    use std::time::{Duration, Instant};

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
    fn a_rejected_block_is_told_with_the_proposer_it_names_and_that_this_proves_nothing() {
        let accused = |proposer: &str, times, height| Accused {
            proposer: proposer.to_owned(),
            times,
            height,
            last: Instant::now(),
            why: "it is too large".to_owned(),
        };
        let with = |accused: Vec<Accused>| after(proposals, |snapshot| snapshot.accused = accused);
        let why = "this node rejected 2 blocks proposed in the name of validator carol (V3) (whoever proposes a block can forge \
                   the name), most recently at height 5: it is too large";
        assert_eq!(with(vec![accused("V3", 2, 5)]), (State::Warning, why.to_owned()));
        let (_, why) = with(vec![accused("V3", 2, 5), accused("V0", 1, 6)]);
        assert!(
            why.starts_with("this node rejected 1 block proposed in the name of this node's validator V0 (")
                && why.ends_with(": it is too large; and blocks in the name of 1 more validator"),
            "{why}"
        );
        assert_eq!(with(Vec::new()).0, State::Ok);
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
        let ended = |why: &str| {
            after(messages, |snapshot| {
                snapshot.violations = vec![Violation {
                    node: "carol (node id3)".to_owned(),
                    times: 1,
                    why: why.to_owned(),
                    ago: Duration::from_secs(3),
                }];
            })
        };
        let expected = "CometBFT ended the connection to carol (node id3) because of what it sent, once, most recently 3 s ago: \
                        unknown channel 99";
        assert_eq!(ended("unknown channel 99"), (State::Warning, expected.to_owned()));
        let expected = "CometBFT ended the connection to carol (node id3) because a block from it or from another peer is invalid, \
                        once, most recently 3 s ago: reactor validation error: invalid commit";
        assert_eq!(ended("reactor validation error: invalid commit"), (State::Warning, expected.to_owned()));
        assert_eq!(after(messages, |_| ()).0, State::Ok);
    }
}
