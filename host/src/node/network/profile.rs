//! How far apart a network's machines are, and the settings of CometBFT that follow.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::node::engine::overrides;

/// How far apart the machines of a network are.
///
/// Some of the settings must be the same on all nodes, so it is part of the network file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// On one machine, or up to 50 ms (round trip) apart.
    Local,
    /// Up to 300 ms (round trip) apart.
    Wide,
}

impl Profile {
    /// What CometBFT's configuration gets, on top of what every node has.
    #[must_use]
    pub fn settings(self) -> &'static str {
        match self {
            Self::Local => overrides::LOCAL_CONFIG,
            Self::Wide => overrides::WIDE_CONFIG,
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local",
            Self::Wide => "wide",
        })
    }
}

#[cfg(test)]
mod tests {
    use toml_edit::DocumentMut;

    use super::*;

    /// Or a home that takes another network before its first start would keep a setting of the profile before.
    #[test]
    fn both_profiles_set_the_same_keys() {
        let keys = |profile: Profile| {
            let toml: DocumentMut = profile.settings().parse().unwrap();
            let values = toml.as_table().get_values();
            let mut keys: Vec<String> = values
                .into_iter()
                .map(|(path, _)| path.iter().map(|key| key.get()).collect::<Vec<_>>().join("."))
                .collect();
            keys.sort();
            keys
        };
        assert_eq!(keys(Profile::Local), keys(Profile::Wide));
    }
}
