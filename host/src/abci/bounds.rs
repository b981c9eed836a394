//! What CometBFT's consensus parameters must allow for the limits of a network to be met.
//!
//! Checked in InitChain, and before it wherever a genesis file is written or read.

use crate::limits;
use crate::plugin::Limits;

/// Bytes of a block that are not transactions, whatever its validators: encoding (11) and header (626), and the
/// commit without signatures (94). CometBFT's `MaxOverheadForBlock`, `MaxHeaderBytes` and `MaxCommitOverheadBytes`.
const BLOCK_OVERHEAD_BYTES: u64 = 11 + 626 + 94;

/// Bytes CometBFT reserves in a block for the signature of one validator: 144 in 0.39, 3,358 in 0.38.26, whose
/// signatures may be post-quantum ones. The larger counts, so that a genesis is good for both.
const COMMIT_SIGNATURE_BYTES: u64 = 3_358;

/// Maximum number of validators of a network: CometBFT's `MaxVotesCount`. The commits of more fail.
pub const VALIDATORS_MAX: u64 = 10_000;

/// Consensus parameters of genesis that this program depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineBounds {
    /// `consensus_params.block.max_bytes`.
    pub block_bytes_max: i64,
    /// `consensus_params.block.max_gas`.
    pub block_gas_max: i64,
    /// `consensus_params.abci.vote_extensions_enable_height`.
    pub vote_extensions_height: i64,
    /// Number of validators at the first block.
    pub validators: u64,
}

/// Consensus parameters under which this program cannot keep what it promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BoundsError {
    /// CometBFT would offer its whole mempool for each proposal.
    #[error(
        "consensus_params.block.max_bytes is {found}, no bound at all; set it to what a block may have, at most {max} \
         (100 MiB)",
        max = limits::BLOCK_BYTES_CEILING
    )]
    UnboundedBlocks {
        /// The value in genesis.
        found: i64,
    },
    /// CometBFT would leave transactions out of every block after it has taken them.
    #[error(
        "consensus_params.block.max_gas is {found}; it must be -1: CometBFT takes a transaction above it and never \
         includes it. limits.fuel_max bounds a transaction, and dseq itself bounds the fuel of a block"
    )]
    Gas {
        /// The value in genesis.
        found: i64,
    },
    /// There is nothing that this program would put into its votes.
    #[error(
        "consensus_params.abci.vote_extensions_enable_height is {found}; it must be 0: dseq has no vote extensions"
    )]
    VoteExtensions {
        /// The value in genesis.
        found: i64,
    },
    /// The largest transaction fits in no block.
    #[error(
        "limits.tx_bytes_max is {tx_bytes_max}, but a block has room for a transaction of at most {room} bytes: \
         consensus_params.block.max_bytes is {block_bytes_max}, less what a block needs for itself (validators: {validators}); \
         raise it to {block_bytes_needed} or more, or lower limits.tx_bytes_max"
    )]
    TransactionTooLarge {
        /// The limit.
        tx_bytes_max: u64,
        /// The longest transaction that fits.
        room: u64,
        /// The bound of a block.
        block_bytes_max: u64,
        /// The validators that sign it.
        validators: u64,
        /// The least bound with which it would fit.
        block_bytes_needed: u64,
    },
}

impl EngineBounds {
    /// Whether a network with these limits can do what they say.
    ///
    /// # Errors
    ///
    /// The first parameter that has to change.
    pub fn check(&self, limits: &Limits) -> Result<(), BoundsError> {
        let Ok(block_bytes_max) = u64::try_from(self.block_bytes_max) else {
            return Err(BoundsError::UnboundedBlocks { found: self.block_bytes_max });
        };
        if self.block_gas_max != -1 {
            return Err(BoundsError::Gas { found: self.block_gas_max });
        }
        if self.vote_extensions_height != 0 {
            return Err(BoundsError::VoteExtensions { found: self.vote_extensions_height });
        }
        let signatures = COMMIT_SIGNATURE_BYTES.saturating_mul(self.validators);
        let overhead = BLOCK_OVERHEAD_BYTES.saturating_add(signatures).saturating_add(TX_OVERHEAD_BYTES);
        let room = block_bytes_max.saturating_sub(overhead);
        if limits.tx_bytes_max > room {
            return Err(BoundsError::TransactionTooLarge {
                tx_bytes_max: limits.tx_bytes_max,
                room,
                block_bytes_max,
                validators: self.validators,
                block_bytes_needed: limits.tx_bytes_max.saturating_add(overhead),
            });
        }
        Ok(())
    }
}

/// What stands before a transaction in a block, in bytes: a tag and its length, which for the largest takes four.
const TX_OVERHEAD_BYTES: u64 = 1 + 4;

const _: () = assert!(limits::TX_BYTES_CEILING < 1 << 28, "four bytes hold the length of any transaction");
const _: () = assert!(
    limits::TX_BYTES_CEILING + TX_OVERHEAD_BYTES + BLOCK_OVERHEAD_BYTES + COMMIT_SIGNATURE_BYTES * 1_000
        < limits::BLOCK_BYTES_CEILING,
    "the largest transaction fits in the largest block, with a thousand validators"
);

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: EngineBounds = EngineBounds {
        block_bytes_max: 4 << 20,
        block_gas_max: -1,
        vote_extensions_height: 0,
        validators: 4,
    };

    #[test]
    fn each_parameter_that_cannot_be_met_is_refused_with_what_to_do() {
        let limits = Limits::default();
        assert_eq!(GOOD.check(&limits), Ok(()));
        let refusal = |bounds: EngineBounds| bounds.check(&limits).unwrap_err().to_string();
        assert!(refusal(EngineBounds { block_bytes_max: -1, ..GOOD }).contains("no bound at all"));
        for gas in [0, 1, i64::MAX] {
            assert!(refusal(EngineBounds { block_gas_max: gas, ..GOOD }).contains("it must be -1"));
        }
        assert!(refusal(EngineBounds { vote_extensions_height: 5, ..GOOD }).contains("it must be 0"));
    }

    #[test]
    fn a_block_must_hold_the_largest_transaction_and_the_refusal_names_the_bound_that_would() {
        let bounds = EngineBounds { block_bytes_max: 1 << 20, ..GOOD };
        let BoundsError::TransactionTooLarge { room, block_bytes_needed, .. } =
            bounds.check(&Limits::default()).unwrap_err()
        else {
            panic!("another refusal")
        };
        let limits = |tx_bytes_max| Limits { tx_bytes_max, ..Limits::default() };
        assert_eq!(bounds.check(&limits(room)), Ok(()));
        assert!(bounds.check(&limits(room + 1)).is_err());
        let needed = i64::try_from(block_bytes_needed).unwrap();
        assert_eq!(EngineBounds { block_bytes_max: needed, ..GOOD }.check(&Limits::default()), Ok(()));
        assert!(EngineBounds { block_bytes_max: needed - 1, ..GOOD }.check(&Limits::default()).is_err());
        assert!(EngineBounds { block_bytes_max: 0, ..GOOD }.check(&limits(1)).is_err());
    }
}
