//! The nodes as text: a table with a column for each node, or a line for each.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::collect::{NodeView, View};
use crate::load::words::{count, rate};
use crate::node::testnet::NodeState;
use crate::node::view::{Agreement, Shown};
use crate::printable;

/// Width of the names of the rows, with the space behind them.
const NAMES: usize = 11;
/// Minimum width of a node's column; with fewer columns to share, nodes go below each other.
const NODE_MIN: usize = 15;
/// Maximum width of a node's column: wider ones are harder to compare.
const NODE_MAX: usize = 22;
/// Characters of an app hash that are shown, where there is room.
const HASH: usize = 16;

/// How the bytes of records are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bytes {
    Text,
    Hex,
}

impl Bytes {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Hex => "hex",
        }
    }

    pub(super) fn show(self, bytes: &[u8]) -> String {
        match self {
            Self::Text => printable::line(&String::from_utf8_lossy(bytes)).into_owned(),
            Self::Hex => data_encoding::HEXLOWER.encode(bytes),
        }
    }

    /// So many characters of it, and dots if there are more.
    fn beginning(self, bytes: &[u8], characters: usize) -> String {
        // A character takes four bytes at most.
        let enough = bytes.get(..characters.saturating_mul(4)).unwrap_or(bytes);
        cut(&self.show(enough), characters)
    }
}

/// All that is shown, in lines of this width at most; `live` if it is drawn again and again.
pub(super) fn lines(view: &View, width: usize, height: usize, as_bytes: Bytes, live: bool) -> Vec<String> {
    let each = (width.saturating_sub(NAMES) / NODE_MIN).max(1);
    // The same for all, so that those below each other stand in columns.
    let share = width.saturating_sub(NAMES) / each.min(view.nodes.len()).max(1);
    let column = share.clamp(1, NODE_MAX);
    let mut lines = Vec::new();
    for nodes in view.nodes.chunks(each) {
        lines.extend(table(nodes, column, live));
        lines.push(String::new());
    }
    let troubles = view.nodes.iter().filter_map(|node| {
        let reason = node.reason()?;
        (node.state() != NodeState::Running).then(|| cut(&format!("{}: {reason}", node.name), width))
    });
    let troubles: Vec<String> = troubles.collect();
    if !troubles.is_empty() {
        lines.extend(troubles);
        lines.push(String::new());
    }
    let end = if live { vec![String::new(), "Ctrl-C ends this.".to_owned()] } else { Vec::new() };
    let room = height.saturating_sub(lines.len() + end.len());
    lines.extend(records(view, width, room, as_bytes));
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines.extend(end);
    if lines.len() > height {
        lines.truncate(height.saturating_sub(1));
        lines.push(cut("... the terminal is too low for the rest", width));
    }
    lines
}

