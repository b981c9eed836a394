//! Which validators are up and sign nothing: they are late each time, cut off from the others, or withhold their votes.
//!
//! A block says who signed the one before. What a validator missed while it was down or just came back counts for nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::snapshot::Silent;
use crate::node::names::Names;

/// How many blocks in a row a validator has to miss.
const BLOCKS: u64 = 20;
/// For how long it has to be up meanwhile: a network with much to do makes as many blocks in a second.
const FOR: Duration = Duration::from_secs(10);
/// Maximum number of validators that are followed.
const VALIDATORS_MAX: usize = 1024;

/// The validators that are up, from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Silence {
    up: BTreeMap<String, (Instant, u64)>,
    said: BTreeSet<String>,
}

impl Silence {
    /// Takes which validators are up now, and how many blocks in a row each missed until this height.
    pub(super) fn take(
        &mut self,
        up: &BTreeSet<String>,
        missed: &BTreeMap<String, u64>,
        height: u64,
        now: Instant,
    ) -> Vec<Silent> {
        self.up.retain(|validator, _| up.contains(validator));
        for validator in up.iter().take(VALIDATORS_MAX) {
            self.up.entry(validator.clone()).or_insert((now, height));
        }
        let silent = |(validator, (since, from)): (&String, &(Instant, u64))| {
            let blocks = missed.get(validator)?.min(&height.saturating_sub(*from)).to_owned();
            let is_long = now.saturating_duration_since(*since) >= FOR;
            (blocks >= BLOCKS && is_long).then(|| Silent { validator: validator.clone(), blocks })
        };
        self.up.iter().filter_map(silent).collect()
    }

    /// Says in the log who became silent, and who signs again.
    pub(super) fn log(&mut self, silent: &[Silent], own: Option<&str>, names: &Names) {
        for Silent { validator, blocks } in silent {
            if self.said.insert(validator.clone()) {
                let who = who(validator, own, names);
                tracing::warn!(
                    validator,
                    blocks,
                    "{who} has signed none of the last {blocks} blocks: it is up, but catches up, is overloaded or cut off from \
                     other validators, or withholds its votes"
                );
            }
        }
        self.said.retain(|validator| {
            let is_silent = silent.iter().any(|one| one.validator == *validator);
            if !is_silent {
                tracing::info!(validator, "{} signs again, or is down", who(validator, own, names));
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

    #[test]
    fn who_is_up_and_missed_many_blocks_meanwhile_is_silent() {
        let (mut silence, begin) = (Silence::default(), Instant::now());
        let mut at = |second, height, up: &[&str], missed| {
            let missed = BTreeMap::from([("V1".to_owned(), missed)]);
            let found = silence.take(&names(up), &missed, height, begin + Duration::from_secs(second));
            found.into_iter().map(|one| (one.validator, one.blocks)).collect::<Vec<_>>()
        };
        assert_eq!(at(0, 100, &["V0", "V1"], 900), [], "it has just come");
        assert_eq!(at(20, 119, &["V0", "V1"], 919), [], "not many blocks since");
        assert_eq!(at(21, 120, &["V0", "V1"], 920), [("V1".to_owned(), 20)]);
        assert_eq!(at(22, 121, &["V0", "V1"], 0), [], "it signed");
        assert_eq!(at(23, 500, &["V0", "V1"], 300), [("V1".to_owned(), 300)]);
        assert_eq!(at(24, 501, &["V0"], 301), [], "it is down");
        assert_eq!(at(25, 551, &["V0", "V1"], 351), []);
        assert_eq!(at(26, 601, &["V0", "V1"], 401), [], "50 blocks in a second");
    }
}
