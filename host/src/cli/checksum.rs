//! `dseq checksum`: do all nodes hold the same sequence?

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use serde_json::json;

use super::{EXIT_FAILED, say, table};
use crate::node::checksum::{self, Comparison};
use crate::node::home::NodeHome;
use crate::node::testnet::Network;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The local network whose nodes are compared
    #[arg(long, value_name = "DIR", default_value = super::testnet::DEFAULT_DIR)]
    dir: PathBuf,
    /// Compare these homes instead
    #[arg(long = "home", value_name = "DIR", num_args = 1.., conflicts_with = "dir")]
    homes: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let nodes = if args.homes.is_empty() { nodes_of(&args.dir)? } else { nodes_at(&args.homes)? };
    if nodes.len() < 2 {
        bail!("there is only one node; comparing takes two or more");
    }
    let found = checksum::compare(&nodes)?;
    let same = found.difference.is_none();
    if args.json {
        let mut json = json!(found);
        json["identical"] = same.into();
        say(serde_json::to_string_pretty(&json)?)?;
    } else {
        say(describe(&found))?;
    }
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

fn nodes_of(dir: &Path) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let nodes = Network::open(dir)?.nodes()?;
    Ok(nodes.into_iter().map(|node| (node.name, node.home.sequence_dir())).collect())
}

fn nodes_at(homes: &[PathBuf]) -> anyhow::Result<Vec<(String, PathBuf)>> {
    homes.iter().map(|path| Ok((path.display().to_string(), NodeHome::open(path)?.sequence_dir()))).collect()
}

fn describe(found: &Comparison) -> String {
    let mut rows = vec![["node", "bytes", "sha256 of its sequence"].map(str::to_owned).to_vec()];
    for node in &found.nodes {
        rows.push(vec![node.node.clone(), node.length.to_string(), node.sha256.clone()]);
    }
    format!("{}\n\n{}", table(&rows), verdict(found))
}

fn verdict(found: &Comparison) -> String {
    let nodes = found.nodes.len();
    let length = found.common_length;
    if let Some(difference) = &found.difference {
        let bytes: Vec<String> = found
            .nodes
            .iter()
            .zip(&difference.bytes)
            .map(|(n, byte)| format!("{} has {byte:#04x}", n.node))
            .collect();
        return format!("DIFFERENT: first at offset {}, where {}", difference.offset, bytes.join(", "));
    }
    if found.nodes.iter().all(|node| node.length == length) {
        return format!("IDENTICAL: {nodes} nodes, {length} bytes");
    }
    format!(
        "IDENTICAL: {nodes} nodes, up to the {length} bytes that all of them have committed; sha256 up to there {}",
        found.common_sha256
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::checksum::{Difference, NodeSum};

    fn found(lengths: [u64; 2], difference: Option<Difference>) -> Comparison {
        let sum = |(i, length)| NodeSum { node: format!("node{i}"), length, sha256: "5a".to_owned() };
        let nodes = lengths.into_iter().enumerate().map(sum).collect();
        Comparison {
            nodes,
            common_length: lengths[0].min(lengths[1]),
            common_sha256: "c0".to_owned(),
            difference,
        }
    }

    #[test]
    fn the_verdict_says_how_far_the_nodes_agree_or_where_they_first_differ() {
        assert_eq!(verdict(&found([7, 7], None)), "IDENTICAL: 2 nodes, 7 bytes");
        assert!(verdict(&found([7, 5], None)).starts_with("IDENTICAL: 2 nodes, up to the 5 bytes"));
        assert_eq!(
            verdict(&found([7, 7], Some(Difference { offset: 3, bytes: vec![0, 255] }))),
            "DIFFERENT: first at offset 3, where node0 has 0x00, node1 has 0xff"
        );
    }
}
