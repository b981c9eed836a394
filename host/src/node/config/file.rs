//! Reads and writes `dseq.toml`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use toml::Spanned;

use super::{ConfigError, Given, KEYS, Key, Kind, Origin, Settings, closest};
use crate::atomic_file;
use crate::node::home::NodeHome;

/// Reads `dseq.toml`: what it sets, and each thing that is wrong with it, by line. One that is not there sets nothing.
pub(super) fn read(path: &Path) -> (Given, Vec<ConfigError>) {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(err) if err.kind() == io::ErrorKind::NotFound => (Given::new(), Vec::new()),
        Err(source) => (Given::new(), vec![ConfigError::Unreadable { path: path.to_owned(), source }]),
    }
}

fn parse(path: &Path, text: &str) -> (Given, Vec<ConfigError>) {
    let line_at =
        |offset: usize| text.bytes().take(offset).filter(|byte| *byte == b'\n').count().saturating_add(1);
    let table: BTreeMap<Spanned<String>, Spanned<toml::Value>> = match toml::from_str(text) {
        Ok(table) => table,
        Err(err) => {
            let line = line_at(err.span().map_or(0, |span| span.start));
            let message = err.message().to_owned();
            return (Given::new(), vec![ConfigError::NotToml { path: path.to_owned(), line, message }]);
        }
    };
    let mut lines: Vec<_> = table
        .into_iter()
        .map(|(name, value)| (line_at(name.span().start), name.into_inner(), value))
        .collect();
    lines.sort_by_key(|(line, ..)| *line);
    let (mut given, mut errors) = (Given::new(), Vec::new());
    for (line, name, value) in lines {
        match setting(path, line, name, value.into_inner()) {
            Ok((key, text)) => _ = given.insert(key.name, (text, Origin::File(path.to_owned(), line))),
            Err(err) => errors.push(err),
        }
    }
    (given, errors)
}

/// The setting that a line names, and its value as text.
fn setting(
    path: &Path,
    line: usize,
    name: String,
    value: toml::Value,
) -> Result<(&'static Key, String), ConfigError> {
    let path = path.to_owned();
    let Some(key) = KEYS.iter().find(|key| key.name == name) else {
        let hint = closest(&name, KEYS.iter().map(|key| key.name));
        return Err(ConfigError::UnknownKey { path, line, key: name, hint });
    };
    match (key.kind, value) {
        (Kind::Text, toml::Value::String(text)) => Ok((key, text)),
        (Kind::Number, toml::Value::Integer(number)) => Ok((key, number.to_string())),
        (kind, other) => {
            let expected = match kind {
                Kind::Text => "a string in quotes",
                Kind::Number => "an integer, without quotes",
            };
            Err(ConfigError::WrongKind { path, line, key: key.name, found: other.to_string(), expected })
        }
    }
}

/// Sets a value in the file of a home, and leaves everything else in it as it is.
///
/// # Errors
///
/// When the file cannot be read or written.
pub fn put(home: &NodeHome, key: &Key, value: &str) -> Result<(), ConfigError> {
    let path = home.config_file();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(err) if err.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(ConfigError::Unreadable { path, source }),
    };
    atomic_file::replace(&path, with(&text, key, value).as_bytes())
        .map_err(|source| ConfigError::Unwritable { path, source })
}

/// The text of a file with a value set: in place of the value it has, else where the setting is commented out, else at
/// the end.
#[must_use]
pub fn with(text: &str, key: &Key, value: &str) -> String {
    let line = match key.kind {
        Kind::Text => format!("{} = {value:?}", key.name),
        Kind::Number => format!("{} = {value}", key.name),
    };
    let sets = |line: &str| {
        line.trim_start().strip_prefix(key.name).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let commented = |line: &str| line.trim_start().strip_prefix('#').is_some_and(sets);
    let mut lines: Vec<&str> = text.lines().collect();
    match lines.iter().position(|line| sets(line)).or_else(|| lines.iter().position(|line| commented(line))) {
        Some(place) => lines[place] = &line,
        None => lines.push(&line),
    }
    lines.join("\n") + "\n"
}

/// The file that `dseq init` writes, and `dseq config default` prints: every setting with its default, commented out.
#[must_use]
pub fn template() -> String {
    let mut text = "# Configuration of this node. A setting that is commented out has the value shown.\n\
                    # Flags override the environment, and the environment overrides this file; see `dseq config show`.\n"
        .to_owned();
    for (key, value, _) in Settings::default().rows() {
        let value = match key.kind {
            Kind::Text => format!("{value:?}"),
            Kind::Number => value,
        };
        let Key { name, env, flag, help, reason, .. } = key;
        text.push_str(&format!("\n# {help}.\n# Default: {reason}.\n# ({flag}, {env})\n# {name} = {value}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::{DISK_FREE_BYTES_LOW, HTTP, LOG_LEVEL};
    use super::*;

    #[test]
    fn a_value_is_set_where_it_stands_or_is_commented_out_or_at_the_end() {
        let text = "# mine\n http = \"off\" # not yet\n\n# log_level = \"info\"\n";
        assert_eq!(
            with(text, &HTTP, "[::1]:7"),
            text.replace(" http = \"off\" # not yet", "http = \"[::1]:7\"")
        );
        assert_eq!(
            with(text, &LOG_LEVEL, "warn"),
            text.replace("# log_level = \"info\"", "log_level = \"warn\"")
        );
        let at_end = format!("{text}disk_free_bytes_low = 7\n");
        assert_eq!(with(text, &DISK_FREE_BYTES_LOW, "7"), at_end);
        let other = "http_cors_origins = \"\"\n";
        assert_eq!(with(other, &HTTP, "off"), format!("{other}http = \"off\"\n"));
        assert_eq!(with("", &HTTP, "off"), "http = \"off\"\n");
    }

    #[test]
    fn a_value_that_is_put_is_read_and_the_rest_of_the_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let home = NodeHome::new(dir.path());
        for before in [None, Some(template())] {
            if let Some(before) = &before {
                std::fs::write(home.config_file(), before).unwrap();
            }
            for value in ["127.0.0.1:7", "off"] {
                put(&home, &HTTP, value).unwrap();
                let (given, errors) = read(&home.config_file());
                assert!(errors.is_empty(), "{errors:?}");
                assert_eq!((given.len(), given["http"].0.as_str()), (1, value));
            }
            let text = std::fs::read_to_string(home.config_file()).unwrap();
            let lines = before.map_or(1, |before| before.lines().count());
            assert_eq!(text.lines().count(), lines);
        }
    }
}
