//! The checks of this node among others: a quorum, honest validators, the same bytes.

use std::time::Duration;

use super::{Found, OK, failed, of_engine, unknown, warning};
use crate::node::health::quorum;
use crate::node::health::snapshot::{Agreement, Answer, Learned, Seen, Snapshot};

/// For how many blocks a proven misdeed is shown.
const MISDEED_BLOCKS: u64 = 1000;

/// How recent a block shows that validators which are not connected are reached through others.
const BLOCK_RECENT: Duration = Duration::from_secs(5);

/// Whether the validators that can be reached decide blocks.
///
/// Validators need not be connected directly, so it fails only when every node that can be reached is known, and no block comes.
pub(super) fn peers(snapshot: &Snapshot) -> Found {
    of_engine(snapshot, |engine| {
        let Some(of_all) = engine.power_of_all() else {
            return unknown("CometBFT does not list the validators");
        };
        if quorum::decides(engine.power, of_all) {
            return OK;
        }
        if engine.peers.is_empty() {
            let why = quorum::lacking(engine.power, of_all).unwrap_or_default();
            return failed(format!("no peer is connected: {why}"));
        }
        let survey = &snapshot.survey;
        if !survey.is_done {
            return unknown("the peers have not been asked yet");
        }
        let is_connected = |id: &String| engine.peers.iter().any(|peer| peer.id == *id);
        let reached = survey.nodes.iter().filter(|(id, seen)| !seen.is_peer || is_connected(id));
        let reached: Vec<(&String, &Seen)> = reached.collect();
        let power = engine.power.saturating_add(engine.power_of(reached.iter().copied()));
        let Some(why) = quorum::lacking(power, of_all) else { return OK };
        let names = |wanted: &dyn Fn(&String, &Answer) -> bool| {
            let found = reached.iter().filter(|(id, seen)| wanted(id, &seen.answer));
            some_of(&found.map(|(_, seen)| seen.name.as_str()).collect::<Vec<_>>())
        };
        // What a member has, the network's file says.
        let is_hidden = |id: &String, answer: &Answer| {
            matches!(answer, Answer::Unreachable(_)) && !engine.members.contains_key(id)
        };
        let hidden = names(&is_hidden);
        let unasked = engine.peers.iter().any(|peer| !survey.nodes.contains_key(&peer.id));
        if !hidden.is_empty() || unasked {
            let count = engine.peers.len();
            let s = if count == 1 { "" } else { "s" };
            let who = if hidden.is_empty() { "some of them".to_owned() } else { hidden };
            return unknown(format!(
                "{count} peer{s} connected; the voting power behind {who} cannot be asked from here"
            ));
        }
        if snapshot.block_age.is_some_and(|age| age < BLOCK_RECENT) {
            return warning(format!("{why}; blocks come through other nodes"));
        }
        let hanging = names(&|_, answer| matches!(answer, Answer::Hangs));
        failed(if hanging.is_empty() { why } else { format!("{why}; no answer from {hanging}") })
    })
}

pub(super) fn double_signing(snapshot: &Snapshot) -> Found {
    let own = match &snapshot.engine {
        Learned::Known(engine) => engine.validator.as_deref(),
        Learned::Unasked(_) | Learned::Silent(_) => None,
    };
    let recent = |block: u64| snapshot.height.saturating_sub(block) < MISDEED_BLOCKS;
    let recent: Vec<_> = snapshot.misdeeds.iter().filter(|misdeed| recent(misdeed.block)).collect();
    let ours = recent.iter().rev().find(|misdeed| own.is_some_and(|own| own == misdeed.validator));
    if let Some(deed) = ours {
        return failed(format!(
            "this node's validator {} signed twice at height {}: its key runs in two places; stop all but one of them",
            snapshot.names.validator(&deed.validator),
            deed.height
        ));
    }
    let mut validators: Vec<String> =
        recent.iter().map(|misdeed| snapshot.names.validator(&misdeed.validator)).collect();
    validators.sort_unstable();
    validators.dedup();
    let validators: Vec<&str> = validators.iter().map(String::as_str).collect();
    match recent.last() {
        None => OK,
        Some(last) => warning(format!(
            "{} signed twice, most recently at height {}, as block {} proves; its operator has to stop all nodes with this \
             key but one",
            some_of(&validators),
            last.height,
            last.block
        )),
    }
}

