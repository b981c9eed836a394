//! Each record says how long it is, so that readers can split the sequence whatever bytes the transactions hold.
//!
//! A record is the transaction's length and then the transaction. The length counts the transaction alone, and is
//! written in one of two ways:
//!
//! | `prefix` | bytes | what |
//! |---|---|---|
//! | `u32` | 4 | big-endian: fixed, so that readers need one line of any language |
//! | `varint` | 1 to 5 | LEB128, seven bits a byte, lowest first: what Protocol Buffers' delimited streams have |
//!
//! Nothing is rejected.
#![cfg_attr(target_arch = "wasm32", no_std)]

use dseq_sdk::{Output, Param, ParamError, Plugin, Refusal, Value, Verdict};

/// How a length is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// Four bytes, big-endian.
    U32,
    /// LEB128.
    Varint,
}

impl Param for Prefix {
    const EXPECTED: &'static str = r#""u32" or "varint""#;

    fn read(value: Value<'_>) -> Result<Self, ParamError> {
        match value.as_string().as_deref() {
            Some("u32") => Ok(Self::U32),
            Some("varint") => Ok(Self::Varint),
            _ => Err(ParamError::unexpected::<Self>(value)),
        }
    }
}

dseq_sdk::params! {
    /// What genesis may say.
    pub struct Params {
        /// How a length is written.
        pub prefix: Prefix = Prefix::U32,
    }
}

/// See the crate's documentation.
pub struct LengthPrefix {
    prefix: Prefix,
}

impl Plugin for LengthPrefix {
    type Params = Params;

    fn init(params: Params) -> Result<Self, Refusal> {
        Ok(Self { prefix: params.prefix })
    }

    fn apply(&self, tx: &[u8], out: &mut Output) -> Verdict {
        // A wasm memory has 4 GiB at most, and a transaction lies in one.
        let len = u32::try_from(tx.len()).unwrap_or(u32::MAX);
        match self.prefix {
            Prefix::U32 => out.write(&len.to_be_bytes()),
            Prefix::Varint => write_varint(len, out),
        }
        out.write(tx);
        Verdict::Replace
    }
}

fn write_varint(mut value: u32, out: &mut Output) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            return out.write(&[low & 0x7f]);
        }
        out.write(&[low | 0x80]);
    }
}

dseq_sdk::export!(LengthPrefix);

#[cfg(test)]
mod tests {
    use dseq_sdk::testing::{Outcome, Tester};

    use super::*;

    fn with(params: &str) -> Tester<LengthPrefix> {
        Tester::new(params).unwrap()
    }

    #[test]
    fn four_bytes_say_how_many_follow() {
        for params in ["{}", r#"{"prefix":"u32"}"#] {
            assert_eq!(with(params).apply("abc"), Outcome::replaced(b"\0\0\0\x03abc"));
        }
        let long = [7; 0x1_02_03];
        let mut record = vec![0, 1, 2, 3];
        record.extend(long);
        assert_eq!(with("{}").apply(long), Outcome::replaced(record));
    }

    #[test]
    fn a_varint_takes_a_byte_for_each_seven_bits() {
        for (len, prefix) in [
            (1, &b"\x01"[..]),
            (127, b"\x7f"),
            (128, b"\x80\x01"),
            (300, b"\xac\x02"),
            (16_383, b"\xff\x7f"),
            (16_384, b"\x80\x80\x01"),
        ] {
            let tx = vec![b'x'; len];
            let record = [prefix, &tx].concat();
            assert_eq!(with(r#"{"prefix":"varint"}"#).apply(tx), Outcome::replaced(record), "{len}");
        }
        let mut out = Output::default();
        write_varint(u32::MAX, &mut out);
        assert_eq!(out.as_bytes(), b"\xff\xff\xff\xff\x0f");
    }

    #[test]
    fn another_way_is_refused_by_name() {
        let refusal = Tester::<LengthPrefix>::new(r#"{"prefix":"u64"}"#).err().unwrap();
        assert_eq!(refusal.message(), r#"prefix: expected "u32" or "varint", found "u64""#);
    }
}
