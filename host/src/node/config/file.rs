//! Reads and writes `dseq.toml`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use toml::Spanned;

use super::{ConfigError, Given, KEYS, Key, Kind, Origin, Settings, closest};

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
    let mut lines: Vec<_> =
        table.into_iter().map(|(name, value)| (line_at(name.span().start), name.into_inner(), value)).collect();
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
