//! Why CometBFT would refuse a genesis document.

/// What CometBFT would refuse in a genesis document.
#[derive(Debug, thiserror::Error)]
pub enum DocError {
    /// A value of another kind.
    #[error("{place} is {found}; it must be {expected}")]
    Kind {
        /// Where.
        place: String,
        /// What it is.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A 64-bit integer without quotes, which is the most frequent slip.
    #[error("{place} is the number {found}; CometBFT wants 64-bit integers in quotes: \"{found}\"")]
    Unquoted {
        /// Where.
        place: String,
        /// The number.
        found: String,
    },
    /// A value that may not be.
    #[error("{place} is {found}; it must be {expected}")]
    Value {
        /// Where.
        place: String,
        /// What it is.
        found: String,
        /// What it must be.
        expected: String,
    },
    /// Nobody to decide.
    #[error("validators is {found}; it must list at least one, or no block is ever made")]
    NoValidators {
        /// Absent or empty.
        found: &'static str,
    },
    /// One validator twice.
    #[error("{place} has the same key as another validator; remove one")]
    SameKey {
        /// The second one.
        place: String,
    },
}
