//! Who may sign: the params' list of producers.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use dseq_sdk::{Param, ParamError, Refusal, Value};

/// A public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(pub [u8; 32]);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Param for Key {
    const EXPECTED: &'static str = "a public key as 64 lower-case hexadecimal digits";

    fn read(value: Value<'_>) -> Result<Self, ParamError> {
        let text = value.as_string();
        let key = text.as_deref().and_then(|text| from_hex(text.as_bytes()));
        let key = Self(key.ok_or_else(|| ParamError::unexpected::<Self>(value))?);
        if key.is_weak() {
            return Err(ParamError::new(format!(
                "the key {key} is one of those for which anybody can make signatures; no producer has it"
            )));
        }
        Ok(key)
    }
}

/// A key by its digits.
fn from_hex(text: &[u8]) -> Option<[u8; 32]> {
    /// This byte eight times.
    const fn each(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }
    // Eight digits at a time, each a byte of one number: a transaction is charged for reading all keys.
    let (words, []) = text.as_chunks() else { return None };
    let mut key = [0; 32];
    let (quarters, _) = key.as_chunks_mut();
    if words.len() != quarters.len() {
        return None;
    }
    for (bytes, word) in quarters.iter_mut().zip(words) {
        let word = u64::from_le_bytes(*word);
        // Letters, and not 0 to 9, have the bit 6.
        let values = (word & each(0x0f)) + 9 * (word >> 6 & each(1));
        let letters = (values + each(6)) >> 4 & each(1);
        // Written again they are what was read, unless something else was among them.
        if values & each(0xf0) != 0 || values + each(b'0') + u64::from(b'a' - b'0' - 10) * letters != word {
            return None;
        }
        let pairs = (values << 4 | values >> 8) & 0x00ff_00ff_00ff_00ff;
        let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
        let [a, b, c, d, ..] = (fours | fours >> 16).to_le_bytes();
        *bytes = [a, b, c, d];
    }
    Some(key)
}

impl Key {
    /// Whether its point has a small order, or it is no canonical encoding: no such key verifies anything.
    ///
    /// That a key is a point at all is not looked at here: it takes thousands of multiplications, and init is paid for
    /// with each transaction.
    fn is_weak(&self) -> bool {
        /// The y coordinates of the points of order 8; those of order 4, 2 and 1 have 0, p - 1 and 1.
        const OF_ORDER_8: [[u8; 32]; 2] = [
            [
                0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
                0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
                0xfc, 0x05,
            ],
            [
                0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
                0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
                0x03, 0x7a,
            ],
        ];
        let mut y = self.0;
        // The highest bit is the sign of x.
        y[31] &= 0x7f;
        let is_zero_or_one = y[0] <= 1 && y[1..] == [0; 31];
        // p is 2^255 - 19: from p - 1 on, all but the first byte are at their highest.
        let is_p_minus_1_or_more = y[0] >= 0xec && y[1..31] == [0xff; 30] && y[31] == 0x7f;
        is_zero_or_one || is_p_minus_1_or_more || OF_ORDER_8.contains(&y)
    }
}

dseq_sdk::params! {
    /// One who may sign.
    #[derive(Debug)]
    pub struct Producer {
        /// What it is called in rejections.
        pub name: String,
        /// Its public key.
        pub key: Key,
    }
}

/// All who may sign, in the order of their keys.
pub(crate) struct Producers(Vec<Producer>);

impl Producers {
    /// There must be one at least, and each must have a key of its own.
    pub(crate) fn new(mut producers: Vec<Producer>) -> Result<Self, Refusal> {
        if producers.is_empty() {
            return Err(Refusal::new(
                "producers is empty, so every transaction would be rejected; give at least one",
            ));
        }
        producers.sort_unstable_by_key(|producer| producer.key);
        match producers.windows(2).find(|pair| pair[0].key == pair[1].key) {
            Some([one, other]) => Err(Refusal::new(format!(
                "the producers {:?} and {:?} have the same key, {}; give each its own",
                one.name, other.name, one.key
            ))),
            _ => Ok(Self(producers)),
        }
    }

    /// The producer with this key.
    pub(crate) fn find(&self, key: &[u8; 32]) -> Option<&Producer> {
        let place = self.0.binary_search_by(|producer| producer.key.0.cmp(key)).ok()?;
        self.0.get(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digit_is_read_wherever_it_stands_and_nothing_else_is() {
        for place in 0..64 {
            for byte in 0..=u8::MAX {
                let mut text = *b"0123456789abcdeffedcba98765432100f1e2d3c4b5a69788796a5b4c3d2e1f0";
                text[place] = byte;
                let digit = char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
                let expected = digit.map(|_| {
                    let text = str::from_utf8(&text).unwrap();
                    core::array::from_fn(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap())
                });
                assert_eq!(from_hex(&text), expected, "{}", text.escape_ascii());
            }
        }
    }
}
