//! The table of result codes: the one place that says what a code means.
//!
//! A code is read together with its codespace:
//!
//! | codespace | code | meaning | what to do |
//! |---|---|---|---|
//! | (empty) | 0 | accepted | |
//! | `dseq` | 1 | the transaction is empty | send at least one byte |
//! | `dseq` | 2 | the transaction is larger than `limits.tx_bytes_max` | split it |
//! | `dseq` | 3 | the sequence is full | start a new network |
//! | `dseq` | 4 | this node's disk is nearly full; only ever the answer to a check, never in a block | send it to another node; free space on this one |
//! | `dseq` | 5 | the node has no genesis yet | try again in a few seconds |
//! | `dseq` | 6 | the node is overloaded; only ever the answer to a check, never in a block | send it again after the time that the message says |
//! | `dseq` | 32 | query: unknown path | use one of the paths that the message lists |
//! | `dseq` | 33 | query: malformed argument | write it as the message says |
//! | `dseq` | 34 | query: no such record or offset | ask for one that is committed; `/status` says how many there are |
//! | `dseq` | 35 | query: only the latest height is kept, and there are no proofs | ask without `height` and `prove` |
//! | `dseq` | 36 | query: the node cannot read what it committed: an error or damage on its disk | ask another node; check this one's disk |
//! | `dseq` | 37 | query: the node's index of transactions is being built | ask again in a few seconds, or another node |
//! | `plugin/<name>` | 1 to 999 | the plugin rejected the transaction with this code of its own | see the plugin's documentation; the log has its message |
//! | `plugin/<name>` | 1000 and up | the plugin broke its contract: see [`Fault`](crate::plugin::Fault) | tell the plugin's author |
//!
//! Codes of decided transactions enter consensus through LastResultsHash: changing one is consensus-breaking.

/// Codespace of the codes the host gives by itself.
pub const CODESPACE: &str = "dseq";

/// Result codes of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[expect(missing_docs, reason = "the module's table says what each one means, once")]
pub enum Code {
    Accepted = 0,
    EmptyTx = 1,
    TxTooLarge = 2,
    SequenceFull = 3,
    DiskLow = 4,
    NoGenesis = 5,
    Overloaded = 6,
    UnknownPath = 32,
    BadArgument = 33,
    NotFound = 34,
    Unsupported = 35,
    ReadFailed = 36,
    IndexBuilding = 37,
}

impl Code {
    /// The code as it goes over the wire.
    #[must_use]
    pub fn value(self) -> u32 {
        self as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change of the codes 0 to 3 forks every network that upgrades in parts; all of them are what producers'
    /// programs compare with.
    #[test]
    fn golden_codes() {
        use Code::*;
        let codes = [
            Accepted,
            EmptyTx,
            TxTooLarge,
            SequenceFull,
            DiskLow,
            NoGenesis,
            Overloaded,
            UnknownPath,
            BadArgument,
            NotFound,
            Unsupported,
            ReadFailed,
            IndexBuilding,
        ];
        assert_eq!(codes.map(Code::value), [0, 1, 2, 3, 4, 5, 6, 32, 33, 34, 35, 36, 37]);
    }
}
