//! Reads and writes `dseq.toml`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use toml::Spanned;

use super::{ConfigError, Given, KEYS, Kind, Origin, Settings, closest};

/// Reads `dseq.toml`; one that is not there sets nothing.
pub(super) fn read(path: &Path) -> Result<Given, ConfigError> {
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
            let hint = closest(&name, KEYS.iter().map(|key| key.name));
            return Err(ConfigError::UnknownKey { path: path.to_owned(), line, key: name, hint });
        };
        let text = match (key.kind, value.into_inner()) {
            (Kind::Text, toml::Value::String(text)) => text,
            (Kind::Number, toml::Value::Integer(number)) => number.to_string(),
            (kind, other) => {
                let (path, found) = (path.to_owned(), other.to_string());
                let expected = match kind {
                    Kind::Text => "a string in quotes",
                    Kind::Number => "an integer, without quotes",
                };
                return Err(ConfigError::WrongKind { path, line, key: key.name, found, expected });
            }
        };
        given.insert(key.name, (text, Origin::File(path.to_owned(), line)));
    }
    Ok(given)
}

/// The file that `dseq init` writes: every setting with its default, commented out.
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
        text.push_str(&format!("\n# {}. ({}, {})\n# {} = {value}\n", key.help, key.flag, key.env, key.name));
    }
    text
}
