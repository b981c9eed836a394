//! What the checks keep of blocks: the last roots, who signed twice or not at all, and in whose name blocks were rejected.
//!
//! # Limits
//!
//! The last [`BLOCKS_MAX`] blocks with records; a head is some 4 KiB. Roots are computed only when they are asked for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::app::{CommittedBlock, Conduct, RejectedProposal, ValidatorAddress};
use crate::sequence::Committed;
use crate::types::{RecordsRoot, SequenceRoot};

/// Of how many blocks the roots are kept. Blocks with records come at most some fifty times a second, and a peer's
/// answer is a few seconds old at most.
const BLOCKS_MAX: usize = 1024;
/// How many proven misdeeds are kept.
const MISDEEDS_MAX: usize = 16;
/// How many validators are kept in whose name blocks were rejected.
const ACCUSED_MAX: usize = 16;
/// For how long they are kept after the last such block.
const ACCUSED_FOR: Duration = Duration::from_secs(600);

/// What a sequence with a number of records hashes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Roots {
    /// Of its bytes.
    pub sequence: SequenceRoot,
    /// Of its records.
    pub records: RecordsRoot,
}

/// A validator that broke the rules of consensus, as a committed block proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misdeed {
    /// The block with the proof.
    pub block: u64,
    /// The height at which it was done.
    pub height: i64,
    /// The validator's address, in upper-case hex.
    pub validator: String,
}

/// A validator in whose name blocks were proposed that this node rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Accused {
    /// Its address, in upper-case hex, by the headers of these blocks: another validator may have written it there.
    pub proposer: String,
    /// How many of them.
    pub times: u64,
    /// The height of the last one.
    pub height: u64,
    /// When that was rejected.
    pub last: Instant,
    /// What was wrong with it.
    pub why: String,
}

/// What a validator missed up to the last block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Missed {
    /// How many blocks in a row have no signature of it.
    pub signatures: u64,
    /// How many blocks in a row others proposed, by their headers. A validator that writes another one there accuses itself.
    pub proposals: u64,
    /// After how many blocks it is its turn to propose, as its power has it.
    pub turn: u64,
}

/// The blocks that this process committed, as far as the checks need them; clones share one state.
#[derive(Clone, Debug)]
pub struct Observed(Arc<Mutex<Kept>>);

#[derive(Debug)]
struct Kept {
    /// In ascending order of their number of records, which is different for each.
    heads: VecDeque<Arc<Committed>>,
    misdeeds: VecDeque<Misdeed>,
    /// The least recent first.
    accused: VecDeque<Accused>,
    /// What each validator missed up to the last block.
    missed: BTreeMap<ValidatorAddress, Missed>,
}

impl Observed {
    /// Begins with what was committed before this process started.
    #[must_use]
    pub fn new(committed: Arc<Committed>) -> Self {
        let heads = VecDeque::from([committed]);
        let (misdeeds, accused, missed) = Default::default();
        Self(Arc::new(Mutex::new(Kept { heads, misdeeds, accused, missed })))
    }

    /// Takes a proposal that this node rejects now.
    pub fn take_rejected(&self, rejected: &RejectedProposal, now: Instant) {
        let mut kept = self.kept();
        forget(&mut kept.accused, now);
        let RejectedProposal { height, proposer, objection } = rejected;
        let before = kept.accused.iter().position(|one| one.proposer == *proposer);
        let times = before.and_then(|at| kept.accused.remove(at)).map_or(0, |one| one.times);
        kept.accused.push_back(Accused {
            proposer: proposer.clone(),
            times: times.saturating_add(1),
            height: *height,
            last: now,
            why: objection.to_string(),
        });
        while kept.accused.len() > ACCUSED_MAX {
            kept.accused.pop_front();
        }
    }

