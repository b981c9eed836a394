//! A terminal's whole screen, drawn without flicker: each line is overwritten in place, and nothing is cleared before.
//!
//! # Invariants
//!
//! - The control characters here are the only ones that are written; each line passes `printable`.
//! - When the screen is dropped, the terminal shows what it showed before.

use std::io::{self, Write};

use crate::printable;

/// The other screen, without a cursor and without wrapping of long lines.
const OPEN: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l";
const CLOSE: &str = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";
const HOME: &str = "\u{1b}[H";
const CLEAR_LINE: &str = "\u{1b}[K";
const CLEAR_BELOW: &str = "\u{1b}[J";
/// The terminal shows what comes between these at once, if it knows them.
const HOLD: &str = "\u{1b}[?2026h";
const SHOW: &str = "\u{1b}[?2026l";

/// The screen.
pub(super) struct Screen;

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        put(OPEN)?;
        Ok(Self)
    }

    /// Draws a whole frame; what does not fit is left out.
    pub(super) fn draw(&mut self, lines: &[String], width: usize, height: usize) -> io::Result<()> {
        let fitting: Vec<String> = lines
            .iter()
            .take(height)
            .map(|line| {
                let line: String = printable::line(line).chars().take(width).collect();
                format!("{line}{CLEAR_LINE}")
            })
            .collect();
        put(&format!("{HOLD}{HOME}{}{CLEAR_BELOW}{SHOW}", fitting.join("\r\n")))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = put(CLOSE);
    }
}

fn put(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Columns and rows of the terminal, if standard output is one.
pub(super) fn size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then(|| (size.ws_col.into(), size.ws_row.into()))
}
