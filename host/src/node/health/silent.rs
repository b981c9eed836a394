//! Which validators are up, and no block has their signature or is their proposal: they are late each time, cut off from the others,
//! catch up, or withhold what they should send.
//!
//! A block says who proposed it, and who signed the one before. What a validator missed while it was down or just came back counts for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::observed::Missed;
use super::snapshot::{Lack, Silent};
use crate::node::names::Names;

/// How many blocks in a row a validator has to miss.
pub(super) const BLOCKS: u64 = 20;
/// How often it has to miss its turn to propose.
const TURNS: u64 = 5;
/// For how long it has to be up meanwhile: a network with much to do makes as many blocks in a second.
const FOR: Duration = Duration::from_secs(10);
/// After so long without a look, it is begun anew.
const UNKNOWN_MAX: Duration = Duration::from_secs(30);
/// Why a validator that is up may lack in blocks.
pub(super) const CAUSES: &str = "it hangs, is too slow, catches up, recovers, is cut off from other validators, or withholds its messages";
/// Maximum number of validators that are followed.
const VALIDATORS_MAX: usize = 1024;

/// The validators that are up, from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Silence {
    up: BTreeMap<String, (Instant, u64)>,
    said: BTreeSet<(String, Lack)>,
    /// The last look.
    at: Option<Instant>,
}

impl Silence {
    /// Takes which validators are up now, and what each missed until this height.
    pub(super) fn take(
        &mut self,
        up: &BTreeSet<String>,
        missed: &BTreeMap<String, Missed>,
        height: u64,
        now: Instant,
    ) -> Vec<Silent> {
        // Who was down while it was not known looks as if it had been up.
        if self.at.replace(now).is_some_and(|last| now.saturating_duration_since(last) >= UNKNOWN_MAX) {
            self.up.clear();
            self.said.clear();
        }
        self.up.retain(|validator, _| up.contains(validator));
        for validator in up.iter().take(VALIDATORS_MAX) {
            self.up.entry(validator.clone()).or_insert((now, height));
        }
        let silent = |(validator, (since, from)): (&String, &(Instant, u64))| {
            if now.saturating_duration_since(*since) < FOR {
                return None;
            }
            let (missed, up) = (missed.get(validator)?, height.saturating_sub(*from));
            let (unsigned, others) = (missed.signatures.min(up), missed.proposals.min(up));
            let (lack, blocks) = if unsigned >= BLOCKS {
                (Lack::Signs, unsigned)
            } else if others >= missed.turn.saturating_mul(TURNS).max(BLOCKS) {
                (Lack::Proposes, others)
            } else {
                return None;
            };
            Some(Silent { validator: validator.clone(), lack, blocks })
        };
        self.up.iter().filter_map(silent).collect()
    }

    /// Says in the log who became silent, and who signs again.
    pub(super) fn log(&mut self, silent: &[Silent], own: Option<&str>, names: &Names) {
        for Silent { validator, lack, blocks } in silent {
            if self.said.insert((validator.clone(), *lack)) {
                let who = who(validator, own, names);
                let does = match lack {
                    Lack::Signs => "has the signature of",
                    Lack::Proposes => "was proposed by",
                };
                tracing::warn!(
                    validator,
                    blocks,
                    "none of the last {blocks} blocks {does} {who}, which is up: {CAUSES}"
                );
            }
        }
        self.said.retain(|(validator, lack)| {
            let is_silent = silent.iter().any(|one| one.validator == *validator && one.lack == *lack);
            if !is_silent {
                let does = match lack {
                    Lack::Signs => "signs",
                    Lack::Proposes => "proposes",
                };
                tracing::info!(validator, "{} {does} again, or is down", who(validator, own, names));
            }
            is_silent
        });
    }
}

/// As messages call a validator.
pub(super) fn who(validator: &str, own: Option<&str>, names: &Names) -> String {
    let name = names.validator(validator);
    if own == Some(validator) { format!("this node's validator {name}") } else { format!("validator {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|one| (*one).to_owned()).collect()
    }

    /// What V1 lacks, and in how many blocks, as it is seen over time.
    struct Seen {
        silence: Silence,
        begin: Instant,
    }

    impl Seen {
        fn new() -> Self {
            Self { silence: Silence::default(), begin: Instant::now() }
        }

        fn at(
            &mut self,
            second: u64,
            height: u64,
            up: &[&str],
            signatures: u64,
            proposals: u64,
        ) -> Option<(Lack, u64)> {
            let missed = Missed { signatures, proposals, turn: 6 };
            let missed = BTreeMap::from([("V1".to_owned(), missed)]);
            let found =
                self.silence.take(&names(up), &missed, height, self.begin + Duration::from_secs(second));
            assert!(found.iter().all(|one| one.validator == "V1"));
            found.first().map(|one| (one.lack, one.blocks))
        }
    }

    #[test]
    fn who_is_up_and_missed_many_blocks_meanwhile_is_silent() {
        let (mut seen, up) = (Seen::new(), ["V0", "V1"]);
        assert_eq!(seen.at(0, 100, &up, 900, 0), None, "it has just come");
        assert_eq!(seen.at(20, 119, &up, 919, 0), None, "not many blocks since");
        assert_eq!(seen.at(21, 120, &up, 920, 0), Some((Lack::Signs, 20)));
        assert_eq!(seen.at(22, 121, &up, 0, 0), None, "it signed");
        assert_eq!(seen.at(23, 500, &up, 300, 0), Some((Lack::Signs, 300)));
        assert_eq!(seen.at(24, 501, &["V0"], 301, 0), None, "it is down");
        assert_eq!(seen.at(25, 551, &up, 351, 0), None);
        assert_eq!(seen.at(26, 601, &up, 401, 0), None, "50 blocks in a second");
    }

    #[test]
    fn after_a_time_in_which_it_was_unknown_who_is_up_it_is_begun_anew() {
        let (mut seen, up) = (Seen::new(), ["V0", "V1"]);
        assert_eq!(seen.at(0, 100, &up, 900, 0), None);
        assert_eq!(seen.at(29, 120, &up, 920, 0), Some((Lack::Signs, 20)));
        assert_eq!(seen.at(60, 900, &up, 1700, 0), None, "it may have been down");
        assert_eq!(seen.at(70, 930, &up, 1730, 0), Some((Lack::Signs, 30)));
    }

    #[test]
    fn who_signs_and_misses_its_turn_to_propose_five_times_is_silent() {
        let (mut seen, up) = (Seen::new(), ["V0", "V1"]);
        assert_eq!(seen.at(0, 100, &up, 0, 90), None);
        assert_eq!(seen.at(20, 129, &up, 0, 119), None);
        assert_eq!(seen.at(21, 130, &up, 0, 120), Some((Lack::Proposes, 30)));
        assert_eq!(seen.at(22, 131, &up, 0, 0), None, "it proposed");
        assert_eq!(seen.at(23, 161, &up, 40, 31), Some((Lack::Signs, 40)), "that is worse");
    }
}
