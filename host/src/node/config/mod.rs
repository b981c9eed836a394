//! What a node's owner may set, and where each value came from: flag, environment, file, default.
//!
//! Every setting has one name. `log_level` is `log_level` in `dseq.toml`, `--log-level` as a flag and
//! `DSEQ_LOG_LEVEL` in the environment; the first of flag, environment and file that has it wins.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::home::NodeHome;
use crate::abci::transport::{ListenAddr, SOCKET_PATH_BYTES_MAX};
use crate::limits;
use crate::telemetry;
pub use crate::telemetry::LogFormat;

/// The variable that names a node's home.
pub const HOME_ENV: &str = "DSEQ_HOME";

/// A setting's name, its forms, and what it is for.
#[derive(Debug)]
pub struct Key {
    /// Its name in the file.
    pub name: &'static str,
    /// Its name in the environment.
    pub env: &'static str,
    /// Its flag.
    pub flag: &'static str,
    /// What it is in the file.
    pub kind: Kind,
    /// What it does, in a sentence; part of the file that `dseq init` writes.
    pub help: &'static str,
}

/// What a setting's value is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// An integer.
    Number,
}

macro_rules! keys {
    ($($(#[$doc:meta])* $ident:ident: $name:literal, $env:literal, $flag:literal, $kind:ident, $help:literal;)*) => {
        $($(#[$doc])* pub const $ident: Key =
            Key { name: $name, env: $env, flag: $flag, kind: Kind::$kind, help: $help };)*
        /// Every setting, in the order in which they are shown.
        pub const KEYS: &[&Key] = &[$(&$ident),*];
    };
}

keys! {
    /// Where the app waits for CometBFT.
    ABCI: "abci", "DSEQ_ABCI", "--abci", Text,
        "Where the app waits for CometBFT: unix:///path or tcp://host:port; empty: a socket in the home. No authentication: keep it private.";
    /// Which CometBFT.
    COMETBFT: "cometbft", "DSEQ_COMETBFT", "--cometbft", Text,
        "The CometBFT program; empty: the one beside dseq, else the one on PATH.";
    /// Disk low-water mark.
    DISK_FREE_BYTES_LOW: "disk_free_bytes_low", "DSEQ_DISK_FREE_BYTES_LOW", "--disk-free-bytes-low", Number,
        "Free space, in bytes, below which the node takes no more transactions.";
    /// Verbosity.
    LOG_LEVEL: "log_level", "DSEQ_LOG_LEVEL", "--log-level", Text,
        "How much dseq says: error, warn, info, debug or trace.";
    /// Log format.
    LOG_FORMAT: "log_format", "DSEQ_LOG_FORMAT", "--log-format", Text,
        "How it says it: text, or json (one object for each line).";
    /// Longest pause between restarts.
    RESTART_BACKOFF_SECONDS_MAX: "restart_backoff_seconds_max", "DSEQ_RESTART_BACKOFF_SECONDS_MAX", "--restart-backoff-seconds-max", Number,
        "Longest pause, in seconds, before `dseq start` restarts a process that keeps ending.";
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Given on the command line.
    Flag(&'static str),
    /// Given in the environment.
    Env(&'static str),
    /// Given in the file, on this line.
    File(PathBuf, usize),
    /// Given by nobody.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Env(name) => write!(f, "environment {name}"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is there but cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not TOML, or has tables where plain values belong.
    #[error("{path}:{line}: {message}", path = path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A key that is no setting.
    #[error("{path}:{line}: unknown key {key:?}{hint}", path = path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The key.
        key: String,
        /// What may have been meant.
        hint: String,
    },
    /// A value of another kind than the setting's.
    #[error("{path}:{line}: {key} = {found}: it must be {expected}", path = path.display())]
    WrongKind {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// The setting.
        key: &'static str,
        /// The value, as TOML.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A value that the setting cannot have.
    #[error("{origin}: {key} is {found:?}; it must be {expected}")]
    BadValue {
        /// Where it came from.
        origin: Origin,
        /// The setting.
        key: &'static str,
        /// The value.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A socket path that the system does not take.
    #[error(
        "{origin}: the path of {key} {found:?} is {bytes} bytes long, and the system takes at most \
         {SOCKET_PATH_BYTES_MAX} for a socket; use a shorter one"
    )]
    SocketPathTooLong {
        /// Where it came from.
        origin: Origin,
        /// The setting.
        key: &'static str,
        /// The path.
        found: PathBuf,
        /// Its length.
        bytes: usize,
    },
}

/// Values as text, with their origin, by name: one layer over the file.
pub type Given = BTreeMap<&'static str, (String, Origin)>;

/// Everything a node's owner may set.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the app waits for CometBFT; none: the node's own socket.
    pub abci: Setting<Option<ListenAddr>>,
    /// The CometBFT program; none: it is looked for.
    pub cometbft: Setting<Option<PathBuf>>,
    /// Free space below which the node takes no more transactions, in bytes.
    pub disk_free_bytes_low: Setting<u64>,
    /// Verbosity.
    pub log_level: Setting<tracing::Level>,
    /// Log format.
    pub log_format: Setting<LogFormat>,
    /// Longest pause between restarts, in seconds.
    pub restart_backoff_seconds_max: Setting<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            abci: by_default(None),
            cometbft: by_default(None),
            disk_free_bytes_low: by_default(limits::DISK_FREE_BYTES_LOW),
            log_level: by_default(tracing::Level::INFO),
            log_format: by_default(LogFormat::Text),
            restart_backoff_seconds_max: by_default(30),
        }
    }
}

fn by_default<T>(value: T) -> Setting<T> {
    Setting { value, origin: Origin::Default }
}

impl Settings {
    /// Puts flags and environment (`given`) over the file of `home`, over the defaults.
    ///
    /// # Errors
    ///
    /// The first unknown key or bad value, by file and line, flag or variable; one in the file also when a flag or
    /// variable overrides it.
    pub fn load(home: Option<&NodeHome>, given: &Given) -> Result<Self, ConfigError> {
        let mut settings = Self::default();
        if let Some(home) = home {
            settings.apply(&read_file(&home.config_file())?)?;
        }
        settings.apply(given)?;
        Ok(settings)
    }

    fn apply(&mut self, layer: &Given) -> Result<(), ConfigError> {
        let expected = "unix:///path or tcp://host:port, the port from 1 to 65535";
        put(layer, &ABCI, &mut self.abci, expected, |text| {
            if text.is_empty() { Some(None) } else { text.parse().ok().filter(is_fixed).map(Some) }
        })?;
        if let Setting { value: Some(ListenAddr::Unix(found)), origin } = &self.abci {
            let (found, origin, bytes) = (found.clone(), origin.clone(), found.as_os_str().len());
            if bytes > SOCKET_PATH_BYTES_MAX {
                return Err(ConfigError::SocketPathTooLong { origin, key: ABCI.name, found, bytes });
            }
        }
        put(layer, &COMETBFT, &mut self.cometbft, "the path of a program", |text| {
            Some((!text.is_empty()).then(|| PathBuf::from(text)))
        })?;
        let expected = "a number of bytes, e.g. 536870912";
        put(layer, &DISK_FREE_BYTES_LOW, &mut self.disk_free_bytes_low, expected, whole_number)?;
        put(layer, &LOG_LEVEL, &mut self.log_level, "error, warn, info, debug or trace", |text| {
            // Level's own parser takes digits too, which nobody would understand in a file.
            text.chars().all(char::is_alphabetic).then(|| text.parse().ok()).flatten()
        })?;
        put(layer, &LOG_FORMAT, &mut self.log_format, "text or json", |text| match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        })?;
        let expected = "a number of seconds from 1 to 3600";
        put(layer, &RESTART_BACKOFF_SECONDS_MAX, &mut self.restart_backoff_seconds_max, expected, |text| {
            whole_number(text).filter(|seconds| (1..=3600).contains(seconds))
        })
    }

    /// What of them the log needs.
    #[must_use]
    pub fn telemetry(&self) -> telemetry::Settings {
        telemetry::Settings { level: self.log_level.value, format: self.log_format.value }
    }

    /// Each setting as name, value in the file's words, and origin, in the order of [`KEYS`].
    #[must_use]
    pub fn rows(&self) -> Vec<(&'static Key, String, Origin)> {
        let abci = self.abci.value.as_ref().map_or_else(String::new, ToString::to_string);
        let level = self.log_level.value.to_string().to_lowercase();
        let format = match self.log_format.value {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        let cometbft =
            self.cometbft.value.as_ref().map_or_else(String::new, |path| path.display().to_string());
        vec![
            (&ABCI, abci, self.abci.origin.clone()),
            (&COMETBFT, cometbft, self.cometbft.origin.clone()),
            (
                &DISK_FREE_BYTES_LOW,
                self.disk_free_bytes_low.value.to_string(),
                self.disk_free_bytes_low.origin.clone(),
            ),
            (&LOG_LEVEL, level, self.log_level.origin.clone()),
            (&LOG_FORMAT, format.to_owned(), self.log_format.origin.clone()),
            (
                &RESTART_BACKOFF_SECONDS_MAX,
                self.restart_backoff_seconds_max.value.to_string(),
                self.restart_backoff_seconds_max.origin.clone(),
            ),
        ]
    }
}

/// Whether CometBFT can be told the address beforehand: a port that the system chooses is known to the app alone.
fn is_fixed(address: &ListenAddr) -> bool {
    !matches!(address, ListenAddr::Tcp { port: 0, .. })
}

fn whole_number(text: &str) -> Option<u64> {
    text.parse().ok()
}

/// Puts a setting's value from a layer in its place, if the layer has one.
fn put<T>(
    layer: &Given,
    key: &Key,
    place: &mut Setting<T>,
    expected: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<(), ConfigError> {
    let Some((text, origin)) = layer.get(key.name) else { return Ok(()) };
    let origin = origin.clone();
    let Some(value) = parse(text) else {
        return Err(ConfigError::BadValue { origin, key: key.name, found: text.clone(), expected });
    };
    *place = Setting { value, origin };
    Ok(())
}

/// Reads `dseq.toml`; one that is not there sets nothing.
fn read_file(path: &Path) -> Result<Given, ConfigError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Given::new()),
        Err(source) => return Err(ConfigError::Unreadable { path: path.to_owned(), source }),
    };
    let line_at =
        |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count().saturating_add(1);
    let table: BTreeMap<Spanned<String>, Spanned<toml::Value>> = toml::from_str(&text).map_err(|err| {
        let line = line_at(err.span().map_or(0, |span| span.start));
        ConfigError::NotToml { path: path.to_owned(), line, message: err.message().to_owned() }
    })?;
    let mut given = Given::new();
    for (name, value) in table {
        let line = line_at(name.span().start);
        let name = name.into_inner();
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            let hint = did_you_mean(&name);
            return Err(ConfigError::UnknownKey { path: path.to_owned(), line, key: name, hint });
        };
        let text = match (key.kind, value.into_inner()) {
            (Kind::Text, toml::Value::String(text)) => text,
            (Kind::Number, toml::Value::Integer(number)) => number.to_string(),
            (kind, other) => {
                let (path, found) = (path.to_owned(), other.to_string());
                let expected = match kind {
                    Kind::Text => "a text in quotes",
                    Kind::Number => "a whole number, without quotes",
                };
                return Err(ConfigError::WrongKind { path, line, key: key.name, found, expected });
            }
        };
        given.insert(key.name, (text, Origin::File(path.to_owned(), line)));
    }
    Ok(given)
}