/// Whether peers hold the same sequence.
///
/// Anybody may be a peer and say anything. So it fails only when more of the peers that its operator named differ than
/// agree: then this node is the one with other bytes.
pub(super) fn agreement(snapshot: &Snapshot) -> Found {
    let peers = || snapshot.survey.nodes.values().filter(|seen| seen.is_peer);
    let agreeing = || peers().filter(|seen| matches!(seen.agreement, Agreement::Agrees { .. }));
    let differing = || peers().filter(|seen| matches!(seen.agreement, Agreement::Differs { .. }));
    if let Some(why) = difference(differing()) {
        let of_trusted = |seen: &&Seen| seen.is_trusted;
        let is_outvoted = differing().filter(of_trusted).count() > agreeing().filter(of_trusted).count();
        return if is_outvoted { failed(why) } else { warning(why) };
    }
    if agreeing().next().is_some() {
        return OK;
    }
    of_engine(snapshot, |engine| {
        if engine.peers.is_empty() {
            return unknown("no peer is connected to compare with");
        }
        if !snapshot.survey.is_done {
            return unknown("the peers have not been asked yet");
        }
        let why = peers().find_map(|seen| match &seen.agreement {
            Agreement::Unknown(why) => Some(format!("{}: {why}", seen.name)),
            Agreement::Agrees { .. } | Agreement::Differs { .. } => None,
        });
        unknown(format!(
            "no peer could be compared with; {}",
            why.unwrap_or_else(|| "none answered".to_owned())
        ))
    })
}

/// What to say of peers that hold other bytes, if there are any.
fn difference<'a>(mut differing: impl Iterator<Item = &'a Seen>) -> Option<String> {
    let Seen {
        name, agreement: Agreement::Differs { records, ours, theirs: (sequence, of_records) }, ..
    } = differing.next()?
    else {
        return None;
    };
    let ours = ours.as_ref().map_or_else(
        || "no block here ends there".to_owned(),
        |ours| format!("sequence root {} and records root {} here", ours.sequence, ours.records),
    );
    let more = match differing.count() {
        0 => String::new(),
        1 => "; 1 more peer differs".to_owned(),
        count => format!("; {count} more peers differ"),
    };
    Some(format!(
        "other bytes than {name} at {records} records: {ours}, sequence root {sequence} and records root {of_records} \
         there{more}"
    ))
}

