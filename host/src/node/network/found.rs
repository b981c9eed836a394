//! A network whose homes are all made by one process: a network of one, or one for tests.

use std::fs;
use std::path::Path;

use super::join::put;
use super::{Draft, Member, NetworkError, NetworkFile, NewMember, Profile, make_home};
use crate::node::engine::cometbft::CometBft;
use crate::node::genesis;
use crate::node::genesis::NetworkSpec;
use crate::node::genesis::rules::Plugin;
use crate::node::home::NodeHome;

/// What the homes share.
#[derive(Debug)]
pub struct Founding {
    /// The chain id; none: one is made up.
    pub chain_id: Option<String>,
    /// The pipeline, in its order.
    pub plugins: Vec<Plugin>,
    /// How far apart the nodes are.
    pub profile: Profile,
}

/// Makes a network and the home of each of its members, as `dseq init`, `network create` and `network join` do one by one.
/// The plugins are files in each home.
///
/// # Errors
///
/// When a plugin cannot be used, two members cannot be told apart, or CometBFT cannot make its files.
pub fn found(
    cometbft: &CometBft,
    founding: Founding,
    homes: &[(NodeHome, NewMember)],
) -> Result<NetworkFile, NetworkError> {
    let Founding { chain_id, plugins, profile } = founding;
    let spec = NetworkSpec { chain_id: chain_id.as_deref(), plugins: &plugins, limits: &[], inline: false };
    // Before anything is made: a plugin that no node would run, or that refuses its params.
    genesis::check(&spec)?;
    let mut members: Vec<Member> = Vec::new();
    for (home, new) in homes {
        members.push(make_home(cometbft, home, new)?);
        for plugin in &plugins {
            let path = home.plugins_dir().join(format!("{}.wasm", plugin.name));
            fs::write(&path, &plugin.wasm).map_err(NetworkError::io(&path))?;
        }
    }
    let ids: Vec<String> = members.iter().map(|member| member.node_id.clone()).collect();
    let draft = Draft { chain_id, plugins, limits: Vec::new(), inline: false, members, profile };
    let scratch = homes.first().map_or(Path::new("."), |(home, _)| home.root());
    let network = NetworkFile::create(cometbft, &draft, scratch)?;
    for ((home, _), id) in homes.iter().zip(&ids) {
        put(home, &network, id)?;
    }
    Ok(network)
}
