//! Numbers: the grammar of RFC 8259, and the form ECMAScript gives a double (RFC 8785, section 3.2.2.3).

use alloc::vec::Vec;

use crate::problem::{Kind, Problem};

/// The largest integer up to which a double keeps every one: 2^53 - 1. The host has the same bound for params.
pub(crate) const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Digits that a double keeps whatever they are.
const DIGITS_KEPT: usize = 15;

/// Reads the number at `at`, appends its canonical form to `text` and answers where it ends.
pub(crate) fn number(tx: &[u8], at: usize, text: &mut Vec<u8>) -> Result<usize, Problem> {
    let minus = usize::from(tx.get(at) == Some(&b'-'));
    let whole = digits(tx, at + minus)?;
    let mut end = at + minus + whole.len();
    if let [b'0', _, ..] = whole {
        return Err(Problem::new(at, Kind::LeadingZero));
    }
    let fraction = if tx.get(end) == Some(&b'.') { Some(digits(tx, end + 1)?) } else { None };
    end += fraction.map_or(0, |fraction| 1 + fraction.len());
    let has_exponent = matches!(tx.get(end), Some(b'e' | b'E'));
    if has_exponent {
        end += 1 + usize::from(matches!(tx.get(end + 1), Some(b'+' | b'-')));
        end += digits(tx, end)?.len();
    }
    let literal = &tx[at..end];
    match fraction {
        None if !has_exponent && is_exact(whole) => {
            text.extend_from_slice(if literal == b"-0" { b"0" } else { literal });
        }
        None if !has_exponent => return Err(Problem::new(at, Kind::Integer)),
        Some(fraction) if !has_exponent && is_decimal(whole, fraction) => {
            text.extend_from_slice(without_zeros(literal));
        }
        _ => double(at, literal, text)?,
    }
    Ok(end)
}

/// The digits from `at` on; there must be one.
fn digits(tx: &[u8], at: usize) -> Result<&[u8], Problem> {
    let rest = tx.get(at..).unwrap_or_default();
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 { Err(Problem::expected(tx, at, "a digit")) } else { Ok(&rest[..count]) }
}

/// Whether a double keeps the integer of these digits, and each one up to it. They have no leading zeros.
fn is_exact(digits: &[u8]) -> bool {
    // Below 10^15 there is nothing to compute.
    if digits.len() <= DIGITS_KEPT {
        return true;
    }
    let value = core::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
    value.is_some_and(|value| value <= INTEGER_MAX)
}

/// Whether ECMAScript writes the double nearest to `whole.fraction` in just these digits, but for zeros at the end: up to
/// fifteen digits every decimal has a double of its own, and from 10^-6 on none is written with an exponent.
fn is_decimal(whole: &[u8], fraction: &[u8]) -> bool {
    let is_zero = |digit: &&u8| **digit == b'0';
    whole.len() + fraction.len() <= DIGITS_KEPT
        && (whole != b"0" || fraction.iter().take_while(is_zero).count() < 6.min(fraction.len()))
}

/// A decimal without the zeros at its end, and without its point if nothing is behind it.
fn without_zeros(decimal: &[u8]) -> &[u8] {
    let zeros = decimal.iter().rev().take_while(|digit| **digit == b'0').count();
    let decimal = &decimal[..decimal.len() - zeros];
    decimal.strip_suffix(b".").unwrap_or(decimal)
}

fn double(at: usize, literal: &[u8], text: &mut Vec<u8>) -> Result<(), Problem> {
    let value = core::str::from_utf8(literal).ok().and_then(|literal| literal.parse::<f64>().ok());
    let Some(value) = value.filter(|value| value.is_finite()) else {
        return Err(Problem::new(at, Kind::TooLarge));
    };
    let mut buffer = ryu_js::Buffer::new();
    let canonical = buffer.format_finite(value).as_bytes();
    // ECMAScript writes 1e20 as an integer, which would be refused if it came back.
    if canonical.iter().all(|byte| matches!(byte, b'-' | b'0'..=b'9')) {
        let unsigned = canonical.strip_prefix(b"-").unwrap_or(canonical);
        if !is_exact(unsigned) {
            return Err(Problem::new(at, Kind::Integer));
        }
    }
    text.extend_from_slice(canonical);
    Ok(())
}
