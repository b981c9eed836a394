//! The state machine's states, and the order consensus must keep.
//!
//! ```text
//! awaiting genesis ──init──> ready ──finalize──> decided ──take_decided──> ready
//!                     └─init─┘  (again, as long as nothing is committed)
//!                                      └─finalize─┘  (the same block again: CometBFT restarted)
//! ```

use std::sync::Arc;

use super::app_hash::app_hash;
use super::committed::Conduct;
use super::finalize::{ExaminedBlock, TxResult};
use super::rules::Rules;
use crate::plugin::Fatal;
use crate::sequence::{Head, Staged, Staging};
use crate::types::{AppHash, Height, PipelineId};

/// A decided block, staged in memory, waiting for Commit.
#[derive(Debug)]
pub struct Decided {
    /// Its records and the head they lead to.
    pub staged: Staged,
    /// The rules it was run under.
    pub pipeline: PipelineId,
    /// The app hash this node answered, which follows from the two above.
    pub app_hash: AppHash,
    /// What became of each transaction, in order.
    pub results: Arc<[TxResult]>,
    /// What the engine says of validators with it.
    pub conduct: Conduct,
}

/// Consensus asked for something out of order; this program or the engine is broken.
#[derive(Debug, thiserror::Error)]
pub enum SequencingError {
    /// Blocks before rules.
    ///
    /// Start the home with `dseq start`, which runs the CometBFT that comes with dseq on this home's data. If the message comes
    /// again, report it, with the logs of dseq and CometBFT.
    #[error("consensus sent {request} before InitChain")]
    NoGenesis {
        /// The request.
        request: &'static str,
    },
    /// Rules after blocks.
    ///
    /// Start the home with `dseq start`, which runs the CometBFT that comes with dseq on this home's data. If the message comes
    /// again, report it, with the logs of dseq and CometBFT.
    #[error(
        "consensus sent InitChain, but block {height} is committed; is this node home of another network?"
    )]
    AlreadyStarted {
        /// Height of the last committed block.
        height: u64,
    },
    /// A block out of order.
    ///
    /// Start the home with `dseq start`, which runs the CometBFT that comes with dseq on this home's data. If the message comes
    /// again, report it, with the logs of dseq and CometBFT.
    #[error("consensus sent FinalizeBlock for height {found}; the next block is {expected}")]
    WrongHeight {
        /// The height sent.
        found: u64,
        /// The height that follows the last commit.
        expected: u64,
    },
    /// A commit of nothing.
    ///
    /// Start the home with `dseq start`, which runs the CometBFT that comes with dseq on this home's data. If the message comes
    /// again, report it, with the logs of dseq and CometBFT.
    #[error("consensus sent Commit without a finalized block")]
    NothingDecided,
    /// This host could not run the pipeline.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

/// The state between FinalizeBlock and Commit. It has no copy of the committed head, which is the log's, nor of the
/// rules, which checks need too: the caller passes both.
#[derive(Debug, Default)]
pub struct App {
    /// The last finalized block until it is taken for Commit, staged on the log's head. The next FinalizeBlock or
    /// InitChain discards it.
    decided: Option<Decided>,
}

impl App {
    /// Takes the rules of genesis, before the first block; answers the app hash of the empty sequence under them.
    ///
    /// # Errors
    ///
    /// [`SequencingError::AlreadyStarted`] once a block is committed.
    pub fn init(&mut self, head: &Head, rules: &Rules) -> Result<AppHash, SequencingError> {
        may_init(head)?;
        self.decided = None;
        Ok(app_hash(head, rules.pipeline.id()))
    }

    /// Stages the block that follows `head`. The same height may come again: the latest counts.
    ///
    /// # Errors
    ///
    /// [`SequencingError::WrongHeight`] when the block is out of order; nothing is staged then.
    pub fn finalize(
        &mut self,
        head: &Head,
        height: Height,
        block: ExaminedBlock,
        conduct: Conduct,
    ) -> Result<&Decided, SequencingError> {
        self.decided = None;
        let expected = next_height(head, &block.rules);
        if height != expected {
            return Err(SequencingError::WrongHeight { found: height.0, expected: expected.0 });
        }
        let pipeline = block.rules.pipeline.id();
        let mut staging = Staging::begin(head, height);
        let results = block.stage(&mut staging).into();
        let staged = staging.finish();
        let app_hash = app_hash(staged.head(), pipeline);
        Ok(self.decided.insert(Decided { staged, pipeline, app_hash, results, conduct }))
    }

    /// Takes the block to make durable. There is no way to put it back: if making it durable fails, the node ends.
    ///
    /// # Errors
    ///
    /// [`SequencingError::NothingDecided`] without a FinalizeBlock since the last commit.
    pub fn take_decided(&mut self) -> Result<Decided, SequencingError> {
        self.decided.take().ok_or(SequencingError::NothingDecided)
    }
}

/// Whether InitChain may come: it may come again as long as nothing is committed.
///
/// # Errors
///
/// [`SequencingError::AlreadyStarted`] once a block is committed.
pub fn may_init(head: &Head) -> Result<(), SequencingError> {
    match head.height() {
        Height(0) => Ok(()),
        Height(height) => Err(SequencingError::AlreadyStarted { height }),
    }
}

fn next_height(head: &Head, rules: &Rules) -> Height {
    match head.height() {
        Height(0) => rules.initial_height,
        Height(last) => Height(last.saturating_add(1)),
    }
}
