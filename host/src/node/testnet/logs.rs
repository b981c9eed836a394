//! The logs of a network's nodes as one, in order of time.
//!
//! Each line is placed by its own timestamp, in whichever format the node or CometBFT writes; one without, such as part of a
//! stack, stays behind the line before it.

use std::io;
use std::mem;
use std::path::{Path, PathBuf};

use tracing::Level;

use super::Node;
use crate::node::engine::log_line;
use crate::node::home::access::{self, Denied};
use crate::node::process::rotate;
use crate::node::process::tail::{self, Tail};
use crate::telemetry;

/// A line of one node's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The node's place among those that are read.
    pub node: usize,
    /// Its name, and which of its two logs this is.
    pub label: String,
    /// The line as it stands there.
    pub text: String,
    /// By RFC 3339 without the zone, which is UTC: so the order of texts is that of times.
    time: String,
}

/// The logs of some nodes, read from near their ends on.
#[derive(Debug)]
pub struct Logs {
    sources: Vec<Source>,
    level: Level,
    /// Lines so new that an older one might still be read from another log.
    held: Vec<Line>,
}

/// One log of one node.
#[derive(Debug)]
struct Source {
    node: usize,
    label: String,
    path: PathBuf,
    tail: Tail,
    /// Of its last line that had one.
    time: String,
    /// Whether that line was important enough.
    shows: bool,
}

/// A log that cannot be read.
///
/// Check the disk and the permissions of that path, and run the command again.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}: {source}", path = path.display())]
pub struct Unreadable {
    path: PathBuf,
    source: io::Error,
}

impl Logs {
    /// The two logs of each of these nodes; of them the lines that are at least so important, with what belongs to them.
    ///
    /// # Errors
    ///
    /// When this user may not read one.
    pub fn open(nodes: &[Node], level: Level) -> Result<Self, Denied> {
        let mut sources = Vec::new();
        for (node, Node { name, home, .. }) in nodes.iter().enumerate() {
            for (what, path) in [("dseq", home.app_log()), ("cometbft", home.cometbft_log())] {
                access::check(&path)?;
                let label = format!("{name} {what:<8}");
                sources.push(Source {
                    node,
                    label,
                    tail: Tail::from(&path, 0),
                    path,
                    time: String::new(),
                    shows: true,
                });
            }
        }
        Ok(Self { sources, level, held: Vec::new() })
    }

    /// The last lines of each log, at most so many of each.
    ///
    /// # Errors
    ///
    /// When a log is there but cannot be read.
    pub fn last_lines(&mut self, lines_max: usize) -> Result<Vec<Line>, Unreadable> {
        let mut all = Vec::new();
        for source in &mut self.sources {
            all.extend(source.last_lines(lines_max, self.level)?);
        }
        all.sort_by(|a, b| a.time.cmp(&b.time));
        Ok(all)
    }

    /// The lines that were added since the last call. What was written during this call comes with the next one, because
    /// an older line may stand in a log that was already read.
    ///
    /// # Errors
    ///
    /// When a log is there but cannot be read.
    pub fn new_lines(&mut self) -> Result<Vec<Line>, Unreadable> {
        let begin = comparable(&telemetry::timestamp());
        let mut ready = mem::take(&mut self.held);
        for source in &mut self.sources {
            let lines = source.tail.new_lines().map_err(unreadable(&source.path))?;
            for line in source.lines(lines, self.level) {
                if line.time < begin { ready.push(line) } else { self.held.push(line) }
            }
        }
        ready.sort_by(|a, b| a.time.cmp(&b.time));
        Ok(ready)
    }
}

impl Source {
    fn last_lines(&mut self, lines_max: usize, level: Level) -> Result<Vec<Line>, Unreadable> {
        let failed = unreadable(&self.path);
        let mut texts = self.tail.last_lines(usize::MAX).map_err(failed)?;
        let is_whole = tail::length(&self.path).map_err(unreadable(&self.path))? <= tail::TAIL_BYTES;
        if is_whole && texts.len() < lines_max {
            // It may have been rotated a moment ago; an older part that is not there, or not readable, is not missed.
            let older = Tail::from(&rotate::rotated(&self.path, 1), 0).last_lines(usize::MAX);
            texts.splice(0..0, older.unwrap_or_default());
        }
        let mut lines = self.lines(texts, level);
        Ok(lines.split_off(lines.len().saturating_sub(lines_max)))
    }

