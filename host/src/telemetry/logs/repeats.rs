//! Bounds how often a line is repeated: whoever fills a disk or hides a reason with one warning is cut short, and counted.
//!
//! # Limits
//!
//! Of one kind of line [`REPEATS_MAX`] are written in [`REPEATS_SECONDS`] seconds; then one that says how many were left
//! out. Kinds of lines are bounded too, since CometBFT's are told apart by their messages: when there are more, all are
//! forgotten, after what was left out of them is said.

use std::collections::HashMap;
use std::mem;
use std::time::{Duration, Instant};

use tracing::Level;
use tracing::callsite::Identifier;

use super::line::Line;

/// How many lines of one kind are written in [`REPEATS_SECONDS`].
pub(super) const REPEATS_MAX: u64 = 10;
/// For how long lines of one kind are counted, in seconds.
pub(super) const REPEATS_SECONDS: u64 = 60;
/// How many kinds of lines are counted.
const KINDS_MAX: usize = 1000;

/// A kind of line.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// Those from one place in a program.
    Callsite(Identifier),
    /// CometBFT's with this message.
    Message(String),
}

/// What was left out of one kind of line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) level: Level,
    pub(super) target: String,
    /// The message of the first that was left out.
    pub(super) message: String,
    pub(super) count: u64,
}

/// One kind of line, since its first.
#[derive(Debug)]
struct Window {
    began: Instant,
    written: u64,
    left_out: Option<LeftOut>,
}

impl Window {
    fn end(&self) -> Instant {
        let length = Duration::from_secs(REPEATS_SECONDS);
        self.began.checked_add(length).unwrap_or(self.began)
    }
}

/// What was written of late.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    windows: HashMap<Key, Window>,
    /// The earliest end of a window from which lines were left out.
    due: Option<Instant>,
    /// Whether a thread waits for it.
    waits: bool,
}

impl Repeats {
    /// Whether this line is to be written; else it is counted. What is over must have been taken before.
    pub(super) fn take(&mut self, key: Key, line: &Line<'_>, now: Instant) -> bool {
        if self.windows.len() >= KINDS_MAX && !self.windows.contains_key(&key) {
            self.due = Some(now);
        }
        let begin = || Window { began: now, written: 0, left_out: None };
        let window = self.windows.entry(key).or_insert_with(begin);
        if window.left_out.is_none() && window.end() <= now {
            *window = begin();
        }
        if window.written < REPEATS_MAX {
            window.written = window.written.saturating_add(1);
            return true;
        }
        let end = window.end();
        let left_out = window.left_out.get_or_insert_with(|| LeftOut {
            level: line.level,
            target: line.target.to_owned(),
            message: line.fields.message.clone(),
            count: 0,
        });
        left_out.count = left_out.count.saturating_add(1);
        self.due = Some(self.due.map_or(end, |due| due.min(end)));
        false
    }

    /// What was left out of lines whose time is over, or of all, if there are too many kinds.
    pub(super) fn over(&mut self, now: Instant) -> Vec<LeftOut> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let too_many = self.windows.len() > KINDS_MAX;
        let (over, kept): (HashMap<_, _>, _) =
            mem::take(&mut self.windows).into_iter().partition(|(_, window)| too_many || window.end() <= now);
        self.windows = kept;
        let due = self.windows.values().filter(|window| window.left_out.is_some()).map(Window::end);
        self.due = due.min();
        over.into_values().filter_map(|window| window.left_out).collect()
    }

    /// When something that was left out is to be said.
    ///
    /// The thread that waits ends if there is nothing.
    pub(super) fn due(&mut self) -> Option<Instant> {
        self.waits = self.due.is_some();
        self.due
    }

    /// Whether a thread is needed that waits until it is said; the caller sees to it.
    pub(super) fn must_wait(&mut self) -> bool {
        !mem::replace(&mut self.waits, true)
    }

    /// There is no such thread after all.
    pub(super) fn nobody_waits(&mut self) {
        self.waits = false;
    }
}

#[cfg(test)]
mod tests {
    use super::super::line::Fields;
    use super::*;

    fn line(message: &str) -> Line<'static> {
        let fields = Fields { message: message.to_owned(), ..Fields::default() };
        Line { time: String::new(), level: Level::WARN, target: "dseq", fields }
    }

    fn key(message: &str) -> Key {
        Key::Message(message.to_owned())
    }

    #[test]
    fn a_repeated_line_is_written_so_often_and_then_counted_until_its_time_is_over() {
        let (mut repeats, begin) = (Repeats::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut take = |message: &str, seconds| {
            let left_out = repeats.over(at(seconds));
            let counts = left_out.into_iter().map(|one| (one.message, one.count)).collect::<Vec<_>>();
            (repeats.take(key(message), &line(message), at(seconds)), counts)
        };
        for second in 0..REPEATS_MAX {
            assert_eq!(take("a", second), (true, vec![]));
        }
        for second in REPEATS_MAX..REPEATS_SECONDS {
            assert_eq!(take("a", second), (false, vec![]));
            // Others are counted by themselves.
            assert_eq!(take("b", second).0, second < 2 * REPEATS_MAX);
        }
        let left_out = REPEATS_SECONDS - REPEATS_MAX;
        assert_eq!(take("a", REPEATS_SECONDS), (true, vec![("a".to_owned(), left_out)]));
        let b = ("b".to_owned(), left_out - REPEATS_MAX);
        assert_eq!(take("c", REPEATS_SECONDS + REPEATS_MAX), (true, vec![b]));
        // Slow repeats are no flood.
        for turn in 3..100 {
            assert_eq!(take("c", turn * REPEATS_SECONDS / 5), (true, vec![]));
        }
    }

    #[test]
    fn kinds_of_lines_are_bounded_and_what_was_left_out_of_them_is_said() {
        let (mut repeats, now) = (Repeats::default(), Instant::now());
        for _ in 0..=REPEATS_MAX {
            repeats.take(key("often"), &line("often"), now);
        }
        let mut said = Vec::new();
        for number in 0..3 * KINDS_MAX {
            said.extend(repeats.over(now));
            assert!(repeats.take(key(&number.to_string()), &line("x"), now));
            assert!(repeats.windows.len() <= KINDS_MAX + 1);
        }
        assert_eq!(said.iter().map(|one| (&*one.message, one.count)).collect::<Vec<_>>(), [("often", 1)]);
    }
}
