//! `dseq init`: makes a node's home: a member of a network to come, a full node, or a network of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use super::{HomeArg, say};
use crate::node::address::Address;
use crate::node::config;
use crate::node::engine::cometbft::CometBft;
use crate::node::genesis::RulesError;
use crate::node::genesis::rules::{self, Plugin, PluginFile};
use crate::node::home::NodeHome;
use crate::node::home::new_home::NewHome;
use crate::node::network::{self, Founding, Listen, Member, NetworkError, NewMember, Profile};
use crate::node::shell;

pub(super) const EXAMPLES: &str = "Examples:
  dseq init --home node --name alice --address alice.example:26656
  dseq init --home node --name eve --address eve.example:26656 --observer
  dseq init --home node --solo --plugin json=json.wasm";

/// The port of a node's peers, unless its address has another.
const P2P_PORT: u16 = 26656;
/// The port of CometBFT's RPC.
const RPC_PORT: u16 = 26657;
/// The port of CometBFT's metrics, should they be turned on.
const METRICS_PORT: u16 = 26660;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    home: HomeArg,
    /// Name of the node among the members [with --solo, default: the folder's]
    #[arg(long)]
    name: Option<String>,
    /// Address at which the other members reach the node
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Make a full node: it gets every block and takes transactions, and has no vote
    #[arg(long, conflicts_with = "solo")]
    observer: bool,
    /// Make a network of its own: this node decides alone
    #[arg(long)]
    solo: bool,
    /// Where the node listens for the others [default: all addresses of this machine, the port of --address]
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// Where the node answers HTTP; beyond this machine only behind a proxy, since it asks for no password [default: 127.0.0.1:6900]
    #[arg(long, value_name = "IP:PORT")]
    http: Option<SocketAddr>,
    /// Where CometBFT answers RPC; beyond this machine only behind a proxy, since it asks for no password [default: 127.0.0.1:26657]
    #[arg(long, value_name = "IP:PORT")]
    rpc: Option<SocketAddr>,
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Chain id of the new network, with --solo [default: generated]
    #[arg(long, requires = "solo")]
    chain_id: Option<String>,
    /// Print the member file alone
    #[arg(long, conflicts_with = "solo")]
    json: bool,
    /// CometBFT program
    #[arg(long, value_name = "FILE", env = config::COMETBFT.env)]
    cometbft: Option<PathBuf>,
}

/// The pipeline of a new network.
#[derive(Debug, clap::Args)]
pub(super) struct PipelineArgs {
    /// Plugin of the pipeline; repeat for several, in order [default: the built-in passthrough]
    #[arg(long = "plugin", value_name = "NAME=FILE")]
    plugins: Vec<String>,
    /// Plugin parameters, as JSON [default: {}]
    #[arg(long = "params", value_name = "NAME=JSON")]
    params: Vec<String>,
}

impl PipelineArgs {
    /// The plugins; none: none is given.
    pub(super) fn files(&self) -> Result<Option<Vec<PluginFile>>, RulesError> {
        let files = self.plugins.iter().map(|text| PluginFile::parse(text));
        let mut files = files.collect::<Result<Vec<_>, _>>()?;
        PluginFile::set_params(&mut files, &self.params)?;
        Ok((!files.is_empty()).then_some(files))
    }

    /// The plugins' bytes; the default plugin if none is given.
    pub(super) fn read(&self) -> Result<Vec<Plugin>, RulesError> {
        Ok(match self.files()? {
            Some(plugins) => rules::read_plugins(&plugins)?,
            None => vec![Plugin::passthrough()],
        })
    }
}

