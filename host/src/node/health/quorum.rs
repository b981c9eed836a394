//! How much voting power decides a block.

use std::time::Duration;

/// How long transactions may wait without a block. A network with more work than it can do makes one every few seconds.
pub const STALLED_AFTER: Duration = Duration::from_secs(8);

/// Whether validators of this power decide a block: it takes more than two thirds of all.
#[must_use]
pub fn decides(power: u64, of_all: u64) -> bool {
    u128::from(power) * 3 > u128::from(of_all) * 2
}

/// Why validators of this power, which a node reaches, itself among them, decide no block; `None`: they do.
#[must_use]
pub fn lacking(power: u64, of_all: u64) -> Option<String> {
    (!decides(power, of_all))
        .then(|| format!("it reaches voting power {power} of {of_all}; a block takes more than two thirds"))
}

/// How long a node has had work and no block.
#[must_use]
pub fn stalled(seconds: u64) -> String {
    format!("transactions wait, and no block came in {seconds} s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_more_than_two_thirds() {
        assert!(!decides(20, 30) && decides(21, 30) && decides(1, 1) && !decides(0, 0));
        assert!(decides(u64::MAX, u64::MAX) && !decides(u64::MAX / 3 * 2, u64::MAX));
        let why = lacking(20, 40);
        assert_eq!(
            why.as_deref(),
            Some("it reaches voting power 20 of 40; a block takes more than two thirds")
        );
        assert_eq!(lacking(30, 40), None);
    }
}
