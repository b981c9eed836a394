//! `dseq status`: all nodes side by side, once or as a live view.
//!
//! Exit codes when asked once: 0 fine, 1 degraded or failed, 2 no quorum. A usage error is 2 too, as everywhere; then nothing
//! is printed on standard output.

mod collect;
mod frame;
mod screen;
mod whole;

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{EXIT_FAILED, say};
use crate::node::address::Address;
use crate::node::engine::config::EngineConfig;
use crate::node::engine::key_files;
use crate::node::engine::listen;
use crate::node::engine::rpc::Rpc;
use crate::node::home::NodeHome;
use crate::node::network::{Member, NetworkFile};
use crate::node::process::signals;
use crate::node::testnet::{DEFAULT_DIR, Network};
use crate::node::verdict::State;
use crate::node::view::Subject;

use collect::{Collector, View};
use frame::Bytes;
use screen::Screen;
use whole::Whole;

pub(super) const EXAMPLES: &str = "Examples:
  dseq status
  dseq status --follow --hex
  dseq status --home node            # the network of a node
  dseq status --node localhost:26657,localhost:26660 --json";

/// How often the live view is drawn.
const DRAW: Duration = Duration::from_millis(500);
/// How often lines are written where there is no terminal.
const LINES_EVERY: Duration = Duration::from_secs(5);
/// How often nodes that were not seen at the same number of records are looked at again, when asked once.
const LOOKS_MAX: u32 = 5;
/// Maximum number of nodes: those of the largest local network. Each takes a thread.
const NODES_MAX: usize = 32;
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// How long a node may take to name its peers.
const PATIENCE: Duration = Duration::from_secs(2);
const EXIT_NO_QUORUM: u8 = 2;
/// Columns where the terminal does not say how many it has.
const WIDTH: usize = 100;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Nodes to ask, by the address of their RPC [default: those of the local network]
    #[arg(long = "node", value_name = "HOST:PORT", value_delimiter = ',', value_parser = super::load::address)]
    nodes: Vec<Address>,
    /// Node to ask for its network: itself, and each member whose RPC others may ask
    #[arg(long, value_name = "DIR", conflicts_with = "nodes")]
    home: Option<PathBuf>,
    /// Local network to ask, where neither --node nor --home is given
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DIR, conflicts_with_all = ["nodes", "home"])]
    dir: PathBuf,
    /// Keep showing it: a live view on a terminal, lines every few seconds elsewhere; Ctrl-C ends it
    #[arg(short, long)]
    follow: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "follow")]
    json: bool,
    /// Number of records to show, the last ones
    #[arg(short = 'n', long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(..=100))]
    records: u64,
    /// Show records as hexadecimal, not as text
    #[arg(long)]
    hex: bool,
    /// Show records as text (the default)
    #[arg(long, conflicts_with = "hex")]
    text: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let home = args.home.as_deref().map(NodeHome::open).transpose()?;
    let (subjects, network, members) = match &home {
        _ if !args.nodes.is_empty() => (args.nodes.iter().map(remote).collect(), None, Vec::new()),
        Some(home) => {
            let network = NetworkFile::joined(home)?;
            let members = network.map_or_else(Vec::new, |network| network.members().to_vec());
            (of_home(home, &members)?, None, members)
        }
        None => {
            let network = Network::open(&args.dir)?;
            (local(&network)?, Some(network), Vec::new())
        }
    };
    if subjects.len() > NODES_MAX {
        anyhow::bail!("at most {NODES_MAX} nodes can be shown, not {}; choose with --node", subjects.len());
    }
    let as_bytes = if args.hex { Bytes::Hex } else { Bytes::Text };
    let collector = Collector::new(subjects, network, args.records);
    if args.follow {
        follow(&collector, as_bytes)
    } else {
        once(&collector, args, as_bytes, &members, home.as_ref())
    }
}

/// A node of this machine, and those of its network whose RPC can be asked from here.
fn of_home(home: &NodeHome, members: &[Member]) -> anyhow::Result<Vec<Subject>> {
    let Some(rpc) = listen::rpc_url(home) else {
        anyhow::bail!(
            "{} names no address of CometBFT's RPC; set rpc.laddr there",
            home.cometbft_config().display()
        );
    };
    let own_id = key_files::node_id(home)?;
    let own = members.iter().find(|member| Some(&member.node_id) == own_id.as_ref());
    let name = own.map(|member| member.name.clone());
    let name = name
        .or_else(|| EngineConfig::of(home).moniker().map(str::to_owned))
        .unwrap_or("this node".to_owned());
    let mut subjects = vec![Subject { name, rpc: rpc.clone(), home: Some(home.root().to_owned()) }];
    if members.is_empty() {
        // Without a network file, those that the node itself is connected to.
        let peers = Rpc::at(rpc, PATIENCE).neighbours().unwrap_or_default();
        let known = peers.into_iter().filter_map(|peer| Some((peer.moniker, peer.rpc?)));
        subjects.extend(known.map(|(name, rpc)| Subject { name, rpc: format!("http://{rpc}"), home: None }));
    }
    let others = members.iter().filter(|member| Some(&member.node_id) != own_id.as_ref());
    let with_rpc = others.filter_map(|member| Some((member.name.clone(), member.rpc_url()?)));
    subjects.extend(with_rpc.map(|(name, rpc)| Subject { name, rpc, home: None }));
    Ok(subjects)
}