    /// Gives each line its time, and leaves out what is not important enough.
    fn lines(&mut self, texts: Vec<String>, level: Level) -> Vec<Line> {
        let mut lines = Vec::new();
        for text in texts {
            if let Some((time, of_line)) = stamp(&text) {
                self.time = comparable(&time);
                self.shows = of_line <= level;
            }
            if self.shows {
                let (label, time) = (self.label.clone(), self.time.clone());
                lines.push(Line { node: self.node, label, text, time });
            }
        }
        lines
    }
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Unreadable + use<> {
    let path = path.to_owned();
    |source| Unreadable { path, source }
}

fn comparable(time: &str) -> String {
    time.trim_end_matches('Z').to_owned()
}

/// The time and level of a line of ours or of CometBFT's; none: it has none of its own.
fn stamp(line: &str) -> Option<(String, Level)> {
    if let Some(line) = log_line::parse(line) {
        return Some((line.time?, line.level));
    }
    if line.starts_with('{') {
        let fields: serde_json::Value = serde_json::from_str(line).ok()?;
        return Some((fields["timestamp"].as_str()?.to_owned(), fields["level"].as_str()?.parse().ok()?));
    }
    let mut words = line.split_whitespace();
    let (time, level) = (words.next()?, words.next()?);
    let time = time.strip_prefix("timestamp=").unwrap_or(time);
    let level = level.strip_prefix("level=").unwrap_or(level);
    let is_time = time.len() > 19 && time.ends_with('Z') && time.is_ascii() && &time[10..11] == "T";
    is_time.then_some((time.to_owned(), level.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;
    use crate::node::home::NodeHome;
    use crate::node::testnet::{BASE_PORT, Shape};

    fn nodes(dir: &Path) -> Vec<Node> {
        let ports = Shape { nodes: 2, base_port: BASE_PORT }.ports().unwrap();
        let node = |(number, ports)| {
            let name = super::super::name(number);
            let home = NodeHome::new(&dir.join(&name));
            fs::create_dir_all(home.app_log().parent().unwrap()).unwrap();
            fs::create_dir_all(home.cometbft_log().parent().unwrap()).unwrap();
            Node { name, home, ports }
        };
        ports.into_iter().enumerate().map(node).collect()
    }

    fn append(path: &Path, text: &str) {
        let mut file = fs::File::options().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.text.rsplit(' ').next().unwrap()).collect()
    }

    #[test]
    fn lines_of_all_formats_are_in_order_of_time_and_a_stack_stays_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let nodes = nodes(dir.path());
        append(
            &nodes[0].home.app_log(),
            "2026-11-26T15:00:00.100000Z  INFO 1\n2026-11-26T15:00:00.500000Z ERROR 5\nof-5\n",
        );
        let comet = format!("I[2026-11-26|15:00:00.200] {:<44} module=main n=2\n", "x");
        append(&nodes[0].home.cometbft_log(), &comet);
        append(
            &nodes[1].home.app_log(),
            "timestamp=2026-11-26T15:00:00.300000Z level=WARN message=3\n{\"timestamp\":\"2026-11-26T15:00:00.600000Z\",\"level\":\"DEBUG\", \"message\": 6}\n",
        );
        append(
            &nodes[1].home.cometbft_log(),
            "{\"_msg\":\"x\",\"level\":\"error\",\"ts\":\"2026-11-26T15:00:00.4Z\",\"n\": 4}\npanic: of-4\n",
        );
        let read = |level, lines_max| {
            let lines = Logs::open(&nodes, level).unwrap().last_lines(lines_max).unwrap();
            (texts(&lines).join(" "), lines[0].label.clone())
        };
        let node0 = "node0 dseq    ".to_owned();
        assert_eq!(read(Level::TRACE, 20), ("1 n=2 message=3 4} of-4 5 of-5 6}".to_owned(), node0));
        assert_eq!(read(Level::WARN, 20).0, "message=3 4} of-4 5 of-5");
        assert_eq!(read(Level::ERROR, 1).0, "of-4 of-5");
    }

    #[test]
    fn followed_logs_are_merged_also_when_they_are_rotated_gone_or_not_yet_there() {
        let dir = tempfile::tempdir().unwrap();
        let nodes = nodes(dir.path());
        let (a, b) = (nodes[0].home.app_log(), nodes[1].home.app_log());
        let line = |second: u32| format!("2026-01-01T00:00:{second:02}.000000Z  INFO {second}\n");
        append(&a, &line(1));
        let mut logs = Logs::open(&nodes, Level::INFO).unwrap();
        assert_eq!(texts(&logs.last_lines(20).unwrap()), ["1"]);
        append(&a, &line(4));
        append(&b, &line(2));
        append(&b, &line(3));
        assert_eq!(texts(&logs.new_lines().unwrap()), ["2", "3", "4"]);
        append(&a, &line(5));
        fs::rename(&a, rotate::rotated(&a, 1)).unwrap();
        append(&a, &line(6));
        assert_eq!(texts(&logs.new_lines().unwrap()), ["5", "6"]);
        let fresh = Logs::open(&nodes, Level::INFO).unwrap().last_lines(20).unwrap();
        assert_eq!(texts(&fresh), ["1", "2", "3", "4", "5", "6"]);
        fs::remove_dir_all(dir.path().join("node1")).unwrap();
        append(&a, &line(7));
        assert_eq!(texts(&logs.new_lines().unwrap()), ["7"]);
        // So new that it has to wait for one turn, and not longer.
        append(&a, "9999-01-01T00:00:08.000000Z  INFO 8\n");
        assert_eq!((logs.new_lines().unwrap(), texts(&logs.new_lines().unwrap())), (vec![], vec!["8"]));
    }
}
