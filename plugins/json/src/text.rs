//! Strings: read with every escape RFC 8259 knows, written with the few RFC 8785 leaves, and compared as it sorts them.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::problem::{Kind, Problem};

/// Reads the string whose opening quote is at `at`, appends its canonical form to `text` and answers where it ends,
/// and whether its canonical form is ASCII without escapes.
///
/// `tx` is valid UTF-8.
pub(crate) fn string(tx: &[u8], at: usize, text: &mut Vec<u8>) -> Result<(usize, bool), Problem> {
    let (mut from, mut next, mut plain) = (at, at + 1, true);
    loop {
        let (len, is_ascii) = literal(tx.get(next..).unwrap_or_default());
        plain &= is_ascii;
        next += len;
        match tx.get(next) {
            // From the quote or escape before it on, to this quote.
            Some(b'"') => {
                text.extend_from_slice(&tx[from..=next]);
                return Ok((next + 1, plain));
            }
            Some(b'\\') => {
                text.extend_from_slice(&tx[from..next]);
                let (end, character) = escape(tx, next)?;
                plain &= write(character, text);
                (from, next) = (end, end);
            }
            Some(_) => return Err(Problem::new(next, Kind::Control)),
            None => return Err(Problem::expected(tx, next, "the string's closing quote")),
        }
    }
}

/// How many bytes from the first on a string holds as they are (no control characters, quotes and backslashes), and
/// whether they are ASCII.
fn literal(bytes: &[u8]) -> (usize, bool) {
    // Eight at a time, in one number: most of most documents is within strings.
    let (words, _) = bytes.as_chunks();
    let (mut len, mut bits) = (0, 0);
    for word in words {
        let word = u64::from_le_bytes(*word);
        let special = special(word);
        if special != 0 {
            let count = special.trailing_zeros() / 8;
            bits |= word & !(u64::MAX << (8 * count));
            return (len + count as usize, bits & HIGHEST == 0);
        }
        bits |= word;
        len += 8;
    }
    let last = bytes[len..].iter().take_while(|byte| special(ONES * u64::from(**byte)) == 0);
    let last = last.inspect(|byte| bits |= u64::from(**byte)).count();
    (len + last, bits & HIGHEST == 0)
}

const ONES: u64 = 0x0101_0101_0101_0101;
/// The highest bit of each byte, which none of ASCII has.
const HIGHEST: u64 = ONES << 7;

/// The highest bit of each of eight bytes that a string does not hold as it is; higher ones than the lowest may show
/// although it does.
fn special(word: u64) -> u64 {
    let below = |word: u64, than: u64| word.wrapping_sub(ONES * than) & !word & HIGHEST;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, 0x20) | is(b'"') | is(b'\\')
}

/// Reads the escape whose backslash is at `at`; answers where it ends and what it stands for.
fn escape(tx: &[u8], at: usize) -> Result<(usize, char), Problem> {
    let character = match tx.get(at + 1) {
        Some(&itself @ (b'"' | b'\\' | b'/')) => itself.into(),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(tx, at),
        _ => return Err(Problem::expected(tx, at + 1, "one of \"\\/bfnrtu after the backslash")),
    };
    Ok((at + 2, character))
}

/// Reads the `\uXXXX` at `at`, or the two that make a character beyond U+FFFF.
fn unicode(tx: &[u8], at: usize) -> Result<(usize, char), Problem> {
    let first = four_digits(tx, at + 2)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((at + 6, character));
    }
    let lone = Problem::new(at, Kind::Surrogate);
    if first >= 0xdc00 || tx.get(at + 6..at + 8) != Some(b"\\u") {
        return Err(lone);
    }
    let second = four_digits(tx, at + 8)?;
    if !(0xdc00..0xe000).contains(&second) {
        return Err(lone);
    }
    let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    char::from_u32(code).map(|character| (at + 12, character)).ok_or(lone)
}

fn four_digits(tx: &[u8], at: usize) -> Result<u32, Problem> {
    let mut value = 0;
    for place in at..at + 4 {
        let digit = tx.get(place).and_then(|byte| char::from(*byte).to_digit(16));
        let Some(digit) = digit else {
            return Err(Problem::expected(tx, place, "a hexadecimal digit"));
        };
        value = value << 4 | digit;
    }
    Ok(value)
}

/// Appends a character as RFC 8785 has it (section 3.2.2.2); whether that is plain ASCII.
fn write(character: char, text: &mut Vec<u8>) -> bool {
    let short = match character {
        '"' | '\\' => character,
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\0'..='\u{1f}' => {
            let code = character as u8;
            text.extend_from_slice(b"\\u00");
            text.extend([code >> 4, code & 0xf].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
            return false;
        }
        _ => {
            text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return character.is_ascii();
        }
    };
    text.extend([b'\\', short as u8]);
    false
}

/// Two canonical strings without their quotes, in the order of their UTF-16 (RFC 8785, section 3.2.3). `plain` says
/// that both are ASCII without escapes, where the order of bytes is the same.
pub(crate) fn compare(one: &[u8], other: &[u8], plain: bool) -> Ordering {
    if plain { one.cmp(other) } else { units(one).cmp(units(other)) }
}

/// The UTF-16 of what a canonical string stands for.
fn units(canonical: &[u8]) -> impl Iterator<Item = u16> {
    // What is canonical was written by this file: it is UTF-8, and its escapes are whole.
    let mut characters = core::str::from_utf8(canonical).unwrap_or_default().chars();
    let unescaped = core::iter::from_fn(move || {
        let first = characters.next()?;
        if first != '\\' {
            return Some(first);
        }
        match characters.next()? {
            'b' => Some('\u{8}'),
            't' => Some('\t'),
            'n' => Some('\n'),
            'f' => Some('\u{c}'),
            'r' => Some('\r'),
            'u' => {
                let mut code = 0;
                for _ in 0..4 {
                    code = code << 4 | characters.next()?.to_digit(16)?;
                }
                char::from_u32(code)
            }
            itself => Some(itself),
        }
    });
    unescaped.flat_map(|character| {
        let mut pair = [0; 2];
        let len = character.encode_utf16(&mut pair).len();
        pair.into_iter().take(len)
    })
}

/// Whether a canonical string without its quotes stands for `name`.
pub(crate) fn compare_to_name(canonical: &[u8], plain: bool, name: &str) -> Ordering {
    if plain && name.is_ascii() {
        canonical.cmp(name.as_bytes())
    } else {
        units(canonical).cmp(name.encode_utf16())
    }
}