fn local(network: &Network) -> anyhow::Result<Vec<Subject>> {
    let subject = |node: crate::node::testnet::Node| Subject {
        rpc: node.rpc_url(),
        home: Some(node.home.root().to_owned()),
        name: node.name,
    };
    Ok(network.nodes()?.into_iter().map(subject).collect())
}

fn remote(address: &Address) -> Subject {
    Subject { name: address.to_string(), rpc: format!("http://{address}"), home: None }
}

fn once(
    collector: &Collector,
    args: &Args,
    as_bytes: Bytes,
    members: &[Member],
    home: Option<&NodeHome>,
) -> anyhow::Result<ExitCode> {
    collector.look_once();
    // While blocks come, nodes are seldom seen at the same one.
    for _ in 1..LOOKS_MAX {
        if collector.view().is_compared() {
            break;
        }
        std::thread::sleep(LOOK_PAUSE);
        collector.look_once();
    }
    collector.look_at_records();
    collector.ask_for_states();
    collector.ask_for_checks(home);
    let view = collector.view();
    let whole = whole::of(&view, collector.subjects(), members);
    if args.json {
        say(serde_json::to_string_pretty(&json(&view, &whole, as_bytes))?)?;
    } else {
        let width = screen::size().map_or(WIDTH, |(width, _)| width);
        say(frame::lines(&view, width, usize::MAX, as_bytes, false).join("\n"))?;
        say(format!("\n{}", whole.lines().join("\n")))?;
    }
    Ok(match whole.verdict.state {
        State::Fine => ExitCode::SUCCESS,
        State::Degraded => ExitCode::from(EXIT_FAILED),
        State::NoQuorum => ExitCode::from(EXIT_NO_QUORUM),
    })
}

fn json(view: &View, whole: &Whole, as_bytes: Bytes) -> Value {
    let nodes: Vec<Value> = view
        .nodes
        .iter()
        .map(|node| {
            let mut all =
                json!({ "node": node.name, "rpc": node.rpc, "state": node.state(), "reason": node.reason() });
            if let (Some(all), Some(Value::Object(shown))) =
                (all.as_object_mut(), node.shown().map(|shown| json!(shown)))
            {
                for (key, value) in shown {
                    all.entry(key).or_insert(value);
                }
            }
            all["agreement"] = json!(node.agreement);
            all["checks"] = json!(node.checks);
            all
        })
        .collect();
    let record = |record: &crate::node::view::Record| json!({ "index": record.index, "bytes": record.bytes.len(), as_bytes.name(): as_bytes.show(&record.bytes) });
    let records: Vec<Value> = view.records.iter().map(record).collect();
    let twice = whole.twice.as_ref().map(|all| {
        all.iter()
            .map(|(block, validator)| json!({ "block": block, "validator": validator }))
            .collect::<Vec<_>>()
    });
    json!({ "network": whole.verdict, "signed_twice": twice, "nodes": nodes, "last_records": records })
}

/// Shows the nodes until a signal comes.
fn follow(collector: &Collector, as_bytes: Bytes) -> anyhow::Result<ExitCode> {
    let (sender, stop) = mpsc::channel();
    signals::forward(sender)?;
    let _running = collector.keep_looking();
    let mut screen = io::stdout().is_terminal().then(Screen::open).transpose()?;
    let began = Instant::now();
    let mut written = None;
    loop {
        match stop.recv_timeout(DRAW) {
            Ok(_) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let view = collector.view();
        match &mut screen {
            Some(screen) => {
                let (width, height) = screen::size().unwrap_or((WIDTH, 24));
                screen.draw(&frame::lines(&view, width, height, as_bytes, true), width, height)?;
            }
            // Before every node was looked at there is nothing to say, unless one of them hangs.
            None if view.nodes.iter().any(collect::NodeView::is_pending) && began.elapsed() < LINES_EVERY => {
            }
            None if written.is_none_or(|at: Instant| at.elapsed() >= LINES_EVERY) => {
                written = Some(Instant::now());
                say(frame::plain(&view).join("\n"))?;
            }
            None => {}
        }
    }
    Ok(ExitCode::SUCCESS)
}