fn did_you_mean(name: &str) -> String {
    closest(name, KEYS.iter().map(|key| key.name))
}

/// Variables of this environment that look like settings but are none, each with what may have been meant.
///
/// They are said, not refused: others may have their own reasons for names that begin like ours.
#[must_use]
pub fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<String> {
    let known = || KEYS.iter().map(|key| key.env).chain([HOME_ENV]);
    names
        .filter(|name| name.starts_with("DSEQ_") && !known().any(|known| known == name))
        .map(|name| format!("{name} is no setting{}", closest(&name, known())))
        .collect()
}

fn closest(name: &str, known: impl Iterator<Item = &'static str> + Clone) -> String {
    let likely = known
        .clone()
        .map(|known| (strsim::jaro_winkler(name, known), known))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match likely {
        Some((likeness, name)) if likeness > 0.9 => format!("; did you mean {name:?}?"),
        _ => format!("; known are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

/// The file that `dseq init` writes: every setting with its default, commented out.
#[must_use]
pub fn template() -> String {
    let mut text = "# This node's configuration. What is commented out has the value shown.\n\
                    # A flag wins over the environment, the environment over this file; `dseq config show` says which did.\n"
        .to_owned();
    for (key, value, _) in Settings::default().rows() {
        let value = match key.kind {
            Kind::Text => format!("{value:?}"),
            Kind::Number => value,
        };
        text.push_str(&format!("\n# {} ({}, {})\n# {} = {value}\n", key.help, key.flag, key.env, key.name));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home_with(text: &str) -> (tempfile::TempDir, NodeHome) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("dseq.toml"), text).unwrap();
        let home = NodeHome::new(dir.path());
        (dir, home)
    }

    fn load(text: &str) -> Result<Settings, ConfigError> {
        let (_dir, home) = home_with(text);
        Settings::load(Some(&home), &Given::new())
    }

    fn error(text: &str) -> String {
        let message = load(text).unwrap_err().to_string();
        message.split_once("dseq.toml").map(|(_, rest)| rest.to_owned()).unwrap_or(message)
    }

    #[test]
    fn flag_and_environment_win_over_the_file_and_the_file_over_the_default() {
        let (_dir, home) = home_with("\nlog_level = \"warn\"\nlog_format = \"json\"\n");
        let given = Given::from([(LOG_LEVEL.name, ("debug".to_owned(), Origin::Env(LOG_LEVEL.env)))]);
        let settings = Settings::load(Some(&home), &given).unwrap();
        assert_eq!(
            settings.log_level,
            Setting { value: tracing::Level::DEBUG, origin: Origin::Env("DSEQ_LOG_LEVEL") }
        );
        assert_eq!(
            settings.log_format,
            Setting { value: LogFormat::Json, origin: Origin::File(home.config_file(), 3) }
        );
        assert_eq!(settings.disk_free_bytes_low.origin, Origin::Default);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_what_may_have_been_meant() {
        assert_eq!(
            error("# x\nlog_levle = \"info\"\n"),
            ":2: unknown key \"log_levle\"; did you mean \"log_level\"?"
        );
        assert!(error("colour = 1\n").starts_with(":1: unknown key \"colour\"; known are abci, "));
    }

    #[test]
    fn a_bad_value_is_named_with_its_line_and_what_it_must_be() {
        assert_eq!(
            error("\n\nlog_level = \"loud\"\n"),
            ":3: log_level is \"loud\"; it must be error, warn, info, debug or trace"
        );
        assert!(error("disk_free_bytes_low = -1").contains("must be a number of bytes"));
        assert!(error("restart_backoff_seconds_max = 0").contains("from 1 to 3600"));
        assert!(error("abci = \"http://x\"").contains("unix:///path"));
        assert!(error("abci = \"tcp://127.0.0.1:0\"").ends_with("the port from 1 to 65535"));
    }

    #[test]
    fn a_socket_path_that_is_too_long_is_named_with_the_limit_and_its_length() {
        let longest = format!("/{}", "x".repeat(106));
        load(&format!("abci = \"unix://{longest}\"")).unwrap();
        let message = error(&format!("abci = \"unix://{longest}x\""));
        assert!(message.contains("is 108 bytes long, and the system takes at most 107"), "{message}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named_with_its_line_and_what_it_must_be() {
        assert_eq!(error("cometbft = true"), ":1: cometbft = true: it must be a text in quotes");
        assert_eq!(
            error("disk_free_bytes_low = \"7\""),
            ":1: disk_free_bytes_low = \"7\": it must be a whole number, without quotes"
        );
    }

    #[test]
    fn a_bad_value_in_the_file_is_named_even_when_the_environment_overrides_it() {
        let (_dir, home) = home_with("log_level = \"loud\"");
        let given = Given::from([(LOG_LEVEL.name, ("debug".to_owned(), Origin::Env(LOG_LEVEL.env)))]);
        assert!(matches!(Settings::load(Some(&home), &given), Err(ConfigError::BadValue { .. })));
    }

    #[test]
    fn a_misspelt_variable_is_said_with_what_may_have_been_meant() {
        let names = ["DSEQ_LOG_LEVLE", "DSEQ_LOG_LEVEL", "DSEQ_HOME", "PATH", "DSEQ_PORT"].map(str::to_owned);
        let said = unknown_variables(names.into_iter());
        assert_eq!(said.len(), 2, "{said:?}");
        assert_eq!(said[0], "DSEQ_LOG_LEVLE is no setting; did you mean \"DSEQ_LOG_LEVEL\"?");
        assert!(said[1].starts_with("DSEQ_PORT is no setting; known are DSEQ_ABCI, "), "{}", said[1]);
    }

    #[test]
    fn a_bad_value_in_the_environment_names_the_variable() {
        let given = Given::from([(LOG_FORMAT.name, ("xml".to_owned(), Origin::Env(LOG_FORMAT.env)))]);
        let message = Settings::load(None, &given).unwrap_err().to_string();
        assert_eq!(message, "environment DSEQ_LOG_FORMAT: log_format is \"xml\"; it must be text or json");
    }

    #[test]
    fn a_file_that_is_not_toml_is_named_with_its_line() {
        assert!(error("log_level = \"info\"\nlog_format = \n").starts_with(":2: "));
    }

    #[test]
    fn the_file_that_init_writes_sets_nothing_and_each_of_its_values_is_valid() {
        let text = template();
        let settings = load(&text).unwrap();
        assert!(settings.rows().iter().all(|(_, _, origin)| *origin == Origin::Default));
        let active: String = text
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| KEYS.iter().any(|key| line.starts_with(&format!("{} = ", key.name))))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(active.lines().count(), KEYS.len());
        load(&active).unwrap();
    }
}
