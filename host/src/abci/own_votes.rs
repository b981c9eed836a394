//! Whether this node's validator key votes elsewhere, as the blocks themselves show.
//!
//! CometBFT writes the height of a signature into its record of what was signed before the signature leaves the node, and each
//! block carries the precommits for the one before. So a decided block that contains a precommit by this key for a height above that
//! record was signed by another node with the same key, or by this one after its home was copied.
//!
//! A node that starts catches up before it votes. So an older copy, or the clone of a machine whose original went on, is stopped
//! before it signs. A restart, of one node or of all, does not look like that while the record is durable.
//!
//! # Limits
//!
//! - A clone at the same height as its original is noticed only once a block carries a signature that the clone did not make.
//! - The record must be the one of the CometBFT that runs, which only `dseq start` knows.
//! - CometBFT renames the record into place and does not sync its folder. After a power failure some file systems (btrfs, for up to
//!   30 s) have an older one, and this node's own signatures look like those of another. So up to the height that the log had when
//!   the process started, nothing is claimed: in a copy, log and record are of one age. Above it there is only one block that this
//!   node can have signed, and the others have gone on from that without it: so they have the quorum that `dseq recover` needs.

use std::sync::atomic::{AtomicU64, Ordering};

use tendermint_proto::v0_38::abci::{CommitInfo, RequestFinalizeBlock};
use tendermint_proto::v0_38::types::BlockIdFlag;

use super::halt::Halt;

/// Reads the height of the last signature that the record knows of; none: it cannot be read now.
type Record = Box<dyn Fn() -> Option<u64> + Send + Sync>;

/// Watches over the votes of one key.
pub struct OwnVotes {
    /// The validator's address.
    address: Vec<u8>,
    record: Record,
    /// Up to this height a signature proves nothing: what the log had at the start, or what the record said when it was last read.
    signed: AtomicU64,
}

impl OwnVotes {
    /// Of the validator with this address, in a home whose log has this height.
    #[must_use]
    pub fn new(
        address: Vec<u8>,
        height: u64,
        record: impl Fn() -> Option<u64> + Send + Sync + 'static,
    ) -> Self {
        Self { address, record: Box::new(record), signed: AtomicU64::new(height) }
    }

    /// Refuses a block that carries a signature which this node did not make.
    pub(super) fn check(&self, block: &RequestFinalizeBlock) -> Result<(), Halt> {
        let height = u64::try_from(block.height.saturating_sub(1)).unwrap_or(0);
        let is_known = || height <= self.signed.load(Ordering::Relaxed);
        if !block.decided_last_commit.as_ref().is_some_and(|commit| self.is_in(commit)) || is_known() {
            return Ok(());
        }
        // One that is missing or cannot be read, because of too many open files for one, proves nothing.
        let Some(signed) = (self.record)() else { return Ok(()) };
        self.signed.fetch_max(signed, Ordering::Relaxed);
        if is_known() { Ok(()) } else { Err(Halt::SignedElsewhere { height, signed }) }
    }

    fn is_in(&self, commit: &CommitInfo) -> bool {
        let is_signed = |flag| matches!(flag, BlockIdFlag::Commit | BlockIdFlag::Nil);
        commit.votes.iter().any(|vote| {
            let address = vote.validator.as_ref().map(|validator| &validator.address[..]);
            address == Some(&self.address[..]) && is_signed(vote.block_id_flag())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    use tendermint_proto::v0_38::abci::{Validator, VoteInfo};

    use super::*;

    /// A block of this height whose commit of the one before has the votes of these validators.
    fn block(height: i64, votes: &[(u8, BlockIdFlag)]) -> RequestFinalizeBlock {
        let vote = |(address, flag): &(u8, BlockIdFlag)| VoteInfo {
            validator: Some(Validator { address: vec![*address; 20].into(), power: 10 }),
            block_id_flag: i32::from(*flag),
        };
        let commit = CommitInfo { round: 0, votes: votes.iter().map(vote).collect() };
        RequestFinalizeBlock { height, decided_last_commit: Some(commit), ..Default::default() }
    }

    #[test]
    fn a_signature_above_the_record_is_from_elsewhere() {
        let record = Arc::new(AtomicU64::new(5));
        let read = Arc::clone(&record);
        let own = OwnVotes::new(vec![1; 20], 0, move || Some(read.load(Ordering::Relaxed)));
        let signed = [(1, BlockIdFlag::Commit), (2, BlockIdFlag::Commit)];
        own.check(&block(6, &signed)).unwrap();
        let refused = own.check(&block(7, &signed)).unwrap_err();
        assert!(matches!(refused, Halt::SignedElsewhere { height: 6, signed: 5 }), "{refused}");
        assert_eq!(refused.exit_code(), crate::abci::EXIT_REFUSED);
        // A vote for no block is a signature too, and a missing one is none.
        own.check(&block(7, &[(1, BlockIdFlag::Nil)])).unwrap_err();
        own.check(&block(7, &[(1, BlockIdFlag::Absent), (2, BlockIdFlag::Commit)])).unwrap();
        record.store(9, Ordering::Relaxed);
        own.check(&block(10, &signed)).unwrap();
    }

    #[test]
    fn without_a_commit_or_a_record_nothing_is_claimed() {
        let own = OwnVotes::new(vec![1; 20], 0, || None);
        own.check(&RequestFinalizeBlock { height: 1, ..Default::default() }).unwrap();
        own.check(&block(9, &[(1, BlockIdFlag::Commit)])).unwrap();
    }

    #[test]
    fn a_record_that_lost_its_last_seconds_does_not_stop_a_validator_at_blocks_of_its_own() {
        let signed = [(1, BlockIdFlag::Commit)];
        let own = OwnVotes::new(vec![1; 20], 9, || Some(3));
        // The log is at 9, and CometBFT has the next block already.
        own.check(&block(10, &signed)).unwrap();
        let refused = own.check(&block(11, &signed)).unwrap_err();
        assert!(matches!(refused, Halt::SignedElsewhere { height: 10, signed: 3 }), "{refused}");
        assert!(refused.to_string().contains("power failure"), "{refused}");
    }
}