/// What `dseq init` says if it is not said what the node is to be.
const CHOICE: &str = "what is this node to be?\n  \
    a member of a network of machines        dseq init --home DIR --name NAME --address HOST:PORT\n  \
    a full node of one, without a vote       the same, with --observer\n  \
    a network of its own, deciding alone     dseq init --home DIR --solo";

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if !args.solo && (args.name.is_none() || args.address.is_none()) {
        return super::plugin::usage(CHOICE);
    }
    let has_rules = !args.pipeline.plugins.is_empty() || !args.pipeline.params.is_empty();
    if has_rules && !args.solo {
        return super::plugin::usage(
            "plugins belong to the network: give them to `dseq network create`, or make a network of one with --solo",
        );
    }
    let cometbft = CometBft::find(args.cometbft.as_deref())?;
    let place = NewHome::prepare(&args.home.home)?;
    let new = new_member(args, &place)?;
    let root = place.root().to_owned();
    let home = NodeHome::new(place.partial());
    if args.solo {
        let chain_id = args.chain_id.clone();
        let founding = Founding { chain_id, plugins: args.pipeline.read()?, profile: Profile::Wide };
        network::found(&cometbft, founding, &[(home, new.clone())])?;
        place.put_in_place()?;
        say(made_alone(&root, &new))?;
        return Ok(ExitCode::SUCCESS);
    }
    let member = network::make_home(&cometbft, &home, &new)?;
    place.put_in_place()?;
    say(if args.json { member.text().trim_end().to_owned() } else { made(&root, &new, &member) })?;
    Ok(ExitCode::SUCCESS)
}

/// What the arguments ask for.
fn new_member(args: &Args, place: &NewHome) -> Result<NewMember, NetworkError> {
    let bad = |flag: &str, found: &str, expected| {
        let (place, found) = (flag.to_owned(), found.chars().take(80).collect());
        NetworkError::Value { place, found, expected }
    };
    let name = args.name.clone().unwrap_or_else(|| place.moniker());
    if !network::is_name(&name) {
        return Err(bad("--name", &name, network::NAME_EXPECTED));
    }
    let address = match &args.address {
        Some(text) => {
            network::parse_address(text).ok_or_else(|| bad("--address", text, network::ADDRESS_EXPECTED))?
        }
        None => Address::loopback(args.listen.map_or(P2P_PORT, |listen| listen.port())),
    };
    let everywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port);
    let here = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let listen = Listen {
        p2p: of(args.listen.unwrap_or(everywhere)),
        rpc: of(args.rpc.unwrap_or(here(RPC_PORT))),
        metrics: of(here(METRICS_PORT)),
        http: args.http,
    };
    Ok(NewMember { name, address, listen, observer: args.observer })
}

fn of(address: SocketAddr) -> Address {
    Address::new(address.ip().to_string(), address.port())
}

/// Where a node listens, and whom that lets in.
fn exposed(new: &NewMember) -> String {
    let http = of(new.listen.http.unwrap_or(config::HTTP_DEFAULT));
    let open = |address: &Address, open: &str| {
        let who = if address.is_loopback() { "this machine only" } else { open };
        format!("{:<18} {who}", address.to_string())
    };
    let no_password = "OPEN: whoever reaches it may use it, there is no password and no encryption";
    format!(
        "  peers    {}\n  HTTP     {}\n  RPC      {}",
        open(&new.listen.p2p, "open to others; what goes over it is encrypted"),
        open(&http, no_password),
        open(&new.listen.rpc, no_password),
    )
}

fn made(root: &std::path::Path, new: &NewMember, member: &Member) -> String {
    let quoted = shell::word(root);
    let role = if new.observer { "a full node, without a vote" } else { "a member of a network to come" };
    format!(
        "Made {root}: {name}, {role}. It listens on\n{exposed}\n\nIts member file, {root}/member.json, is public: send it to \
         whoever makes the network file.\nThe keys in {root}/config are secret: never send them to anyone.\n\n\
         {text}\nThen join the network, and start the node:\n  dseq network join --home {quoted} network.json --expect \
         FINGERPRINT\n  dseq start --home {quoted}",
        root = root.display(),
        name = new.name,
        exposed = exposed(new),
        text = member.text(),
    )
}

fn made_alone(root: &std::path::Path, new: &NewMember) -> String {
    format!(
        "Made {root}: a network of its own with 1 validator: this node decides alone. It listens on\n{exposed}\n\n  run it     \
         dseq start --home {quoted}\n  settings   {root}/dseq.toml\n  genesis    {root}/config/genesis.json",
        root = root.display(),
        exposed = exposed(new),
        quoted = shell::word(root),
    )
}
