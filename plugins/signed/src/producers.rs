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

fn from_hex(text: &[u8]) -> Option<[u8; 32]> {
    let (pairs, []) = text.as_chunks() else { return None };
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut key = [0; 32];
    if pairs.len() != key.len() {
        return None;
    }
    for (byte, [high, low]) in key.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
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
