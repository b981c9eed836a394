//! Logs of this process, to standard error. The core never reads anything from here.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;

use crate::node::config::{LogFormat, Settings};

/// Sets up the log of this process, once.
///
/// Libraries below us speak only from `warn` on, unless everything is to be traced.
pub fn init(settings: &Settings) {
    let level = LevelFilter::from_level(settings.log_level.value);
    let libraries =
        if level == LevelFilter::TRACE { LevelFilter::TRACE } else { LevelFilter::WARN.min(level) };
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(libraries.into())
        .parse_lossy(format!("dseq={level}"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A line that cannot be written, on a full disk for one, is lost; complaining about it to the same place would
    // end the node.
    let builder = builder.log_internal_errors(false);
    // A second initialisation, as in tests, leaves the first in place.
    let _ = match settings.log_format.value {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
}
