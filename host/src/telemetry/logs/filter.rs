//! Which events are logged: `log_level`, and on top of it the directives of `RUST_LOG`.

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{Directive, EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::{Registry, layer};

/// The variable with directives.
pub const RUST_LOG: &str = "RUST_LOG";
/// The target of the spans and events that only traces are made of.
pub(in super::super) const TRACES: &str = "dseq::traces";

/// What the log lets through, and the directives that were not understood.
///
/// Our own events from `level` on; of libraries `warn` at least, unless everything is to be traced; of CometBFT errors. A
/// directive that is a level alone takes the place of `level`; each other one counts for its target, before these.
pub(in super::super) fn filter(
    level: Level,
    directives: &str,
) -> (impl layer::Filter<Registry> + Send + Sync + use<>, Vec<String>) {
    let mut level = LevelFilter::from_level(level);
    let (mut parsed, mut unknown) = (Vec::new(), Vec::new());
    for text in directives.split(',').map(str::trim).filter(|text| !text.is_empty()) {
        // Its own parser takes digits too.
        if text.chars().all(char::is_alphabetic)
            && let Ok(alone) = text.parse()
        {
            level = alone;
        } else if let Ok(directive) = text.parse::<Directive>() {
            parsed.push(directive);
        } else {
            unknown.push(text.to_owned());
        }
    }
    let libraries =
        if level == LevelFilter::TRACE { LevelFilter::TRACE } else { LevelFilter::WARN.min(level) };
    let of = |target: &str, level: LevelFilter| format!("{target}={level}").parse::<Directive>();
    let ours = [of("dseq", level), of("cometbft", LevelFilter::ERROR.min(level))];
    let filter = EnvFilter::builder().with_default_directive(libraries.into()).parse_lossy("");
    let filter = ours.into_iter().flatten().chain(parsed).fold(filter, EnvFilter::add_directive);
    let is_logged = |metadata: &Metadata<'_>| metadata.target() != TRACES;
    (filter.and(filter_fn(is_logged)), unknown)
}
