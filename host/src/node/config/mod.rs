//! What a node's owner may set, and where each value came from: flag, environment, file, default.
//!
//! Every setting has one name. `log_level` is `log_level` in `dseq.toml`, `--log-level` as a flag and
//! `DSEQ_LOG_LEVEL` in the environment; the first of flag, environment and file that has it wins.
//!
//! A setting is one row in `settings!` below: flags, help, the file that `dseq init` writes, parsing and `dseq config show`
//! follow from it.

mod error;
mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

pub use error::ConfigError;
pub use file::{put, template, with};

use super::home::NodeHome;
use crate::abci::transport::{ListenAddr, SOCKET_PATH_BYTES_MAX};
use crate::api::Origins;
use crate::limits;
use crate::telemetry::LogFormat;

/// The variable that names a node's home.
pub const HOME_ENV: &str = "DSEQ_HOME";

/// The variable with the nodes that clients ask, by the addresses of their HTTP.
pub const NODES_ENV: &str = "DSEQ_NODE";

/// The default address of a node's HTTP.
pub const HTTP_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), HTTP_PORT);
/// Its port; the nodes of a local network count from it.
pub const HTTP_PORT: u16 = 6900;

/// A setting: its name, its forms, and what it is for.
#[derive(Debug)]
pub struct Key {
    /// Its name in the file.
    pub name: &'static str,
    /// Its name in the environment.
    pub env: &'static str,
    /// Its flag.
    pub flag: &'static str,
    /// What `--help` calls its value.
    pub value_name: &'static str,
    /// What it is in the file.
    pub kind: Kind,
    /// Whether the app needs it, so that `dseq serve` takes it too.
    pub for_app: bool,
    /// What a valid value is.
    pub expected: &'static str,
    /// What it does, in a sentence.
    pub help: &'static str,
    /// The unit of its value; empty where it has none.
    pub unit: &'static str,
    /// Why it has its default.
    pub reason: &'static str,
}

/// What a setting's value is in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    Text,
    /// An integer.
    Number,
}