/// A table of some nodes, each in a column of this width.
fn table(nodes: &[NodeView], column: usize, live: bool) -> Vec<String> {
    let cell = |text: String| cut(&text, column.saturating_sub(2));
    let of = |node: &NodeView, value: &dyn Fn(&Shown) -> String| node.shown().map_or("-".to_owned(), value);
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(row("", nodes, |node| cell(node.name.clone())));
    let mut add = |name: &str, value: &dyn Fn(&NodeView) -> String| {
        table.add_row(row(name, nodes, |node| cell(value(node))));
    };
    add("state", &|node| if node.is_pending() { "...".to_owned() } else { node.state().to_string() });
    add("height", &|node| of(node, &|shown| count(shown.height)));
    add("length", &|node| of(node, &|shown| bytes(shown.length)));
    add("records", &|node| of(node, &|shown| count(shown.records)));
    if live {
        add("rate", &|node| {
            node.rate.map_or("-".to_owned(), |per_second| format!("{} rec/s", per(per_second)))
        });
    }
    add("app hash", &|node| {
        of(node, &|shown| shown.app_hash.chars().take(HASH.min(column.saturating_sub(2))).collect())
    });
    add("peers", &|node| of(node, &|shown| count(shown.peers)));
    add("mempool", &|node| of(node, &|shown| format!("{} tx", count(shown.mempool))));
    add("disk free", &|node| of(node, &disk));
    add("agreement", &|node| agreement(node.agreement).to_owned());
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    for index in 1..=nodes.len() {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    // Columns as wide as their share, so that nothing moves when a number grows.
    let constraint = |columns| {
        comfy_table::ColumnConstraint::Absolute(comfy_table::Width::Fixed(
            u16::try_from(columns).unwrap_or(u16::MAX),
        ))
    };
    let widths = std::iter::once(NAMES).chain(nodes.iter().map(|_| column)).map(constraint);
    table.set_constraints(widths);
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

fn row(name: &str, nodes: &[NodeView], cell: impl Fn(&NodeView) -> String) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(nodes.iter().map(cell)).collect()
}

/// The last records, as many as there is room for.
fn records(view: &View, width: usize, room: usize, as_bytes: Bytes) -> Vec<String> {
    if view.records.is_empty() || room < 2 {
        return Vec::new();
    }
    let of = view.records_of.map(|node| format!(" of {}", view.nodes[node].name)).unwrap_or_default();
    let mut lines = vec![cut(&format!("last records{of}, the newest first"), width)];
    let number = |record: &crate::node::view::Record| count(record.index);
    let size = |record: &crate::node::view::Record| bytes(record.bytes.len() as u64);
    let widest = |text: &dyn Fn(&crate::node::view::Record) -> String| {
        view.records.iter().map(|record| text(record).len()).max().unwrap_or(0)
    };
    let (numbers, sizes) = (widest(&number), widest(&size));
    for record in view.records.iter().take(room - 1) {
        let head = format!("{:>numbers$}  {:>sizes$}  ", number(record), size(record));
        let rest = width.saturating_sub(head.len());
        lines.push(format!("{head}{}", as_bytes.beginning(&record.bytes, rest)));
    }
    lines
}

/// A line for each node, for logs.
pub(super) fn plain(view: &View) -> Vec<String> {
    let line = |node: &NodeView| {
        let head = format!("{} {}", node.name, node.state().to_string().replace(' ', "-"));
        let Some(shown) = node.shown() else {
            return format!("{head} reason={:?}", node.reason().unwrap_or_default());
        };
        let Shown { height, length, records, app_hash, peers, mempool, .. } = shown;
        let rate = node.rate.map_or("-".to_owned(), |rate| format!("{rate:.1}"));
        let free = shown.disk_free_bytes.map_or("-".to_owned(), |free| free.to_string());
        let reason = node.reason().map(|reason| format!(" reason={reason:?}")).unwrap_or_default();
        format!(
            "{head} height={height} length={length} records={records} rate={rate} app_hash={} peers={peers} mempool={mempool} disk_free={free} agreement={}{reason}",
            app_hash.chars().take(HASH).collect::<String>(),
            agreement(node.agreement)
        )
    };
    view.nodes.iter().map(line).collect()
}

fn agreement(agreement: Agreement) -> &'static str {
    match agreement {
        Agreement::Same => "same",
        Agreement::Differs => "DIFFERS",
        Agreement::Unknown => "-",
    }
}

fn disk(shown: &Shown) -> String {
    let low = if shown.disk_low { " LOW" } else { "" };
    match shown.disk_free_bytes {
        Some(free) => format!("{}{low}", bytes(free)),
        None if shown.disk_low => "LOW".to_owned(),
        None => "-".to_owned(),
    }
}

fn per(per_second: f64) -> String {
    if per_second == 0.0 { "0".to_owned() } else { rate(per_second) }
}

/// A number of bytes; beyond a million, in units of which 1,000 make the next.
fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["MB", "GB", "TB", "PB", "EB"];
    if number < 1_000_000 {
        return format!("{} B", count(number));
    }
    let mut value = number as f64 / 1e6;
    let mut units = UNITS.iter();
    let mut unit = units.next();
    while value >= 1000.0 {
        let Some(next) = units.next() else { break };
        (value, unit) = (value / 1000.0, Some(next));
    }
    format!("{value:.2} {}", unit.copied().unwrap_or_default())
}

