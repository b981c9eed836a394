//! The log: each event, and each line that CometBFT wrote, as one line on standard error.
//!
//! # Limits
//!
//! Lines that repeat are left out beyond a bound ([`repeats`]), and counted. Never an error of our own.

mod filter;
mod line;
mod repeats;

use std::fmt;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{self, Context};
use tracing_subscriber::registry::{LookupSpan, Scope};
use tracing_subscriber::{Layer, Registry};

use super::Settings;
pub use filter::RUST_LOG;
pub(super) use filter::{TRACES, filter};
use line::{Fields, Line};
pub use line::{LogFormat, now as timestamp};
use repeats::{Key, LeftOut, REPEATS_SECONDS, Repeats};

/// The target of lines that CometBFT wrote.
const COMETBFT: &str = "cometbft";
/// How the targets of our own events begin.
const OURS: &str = "dseq";

/// Writes one line.
type WriteLine = Box<dyn Fn(&[u8]) + Send + Sync>;

/// Where and how lines are written, and which of them were left out.
pub(super) struct Log {
    settings: Settings,
    write: WriteLine,
    repeats: Mutex<Repeats>,
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Log {
    pub(super) fn new<W: Write>(settings: Settings, open: impl Fn() -> W + Send + Sync + 'static) -> Self {
        // A line that cannot be written, on a full disk for one, is lost; complaining about it to the same place would end
        // the node.
        let write = move |line: &[u8]| _ = open().write_all(line);
        Self { settings, write: Box::new(write), repeats: Mutex::default() }
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, line: &Line<'_>) {
        (self.write)(line.written(&self.settings).as_bytes());
    }

    /// Writes a line, unless it was written too often of late.
    fn take(self: &Arc<Self>, key: Option<Key>, line: &Line<'_>) {
        let now = Instant::now();
        self.put_left_out(now);
        let Some(key) = key else { return self.put(line) };
        let mut repeats = self.repeats();
        if repeats.take(key, line, now) {
            drop(repeats);
            self.put(line);
        } else if repeats.must_wait() {
            drop(repeats);
            self.report_later();
        }
    }

    /// Says what was left out, once its time is over.
    fn put_left_out(&self, now: Instant) {
        let over = self.repeats().over(now);
        for LeftOut { level, target, message, count } in over {
            let mut fields = Fields::default();
            fields.put("left_out", count.into());
            fields.put("seconds", REPEATS_SECONDS.into());
            fields.message = format!("repeated, and left out: {message}");
            self.put(&Line { time: line::now(), level, target: &target, fields });
        }
    }

    /// Says it also if nothing is logged by then.
    fn report_later(self: &Arc<Self>) {
        let log = Arc::clone(self);
        let report = move || {
            loop {
                let due = log.repeats().due();
                let Some(due) = due else { return };
                thread::sleep(due.saturating_duration_since(Instant::now()));
                log.put_left_out(Instant::now());
            }
        };
        // Without a thread it is said with the next event.
        if thread::Builder::new().name("log".to_owned()).spawn(report).is_err() {
            self.repeats().nobody_waits();
        }
    }
}

/// The log as a layer, with what it lets through.
pub(super) fn layer(
    log: &Arc<Log>,
    filter: impl layer::Filter<Registry> + Send + Sync + 'static,
) -> Box<dyn Layer<Registry> + Send + Sync> {
    LogLayer(Arc::clone(log)).with_filter(filter).boxed()
}

struct LogLayer(Arc<Log>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        // What an event says counts before what its spans say, and an inner span before an outer one.
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(of_span) = span.extensions().get::<Fields>() {
                fields.take(of_span);
            }
        }
        event.record(&mut fields);
        let metadata = event.metadata();
        let (level, target) = (*metadata.level(), metadata.target());
        let line = Line { time: line::now(), level, target, fields };
        let is_bounded = level == Level::WARN || (level == Level::ERROR && !target.starts_with(OURS));
        let key = is_bounded.then(|| Key::Callsite(metadata.callsite()));
        self.0.take(key, &line);
    }
}

/// A line that CometBFT wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// When, by RFC 3339; none: it did not say.
    pub time: Option<String>,
    /// How important it is.
    pub level: Level,
    /// What it says.
    pub message: String,
    /// What about.
    pub fields: Vec<(String, String)>,
}

static LOG: OnceLock<Arc<Log>> = OnceLock::new();

pub(super) fn relay_to(log: Arc<Log>) {
    // As with the subscriber, the first stays.
    let _ = LOG.set(log);
}

/// Writes a line of CometBFT's into the log of this process, if the log takes it.
pub fn relay(relayed: Relayed) {
    if let Some(log) = LOG.get()
        && is_enabled(relayed.level)
    {
        log.relay(relayed);
    }
}

/// Whether the log takes CometBFT's lines of this level. A level is part of a call's metadata, so there is one for each.
fn is_enabled(level: Level) -> bool {
    match level {
        Level::ERROR => tracing::enabled!(target: COMETBFT, Level::ERROR),
        Level::WARN => tracing::enabled!(target: COMETBFT, Level::WARN),
        Level::INFO => tracing::enabled!(target: COMETBFT, Level::INFO),
        _ => tracing::enabled!(target: COMETBFT, Level::DEBUG),
    }
}

impl Log {
    fn relay(self: &Arc<Self>, relayed: Relayed) {
        let Relayed { time, level, message, fields: said } = relayed;
        let mut fields = Fields { message, ..Fields::default() };
        fields.put("component", COMETBFT.to_owned().into());
        for (name, value) in said {
            fields.put_said(&name, value);
        }
        let key = (level <= Level::WARN).then(|| Key::Message(fields.message.clone()));
        let time = time.unwrap_or_else(line::now);
        self.take(key, &Line { time, level, target: COMETBFT, fields });
    }
}

/// Whether what this process says on standard error is read by a machine, so that nothing else may be written there.
#[must_use]
pub fn is_for_machines() -> bool {
    LOG.get().is_some_and(|log| log.settings.format != LogFormat::Text)
}

#[cfg(test)]
mod tests;
