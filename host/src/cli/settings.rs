//! The settings of a node as flags and environment variables, with where each came from.
//!
//! They are taken as text here and understood in one place for all layers ([`Settings::load`]), so that a bad
//! value in the environment is named by its variable.

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::node::config::{self, Given, KEYS, Origin, Settings};
use crate::node::home::NodeHome;

/// The settings of the app; `--help` shows the same words as the file.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct AppArgs {
    #[arg(long, value_name = "ADDRESS", env = config::ABCI.env, help = config::ABCI.help)]
    abci: Option<String>,
    #[arg(long, value_name = "BYTES", env = config::DISK_FREE_BYTES_LOW.env, help = config::DISK_FREE_BYTES_LOW.help)]
    disk_free_bytes_low: Option<String>,
    #[arg(long, value_name = "LEVEL", env = config::LOG_LEVEL.env, help = config::LOG_LEVEL.help)]
    log_level: Option<String>,
    #[arg(long, value_name = "FORMAT", env = config::LOG_FORMAT.env, help = config::LOG_FORMAT.help)]
    log_format: Option<String>,
}

/// The settings of a whole node: every one of [`KEYS`].
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct NodeArgs {
    #[command(flatten)]
    app: AppArgs,
    #[arg(long, value_name = "FILE", env = config::COMETBFT.env, help = config::COMETBFT.help)]
    cometbft: Option<String>,
    #[arg(long, value_name = "SECONDS", env = config::RESTART_BACKOFF_SECONDS_MAX.env, help = config::RESTART_BACKOFF_SECONDS_MAX.help)]
    restart_backoff_seconds_max: Option<String>,
}

/// Reads the settings: flags, then environment, then the home's file, then defaults.
pub(super) fn load(home: Option<&NodeHome>, matches: &ArgMatches) -> Result<Settings, config::ConfigError> {
    let mut given = Given::new();
    // The app alone takes fewer flags than there are settings.
    for key in KEYS.iter().filter(|key| matches.try_contains_id(key.name).is_ok()) {
        let origin = match matches.value_source(key.name) {
            Some(ValueSource::CommandLine) => Origin::Flag(key.flag),
            Some(ValueSource::EnvVariable) => Origin::Env(key.env),
            _ => continue,
        };
        if let Some(text) = matches.get_one::<String>(key.name) {
            given.insert(key.name, (text.clone(), origin));
        }
    }
    Settings::load(home, &given)
}

/// Logs each variable that looks like a setting and is none.
pub(super) fn warn_of_unknown_variables() {
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    for said in config::unknown_variables(names) {
        tracing::warn!("environment {said}");
    }
}
