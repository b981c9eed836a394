//! Logs of this process, to standard error.
//!
//! What is logged was often written by other programs, plugins or users; all of it passes [`printable`] on its way out, in either format.
//!
//! # Invariants
//!
//! Imports nothing of ours but [`printable`], so that anything may log; the core never reads anything from here.

pub mod metrics;

use std::io::{self, Write};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::printable;

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The least important events that are logged.
    pub level: tracing::Level,
    /// How they are written.
    pub format: LogFormat,
}

/// How dseq writes its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object for each line.
    Json,
}

/// Sets up the log of this process, once.
///
/// Libraries below us are logged only from `warn` on, unless everything is to be traced.
pub fn init(settings: Settings) {
    let level = LevelFilter::from_level(settings.level);
    // A second initialisation, as in tests, leaves the first in place.
    let _ = subscriber(level, settings.format, io::stderr).try_init();
}

fn subscriber<W: Write + 'static>(
    level: LevelFilter,
    format: LogFormat,
    writer: impl Fn() -> W + Send + Sync + 'static,
) -> Box<dyn Subscriber + Send + Sync> {
    let libraries =
        if level == LevelFilter::TRACE { LevelFilter::TRACE } else { LevelFilter::WARN.min(level) };
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(libraries.into())
        .parse_lossy(format!("dseq={level}"));
    // A line that cannot be written, on a full disk for one, is lost; complaining about it to the same place would
    // end the node.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false);
    let builder = builder.with_writer(move || printable::Writer(writer()));
    match format {
        // Without colors: the library lets other people's through with its own.
        LogFormat::Text => Box::new(builder.with_ansi(false).with_target(false).finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<u8>>>);

    impl Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const NASTY: &str = "\u{1b}[31mred \u{1b}]8;;http://x\u{1b}\\ \u{7} \r \u{9b}2J \u{202e}\u{2066}\u{2028}\u{200b}\u{e0041}";

    /// What comes out when the message and fields of each kind hold [`NASTY`].
    fn logged(format: LogFormat) -> String {
        let said = Said::default();
        let out = said.clone();
        let subscriber = subscriber(LevelFilter::INFO, format, move || out.clone());
        tracing::subscriber::with_default(subscriber, || {
            let error: &dyn std::error::Error = &io::Error::other(NASTY);
            tracing::info!(text = NASTY, shown = %NASTY, debug = ?NASTY, error, "{NASTY}");
        });
        let bytes = said.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn nothing_that_is_logged_reaches_the_terminal_as_control_characters() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = logged(format);
            let inside = line.strip_suffix('\n').unwrap();
            assert_eq!(printable::line(inside), inside);
            assert_eq!(inside.matches("202e").count(), 5, "{inside}");
        }
    }

    #[test]
    fn json_stays_the_json_that_it_was() {
        let line: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json)).unwrap();
        assert_eq!((&line["message"], &line["text"]), (&NASTY.into(), &NASTY.into()));
    }
}