/// From each row: a constant for its key, its place in [`KEYS`], and its field of [`Settings`], read by `parse` and shown
/// by `show`.
macro_rules! settings {
    ($(
        $(#[$doc:meta])*
        $field:ident: $type:ty = $default:expr, $key:ident {
            $env:literal, $flag:literal, $value_name:literal, $kind:ident, for_app: $for_app:literal,
            expected: $expected:literal,
            help: $help:literal,
            unit: $unit:literal,
            reason: $reason:literal,
            parse: $parse:expr,
            show: $show:expr,
        }
    )*) => {
        $(
            $(#[$doc])*
            pub const $key: Key = Key {
                name: stringify!($field),
                env: $env,
                flag: $flag,
                value_name: $value_name,
                kind: Kind::$kind,
                for_app: $for_app,
                expected: $expected,
                help: $help,
                unit: $unit,
                reason: $reason,
            };
        )*

        /// Every setting, in the order in which they are shown.
        pub const KEYS: &[&Key] = &[$(&$key),*];

        /// Everything a node's owner may set.
        #[derive(Clone, Debug)]
        pub struct Settings {
            $($(#[$doc])* pub $field: Setting<$type>,)*
        }

        impl Default for Settings {
            fn default() -> Self {
                Self { $($field: Setting { value: $default, origin: Origin::Default },)* }
            }
        }

        impl Settings {
            /// Takes what a layer has, and adds what is wrong with it to `errors`.
            fn apply(&mut self, layer: &Given, errors: &mut Vec<ConfigError>) {
                $(errors.extend(apply(layer, &$key, &mut self.$field, $parse).err());)*
                if layer.contains_key(ABCI.name) {
                    errors.extend(self.check_socket_path().err());
                }
            }

            /// Each setting as name, value in the file's words, and origin, in the order of [`KEYS`].
            #[must_use]
            pub fn rows(&self) -> Vec<(&'static Key, String, Origin)> {
                vec![$((&$key, ($show)(&self.$field.value), self.$field.origin.clone()),)*]
            }
        }
    };
}

settings! {
    /// Where the app listens for CometBFT; none: a socket in the home.
    abci: Option<ListenAddr> = None, ABCI {
        "DSEQ_ABCI", "--abci", "ADDRESS", Text, for_app: true,
        expected: "unix:///path or tcp://host:port, the port from 1 to 65535",
        help: "Address on which the app listens for CometBFT: unix:///path or tcp://host:port; empty: a socket in the home. \
               It has no authentication: keep it private",
        unit: "",
        reason: "A socket in the home needs no free port, and only the owner of the home can open it",
        parse: |text| if text.is_empty() { Some(None) } else { text.parse().ok().filter(is_fixed).map(Some) },
        show: |value: &Option<ListenAddr>| value.as_ref().map_or_else(String::new, ToString::to_string),
    }
    /// The CometBFT program; none: it is looked for.
    cometbft: Option<PathBuf> = None, COMETBFT {
        "DSEQ_COMETBFT", "--cometbft", "FILE", Text, for_app: false,
        expected: "the path of a program",
        help: "CometBFT program; empty: the one beside dseq, else the one on PATH",
        unit: "",
        reason: "`make build` puts the pinned version beside dseq",
        parse: |text| Some((!text.is_empty()).then(|| PathBuf::from(text))),
        show: |value: &Option<PathBuf>| value.as_ref().map_or_else(String::new, |path| path.display().to_string()),
    }
    /// Where the node answers HTTP; none: nowhere.
    http: Option<SocketAddr> = Some(HTTP_DEFAULT), HTTP {
        "DSEQ_HTTP", "--http", "ADDRESS", Text, for_app: true,
        expected: "an IP address and a port, e.g. 127.0.0.1:6900 or [::1]:6900, or off",
        help: "Address on which the node answers HTTP, as IP:PORT; off: none. It has no authentication or encryption: beyond \
               this machine, put a proxy in front of it",
        unit: "",
        reason: "This machine only, since anybody who reaches the port may use it; the local network counts up from 6900",
        parse: |text| if text == "off" {
            Some(None)
        } else {
            text.parse().ok().filter(|address: &SocketAddr| address.port() != 0).map(Some)
        },
        show: |value: &Option<SocketAddr>| value.map_or_else(|| "off".to_owned(), |address| address.to_string()),
    }
    /// Web pages of other origins that may use HTTP.
    http_cors_origins: Origins = Origins::Own, HTTP_CORS_ORIGINS {
        "DSEQ_HTTP_CORS_ORIGINS", "--http-cors-origins", "ORIGINS", Text, for_app: true,
        expected: "origins as browsers send them, e.g. https://example.org, separated by commas; or *; or empty",
        help: "Origins of web pages whose scripts may use this node over HTTP, separated by commas; *: all; empty: none",
        unit: "",
        reason: "Browsers then keep pages of other sites away from the node",
        parse: Origins::parse,
        show: Origins::to_string,
    }
    /// Free space below which the node accepts no more transactions, in bytes.
    disk_free_bytes_low: u64 = limits::DISK_FREE_BYTES_LOW, DISK_FREE_BYTES_LOW {
        "DSEQ_DISK_FREE_BYTES_LOW", "--disk-free-bytes-low", "BYTES", Number, for_app: true,
        expected: "a number of bytes, e.g. 536870912",
        help: "Minimum free disk space, in bytes; below it the node accepts no transactions",
        unit: "bytes",
        reason: "512 MiB leaves room for the blocks in progress when the node stops accepting",
        parse: |text| text.parse().ok(),
        show: u64::to_string,
    }
    /// The least important events that are logged.
    log_level: tracing::Level = tracing::Level::INFO, LOG_LEVEL {
        "DSEQ_LOG_LEVEL", "--log-level", "LEVEL", Text, for_app: true,
        expected: "error, warn, info, debug or trace",
        help: "Log level: error, warn, info, debug or trace; RUST_LOG overrides it for each target",
        unit: "",
        reason: "One line for each event that an operator may want to know; nothing for each block or transaction",
        // Level's own parser takes digits too, which nobody would understand in a file.
        parse: |text| text.chars().all(char::is_alphabetic).then(|| text.parse().ok()).flatten(),
        show: |level: &tracing::Level| level.to_string().to_lowercase(),
    }
    /// How events are written.
    log_format: LogFormat = LogFormat::Text, LOG_FORMAT {
        "DSEQ_LOG_FORMAT", "--log-format", "FORMAT", Text, for_app: true,
        expected: "text, json or logfmt",
        help: "Log format: text, json (one object per line) or logfmt",
        unit: "",
        reason: "For people; collectors of logs want json or logfmt",
        parse: |text| match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            "logfmt" => Some(LogFormat::Logfmt),
            _ => None,
        },
        show: |format: &LogFormat| match format {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
            LogFormat::Logfmt => "logfmt".to_owned(),
        },
    }
    /// Longest pause between restarts, in seconds.
    restart_backoff_seconds_max: u64 = 30, RESTART_BACKOFF_SECONDS_MAX {
        "DSEQ_RESTART_BACKOFF_SECONDS_MAX", "--restart-backoff-seconds-max", "SECONDS", Number, for_app: false,
        expected: "a number of seconds from 1 to 3600",
        help: "Maximum pause, in seconds, before `dseq start` restarts a process that keeps ending",
        unit: "seconds",
        reason: "A node is back half a minute after its cause is gone, and one that keeps ending does not fill its log",
        parse: |text| text.parse().ok().filter(|seconds| (1..=3600).contains(seconds)),
        show: u64::to_string,
    }
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

/// Values as text, with their origin, by name: one layer over the file.
pub type Given = BTreeMap<&'static str, (String, Origin)>;

impl Settings {
    /// Puts flags and environment (`given`) over the file of `home`, over the defaults.
    ///
    /// # Errors
    ///
    /// The first unknown key or bad value, by file and line, flag or variable; one in the file also when a flag or
    /// variable overrides it.
    pub fn load(home: Option<&NodeHome>, given: &Given) -> Result<Self, ConfigError> {
        let (settings, errors) = Self::gather(home, given);
        errors.into_iter().next().map_or(Ok(settings), Err)
    }

    /// The same with everything that is wrong, in its order; what is wrong is left out.
    #[must_use]
    pub fn gather(home: Option<&NodeHome>, given: &Given) -> (Self, Vec<ConfigError>) {
        let mut settings = Self::default();
        let mut errors = Vec::new();
        if let Some(home) = home {
            let (file, wrong) = file::read(&home.config_file());
            errors.extend(wrong);
            settings.apply(&file, &mut errors);
        }
        settings.apply(given, &mut errors);
        (settings, errors)
    }

    fn check_socket_path(&self) -> Result<(), ConfigError> {
        let Setting { value: Some(ListenAddr::Unix(found)), origin } = &self.abci else { return Ok(()) };
        let bytes = found.as_os_str().len();
        if bytes <= SOCKET_PATH_BYTES_MAX {
            return Ok(());
        }
        let (found, origin) = (found.clone(), origin.clone());
        Err(ConfigError::SocketPathTooLong { origin, key: ABCI.name, found, bytes })
    }
}

/// Puts a setting's value from a layer in its place, if the layer has one.
fn apply<T>(
    layer: &Given,
    key: &Key,
    place: &mut Setting<T>,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<(), ConfigError> {
    let Some((text, origin)) = layer.get(key.name) else { return Ok(()) };
    let origin = origin.clone();
    let Some(value) = parse(text) else {
        let (key, found, expected) = (key.name, text.clone(), key.expected);
        return Err(ConfigError::BadValue { origin, key, found, expected });
    };
    *place = Setting { value, origin };
    Ok(())
}

/// Whether CometBFT can be given the address beforehand: a port that the system chooses is known to the app alone.
fn is_fixed(address: &ListenAddr) -> bool {
    !matches!(address, ListenAddr::Tcp { port: 0, .. })
}

/// Variables of this environment that look like settings but are none, each with what may have been meant.
///
/// They are logged, not refused: others may have their own reasons for names that begin like ours.
#[must_use]
pub fn unknown_variables(names: impl Iterator<Item = String>) -> Vec<String> {
    let known = || KEYS.iter().map(|key| key.env).chain([HOME_ENV, NODES_ENV]);
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
        assert_eq!(error("cometbft = true"), ":1: cometbft = true: it must be a string in quotes");
        assert_eq!(
            error("disk_free_bytes_low = \"7\""),
            ":1: disk_free_bytes_low = \"7\": it must be an integer, without quotes"
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
        assert_eq!(
            message,
            "environment DSEQ_LOG_FORMAT: log_format is \"xml\"; it must be text, json or logfmt"
        );
    }

    #[test]
    fn a_file_that_is_not_toml_is_named_with_its_line() {
        assert!(error("log_level = \"info\"\nlog_format = \n").starts_with(":2: "));
    }

    #[test]
    fn a_setting_has_one_name_in_its_three_forms() {
        for key in KEYS {
            assert_eq!(key.env, format!("DSEQ_{}", key.name.to_uppercase()));
            assert_eq!(key.flag, format!("--{}", key.name.replace('_', "-")));
        }
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