    /// Takes a committed block. Costs a lock and a look-up for each validator; no hashing, and no memory for each.
    pub fn take(&self, block: &CommittedBlock) {
        let mut kept = self.kept();
        let count = block.committed.head.count();
        if kept.heads.back().is_none_or(|last| last.head.count() < count) {
            kept.heads.push_back(Arc::clone(&block.committed));
        }
        while kept.heads.len() > BLOCKS_MAX {
            kept.heads.pop_front();
        }
        let proven = block.conduct.misbehavior.iter().map(|one| Misdeed {
            block: block.committed.head.height().0,
            height: one.height,
            validator: one.validator.clone(),
        });
        kept.misdeeds.extend(proven);
        while kept.misdeeds.len() > MISDEEDS_MAX {
            kept.misdeeds.pop_front();
        }
        let Conduct { proposer, voters, .. } = &block.conduct;
        let power_of_all = voters.iter().fold(0_u64, |sum, voter| sum.saturating_add(voter.power));
        let more = |did: bool, before: u64| if did { 0 } else { before.saturating_add(1) };
        for voter in voters {
            let missed = kept.missed.entry(voter.validator).or_default();
            *missed = Missed {
                signatures: more(voter.signed, missed.signatures),
                proposals: more(*proposer == Some(voter.validator), missed.proposals),
                turn: power_of_all.div_ceil(voter.power.max(1)),
            };
        }
        // All voters are in it: what is more is no validator any more.
        if kept.missed.len() > voters.len() {
            let current: BTreeSet<_> = voters.iter().map(|voter| voter.validator).collect();
            kept.missed.retain(|validator, _| current.contains(validator));
        }
    }

    /// The roots of the sequence when it had this many records.
    ///
    /// # Errors
    ///
    /// When there are none, or not any more.
    pub(super) fn roots_at(&self, records: u64) -> Result<Roots, NotKept> {
        let kept = self.kept();
        let counts = |head: &Arc<Committed>| head.head.count();
        let found = kept.heads.binary_search_by_key(&records, counts);
        let (first, last) = (kept.heads.front().map_or(0, counts), kept.heads.back().map_or(0, counts));
        let committed = found.ok().and_then(|at| kept.heads.get(at)).map(Arc::clone);
        drop(kept);
        match committed {
            Some(committed) => {
                let head = &committed.head;
                Ok(Roots { sequence: head.sequence_root(), records: head.records_root() })
            }
            None if records > last => Err(NotKept::Ahead),
            None if records < first => Err(NotKept::Before),
            None => Err(NotKept::Between),
        }
    }

    /// The newest proven misdeeds, the oldest first.
    pub(super) fn misdeeds(&self) -> Vec<Misdeed> {
        self.kept().misdeeds.iter().cloned().collect()
    }

    /// The validators in whose name this node rejected blocks lately, the least recent first.
    pub(super) fn accused(&self, now: Instant) -> Vec<Accused> {
        let mut kept = self.kept();
        forget(&mut kept.accused, now);
        kept.accused.iter().cloned().collect()
    }

    /// What each validator missed up to the last block, by its address in upper-case hex.
    pub(super) fn missed(&self) -> BTreeMap<String, Missed> {
        // A commit may wait for the lock: the addresses are written out without it.
        let missed: Vec<_> =
            self.kept().missed.iter().map(|(validator, missed)| (*validator, *missed)).collect();
        missed.into_iter().map(|(validator, missed)| (validator.to_string(), missed)).collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops those of whom nothing was heard for long: an idle network makes no blocks that could count for it.
fn forget(accused: &mut VecDeque<Accused>, now: Instant) {
    accused.retain(|one| now.saturating_duration_since(one.last) < ACCUSED_FOR);
}

/// Why the roots of a number of records are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotKept {
    /// This node has fewer records.
    Ahead,
    /// This node had as many before the oldest block that is kept.
    Before,
    /// This node never had as many: none of its blocks ended there, and with the same blocks none of a peer's can.
    Between,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Misbehavior, MisbehaviorKind, Objection, Voter};
    use crate::sequence::{HashedRecord, Log, Staging};
    use crate::types::{AppHash, Height, PipelineId, TxHash};

    /// A log that commits blocks into what is kept.
    struct Chain {
        log: Log,
        observed: Observed,
        _dir: tempfile::TempDir,
    }

    impl Chain {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let log = Log::open(dir.path()).unwrap();
            let observed = Observed::new(log.reader().committed());
            Self { log, observed, _dir: dir }
        }

        fn block(&mut self, records: &[&[u8]], misbehavior: Vec<Misbehavior>) {
            let height = Height(self.log.head().height().0 + 1);
            let mut staging = Staging::begin(self.log.head(), height);
            for record in records {
                staging.push(TxHash::of(record), &HashedRecord::of(record.to_vec())).unwrap();
            }
            self.log.commit(&staging.finish(), AppHash::default(), PipelineId::default()).unwrap();
            self.take(Conduct { misbehavior, ..Conduct::default() });
        }

