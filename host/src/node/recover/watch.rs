//! Watches a node that catches up, until it has a block from which it follows what its validator cannot have signed.

use std::time::{Duration, SystemTime};

use crate::node::engine::rpc::{Commit, Rpc, RpcError, Status};

/// By how much the clocks of this machine and of honest validators may differ.
pub const CLOCKS_DIFFER_MAX: Duration = Duration::from_secs(10);

/// What was seen by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The node does not answer yet, for this reason.
    Starts(String),
    /// It fetches old blocks, or knows no peer that has more.
    CatchesUp {
        /// Its newest block.
        height: u64,
    },
    /// It has caught up, and its newest two blocks are not both of after the recovery began.
    Waits {
        /// Its newest block.
        height: u64,
    },
    /// Everything that its validator may have signed is at most at this height.
    Knows {
        /// The height.
        signed_max: u64,
    },
}

/// A recovery that must not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Another node has the same key.
    #[error(
        "block {height} was made after this recovery began, and this validator's key has signed it: another node votes with \
         the same key now. Stop it, then start again with dseq recover"
    )]
    VotesElsewhere {
        /// The block.
        height: u64,
    },
    /// CometBFT runs with the key that it must not use.
    ///
    /// Make sure that no other node with this key answers at `rpc.laddr`, and run `dseq recover` again; if it comes back,
    /// report it, with `recover.log`.
    #[error(
        "CometBFT runs with the validator's own key, which it was told not to use; the recovery was stopped"
    )]
    OwnKey,
}

/// Watches one recovery.
#[derive(Debug)]
pub struct Watch {
    validator: String,
    began: SystemTime,
}

impl Watch {
    /// Begins now, for the validator with this address. The lost node has ended before.
    #[must_use]
    pub fn of(validator: String) -> Self {
        Self { validator, began: SystemTime::now() }
    }

    /// Looks at the node once.
    ///
    /// # Errors
    ///
    /// When the recovery must not go on.
    pub fn look(&self, rpc: &Rpc) -> Result<Seen, WatchError> {
        let status = match rpc.status() {
            Ok(status) => status,
            Err(err) => return Ok(Seen::Starts(err.to_string())),
        };
        self.look_at(&status, |height| rpc.commit(height))
    }

    fn look_at(
        &self,
        status: &Status,
        commit: impl Fn(u64) -> Result<Commit, RpcError>,
    ) -> Result<Seen, WatchError> {
        if status.validator.as_ref() == Some(&self.validator) {
            return Err(WatchError::OwnKey);
        }
        let height = status.height;
        if status.catching_up || height == 0 {
            return Ok(Seen::CatchesUp { height });
        }
        // One block is enough for what was signed. But the newest commit has only the votes that came first, and may lack that
        // of a node with the same key; the one before has more.
        for height in [height, height - 1] {
            if height == 0 {
                return Ok(Seen::Waits { height: status.height });
            }
            let commit = match commit(height) {
                Ok(commit) => commit,
                Err(err) => return Ok(Seen::Starts(err.to_string())),
            };
            if commit.time <= self.began + CLOCKS_DIFFER_MAX {
                return Ok(Seen::Waits { height: status.height });
            }
            if commit.is_signed_by(&self.validator) {
                return Err(WatchError::VotesElsewhere { height });
            }
        }
        Ok(Seen::Knows { signed_max: height.saturating_add(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::engine::rpc::Signer;

    fn seen(catching_up: bool, validator: &str, after: u64, signers: &[&str]) -> Result<Seen, WatchError> {
        let watch = Watch::of("V0".to_owned());
        let status = Status {
            id: "id".to_owned(),
            height: 7,
            catching_up,
            power: 0,
            chain_id: None,
            validator: Some(validator.to_owned()),
            version: None,
        };
        let commit = |height| Commit {
            height,
            time: watch.began + Duration::from_secs(after + height),
            block: String::new(),
            signers: signers
                .iter()
                .map(|one| Signer { validator: (*one).to_owned(), time: watch.began })
                .collect(),
        };
        watch.look_at(&status, |height| Ok(commit(height)))
    }

    #[test]
    fn only_a_block_of_after_the_beginning_tells_what_was_signed() {
        let others = ["V1", "V2", "V3"];
        assert_eq!(seen(true, "X", 60, &others), Ok(Seen::CatchesUp { height: 7 }));
        assert_eq!(seen(false, "X", 0, &others), Ok(Seen::Waits { height: 7 }));
        // Block 7 is of 11 seconds later, block 6 of 10.
        assert_eq!(seen(false, "X", 4, &others), Ok(Seen::Waits { height: 7 }));
        assert_eq!(seen(false, "X", 5, &others), Ok(Seen::Knows { signed_max: 8 }));
    }

    #[test]
    fn a_key_that_votes_now_stops_it() {
        assert_eq!(seen(false, "X", 11, &["V1", "V0", "V3"]), Err(WatchError::VotesElsewhere { height: 7 }));
        // It may have been the lost node that signed this one.
        assert_eq!(seen(false, "X", 0, &["V1", "V0", "V3"]), Ok(Seen::Waits { height: 7 }));
        assert_eq!(seen(true, "V0", 0, &[]), Err(WatchError::OwnKey));
    }
}
