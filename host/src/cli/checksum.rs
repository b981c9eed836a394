//! `dseq checksum`: do all nodes hold the same sequence?

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use serde_json::json;

use super::{EXIT_FAILED, say, table};
use crate::node::checksum::{self, Compared, Comparison, Verdict};
use crate::node::home::NodeHome;
use crate::node::testnet::{DEFAULT_DIR, Network};

pub(super) const EXAMPLES: &str = "Examples:
  dseq checksum
  dseq checksum --home node0 node1";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Local network to compare
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR)]
    dir: PathBuf,
    /// Homes to compare instead
    #[arg(long = "home", value_name = "DIR", num_args = 1.., conflicts_with = "dir")]
    homes: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let nodes = if args.homes.is_empty() { nodes_of(&args.dir)? } else { nodes_at(&args.homes)? };
    if nodes.len() < 2 {
        bail!("there is only one node; comparing takes two or more: give --home for each");
    }
    let found = checksum::compare(&nodes)?;
    let same = found.verdict == Verdict::Identical;
    if args.json {
        let mut json = json!(found);
        json["identical"] = same.into();
        say(serde_json::to_string_pretty(&json)?)?;
    } else {
        say(describe(&found))?;
    }
    Ok(if same { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) })
}

fn nodes_of(dir: &Path) -> anyhow::Result<Vec<Compared>> {
    let nodes = Network::open(dir)?.nodes()?;
    Ok(nodes.into_iter().map(|node| Compared::at(node.name, &node.home)).collect())
}

fn nodes_at(homes: &[PathBuf]) -> anyhow::Result<Vec<Compared>> {
    let compared = |path: &PathBuf| Ok(Compared::at(path.display().to_string(), &NodeHome::open(path)?));
    homes.iter().map(compared).collect()
}

fn describe(found: &Comparison) -> String {
    let mut rows = vec![["node", "bytes", "sha256 of its sequence"].map(str::to_owned).to_vec()];
    for node in &found.nodes {
        rows.push(vec![node.node.clone(), node.length.to_string(), node.sha256.clone()]);
    }
    format!("{}\n\n{}", table(&rows), verdict(found))
}

fn verdict(found: &Comparison) -> String {
    match found.verdict {
        Verdict::Identical => identical(found),
        Verdict::Different => different(found),
        Verdict::OtherChains => {
            let unknown = || "of an unknown chain".to_owned();
            let of = |chain_id: &String| format!("of the chain {chain_id:?}");
            let chains: Vec<String> = found
                .nodes
                .iter()
                .map(|node| format!("{} is {}", node.node, node.chain_id.as_ref().map_or_else(unknown, of)))
                .collect();
            format!("NOTHING TO COMPARE: these nodes are of several networks.\n{}", chains.join("\n"))
        }
        Verdict::NothingInCommon => {
            let empty: Vec<&str> =
                found.nodes.iter().filter(|node| node.length == 0).map(|node| node.node.as_str()).collect();
            if empty.len() == found.nodes.len() {
                return "NOTHING TO COMPARE: no node has committed a byte yet".to_owned();
            }
            let has = if empty.len() == 1 { "has" } else { "have" };
            format!("NOTHING TO COMPARE: {} {has} not committed a byte yet", empty.join(", "))
        }
    }
}

fn different(found: &Comparison) -> String {
    let Some(difference) = &found.difference else { return "DIFFERENT".to_owned() };
    let bytes: Vec<String> = found
        .nodes
        .iter()
        .zip(&difference.bytes)
        .map(|(n, byte)| format!("{} has {byte:#04x}", n.node))
        .collect();
    format!("DIFFERENT: first at offset {}, where {}", difference.offset, bytes.join(", "))
}

fn identical(found: &Comparison) -> String {
    let nodes = found.nodes.len();
    let length = found.common_length;
    let longest = found.nodes.iter().map(|node| node.length).max().unwrap_or(0);
    if longest == length {
        return format!("IDENTICAL: {nodes} nodes, {length} bytes");
    }
    let behind: Vec<String> = found
        .nodes
        .iter()
        .filter(|node| node.length < longest)
        .map(|node| format!("\n{} is {} bytes behind", node.node, longest - node.length))
        .collect();
    format!(
        "IDENTICAL: {nodes} nodes, up to the {length} bytes that all of them have committed\n\
         sha256 up to there: {}{}",
        found.common_sha256,
        behind.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::checksum::{Difference, NodeSum};

    fn found(lengths: [u64; 2], difference: Option<Difference>, verdict: Verdict) -> Comparison {
        let sum = |(i, length)| NodeSum {
            node: format!("node{i}"),
            chain_id: Some(format!("chain-{i}")),
            length,
            sha256: "5a".to_owned(),
        };
        let nodes = lengths.into_iter().enumerate().map(sum).collect();
        let common_length = lengths[0].min(lengths[1]);
        Comparison { nodes, common_length, common_sha256: "c0".to_owned(), difference, verdict }
    }

    #[test]
    fn the_verdict_says_how_far_the_nodes_agree_or_where_they_first_differ() {
        let identical = |lengths| verdict(&found(lengths, None, Verdict::Identical));
        assert_eq!(identical([7, 7]), "IDENTICAL: 2 nodes, 7 bytes");
        assert_eq!(
            identical([7, 5]),
            "IDENTICAL: 2 nodes, up to the 5 bytes that all of them have committed\n\
             sha256 up to there: c0\nnode1 is 2 bytes behind"
        );
        let difference = Difference { offset: 3, bytes: vec![0, 255] };
        assert_eq!(
            verdict(&found([7, 7], Some(difference), Verdict::Different)),
            "DIFFERENT: first at offset 3, where node0 has 0x00, node1 has 0xff"
        );
    }

    #[test]
    fn what_shares_no_byte_or_no_chain_has_nothing_to_compare() {
        let nothing = |lengths, why| verdict(&found(lengths, None, why));
        assert_eq!(
            nothing([0, 0], Verdict::NothingInCommon),
            "NOTHING TO COMPARE: no node has committed a byte yet"
        );
        assert_eq!(
            nothing([7, 0], Verdict::NothingInCommon),
            "NOTHING TO COMPARE: node1 has not committed a byte yet"
        );
        assert_eq!(
            nothing([7, 7], Verdict::OtherChains),
            "NOTHING TO COMPARE: these nodes are of several networks.\n\
             node0 is of the chain \"chain-0\"\nnode1 is of the chain \"chain-1\""
        );
    }
}
