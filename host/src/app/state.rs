//! The state machine's states, and the order consensus must keep.
//!
//! ```text
//! awaiting genesis ──init──> ready ──finalize──> decided ──committed──> ready
//!                     └─init─┘  (again, as long as nothing is committed)
//!                                      └─finalize─┘  (the same block again: CometBFT restarted)
//! ```

use std::sync::Arc;

use bytes::Bytes;

use super::app_hash::app_hash;
use super::finalize::{TxResult, run_block};
use crate::plugin::{Fatal, Pipeline};
use crate::sequence::{Head, Staged, Staging};
use crate::types::{AppHash, Height};

/// What InitChain fixed, ready to run.
#[derive(Clone)]
pub struct Rules {
    /// Height of the first block.
    pub initial_height: Height,
    /// The plugins, admitted and compiled.
    pub pipeline: Arc<Pipeline>,
}

/// A decided block, staged in memory, waiting for Commit.
#[derive(Debug)]
pub struct Decided {
    /// Its records and the head they lead to.
    pub staged: Staged,
    /// The app hash this node answered.
    pub app_hash: AppHash,
}

/// Consensus asked for something out of order; this program or the engine is broken.
#[derive(Debug, thiserror::Error)]
pub enum SequencingError {
    /// Blocks before rules.
    #[error("consensus sent {request} before InitChain")]
    NoGenesis {
        /// The request.
        request: &'static str,
    },
    /// Rules after blocks.
    #[error(
        "consensus sent InitChain, but block {height} is committed; is this node home of another network?"
    )]
    AlreadyStarted {
        /// Height of the last committed block.
        height: u64,
    },
    /// A block out of order.
    #[error("consensus sent FinalizeBlock for height {found}; the next block is {expected}")]
    WrongHeight {
        /// The height sent.
        found: u64,
        /// The height that follows the last commit.
        expected: u64,
    },
    /// A commit of nothing.
    #[error("consensus sent Commit without a finalized block")]
    NothingDecided,
    /// This host could not run the pipeline.
    #[error(transparent)]
    Fatal(#[from] Fatal),
}

/// The state machine over the committed head.
pub struct App {
    /// The log after the last durable block.
    head: Head,
    /// `None` until InitChain (or until a restart restored them).
    rules: Option<Rules>,
    /// The block between FinalizeBlock and Commit; always staged on `head`.
    decided: Option<Decided>,
}

impl App {
    /// The machine after the last durable block; `rules` are those it was made under.
    #[must_use]
    pub fn new(head: Head, rules: Option<Rules>) -> Self {
        Self { head, rules, decided: None }
    }

    /// The log after the last durable block.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Whether InitChain may come: it may come again as long as nothing is committed.
    ///
    /// # Errors
    ///
    /// [`SequencingError::AlreadyStarted`] once a block is committed.
    pub fn may_init(&self) -> Result<(), SequencingError> {
        match self.head.height() {
            Height(0) => Ok(()),
            Height(height) => Err(SequencingError::AlreadyStarted { height }),
        }
    }

    /// Takes the rules of genesis; answers the app hash of the empty sequence under them.
    ///
    /// # Errors
    ///
    /// [`SequencingError::AlreadyStarted`] once a block is committed.
    pub fn init(&mut self, rules: Rules) -> Result<AppHash, SequencingError> {
        self.may_init()?;
        let hash = app_hash(&self.head, rules.pipeline.id());
        self.decided = None;
        self.rules = Some(rules);
        Ok(hash)
    }

    /// Runs a decided block and stages its records. The same height may come again: the latest counts.
    ///
    /// # Errors
    ///
    /// When the block is out of order, or this host could not run the pipeline; nothing is staged then.
    pub fn finalize(
        &mut self,
        height: Height,
        txs: &[Bytes],
    ) -> Result<(Vec<TxResult>, AppHash), SequencingError> {
        let rules = self.rules.as_ref().ok_or(SequencingError::NoGenesis { request: "FinalizeBlock" })?;
        let expected = self.next_height(rules);
        if height != expected {
            return Err(SequencingError::WrongHeight { found: height.0, expected: expected.0 });
        }
        let mut staging = Staging::begin(&self.head, height);
        let results = run_block(&rules.pipeline, &mut staging, txs)?;
        let staged = staging.finish();
        let app_hash = app_hash(staged.head(), rules.pipeline.id());
        self.decided = Some(Decided { staged, app_hash });
        Ok((results, app_hash))
    }

    /// The block to make durable.
    ///
    /// # Errors
    ///
    /// [`SequencingError::NothingDecided`] without a FinalizeBlock since the last commit.
    pub fn decided(&self) -> Result<&Decided, SequencingError> {
        self.decided.as_ref().ok_or(SequencingError::NothingDecided)
    }

    /// The decided block is durable: it is the head now.
    pub fn committed(&mut self) {
        if let Some(decided) = self.decided.take() {
            self.head = decided.staged.head().clone();
        }
    }

    fn next_height(&self, rules: &Rules) -> Height {
        match self.head.height() {
            Height(0) => rules.initial_height,
            Height(last) => Height(last.saturating_add(1)),
        }
    }
}
