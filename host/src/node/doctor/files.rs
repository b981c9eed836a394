//! What is on disk.

use super::{Finding, Subject};
use crate::node::config::Settings;
use crate::node::engine::config::{EngineConfig, check_mempool};
use crate::node::engine::key_files;
use crate::node::genesis::file::GenesisFile;
use crate::node::genesis::membership::{self, Part};
use crate::node::genesis::origin;
use crate::node::home::machine::{self, MachineId};
use crate::node::home::permissions;
use crate::node::keys;
use crate::node::preflight::{self, Hold};
use crate::node::shell;
use crate::plugin::{self, PluginDir};
use crate::sequence::{self, OpenError};

pub(super) fn all(subject: &Subject<'_>) -> Vec<Finding> {
    let genesis = GenesisFile::read(&subject.home.genesis_file());
    let mut found = vec![home(subject), keys(subject), machine(subject), holds(subject), settings(subject)];
    match genesis {
        Ok(genesis) => found.extend([rules(subject, &genesis), plugins(subject, &genesis)]),
        Err(err) => found.push(Finding::refused("genesis", err)),
    }
    found.push(data(subject));
    found
}

/// Others may not look into the home: its keys are in it.
fn home(subject: &Subject<'_>) -> Finding {
    let root = subject.home.root().display();
    match permissions::too_open(subject.home) {
        Err(err) => Finding::refused("home", err),
        Ok(open) if open.is_empty() => {
            Finding::ok("home", format!("{root}: it and its keys are for their owner alone"))
        }
        Ok(open) => {
            let found: Vec<String> = open.iter().map(ToString::to_string).collect();
            Finding::failed("home", found.join(", "), permissions::command(&open))
        }
    }
}

fn keys(subject: &Subject<'_>) -> Finding {
    match keys::show(subject.home) {
        Err(err) => Finding::refused("keys", err),
        Ok(shown) => {
            let none = || "none yet".to_owned();
            let validator = if key_files::is_remote(subject.home) {
                "with a remote signer".to_owned()
            } else {
                shown.address.unwrap_or_else(none)
            };
            Finding::ok("keys", format!("node {}, validator {validator}", shown.node_id.unwrap_or_else(none)))
        }
    }
}

fn machine(subject: &Subject<'_>) -> Finding {
    let here = MachineId::here();
    match machine::check(subject.home, here.as_ref()) {
        Err(err) => Finding::refused("machine", err),
        Ok(()) if here.is_none() => Finding::unknown(
            "machine",
            "this system has no machine id to trust, so a copy of this home on another one would not be noticed",
        ),
        Ok(()) => Finding::ok("machine", "the home has not been started on another machine"),
    }
}

/// What keeps the home from starting.
fn holds(subject: &Subject<'_>) -> Finding {
    let held = preflight::check_moved(subject.home).err().map(|err| err.to_string()).or_else(|| {
        let note = Hold::Recovering.read(subject.home).ok().flatten()?;
        let home = shell::word(subject.home.root());
        Some(format!("it must catch up before it votes ({}): dseq recover --home {home}", note.said))
    });
    match held {
        Some(why) => Finding::refused("holds", why),
        None => Finding::ok("holds", "nothing keeps it from starting"),
    }
}

fn settings(subject: &Subject<'_>) -> Finding {
    let (_, errors) = Settings::gather(Some(subject.home), subject.given);
    if let Some(err) = errors.first() {
        return Finding::refused("settings", err);
    }
    let config = match EngineConfig::read(subject.home) {
        Ok(config) => config,
        Err(err) => return Finding::refused("settings", err),
    };
    if let Err(err) = check_mempool(subject.home) {
        return Finding::refused("settings", err);
    }
    let path = config.path().display();
    let double = config.get(&["consensus", "double_sign_check_height"]).and_then(toml_edit::Item::as_integer);
    if double.is_some_and(|height| height > 0) {
        return Finding::warning(
            "settings",
            format!(
                "{path} sets consensus.double_sign_check_height: after a restart the node refuses to run while one of the last blocks has its signature"
            ),
            "set it to 0; dseq notices a copied home by its machine, and recovers a lost record with dseq recover",
        );
    }
    Finding::ok("settings", format!("{} and {path}", subject.home.config_file().display()))
}

fn rules(subject: &Subject<'_>, genesis: &GenesisFile) -> Finding {
    if let Err(err) = genesis.check() {
        return Finding::refused("genesis", err);
    }
    if let Err(err) = origin::check(subject.home, genesis) {
        return Finding::refused("genesis", err);
    }
    let own = plugin::engine_id().to_string();
    if let Some(pinned) = genesis.engine().filter(|pinned| *pinned != own) {
        return Finding::failed(
            "genesis",
            format!("it pins engine {pinned}, and this dseq has {own}"),
            "use a dseq with the network's engine (`dseq version` shows a program's)",
        );
    }
    let part = genesis.doc().ok().map(|doc| membership::describe(&doc, Some(Part::of(subject.home, &doc))));
    let network = genesis.network_id();
    Finding::ok(
        "genesis",
        format!("{} (network {network}): {}", genesis.chain_id(), part.unwrap_or_default()),
    )
}

fn plugins(subject: &Subject<'_>, genesis: &GenesisFile) -> Finding {
    let rules = match genesis.rules() {
        Ok(rules) => rules,
        Err(err) => return Finding::refused("plugins", err),
    };
    let dir = PluginDir::new(subject.home.plugins_dir());
    // What is in the genesis itself is read from there before the first block, and from its file afterwards.
    let is_begun = origin::has_blocks(subject.home).unwrap_or(true);
    for (plugin, inline) in rules.pipeline.plugins.iter().zip(&rules.inline_wasm) {
        if (is_begun || inline.is_none())
            && let Err(err) = dir.find(&plugin.sha256)
        {
            return Finding::refused("plugins", format!("plugin {}: {err}", plugin.name));
        }
    }
    let names: Vec<&str> = rules.pipeline.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    Finding::ok("plugins", format!("{names}: as genesis pins them"))
}

/// CometBFT's data, the sequence and the record of what was signed go together.
fn data(subject: &Subject<'_>) -> Finding {
    // A home that is held says so in its own finding, and what to do is the same.
    if [Hold::Recovering, Hold::MovedAway].iter().any(|hold| !matches!(hold.read(subject.home), Ok(None))) {
        return Finding::unknown("data", "not looked at while the home is held");
    }
    if let Err(err) = preflight::check_data(subject.home) {
        return Finding::refused("data", err);
    }
    match sequence::committed_head(&subject.home.sequence_dir()) {
        Ok(head) => Finding::ok(
            "data",
            format!(
                "block {}, {}, {}",
                head.height().0,
                counted(head.length(), "byte"),
                counted(head.count(), "record")
            ),
        ),
        Err(OpenError::NoLog { .. }) => Finding::ok("data", "no block yet"),
        Err(err) => Finding::refused("data", err),
    }
}

fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
