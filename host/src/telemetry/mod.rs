//! What this process says about itself: its log, on standard error, and traces for a collector.
//!
//! # Invariants
//!
//! Imports nothing of ours but [`printable`](crate::printable), so that anything may log; the core never reads anything from
//! here, and knows only the macros of `tracing`.

mod logs;
pub mod metrics;
mod traces;

use std::io;
use std::panic;
use std::sync::Arc;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

pub use logs::{LogFormat, RUST_LOG, Relayed, is_for_machines, relay, timestamp};
pub use traces::Source;

/// What is logged, how, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The least important events of ours that are logged.
    pub level: tracing::Level,
    /// Directives on top of it, as in `RUST_LOG`; may be empty.
    pub directives: String,
    /// How events are written.
    pub format: LogFormat,
    /// Whether text may be colored.
    pub colors: bool,
    /// The name of this node, for the formats that machines read.
    pub node: Option<String>,
}

/// Exports what is left of the traces when it is dropped.
#[derive(Debug)]
#[must_use = "traces end with it"]
pub struct Guard {
    _traces: Option<traces::Exporter>,
}

/// Sets up the log of this process, once; and its traces, if it is a `source` of them and the environment asks for them.
pub fn init(settings: Settings, source: Option<&Source>) -> Guard {
    let (filter, unknown) = logs::filter(settings.level, &settings.directives);
    let log = Arc::new(logs::Log::new(settings, io::stderr));
    let traces = source.map_or(Ok(None), traces::start);
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = vec![logs::layer(&log, filter)];
    let (exporter, refused) = match traces {
        Ok(Some((layer, exporter))) => {
            layers.push(layer);
            (Some(exporter), None)
        }
        Ok(None) => (None, None),
        Err(refused) => (None, Some(refused)),
    };
    // A second initialisation, as in tests, leaves the first in place.
    if tracing_subscriber::registry().with(layers).try_init().is_ok() {
        logs::relay_to(log);
        log_panics();
    }
    for directive in unknown {
        tracing::warn!(directive, "{RUST_LOG} has a directive that is not understood; it is ignored");
    }
    if let Some(refused) = refused {
        tracing::warn!("traces are off: {refused}");
    }
    if let Some(exporter) = &exporter {
        tracing::info!(endpoint = exporter.endpoint, sampler = exporter.sampler, "traces are exported");
    }
    Guard { _traces: exporter }
}

/// A panic is an event like others: in the log's format, and printable.
fn log_panics() {
    panic::set_hook(Box::new(|panicked| {
        let message = panicked.payload_as_str().unwrap_or("no message");
        let location = panicked.location().map(ToString::to_string);
        let thread = std::thread::current().name().map(str::to_owned);
        let trace = std::backtrace::Backtrace::capture();
        let captured = trace.status() == std::backtrace::BacktraceStatus::Captured;
        let backtrace = captured.then(|| trace.to_string());
        tracing::error!(thread, location, backtrace, "panicked: {message}");
    }));
}
