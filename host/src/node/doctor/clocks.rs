//! This machine's clock beside those of others: by the date of their RPC's answers, and where no RPC can be asked, by the times
//! that validators put into their votes.
//!
//! All validators vote on a block within a second or so. A vote's time is its validator's clock, but never before the block's own
//! time: so a clock that is ahead always shows, and one that is behind shows when blocks come seldom.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Finding;
use super::network::Peer;
use crate::node::clock::{self, Clock};
use crate::node::engine::rpc::{Commit, Rpc};
use crate::node::recover::watch::CLOCKS_DIFFER_MAX;

/// From this difference on, a clock is worth a warning.
const WARNING: Duration = Duration::from_secs(3);
/// How many of the last blocks' votes are looked at.
const BLOCKS: u64 = 10;
/// How long a node may take to tell its date.
const PATIENCE: Duration = Duration::from_secs(3);
const CHECK: &str = "clock";

/// Another node's clock, beside this machine's.
struct Compared {
    name: String,
    clock: Clock,
}

/// By the date of the peers that answer.
pub(super) fn by_date(peers: &[Peer]) -> Finding {
    let compared =
        |peer: &Peer| Some(Compared { name: peer.name.clone(), clock: clock::of(&peer.url, PATIENCE)? });
    let all: Vec<Compared> = peers.iter().filter_map(compared).collect();
    if all.is_empty() {
        return Finding::unknown(CHECK, "no peer says what time it is");
    }
    judge(&all, ["peer", "peers"])
}

/// By the votes in this node's last blocks; `name` says what a validator is called.
pub(super) fn by_votes(own: &Rpc, validator: &str, name: impl Fn(&str) -> String) -> Finding {
    let newest = own.status().map_or(0, |status| status.height);
    let heights = newest.saturating_sub(BLOCKS - 1).max(1)..=newest;
    let commits: Vec<Commit> = heights.filter_map(|height| own.commit(height).ok()).collect();
    let compared = |(address, clock): (String, Clock)| Compared { name: name(&address), clock };
    let all: Vec<Compared> = differences(&commits, validator).into_iter().map(compared).collect();
    if all.is_empty() {
        return Finding::unknown(
            CHECK,
            "no peer's RPC can be asked for its clock, and no block has a vote of this node and of another one",
        );
    }
    judge(&all, ["validator, by its votes", "validators, by their votes"])
}

/// Whose clock is wrong. If most others are on one side of this machine's, it is this machine's.
fn judge(all: &[Compared], [one, many]: [&str; 2]) -> Finding {
    let others = format!("{} {}", all.len(), if all.len() == 1 { one } else { many });
    let mut wrong: Vec<&Compared> = all.iter().filter(|one| one.clock.differs >= WARNING).collect();
    wrong.sort_by_key(|one| one.clock.differs);
    let Some(worst) = wrong.last() else {
        return Finding::ok(CHECK, format!("as the clocks of {others}"));
    };
    let on_a_side = |is_ahead| wrong.iter().filter(|one| one.clock.is_ahead == is_ahead).collect::<Vec<_>>();
    let sides = [on_a_side(true), on_a_side(false)];
    let of_most = sides.iter().find(|side| side.len() > 1 && side.len() * 2 > all.len());
    let (differs, found, remedy) = if let Some(side) = of_most {
        let differs = side[side.len() / 2].clock.differs;
        let way = if side[0].clock.is_ahead { "behind" } else { "ahead of" };
        let (seconds, count) = (differs.as_secs_f64(), side.len());
        let found = format!("this machine's clock is {seconds:.1} s {way} those of {count} of {others}");
        (differs, found, "set this machine's clock by NTP (chrony, systemd-timesyncd)")
    } else {
        let one = |Compared { name, clock }: &&Compared| {
            let way = if clock.is_ahead { "ahead of" } else { "behind" };
            format!("{name} is {:.1} s {way} this machine", clock.differs.as_secs_f64())
        };
        let found = wrong.iter().map(one).collect::<Vec<_>>().join(", ");
        let remedy = "see whether this machine's clock is set by NTP (chrony, systemd-timesyncd), and tell that node's operator";
        (worst.clock.differs, format!("{found}; compared with {others}"), remedy)
    };
    if differs >= CLOCKS_DIFFER_MAX {
        Finding::failed(CHECK, found, remedy)
    } else {
        Finding::warning(CHECK, found, remedy)
    }
}

