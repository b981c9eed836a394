//! Printable text ([`dseq_format::printable`]), and a writer that lets nothing else through.

use std::io;

pub use dseq_format::printable::{line, text};

/// A place to write to that lets only printable text through.
#[derive(Debug)]
pub struct Writer<W>(pub W);

impl<W: io::Write> io::Write for Writer<W> {
    /// Takes all it is given; no character may be cut in two.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(text(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_writer_lets_only_printable_text_through() {
        let mut out = Vec::new();
        Writer(&mut out).write_all("\u{1b}[31mred\u{1b}[0m\u{202e}\n\ttext\n".as_bytes()).unwrap();
        Writer(&mut out).write_all(b"\xff\n").unwrap();
        let expected = "\\u001b[31mred\\u001b[0m\\u202e\n\ttext\n\u{fffd}\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
