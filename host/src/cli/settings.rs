//! The settings of a node as flags and environment variables, with where each came from; they follow from [`KEYS`].
//!
//! They are taken as text here and parsed in one place for all layers ([`Settings::load`]), so that a bad
//! value in the environment is named by its variable.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};

use crate::node::config::{self, Given, KEYS, Key, Origin, Settings};
use crate::node::engine::config::EngineConfig;
use crate::node::home::NodeHome;
use crate::telemetry::{self, RUST_LOG};

/// The settings of the app.
#[derive(Debug)]
pub(super) struct AppArgs;

/// The settings of a whole node: every one of [`KEYS`].
#[derive(Debug)]
pub(super) struct NodeArgs;

/// Where a node answers HTTP, for those who ask it.
#[derive(Debug)]
pub(super) struct HttpArg;

fn add<'a>(command: Command, keys: impl Iterator<Item = &'a &'static Key>) -> Command {
    let arg = |key: &&'static Key| {
        let arg = Arg::new(key.name).long(key.flag.trim_start_matches("--")).value_name(key.value_name);
        arg.env(key.env).help(key.help).help_heading("Settings")
    };
    command.args(keys.map(arg))
}

/// The values stay in the matches, where [`load`] finds them with their source.
macro_rules! args {
    ($name:ident, $keys:expr) => {
        impl Args for $name {
            fn augment_args(command: Command) -> Command {
                add(command, $keys)
            }

            fn augment_args_for_update(command: Command) -> Command {
                Self::augment_args(command)
            }
        }

        impl FromArgMatches for $name {
            fn from_arg_matches(_: &ArgMatches) -> Result<Self, clap::Error> {
                Ok(Self)
            }

            fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), clap::Error> {
                Ok(())
            }
        }
    };
}

args!(AppArgs, KEYS.iter().filter(|key| key.for_app));
args!(NodeArgs, KEYS.iter());
args!(HttpArg, [&config::HTTP].iter());

/// Reads the settings: flags, then environment, then the home's file, then defaults.
pub(super) fn load(home: Option<&NodeHome>, matches: &ArgMatches) -> Result<Settings, config::ConfigError> {
    Settings::load(home, &given(matches))
}

/// What flags and environment say.
pub(super) fn given(matches: &ArgMatches) -> Given {
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
    given
}

/// Variables that look like settings and are none, each with what may have been meant.
pub(super) fn unknown_variables() -> Vec<String> {
    config::unknown_variables(std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()))
}

/// How the process of a node logs.
pub(super) fn log(settings: &Settings, home: &NodeHome) -> telemetry::Settings {
    let folder = home.root().file_name().map(|name| name.to_string_lossy().into_owned());
    telemetry::Settings {
        level: settings.log_level.value,
        directives: std::env::var(RUST_LOG).unwrap_or_default(),
        format: settings.log_format.value,
        colors: super::log_may_have_colors(),
        node: EngineConfig::of(home).moniker().map(str::to_owned).or(folder),
    }
}

/// Logs each variable that looks like a setting and is none.
pub(super) fn warn_of_unknown_variables() {
    for said in unknown_variables() {
        tracing::warn!("environment {said}");
    }
}
