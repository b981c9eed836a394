//! Looks at a whole home, whether or not its node runs, and says of each thing that is wrong what to do.
//!
//! - `files`: what is on disk: permissions, keys, settings, genesis, plugins, data;
//! - `machine`: programs, ports, what is open to the network, free space;
//! - `network`: the running node's own checks, its peers and their blocks, and other nodes with its keys;
//! - `clocks`: its clock beside theirs.
//!
//! Nothing is changed, and no file is read twice to decide one thing.

mod clocks;
mod files;
mod machine;
mod network;

use std::path::Path;

use serde::Serialize;

use super::config::{Given, Settings};
use super::home::{HomeError, NodeHome};
use crate::api::health::State;

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub check: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, state: State::Ok, found: found.into(), remedy: None }
    }

    fn unknown(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, state: State::Unknown, found: found.into(), remedy: None }
    }

    fn warning(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, state: State::Warning, found: found.into(), remedy: Some(remedy.into()) }
    }

    fn failed(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, state: State::Failed, found: found.into(), remedy: Some(remedy.into()) }
    }

    /// An error that says itself what to do.
    fn refused(check: &'static str, err: impl std::fmt::Display) -> Self {
        Self { check, state: State::Failed, found: err.to_string(), remedy: None }
    }
}

/// What all checks look at.
struct Subject<'a> {
    home: &'a NodeHome,
    settings: &'a Settings,
    given: &'a Given,
    cometbft: Option<&'a Path>,
}

/// Looks at a home.
///
/// # Errors
///
/// When there is no home to look at.
pub fn examine(root: &Path, given: &Given) -> Result<Vec<Finding>, HomeError> {
    let home = NodeHome::open(root)?;
    let (settings, _) = Settings::gather(Some(&home), given);
    let cometbft = settings.cometbft.value.clone();
    let subject = Subject { home: &home, settings: &settings, given, cometbft: cometbft.as_deref() };
    let mut found = files::all(&subject);
    found.extend(machine::all(&subject));
    let of_network = network::all(&subject);
    // The node looks at its disk as well.
    let is_new =
        |one: &Finding| !found.iter().any(|other| format!("{}: {}", other.check, other.found) == one.found);
    let of_network: Vec<Finding> = of_network.into_iter().filter(is_new).collect();
    found.extend(of_network);
    Ok(found)
}
