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

/// By the date of the peers that answer.
pub(super) fn by_date(peers: &[Peer]) -> Finding {
    let known: Vec<(&Peer, Clock)> =
        peers.iter().filter_map(|peer| Some((peer, clock::of(&peer.url, PATIENCE)?))).collect();
    let Some((peer, clock)) = known.iter().max_by_key(|(_, clock)| clock.differs) else {
        return Finding::unknown(CHECK, "no peer says what time it is");
    };
    let seconds = clock.differs.as_secs_f64();
    let found = format!("{} differs by {seconds:.1} s or more; {} asked", peer.name, known.len());
    finding(clock.differs, found, || format!("as the clocks of {} peers", known.len()))
}

/// By the votes in this node's last blocks; `name` says what a validator is called.
pub(super) fn by_votes(own: &Rpc, validator: &str, name: impl Fn(&str) -> String) -> Finding {
    let newest = own.status().map_or(0, |status| status.height);
    let heights = newest.saturating_sub(BLOCKS - 1).max(1)..=newest;
    let commits: Vec<Commit> = heights.filter_map(|height| own.commit(height).ok()).collect();
    let differ = differences(&commits, validator);
    let Some(worst) = differ.values().map(|(differs, _)| *differs).max() else {
        return Finding::unknown(
            CHECK,
            "no peer's RPC can be asked for its clock, and no block has a vote of this node and of another one",
        );
    };
    let wrong: Vec<String> = differ
        .iter()
        .filter(|(_, (differs, _))| *differs >= WARNING)
        .map(|(address, (differs, is_ahead))| {
            let way = if *is_ahead { "ahead of" } else { "behind" };
            format!("{} is {:.1} s {way} this machine", name(address), differs.as_secs_f64())
        })
        .collect();
    let others = differ.len();
    let found = format!("by their votes, {}; {others} compared", wrong.join(", "));
    finding(worst, found, || format!("as those of {others} validators, by their votes"))
}

fn finding(differs: Duration, found: String, fine: impl FnOnce() -> String) -> Finding {
    let remedy =
        "set this machine's clock by NTP (chrony, systemd-timesyncd), and see whether that node's is right";
    match differs {
        differs if differs >= CLOCKS_DIFFER_MAX => Finding::failed(CHECK, found, remedy),
        differs if differs >= WARNING => Finding::warning(CHECK, found, remedy),
        _ => Finding::ok(CHECK, fine()),
    }
}

/// By how much each other validator's votes differ from this one's, and whether they are ahead. Of several blocks the second
/// largest lead counts: one late vote says nothing about a clock. A lag is as small as in any block, because votes of this node that
/// were late, with a slow disk for one, make it larger.
fn differences(commits: &[Commit], validator: &str) -> BTreeMap<String, (Duration, bool)> {
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
        (name, if lag > lead { (lag, false) } else { (lead, true) })
    };
    leads.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
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
        let seconds = |name: &str| (found[name].0.as_secs_f64(), found[name].1);
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
        assert_eq!(found["B"], (Duration::from_millis(100), true));
        assert_eq!(found["C"], (Duration::ZERO, true));
    }
}