/// The beginning of a text, with dots for what is left out.
fn cut(text: &str, characters: usize) -> String {
    let text = printable::line(text);
    if text.chars().count() <= characters {
        return text.into_owned();
    }
    let kept: String = text.chars().take(characters.saturating_sub(3)).collect();
    if characters < 3 { kept } else { format!("{kept}...") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_whole_below_a_million() {
        assert_eq!(
            [0, 999_999, 1_000_000, 12_345_678_901].map(bytes),
            ["0 B", "999,999 B", "1.00 MB", "12.35 GB"]
        );
        assert_eq!(bytes(u64::MAX), "18.45 EB");
    }

    #[test]
    fn what_is_cut_ends_in_dots_and_fits() {
        assert_eq!(["abc", "abcdef", "äöüäöü"].map(|text| cut(text, 5)), ["abc", "ab...", "äö..."]);
        assert_eq!(
            (cut("abcdef", 2), Bytes::Hex.beginning(&[0xab; 100], 7)),
            (String::new(), "abab...".to_owned())
        );
        assert_eq!(Bytes::Text.beginning("ä\u{1b}[2J".as_bytes(), 80), "ä\\u001b[2J");
    }

    /// A node that has taken so many records.
    fn node(name: &str, records: u64) -> NodeView {
        let shown = Shown {
            state: NodeState::Running,
            reason: None,
            height: 1_234_567,
            length: records * 100,
            records,
            app_hash: "0123456789abcdef".repeat(4),
            peers: 3,
            mempool: 4_321,
            disk_free_bytes: Some(123_456_789_012),
            disk_low: false,
            id: String::new(),
            power: 10,
            validator: None,
            connected: Vec::new(),
        };
        NodeView {
            name: name.to_owned(),
            rpc: String::new(),
            look: Some(Ok(shown)),
            status: None,
            rate: Some(12.34),
            agreement: Agreement::Same,
            checks: Vec::new(),
            conduct: Vec::new(),
        }
    }

    fn three() -> View {
        let stopped = NodeView {
            look: Some(
                Err("no answer from http://127.0.0.1:26663/status: io: Connection refused".to_owned()),
            ),
            status: Some((NodeState::Stopped, Some("it does not run".to_owned()))),
            rate: None,
            agreement: Agreement::Unknown,
            ..node("node1", 0)
        };
        let pending = NodeView { look: None, rate: None, agreement: Agreement::Unknown, ..node("node2", 0) };
        let records = [(12_345, "one that is longer than the line has room for"), (9, "short")];
        let record =
            |(index, text): (u64, &'static str)| crate::node::view::Record { index, bytes: text.into() };
        View {
            nodes: vec![node("a node with a long name", 12_345_678), stopped, pending],
            records: records.map(record).into(),
            records_of: Some(0),
        }
    }

    fn assert_shows(found: &[String], expected: &str) {
        let found = found.join("\n");
        assert_eq!(found, expected.trim_matches('\n'), "it shows:\n{found}");
    }

    #[test]
    fn on_a_narrow_terminal_nodes_go_below_each_other_and_what_is_too_long_is_cut() {
        let shown = lines(&three(), 44, usize::MAX, Bytes::Text, true);
        assert!(shown.iter().all(|line| line.len() <= 44), "{shown:?}");
        assert_shows(
            &shown,
            r"
            a node with...           node1
state              running         stopped
height           1,234,567               -
length             1.23 GB               -
records         12,345,678               -
rate            12.3 rec/s               -
app hash    0123456789abcd               -
peers                    3               -
mempool           4,321 tx               -
disk free        123.46 GB               -
agreement             same               -

                     node2
state                  ...
height                   -
length                   -
records                  -
rate                     -
app hash                 -
peers                    -
mempool                  -
disk free                -
agreement                -

node1: it does not run

last records of a node with a long name, ...
12,345  45 B  one that is longer than the...
     9   5 B  short

Ctrl-C ends this.
",
        );
        // Too narrow for anything: it may look bad, but it fits as far as that is possible, and does not panic.
        for width in 0..44 {
            lines(&three(), width, usize::MAX, Bytes::Hex, true);
        }
    }

    #[test]
    fn what_a_low_terminal_does_not_show_is_said_and_never_the_line_that_says_how_to_end_it() {
        let all = lines(&three(), 80, usize::MAX, Bytes::Text, true);
        assert_eq!(lines(&three(), 80, all.len(), Bytes::Text, true), all);
        let fewer_records = lines(&three(), 80, all.len() - 1, Bytes::Text, true);
        assert_eq!(fewer_records.iter().filter(|line| line.contains("short")).count(), 0);
        assert_eq!(fewer_records.last().unwrap(), "Ctrl-C ends this.");
        let low = lines(&three(), 80, 5, Bytes::Text, true);
        assert_eq!((low.len(), low[4].as_str()), (5, "... the terminal is too low for the rest"));
        assert_eq!(lines(&three(), 80, 0, Bytes::Text, true).len(), 1);
    }

    #[test]
    fn a_line_for_a_log_has_each_figure_whole() {
        let mut view = three();
        view.nodes[0].agreement = Agreement::Differs;
        view.nodes[0].status =
            Some((NodeState::NoQuorum, Some("it reaches voting power 20 of 40".to_owned())));
        let expected = [
            "a node with a long name no-quorum height=1234567 length=1234567800 records=12345678 rate=12.3 \
             app_hash=0123456789abcdef peers=3 mempool=4321 disk_free=123456789012 agreement=DIFFERS \
             reason=\"it reaches voting power 20 of 40\"",
            "node1 stopped reason=\"it does not run\"",
            "node2 unknown reason=\"\"",
        ];
        assert_eq!(plain(&view), expected);
    }
}
