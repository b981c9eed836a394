//! What commands print: everything that gets to standard output, in lines, behind labels, or in columns.

use std::io::{self, IsTerminal, Write};

use crate::printable;

/// Cyan, yellow, green, magenta, blue, and the same bright: red is for errors.
const LABEL_COLORS: [u8; 10] = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94];

/// Prints a line, or several, to standard output: the one place from which anything gets there.
pub(super) fn say(text: impl AsRef<str>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", printable::text(text.as_ref()))?;
    out.flush()
}

/// Prints lines, each behind a label, which has a color on a terminal: the one way besides [`say`].
pub(super) fn say_labelled(lines: &[(&str, usize, &str)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let colors = may_color(&out);
    for line in lines {
        writeln!(out, "{}", labelled(*line, colors))?;
    }
    out.flush()
}

fn labelled((label, color, line): (&str, usize, &str), colors: bool) -> String {
    let (label, line) = (printable::line(label), printable::text(line));
    match LABEL_COLORS.get(color % LABEL_COLORS.len()).filter(|_| colors) {
        Some(code) => format!("\u{1b}[{code}m{label}\u{1b}[0m | {line}"),
        None => format!("{label} | {line}"),
    }
}

/// Whether what is written there may have colors: it is a terminal, and its user wants them (see no-color.org).
pub(super) fn may_color(out: &impl IsTerminal) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    out.is_terminal() && !is_set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// As [`may_color`], of the log.
pub(super) fn log_may_have_colors() -> bool {
    may_color(&io::stderr())
}

/// Lays out rows in columns; the first row is the heading. A cell is one line, whatever is in it.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let cells = |row: &Vec<String>| row.iter().map(|cell| printable::line(cell).into_owned()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_labels_have_colors_and_only_where_they_may() {
        let line = ("node1\u{1b}[2J", 11, "a\u{1b}[31mb");
        assert_eq!(labelled(line, false), "node1\\u001b[2J | a\\u001b[31mb");
        assert_eq!(labelled(line, true), "\u{1b}[33mnode1\\u001b[2J\u{1b}[0m | a\\u001b[31mb");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["node".to_owned(), "height".to_owned()], vec!["node10".to_owned(), "7".to_owned()]];
        assert_eq!(table(&rows), "node    height\nnode10  7");
    }
}
