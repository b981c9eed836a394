//! What a plugin's file says about the plugin, for people and tools. It never influences a result.
//!
//! # Format
//!
//! The custom section `dseq_plugin` holds four texts as postcard encodes a struct of them: name, version, version of the
//! SDK, description. Each is its length in bytes as a varint (seven bits in each byte, the lowest first, the eighth bit
//! set in all but the last), then its bytes in UTF-8.

/// This SDK's version.
pub const SDK_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Length of the encoding in bytes.
#[must_use]
pub const fn encoded_len(texts: [&str; 4]) -> usize {
    let (mut len, mut index) = (0, 0);
    while index < texts.len() {
        len += varint_len(texts[index].len()) + texts[index].len();
        index += 1;
    }
    len
}

const fn varint_len(mut value: usize) -> usize {
    let mut len = 1;
    while value > 0x7f {
        value >>= 7;
        len += 1;
    }
    len
}

/// The encoding; `LEN` is its [`encoded_len`].
#[must_use]
pub const fn encode<const LEN: usize>(texts: [&str; 4]) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    let (mut at, mut index) = (0, 0);
    while index < texts.len() {
        let text = texts[index].as_bytes();
        let mut left = text.len();
        while left > 0x7f {
            bytes[at] = left as u8 | 0x80;
            left >>= 7;
            at += 1;
        }
        bytes[at] = left as u8;
        at += 1;
        let (_, to) = bytes.split_at_mut(at);
        to.split_at_mut(text.len()).0.copy_from_slice(text);
        at += text.len();
        index += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_its_length_and_its_bytes() {
        const TEXTS: [&str; 4] = ["hex", "1.2.3", "", "é"];
        const ENCODED: [u8; encoded_len(TEXTS)] = encode(TEXTS);
        assert_eq!(&ENCODED, b"\x03hex\x051.2.3\0\x02\xc3\xa9");
    }

    #[test]
    fn a_length_beyond_127_takes_more_bytes() {
        const LONG: &str = match core::str::from_utf8(&[b'x'; 300]) {
            Ok(text) => text,
            Err(_) => panic!("ASCII is UTF-8"),
        };
        const TEXTS: [&str; 4] = ["", "", "", LONG];
        const ENCODED: [u8; encoded_len(TEXTS)] = encode(TEXTS);
        assert_eq!((ENCODED.len(), &ENCODED[..6]), (305, &b"\0\0\0\xac\x02x"[..]));
    }
}
