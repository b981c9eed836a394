//! Numbers: the grammar of RFC 8259, and the form ECMAScript gives a double (RFC 8785, section 3.2.2.3).

use alloc::vec::Vec;

use crate::problem::{Kind, Problem};

/// The largest integer up to which a double keeps every one: 2^53 - 1. The host has the same bound for params.
pub(crate) const INTEGER_MAX: u64 = (1 << 53) - 1;

/// Reads the number at `at`, appends its canonical form to `text` and answers where it ends.
pub(crate) fn number(tx: &[u8], at: usize, text: &mut Vec<u8>) -> Result<usize, Problem> {
    let digits_from = if tx[at] == b'-' { at + 1 } else { at };
    let whole_end = match tx.get(digits_from) {
        Some(b'0') => digits_from + 1,
        _ => digits(tx, digits_from)?,
    };
    let mut end = whole_end;
    if tx.get(end) == Some(&b'.') {
        end = digits(tx, end + 1)?;
    }
    if let Some(b'e' | b'E') = tx.get(end) {
        let signed = matches!(tx.get(end + 1), Some(b'+' | b'-'));
        end = digits(tx, if signed { end + 2 } else { end + 1 })?;
    }
    if let Some(b'0'..=b'9') = tx.get(end) {
        return Err(Problem::new(at, Kind::LeadingZero));
    }
    let literal = &tx[at..end];
    if end == whole_end {
        if !is_exact(&tx[digits_from..end]) {
            return Err(Problem::new(at, Kind::Integer));
        }
        text.extend_from_slice(if literal == b"-0" { b"0" } else { literal });
    } else {
        double(at, literal, text)?;
    }
    Ok(end)
}

/// Where the digits from `at` on end; there must be one.
fn digits(tx: &[u8], at: usize) -> Result<usize, Problem> {
    let count = tx.iter().skip(at).take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 { Err(Problem::expected(tx, at, "a digit")) } else { Ok(at + count) }
}

/// Whether a double keeps the integer of these digits, and each one up to it. They have no leading zeros.
fn is_exact(digits: &[u8]) -> bool {
    // Below 10^15 there is nothing to compute.
    if digits.len() <= 15 {
        return true;
    }
    let value = core::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
    value.is_some_and(|value| value <= INTEGER_MAX)
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
