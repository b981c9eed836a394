//! Strings: where they end, and what they say.

use alloc::vec::Vec;

use super::cursor::{Cursor, Step};

impl Cursor<'_> {
    /// Steps over a string and appends what it says, if somebody wants to know; answers whether there are escapes in it.
    pub(super) fn string(&mut self, mut said: Option<&mut Vec<u8>>) -> Step<bool> {
        let mut is_escaped = false;
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let len = plain(rest);
            self.at += len;
            if let Some(said) = &mut said {
                said.extend_from_slice(rest.get(..len).unwrap_or_default());
            }
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => is_escaped = true,
                Some(_) => return Err("a control character in a string"),
                None => return Err("a string without an end"),
            }
            self.at += 1;
            let char = self.escape()?;
            if let Some(said) = &mut said {
                said.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        self.at += 1;
        Ok(is_escaped)
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Step<char> {
        let char = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.utf16();
            }
            _ => return Err("an unknown escape"),
        };
        self.at += 1;
        Ok(char)
    }

    /// A character by its one or two UTF-16 units, as in `\u00e9` or `\ud83d\ude00`, behind the first `\u`.
    fn utf16(&mut self) -> Step<char> {
        let first = self.utf16_unit()?;
        let code = match first {
            0xd800..=0xdbff if self.eat(b'\\') && self.eat(b'u') => match self.utf16_unit()? {
                second @ 0xdc00..=0xdfff => 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                _ => first,
            },
            _ => first,
        };
        char::from_u32(code).ok_or("half of a surrogate pair")
    }

    fn utf16_unit(&mut self) -> Step<u32> {
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else { return Err("not four hexadecimal digits") };
            unit = unit << 4 | digit;
            self.at += 1;
        }
        Ok(unit)
    }
}

/// How many bytes from the first on a string holds as they are: up to a quote, a backslash or a control character.
fn plain(bytes: &[u8]) -> usize {
    // Eight at a time, in one number: most of most params is within strings.
    let (words, rest) = bytes.as_chunks();
    let mut len = 0;
    for word in words {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            return len + special.trailing_zeros() as usize / 8;
        }
        len += 8;
    }
    // The rest, and quotes behind it.
    let mut last = [b'"'; 8];
    last[..rest.len()].copy_from_slice(rest);
    len + special(u64::from_le_bytes(last)).trailing_zeros() as usize / 8
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// The highest bit of each of eight bytes that a string does not hold as it is; higher ones than the lowest may show
/// although it does.
fn special(word: u64) -> u64 {
    // Subtracting sets the highest bit of a byte below 0x80 that is less, and of none lower than the first that is.
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    (control | quote | backslash) & !word & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_ends_at_the_first_byte_that_is_special_wherever_it_stands() {
        let is_plain = |byte: &&u8| **byte >= 0x20 && **byte != b'"' && **byte != b'\\';
        for len in 0..20 {
            for place in 0..len {
                for byte in 0..=u8::MAX {
                    // What follows a special byte may look special, or not.
                    for (before, behind) in [(b'a', b'!'), (0xff, b'#'), (0x80, 0x20), (b'~', b'"')] {
                        let mut bytes = [before; 20];
                        bytes[place] = byte;
                        bytes[place + 1..].fill(behind);
                        let bytes = &bytes[..len];
                        let expected = bytes.iter().take_while(is_plain).count();
                        assert_eq!(plain(bytes), expected, "{bytes:?}");
                    }
                }
            }
        }
        assert_eq!(plain(b""), 0);
    }
}
