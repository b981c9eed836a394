//! The transactions of a run: each unique, and each says which one it is.
//!
//! # Format
//!
//! | bytes | text |
//! |---|---|
//! | 0..5 | `load-` |
//! | 5..21 | id of the run, 16 hexadecimal digits |
//! | 21 | `-` |
//! | 22..30 | number within the run, 8 hexadecimal digits |
//! | 30 | `;` |
//! | 31.. | filler: letters, digits, `-` and `_`, as the seed has them |
//!
//! As JSON it is the one field of an object: `{"load":"<the text>"}`.

use super::plan::{Format, Sizes};
use super::random::Random;

/// Minimum size of a transaction, in bytes, so that it can say which one it is.
pub const TX_BYTES_MIN: u64 = 48;

const TEXT_START: &str = "load-";
const JSON_START: &str = "{\"load\":\"";
const JSON_END: &str = "\"}";
/// Bytes at the beginning of a transaction from which [`Transactions::number_of`] reads which one it is.
pub(super) const HEAD_BYTES: usize = JSON_START.len() + 31;

const _: () = assert!((HEAD_BYTES + JSON_END.len()) as u64 <= TX_BYTES_MIN, "a transaction holds its head");

const FILLER: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// All transactions of a run, made when they are asked for.
#[derive(Clone, Debug)]
pub(super) struct Transactions {
    /// No other run has this id.
    pub(super) run: u64,
    pub(super) seed: u64,
    pub(super) sizes: Sizes,
    pub(super) format: Format,
}

impl Transactions {
    /// The size of a transaction in bytes.
    pub(super) fn size(&self, number: u32) -> u64 {
        let Sizes { min, max } = self.sizes;
        min.saturating_add(Random::new(self.seed, number.into()).up_to(max.saturating_sub(min)))
    }

    /// The transaction with this number, the same each time.
    pub(super) fn bytes(&self, number: u32) -> Vec<u8> {
        let mut random = Random::new(self.seed, number.into());
        let Sizes { min, max } = self.sizes;
        let size = min.saturating_add(random.up_to(max.saturating_sub(min)));
        let (start, end) = match self.format {
            Format::Text => ("", ""),
            Format::Json => (JSON_START, JSON_END),
        };
        let mut tx = format!("{start}{TEXT_START}{:016x}-{number:08x};", self.run).into_bytes();
        let filled = usize::try_from(size).unwrap_or(usize::MAX).saturating_sub(end.len());
        tx.reserve_exact(filled.saturating_sub(tx.len()).saturating_add(end.len()));
        while tx.len() < filled {
            // Ten characters of six bits each from one number.
            let mut bits = random.next();
            for _ in 0..10.min(filled - tx.len()) {
                tx.push(FILLER[(bits & 63) as usize]);
                bits >>= 6;
            }
        }
        tx.extend_from_slice(end.as_bytes());
        tx
    }

    /// Which transaction of this run begins like this, if one does.
    pub(super) fn number_of(&self, head: &[u8]) -> Option<u32> {
        let text = head.strip_prefix(JSON_START.as_bytes()).unwrap_or(head);
        let text = text.strip_prefix(TEXT_START.as_bytes())?;
        let text = std::str::from_utf8(text.get(..26)?).ok()?;
        let run = u64::from_str_radix(text.get(..16)?, 16).ok()?;
        let number = u32::from_str_radix(text.get(17..25)?, 16).ok()?;
        let whole = text.as_bytes()[16] == b'-' && text.as_bytes()[25] == b';';
        (whole && run == self.run).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(min: u64, max: u64, format: Format) -> Transactions {
        Transactions { run: 0x0123_4567_89ab_cdef, seed: 7, sizes: Sizes { min, max }, format }
    }

    #[test]
    fn a_transaction_says_which_one_it_is_and_is_the_same_each_time() {
        for format in [Format::Text, Format::Json] {
            for sizes in [(48, 48), (256, 256), (48, 5000)] {
                let transactions = of(sizes.0, sizes.1, format);
                for number in [0, 1, 77, u32::MAX] {
                    let tx = transactions.bytes(number);
                    assert_eq!(tx.len() as u64, transactions.size(number));
                    assert_eq!(tx, transactions.bytes(number));
                    assert_eq!(transactions.number_of(&tx[..HEAD_BYTES]), Some(number));
                    assert!(tx.iter().all(|byte| byte.is_ascii_graphic()));
                }
                let other = Transactions { run: 1, ..transactions.clone() };
                assert_eq!(other.number_of(&transactions.bytes(1)), None);
            }
        }
        assert_eq!(of(48, 48, Format::Text).number_of(b"load-0123456789abcdef-0000000"), None);
        let json = of(64, 64, Format::Json).bytes(3);
        serde_json::from_slice::<serde_json::Value>(&json).unwrap();
    }

    #[test]
    fn sizes_cover_their_range() {
        let sizes: std::collections::BTreeSet<u64> =
            (0..1000).map(|number| of(100, 109, Format::Text).size(number)).collect();
        assert_eq!(sizes.into_iter().collect::<Vec<_>>(), (100..110).collect::<Vec<_>>());
    }
}
