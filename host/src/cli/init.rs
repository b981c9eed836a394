//! `dseq init`: makes a node's home.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{HomeArg, say};
use crate::node::config;
use crate::node::engine::cometbft::CometBft;
use crate::node::engine::overrides;
use crate::node::genesis::rules::{self, Plugin, PluginFile};
use crate::node::genesis::{self, Member, NetworkSpec, RulesError};
use crate::node::home::NodeHome;
use crate::node::home::new_home::NewHome;
use crate::node::shell;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    home: HomeArg,
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// Chain id of the new network [default: generated]
    #[arg(long)]
    chain_id: Option<String>,
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
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let cometbft = CometBft::find(args.cometbft.as_deref())?;
    let place = NewHome::prepare(&args.home.home)?;
    let spec = NetworkSpec {
        chain_id: args.chain_id,
        plugins: match args.pipeline.files()? {
            Some(plugins) => rules::read_plugins(&plugins)?,
            None => vec![Plugin::passthrough()],
        },
        config_overrides: &[overrides::COMMON_CONFIG],
    };
    let root = place.root().to_owned();
    let home = NodeHome::new(place.partial());
    genesis::create(&cometbft, &spec, &[Member { home, moniker: place.moniker(), addresses: None }])?;
    place.put_in_place()?;
    say(format!(
        "made {root}\n\n  run it     dseq start --home {quoted}\n  settings   {root}/dseq.toml\n  genesis    \
         {root}/config/genesis.json\n\nIt is a network of its own with 1 validator: this node decides alone. To take part in \
         a network that\nis there already, copy its genesis over this one before the first start.",
        root = root.display(),
        quoted = shell::word(&root),
    ))?;
    Ok(ExitCode::SUCCESS)
}
