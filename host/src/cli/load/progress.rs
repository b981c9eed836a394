//! How a run goes, while it goes: a bar where standard error is a terminal, a line every few seconds elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::load::words::{count, ms, rate};
use crate::load::{Live, Stage};
use crate::printable;

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The bar and what stands beside it fit 80 columns.
const TEMPLATE: &str = "{bar:14} {percent:>3}%  {wide_msg}";
/// Steps of the bar.
const STEPS: u64 = 1000;

/// Shows how a run goes.
pub(super) struct Progress {
    /// None: standard error is no terminal.
    bar: Option<ProgressBar>,
    shown: Instant,
    /// When the rate was last computed, and how many were committed then.
    last: (Duration, u64),
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template(TEMPLATE).expect("the template is well formed");
            bar.with_style(style.progress_chars("=> "))
        });
        Self { bar, shown: Instant::now(), last: (Duration::ZERO, 0) }
    }

    pub(super) fn show(&mut self, stage: Stage) {
        if self.bar.is_none() && self.shown.elapsed() < LINE_EVERY {
            return;
        }
        self.shown = Instant::now();
        let (share, words) = match stage {
            Stage::Running(live) => (done(&live), self.words(&live)),
            Stage::Draining(live) => {
                (1.0, format!("all sent; waiting for {} commits", count(live.in_flight)))
            }
            Stage::Verifying { total: 0, .. } => (0.0, "verifying: waiting for the nodes".to_owned()),
            Stage::Verifying { read, total } => {
                let share = read as f64 / total as f64;
                (share, format!("verifying: {} of {} records read", count(read), count(total)))
            }
        };
        let share = share.clamp(0.0, 1.0);
        match &self.bar {
            Some(bar) => {
                let steps = (0..=STEPS).rev().find(|step| *step as f64 <= share * STEPS as f64);
                bar.set_position(steps.unwrap_or(0));
                bar.set_message(words);
            }
            None => {
                // Who reads it may be gone; that is no reason to end the run.
                let _ = writeln!(printable::Writer(io::stderr()), "{:>3.0} %  {words}", share * 100.0);
            }
        }
    }

    fn words(&mut self, live: &Live) -> String {
        let counts = &live.counts;
        let (elapsed, committed) = std::mem::replace(&mut self.last, (live.elapsed, counts.committed));
        let seconds = live.elapsed.saturating_sub(elapsed).as_secs_f64().max(0.001);
        let per_second = counts.committed.saturating_sub(committed) as f64 / seconds;
        let p99 = live.p99.map_or("-".to_owned(), |p99| format!("{} ms", ms(p99.as_secs_f64() * 1000.0)));
        let mut words = format!("{} tx/s  p99 {p99}  {} in flight", rate(per_second), count(live.in_flight));
        let troubles =
            [("rejected", counts.rejected), ("failed", counts.failed), ("unknown", counts.unknown)];
        for (name, number) in troubles.into_iter().filter(|(_, number)| *number > 0) {
            words.push_str(&format!("  {} {name}", count(number)));
        }
        words
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn done(live: &Live) -> f64 {
    match (live.requests, live.duration) {
        (Some(requests), _) => {
            (live.counts.offered.saturating_sub(live.in_flight)) as f64 / requests.max(1) as f64
        }
        (None, Some(duration)) => live.elapsed.as_secs_f64() / duration.as_secs_f64(),
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Counts;

    #[test]
    fn the_words_are_of_the_time_since_the_last_ones() {
        let mut progress = Progress { bar: None, shown: Instant::now(), last: (Duration::ZERO, 0) };
        let counts = Counts { offered: 3_000, committed: 1_500, ..Counts::default() };
        let first = Live { elapsed: Duration::from_secs(3), counts, in_flight: 1_500, ..Live::default() };
        assert_eq!(progress.words(&first), "500 tx/s  p99 -  1,500 in flight");
        let counts = Counts { offered: 5_000, committed: 3_500, rejected: 1_200, failed: 0, unknown: 3 };
        let p99 = Some(Duration::from_micros(12_345));
        let second = Live { elapsed: Duration::from_secs(5), counts, p99, in_flight: 297, ..Live::default() };
        assert_eq!(
            progress.words(&second),
            "1,000 tx/s  p99 12.3 ms  297 in flight  1,200 rejected  3 unknown"
        );
        // No time has passed: no division by nothing.
        assert_eq!(
            progress.words(&second),
            "0.000 tx/s  p99 12.3 ms  297 in flight  1,200 rejected  3 unknown"
        );
    }

    #[test]
    fn how_much_is_done_goes_by_requests_or_by_time() {
        let counts = Counts { offered: 60, ..Counts::default() };
        let live = Live { counts, in_flight: 10, elapsed: Duration::from_secs(9), ..Live::default() };
        let of = |requests, duration| done(&Live { requests, duration, ..live });
        assert_eq!(of(Some(200), None), 0.25);
        assert_eq!(of(None, Some(Duration::from_secs(36))), 0.25);
        assert_eq!((of(Some(0), None), of(None, None)), (50.0, 0.0));
    }
}