        fn take(&self, conduct: Conduct) {
            let (committed, results) = (self.log.reader().committed(), Arc::from([]));
            self.observed.take(&CommittedBlock { committed, results, conduct });
        }
    }

    #[test]
    fn the_roots_at_the_end_of_each_block_are_known() {
        let mut chain = Chain::new();
        let empty = chain.observed.roots_at(0).unwrap();
        assert_eq!(empty.sequence.to_string(), blake3::hash(b"").to_string());
        chain.block(&[b"a", b"b"], Vec::new());
        chain.block(&[], Vec::new());
        chain.block(&[b"c"], Vec::new());
        let roots = |records| chain.observed.roots_at(records).map(|roots| roots.sequence.to_string());
        assert_eq!(roots(2), Ok(blake3::hash(b"ab").to_string()));
        assert_eq!(roots(3), Ok(blake3::hash(b"abc").to_string()));
        assert_eq!((roots(1), roots(4)), (Err(NotKept::Between), Err(NotKept::Ahead)));
    }

    #[test]
    fn old_blocks_are_forgotten() {
        let mut chain = Chain::new();
        for _ in 0..BLOCKS_MAX {
            chain.block(&[b"x"], Vec::new());
        }
        assert_eq!(chain.observed.roots_at(0), Err(NotKept::Before));
        assert!(chain.observed.roots_at(1).is_ok() && chain.observed.roots_at(BLOCKS_MAX as u64).is_ok());
    }

    #[test]
    fn what_a_validator_misses_in_a_row_is_counted_until_it_signs_or_proposes() {
        let chain = Chain::new();
        let address = |byte: u8| ValidatorAddress([byte; 20]);
        let voter = |byte, power, signed| Voter { validator: address(byte), power, signed };
        let after = |proposer, signed: [bool; 2]| {
            let voters = vec![voter(0xa1, 10, signed[0]), voter(0xa2, 20, signed[1])];
            chain.take(Conduct { proposer: Some(address(proposer)), voters, ..Conduct::default() });
            let missed = chain.observed.missed();
            ["A1", "A2"]
                .map(|byte| missed[&byte.repeat(20)])
                .map(|one| (one.signatures, one.proposals, one.turn))
        };
        assert_eq!(after(0xa2, [false, true]), [(1, 1, 3), (0, 0, 2)]);
        assert_eq!(after(0xa2, [false, false]), [(2, 2, 3), (1, 0, 2)]);
        assert_eq!(after(0xa1, [true, false]), [(0, 0, 3), (2, 1, 2)]);
        let voters = vec![voter(0xa2, 20, false), voter(0xa3, 20, true)];
        chain.take(Conduct { voters, ..Conduct::default() });
        let missed: Vec<_> =
            chain.observed.missed().into_iter().map(|(name, one)| (name, one.signatures)).collect();
        assert_eq!(missed, [("A2".repeat(20), 3), ("A3".repeat(20), 0)], "another took the place of one");
        chain.take(Conduct::default());
        assert!(chain.observed.missed().is_empty(), "they are no validators any more");
    }

    #[test]
    fn rejected_blocks_are_counted_for_ten_minutes_by_the_proposer_that_they_name() {
        let (chain, begin) = (Chain::new(), Instant::now());
        for height in 0..100 {
            for proposer in [format!("V{height}"), "V".to_owned()] {
                let objection = Objection::TooLarge;
                chain.observed.take_rejected(&RejectedProposal { height, proposer, objection }, begin);
            }
        }
        let accused = chain.observed.accused(begin + ACCUSED_FOR.mul_f32(0.9));
        let last = accused.last().unwrap();
        assert_eq!((accused.len(), last.times, last.height), (ACCUSED_MAX, 100, 99));
        assert_eq!(accused[0].proposer, "V85");
        // Whether or not there are blocks meanwhile.
        assert_eq!(chain.observed.accused(begin + ACCUSED_FOR), []);
    }

    #[test]
    fn the_newest_misdeeds_are_kept() {
        let mut chain = Chain::new();
        for number in 0..20 {
            let misbehavior = Misbehavior {
                kind: MisbehaviorKind::DuplicateVote,
                validator: format!("V{number}"),
                power: 10,
                total_power: 40,
                height: number,
                time: None,
            };
            chain.block(&[], vec![misbehavior]);
        }
        let kept = chain.observed.misdeeds();
        assert_eq!(kept.len(), MISDEEDS_MAX);
        assert_eq!(kept[0], Misdeed { block: 5, height: 4, validator: "V4".to_owned() });
    }
}