/// Up to three names, and how many more there are.
fn some_of(names: &[&str]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::health::State;
    use crate::node::health::observed::{Misdeed, Roots};
    use crate::types::{RecordsRoot, SequenceRoot};

    /// What a check finds after a change to what is well.
    fn after(check: fn(&Snapshot) -> Found, change: impl FnOnce(&mut Snapshot)) -> (State, String) {
        let mut snapshot = Snapshot::well();
        change(&mut snapshot);
        let (state, reason) = check(&snapshot);
        (state, reason.unwrap_or_default())
    }

    const FINE: (State, String) = (State::Ok, String::new());

    /// The node is not connected any more to the peer with this number.
    fn disconnect(snapshot: &mut Snapshot, number: u16) {
        snapshot.engine_mut().peers.retain(|peer| peer.id != format!("id{number}"));
    }

    #[test]
    fn peers_without_a_quorum_fail_at_once_when_they_are_disconnected() {
        assert_eq!(after(peers, |snapshot| disconnect(snapshot, 1)), FINE);
        let found =
            after(peers, |snapshot| [1, 2].into_iter().for_each(|number| disconnect(snapshot, number)));
        let why = "it reaches voting power 20 of 40; a block takes more than two thirds";
        assert_eq!(found, (State::Failed, why.to_owned()));
        let found = after(peers, |snapshot| snapshot.engine_mut().peers.clear());
        let why =
            "no peer is connected: it reaches voting power 10 of 40; a block takes more than two thirds";
        assert_eq!(found, (State::Failed, why.to_owned()));
        let alone = after(peers, |snapshot| {
            snapshot.engine_mut().peers.clear();
            snapshot.engine_mut().power = 27;
        });
        assert_eq!(alone, FINE, "it decides alone");
    }

    #[test]
    fn recent_blocks_show_that_validators_are_reached_through_others() {
        let found = |age| {
            after(peers, |snapshot| {
                [1, 2].into_iter().for_each(|number| disconnect(snapshot, number));
                snapshot.block_age = Some(Duration::from_millis(age));
            })
        };
        let why = "it reaches voting power 20 of 40; a block takes more than two thirds";
        assert_eq!(found(4999), (State::Warning, format!("{why}; blocks come through other nodes")));
        assert_eq!(found(5000), (State::Failed, why.to_owned()));
    }

    #[test]
    fn a_peer_that_hangs_is_no_part_of_a_quorum() {
        let hang = |snapshot: &mut Snapshot, number| snapshot.peer_mut(number).answer = Answer::Hangs;
        assert_eq!(after(peers, |snapshot| hang(snapshot, 1)), FINE);
        let found = after(peers, |snapshot| [1, 2].into_iter().for_each(|number| hang(snapshot, number)));
        let why = "it reaches voting power 20 of 40; a block takes more than two thirds; no answer from \
                   node1 (127.0.0.1:1), node2 (127.0.0.1:2)";
        assert_eq!(found, (State::Failed, why.to_owned()));
    }

    #[test]
    fn peers_that_cannot_be_asked_may_make_a_quorum() {
        let hide = |snapshot: &mut Snapshot, number| {
            snapshot.peer_mut(number).answer = Answer::Unreachable("its RPC is its own".to_owned());
        };
        assert_eq!(after(peers, |snapshot| hide(snapshot, 1)), FINE);
        let (state, why) = after(peers, |snapshot| (1..=3).for_each(|number| hide(snapshot, number)));
        assert_eq!(state, State::Unknown);
        assert!(why.starts_with("3 peers connected; the voting power behind node1 (127.0.0.1:1), "), "{why}");
        let (state, _) = after(peers, |snapshot| snapshot.survey.is_done = false);
        assert_eq!(state, State::Unknown);
    }

    #[test]
    fn members_that_cannot_be_asked_have_the_power_that_the_networks_file_gives_them() {
        let hidden = |connected: u16| {
            after(peers, |snapshot| {
                let members = (1..=3).map(|number| (format!("id{number}"), format!("V{number}"))).collect();
                snapshot.engine_mut().members = std::sync::Arc::new(members);
                for number in 1..=3 {
                    snapshot.peer_mut(number).answer = Answer::Unreachable("its RPC is its own".to_owned());
                }
                (connected + 1..=3).for_each(|number| disconnect(snapshot, number));
            })
        };
        assert_eq!((hidden(3), hidden(2)), (FINE, FINE));
        let why = "it reaches voting power 20 of 40; a block takes more than two thirds";
        assert_eq!(hidden(1), (State::Failed, why.to_owned()));
    }

    #[test]
    fn a_stranger_has_no_power_of_a_member() {
        let stranger = |is_trusted: bool| {
            after(peers, |snapshot| {
                let members = (1..=3).map(|number| (format!("id{number}"), format!("V{number}"))).collect();
                snapshot.engine_mut().members = std::sync::Arc::new(members);
                (2..=3).for_each(|number| disconnect(snapshot, number));
                let mut seen = snapshot.peer_mut(1).clone();
                (seen.is_peer, seen.is_trusted) = (false, is_trusted);
                seen.answer = Answer::Answers { validator: Some("V2".to_owned()), height: 7 };
                snapshot.survey.nodes.insert("id9".to_owned(), seen);
            })
        };
        let why = "it reaches voting power 20 of 40; a block takes more than two thirds";
        assert_eq!(stranger(false), (State::Failed, why.to_owned()));
        assert_eq!(stranger(true), FINE, "the operator named it");
    }

    #[test]
    fn validators_behind_a_peer_count() {
        let (state, _) = after(peers, |snapshot| {
            (2..=3).for_each(|number| disconnect(snapshot, number));
            (2..=3).for_each(|number| snapshot.peer_mut(number).is_peer = false);
        });
        assert_eq!(state, State::Ok);
    }

    fn misdeed(block: u64, validator: &str) -> Misdeed {
        Misdeed { block, height: 3, validator: validator.to_owned() }
    }

    #[test]
    fn no_validator_counts_twice_or_without_a_vote() {
        for said in [None, Some("V0"), Some("V9"), Some("V1")] {
            let (state, _) = after(peers, |snapshot| {
                for number in 1..=3 {
                    snapshot.peer_mut(number).answer =
                        Answer::Answers { validator: said.map(str::to_owned), height: 7 };
                }
            });
            assert_eq!(state, State::Failed, "{said:?}");
        }
    }

    #[test]
    fn others_that_sign_twice_are_a_warning_for_a_thousand_blocks_and_this_node_itself_fails() {
        let with = |height: u64, deeds: &[Misdeed]| {
            after(double_signing, |snapshot| {
                snapshot.height = height;
                snapshot.misdeeds = deeds.to_vec();
            })
        };
        let (state, why) = with(7, &[misdeed(4, "BB"), misdeed(5, "BB")]);
        assert_eq!(state, State::Warning);
        assert!(why.starts_with("BB signed twice, most recently at height 3, as block 5 proves; "), "{why}");
        assert_eq!(with(1004, &[misdeed(5, "BB")]).0, State::Warning);
        assert_eq!(with(1005, &[misdeed(5, "BB")]), FINE);
        let (state, why) = with(7, &[misdeed(4, "V0"), misdeed(5, "BB")]);
        assert!(state == State::Failed && why.contains("this node's validator V0 signed twice"), "{why}");
    }

    fn differ(snapshot: &mut Snapshot, number: u16) {
        let ours = Roots { sequence: SequenceRoot::default(), records: RecordsRoot::default() };
        let theirs = ("ab".to_owned(), "cd".to_owned());
        snapshot.peer_mut(number).agreement = Agreement::Differs { records: 5, ours: Some(ours), theirs };
    }

    #[test]
    fn one_peer_with_other_bytes_is_named_with_both_roots_and_is_no_reason_to_stop_serving() {
        let (state, why) = after(agreement, |snapshot| differ(snapshot, 2));
        assert_eq!(state, State::Warning);
        let zero = "0".repeat(64);
        let expected = format!(
            "other bytes than node2 (127.0.0.1:2) at 5 records: sequence root {zero} and records root {zero} here, \
             sequence root ab and records root cd there"
        );
        assert_eq!(why, expected);
    }

    #[test]
    fn a_node_that_most_peers_disagree_with_fails() {
        let two = |snapshot: &mut Snapshot| [1, 2].into_iter().for_each(|number| differ(snapshot, number));
        let (state, why) = after(agreement, two);
        assert!(state == State::Failed && why.ends_with("; 1 more peer differs"), "{why}");
    }

    #[test]
    fn peers_that_nobody_named_do_not_outvote_a_node() {
        let (state, _) = after(agreement, |snapshot| {
            for number in 1..=3 {
                differ(snapshot, number);
                snapshot.peer_mut(number).is_trusted = false;
            }
        });
        assert_eq!(state, State::Warning);
    }

    #[test]
    fn peers_that_cannot_be_compared_with_are_unknown_and_said() {
        let (state, why) = after(agreement, |snapshot| {
            for number in 1..=3 {
                let unknown = Agreement::Unknown("it is at 9 records, more than this node has".to_owned());
                snapshot.peer_mut(number).agreement = unknown;
            }
        });
        assert_eq!(state, State::Unknown);
        let expected = "no peer could be compared with; node1 (127.0.0.1:1): it is at 9 records, more than this node has";
        assert_eq!(why, expected);
        let (state, why) = after(agreement, |snapshot| {
            snapshot.engine_mut().peers.clear();
            snapshot.survey.nodes.clear();
        });
        assert_eq!((state, why.as_str()), (State::Unknown, "no peer is connected to compare with"));
    }
}