/// By how much each other validator's votes differ from this one's, and whether they are ahead. Of several blocks the second
/// largest lead counts: one late vote says nothing about a clock. A lag is as small as in any block, because votes of this node that
/// were late, with a slow disk for one, make it larger.
fn differences(commits: &[Commit], validator: &str) -> BTreeMap<String, Clock> {
    let (mut leads, mut lags): (BTreeMap<_, Vec<Duration>>, BTreeMap<String, Duration>) = Default::default();
    for commit in commits {
        let Some(own) = commit.signers.iter().find(|one| one.validator == validator) else { continue };
        for other in commit.signers.iter().filter(|one| one.validator != validator) {
            let (name, lead) = (other.validator.clone(), other.time.duration_since(own.time));
            let lag = own.time.duration_since(other.time).unwrap_or_default();
            lags.entry(name.clone()).and_modify(|least| *least = lag.min(*least)).or_insert(lag);
            leads.entry(name).or_default().push(lead.unwrap_or_default());
        }
    }
    let of = |(name, mut leads): (String, Vec<Duration>)| {
        leads.sort_unstable_by(|one, other| other.cmp(one));
        let lead = leads.get(1).or(leads.first()).copied().unwrap_or_default();
        let lag = lags.get(&name).copied().unwrap_or_default();
        (name, Clock { differs: lag.max(lead), is_ahead: lag <= lead })
    };
    leads.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::api::health::State;
    use crate::node::engine::rpc::Signer;

    fn commit(height: u64, votes: &[(&str, f64)]) -> Commit {
        let time = |seconds: f64| {
            SystemTime::UNIX_EPOCH + Duration::from_secs(1000 * height) + Duration::from_secs_f64(seconds)
        };
        let signer =
            |(name, seconds): &(&str, f64)| Signer { validator: (*name).to_owned(), time: time(*seconds) };
        let signers = votes.iter().map(signer).collect();
        Commit { height, time: time(0.0), block: String::new(), signers }
    }

    #[test]
    fn a_clock_that_differs_in_two_blocks_is_wrong_and_one_late_vote_is_none() {
        let commits = [
            commit(1, &[("A", 20.0), ("B", 32.0), ("C", 20.5), ("D", 15.0)]),
            commit(2, &[("A", 20.0), ("B", 32.5), ("C", 29.0), ("D", 15.5)]),
            commit(3, &[("A", 20.0), ("B", 32.0), ("C", 20.5), ("D", 15.8)]),
            // Without a vote of this node there is nothing to compare with.
            commit(4, &[("B", 500.0), ("D", 500.0)]),
        ];
        let found = differences(&commits, "A");
        let seconds = |name: &str| (found[name].differs.as_secs_f64(), found[name].is_ahead);
        assert_eq!(seconds("B"), (12.0, true));
        assert_eq!(seconds("C"), (0.5, true));
        assert_eq!(seconds("D"), (4.2, false));
        assert!(differences(&commits, "X").is_empty());
    }

    #[test]
    fn late_votes_of_this_node_are_not_taken_for_the_clocks_of_others() {
        let votes = |own| [("A", own), ("B", 20.1), ("C", 20.0)];
        let mut commits: Vec<Commit> = (1..=8).map(|height| commit(height, &votes(20.0))).collect();
        commits.extend([commit(9, &votes(24.0)), commit(10, &votes(31.0))]);
        let found = differences(&commits, "A");
        assert_eq!(found["B"], Clock { differs: Duration::from_millis(100), is_ahead: true });
        assert_eq!(found["C"], Clock { differs: Duration::ZERO, is_ahead: true });
    }

    /// What is found if others' clocks are ahead of this machine's by these seconds.
    fn found(others: &[f64]) -> (State, String) {
        let clock =
            |ahead: &f64| Clock { differs: Duration::from_secs_f64(ahead.abs()), is_ahead: *ahead > 0.0 };
        let compared =
            |(number, ahead): (usize, &f64)| Compared { name: format!("n{number}"), clock: clock(ahead) };
        let all: Vec<Compared> = others.iter().enumerate().map(compared).collect();
        let finding = judge(&all, ["peer", "peers"]);
        (finding.state, finding.found)
    }

    #[test]
    fn the_clock_from_which_most_others_differ_is_this_machines() {
        let of = |state, text: &str| (state, text.to_owned());
        assert_eq!(found(&[0.2, -2.9, 0.0]), of(State::Ok, "as the clocks of 3 peers"));
        assert_eq!(
            found(&[-120.0, -119.0, -121.0]),
            of(State::Failed, "this machine's clock is 120.0 s ahead of those of 3 of 3 peers")
        );
        assert_eq!(
            found(&[4.0, 5.0, 0.0]),
            of(State::Warning, "this machine's clock is 5.0 s behind those of 2 of 3 peers")
        );
        assert_eq!(
            found(&[0.0, 60.0, -4.0]),
            of(
                State::Failed,
                "n2 is 4.0 s behind this machine, n1 is 60.0 s ahead of this machine; compared with 3 peers"
            )
        );
        assert_eq!(
            found(&[60.0]),
            of(State::Failed, "n0 is 60.0 s ahead of this machine; compared with 1 peer")
        );
    }
}
