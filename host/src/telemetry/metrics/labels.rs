//! The labels whose values are known beforehand.

use super::cells::label;

label! {
    /// What became of a transaction.
    pub Status = "status" {
        /// It may enter the mempool, or has become a record.
        Accepted = "accepted",
        /// A plugin rejected it.
        Rejected = "rejected",
        /// A plugin broke its contract on it.
        Faulted = "faulted",
        /// The node itself refused it; see [`Reason`].
        Refused = "refused",
    }
}

label! {
    /// Why the node itself refused a check.
    pub Reason = "reason" {
        /// It has no bytes.
        Empty = "empty",
        /// It is longer than `tx_bytes_max`.
        TooLarge = "too_large",
        /// The sequence cannot grow.
        SequenceFull = "sequence_full",
        /// Little disk space is left.
        DiskLow = "disk_low",
        /// InitChain has not come.
        NoGenesis = "no_genesis",
        /// The queue is too long.
        Overloaded = "overloaded",
        /// Any other.
        Other = "other",
    }
}

label! {
    /// An ABCI request that is timed each time.
    pub Method = "method" {
        /// Info.
        Info = "info",
        /// InitChain.
        InitChain = "init_chain",
        /// Query.
        Query = "query",
        /// PrepareProposal.
        PrepareProposal = "prepare_proposal",
        /// ProcessProposal.
        ProcessProposal = "process_proposal",
        /// FinalizeBlock.
        FinalizeBlock = "finalize_block",
        /// Commit.
        Commit = "commit",
        /// Votes with extensions, and snapshots.
        Other = "other",
    }
}

label! {
    /// Where a transaction's time is spent.
    pub Stage = "method" {
        /// CheckTx.
        CheckTx = "check_tx",
        /// FinalizeBlock.
        FinalizeBlock = "finalize_block",
    }
}

label! {
    /// A step of Commit.
    pub CommitStep = "step" {
        /// The records' bytes and entries are written.
        Write = "write",
        /// They are made durable.
        Sync = "sync",
        /// The commit record is written.
        RecordWrite = "record_write",
        /// It is made durable.
        RecordSync = "record_sync",
    }
}

label! {
    /// How a validator broke the rules of consensus.
    pub Misbehaviour = "kind" {
        /// Two votes at one height.
        DuplicateVote = "duplicate_vote",
        /// A block for light clients that the network did not make.
        LightClientAttack = "light_client_attack",
        /// Another way.
        Unknown = "unknown",
    }
}

label! {
    /// How this node votes on a proposal.
    pub Vote = "vote" {
        /// For it.
        Accept = "accept",
        /// Against it: it holds what the pipeline rejects, or is too large.
        Reject = "reject",
    }
}

label! {
    /// A plugin's verdict.
    pub Verdict = "verdict" {
        /// Accepted as it is.
        Unchanged = "unchanged",
        /// Accepted, replaced by other bytes.
        Replaced = "replaced",
        /// Rejected.
        Rejected = "rejected",
        /// The plugin broke its contract.
        Faulted = "faulted",
    }
}
