//! How much of a transaction a log may show: its first bytes, in hexadecimal digits.

use std::fmt;

/// How many bytes are shown.
const BYTES_MAX: usize = 32;

/// The beginning of a transaction. Only events at debug level have it.
pub(super) struct Prefix<'a>(pub(super) &'a [u8]);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..BYTES_MAX).unwrap_or(self.0);
        f.write_str(&data_encoding::HEXLOWER.encode(shown))?;
        if shown.len() < self.0.len() { f.write_str("...") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_the_beginning_is_shown() {
        assert_eq!(Prefix(b"\x00\xffa").to_string(), "00ff61");
        assert_eq!(Prefix(&[0xab; BYTES_MAX]).to_string(), "ab".repeat(BYTES_MAX));
        assert_eq!(Prefix(&[0xab; 1 << 20]).to_string(), format!("{}...", "ab".repeat(BYTES_MAX)));
    }
}
