//! The ways a node stops itself: a refusal that trying again cannot mend, or a failure that it may.

use crate::app::{GenesisError, SequencingError};
use crate::plugin::{AdmitError, PluginDirError};
use crate::sequence::{CommitError, OpenError};
use crate::types::AppHash;

use super::bounds::BoundsError;
use super::transport::{BindError, ServeError};

/// Why the app ends.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// The log cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log took no block.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Genesis is not one of this program.
    ///
    /// Correct what the message says after the colon, or take the genesis from another member.
    #[error("genesis refused: {0}")]
    Genesis(#[from] GenesisError),
    /// Genesis has parameters under which its limits cannot be met.
    #[error("genesis refused: {0}")]
    Bounds(#[from] BoundsError),
    /// A plugin's file is missing, is another one, or cannot be read or written.
    #[error("plugin {name}: {source}")]
    PluginFile {
        /// The plugin's name in genesis.
        name: String,
        /// What was expected, found and where.
        source: PluginDirError,
    },
    /// A plugin or the engine is not what this network agreed on.
    ///
    /// Look the words after the colon up under [Plugins](#plugins). If the other members' nodes start with the same genesis,
    /// this node differs from theirs in dseq, in a plugin or in its machine.
    #[error("genesis refused: {0}")]
    Admit(#[from] AdmitError),
    /// The engine sent a request out of order, or this host could not run the pipeline.
    #[error(transparent)]
    Sequencing(#[from] SequencingError),
    /// The log was written under rules that hash to something else.
    ///
    /// Start the version of dseq that ran here before. If no other version ran here, move `sequence/` away and start again: the node
    /// rebuilds it from its blocks.
    #[error(
        "the log's last block has app hash {stored}, but this program computes {computed} for it; the log is \
         damaged or was written by a version with other formats"
    )]
    AppHash {
        /// What the commit record says.
        stored: AppHash,
        /// What follows from the head and the rules.
        computed: AppHash,
    },
    /// The validator's key votes elsewhere.
    #[error(
        "block {height} has a signature of this node's validator key, and by its record this home has signed nothing above \
         {signed}: another node votes with the same key (a copy of the home, or a cloned machine), this home is an older copy, or \
         the record lost its last seconds in a power failure. If there is another node, stop it for good; then run dseq recover"
    )]
    SignedElsewhere {
        /// The block.
        height: u64,
        /// The height of the last signature that the home knows of.
        signed: u64,
    },
    /// The socket cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The transport ended without being asked to.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Exit code for a refusal: configuration, genesis or plugins must change first (EX_CONFIG of sysexits).
pub const EXIT_REFUSED: u8 = 78;

/// Exit code for a failure that a later start may not meet.
pub const EXIT_FAILED: u8 = 1;

impl Halt {
    /// The process exit code: 78 when trying again cannot help, 1 otherwise.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::PluginFile { source, .. } if source.may_pass() => EXIT_FAILED,
            Self::Admit(AdmitError::Host { .. }) => EXIT_FAILED,
            Self::Genesis(_)
            | Self::Bounds(_)
            | Self::PluginFile { .. }
            | Self::Admit(_)
            | Self::SignedElsewhere { .. }
            | Self::AppHash { .. } => EXIT_REFUSED,
            Self::Open(OpenError::Io(_) | OpenError::Locked { .. }) => EXIT_FAILED,
            Self::Open(_) => EXIT_REFUSED,
            Self::Sequencing(SequencingError::AlreadyStarted { .. }) => EXIT_REFUSED,
            Self::Bind(BindError::PathTooLong { .. } | BindError::NotASocket(_)) => EXIT_REFUSED,
            Self::Commit(_) | Self::Sequencing(_) | Self::Bind(_) | Self::Serve(_) => EXIT_FAILED,
        }
    }
}
