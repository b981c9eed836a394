//! A committed block and its results, as passed to what follows the log: receipts, metrics, logs.

use std::fmt;
use std::sync::Arc;

use super::finalize::TxResult;
use super::proposal::Objection;
use crate::sequence::Committed;

/// A block that has just become durable, with results that are not stored.
#[derive(Clone, Debug)]
pub struct CommittedBlock {
    /// The committed prefix, which ends with this block.
    pub committed: Arc<Committed>,
    /// What became of each of its transactions, in order.
    pub results: Arc<[TxResult]>,
    /// What the engine says of validators with it.
    pub conduct: Conduct,
}

/// What the engine says of validators with a decided block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conduct {
    /// What it proved of them. A piece of evidence is in one block only.
    pub misbehavior: Vec<Misbehavior>,
    /// Who proposed the block, by its header. Whoever proposes a block can write any validator there.
    pub proposer: Option<ValidatorAddress>,
    /// The validators of the block before.
    pub voters: Vec<Voter>,
}

/// The address of a validator's key. It is shown in upper-case hex, as the engine shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValidatorAddress(pub [u8; 20]);

impl fmt::Display for ValidatorAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXUPPER.encode(&self.0))
    }
}

/// A validator, and whether it signed a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voter {
    /// Its address.
    pub validator: ValidatorAddress,
    /// Its voting power.
    pub power: u64,
    /// Whether the block has its signature, as far as the next proposer had received it.
    pub signed: bool,
}

/// A proposed block that this node rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedProposal {
    /// Its height.
    pub height: u64,
    /// The validator that its header names as the proposer, in upper-case hex. Whoever proposes a block can write any
    /// validator there: the engine does not compare it with the key that signed the proposal.
    pub proposer: String,
    /// Why.
    pub objection: Objection,
}

/// A validator that broke the rules of consensus, as the engine proved it in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misbehavior {
    /// What it did.
    pub kind: MisbehaviorKind,
    /// Its address, in upper-case hex as the engine writes it.
    pub validator: String,
    /// Its voting power then.
    pub power: i64,
    /// The voting power of all validators then.
    pub total_power: i64,
    /// The height it did it at.
    pub height: i64,
    /// When, by RFC 3339; `None` if the engine does not say.
    pub time: Option<String>,
}

/// The ways to break the rules of consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MisbehaviorKind {
    /// Two different votes at one height.
    DuplicateVote,
    /// A block signed for light clients that the network did not make.
    LightClientAttack,
    /// One that this program does not know.
    Unknown,
}
