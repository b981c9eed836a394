//! `dseq init`: makes a node's home.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::{HomeArg, say};
use crate::node::cometbft::CometBft;
use crate::node::config;
use crate::node::genesis::{self, Member, NetworkSpec};
use crate::node::home::NodeHome;
use crate::node::overrides;
use crate::node::rules::{PluginFile, RulesError};
use crate::node::shell;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    home: HomeArg,
    #[command(flatten)]
    pipeline: PipelineArgs,
    /// The new network's name [default: made up]
    #[arg(long)]
    chain_id: Option<String>,
    /// The CometBFT program
    #[arg(long, value_name = "FILE", env = config::COMETBFT.env)]
    cometbft: Option<PathBuf>,
}

/// The pipeline of a new network.
#[derive(Debug, clap::Args)]
pub(super) struct PipelineArgs {
    /// A plugin of the pipeline, in order [default: passthrough, from plugins/ beside this program]
    #[arg(long = "plugin", value_name = "NAME=FILE")]
    plugins: Vec<String>,
    /// What a plugin is told [default: {}]
    #[arg(long = "params", value_name = "NAME=JSON")]
    params: Vec<String>,
}

impl PipelineArgs {
    /// The plugins; none: none is given, and nobody is told anything.
    pub(super) fn files(&self) -> Result<Option<Vec<PluginFile>>, RulesError> {
        let files = self.plugins.iter().map(|text| PluginFile::parse(text));
        let mut files = files.collect::<Result<Vec<_>, _>>()?;
        PluginFile::tell(&mut files, &self.params)?;
        Ok((!files.is_empty()).then_some(files))
    }
}

pub(super) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let root = std::path::absolute(&args.home.home).context("cannot tell the current folder")?;
    let cometbft = CometBft::find(args.cometbft.as_deref())?;
    let occupied = fs::read_dir(&root).map(|mut entries| entries.next().is_some()).unwrap_or(root.exists());
    if occupied {
        bail!(
            "{} is there already; nothing was changed. Choose another --home, or move it away",
            root.display()
        );
    }
    let spec = NetworkSpec {
        chain_id: args.chain_id,
        plugins: match args.pipeline.files()? {
            Some(plugins) => plugins,
            None => vec![PluginFile::passthrough()?],
        },
        config_overrides: &[overrides::COMMON_CONFIG],
    };
    make(&cometbft, &spec, &root)?;
    say(format!(
        "made {root}\n\n  run it     dseq start --home {quoted}\n  settings   {root}/dseq.toml\n  genesis    \
         {root}/config/genesis.json\n\nIt is a network of its own with 1 validator: this node decides alone. To take part in \
         a network that\nis there already, copy its genesis over this one before the first start.",
        root = root.display(),
        quoted = shell::word(&root),
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the home aside and moves it into place, so that there is never half a home.
fn make(cometbft: &CometBft, spec: &NetworkSpec, root: &Path) -> anyhow::Result<()> {
    let name = root.file_name().context("--home must not be the root folder")?.to_string_lossy();
    let parent = root.parent().context("--home must not be the root folder")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let partial = parent.join(format!(".{name}.partial-{}", std::process::id()));
    let member = Member { home: NodeHome::new(&partial), moniker: name.into_owned(), ports: None };
    let made = genesis::create(cometbft, spec, &[member])
        .map_err(anyhow::Error::from)
        .and_then(|()| fs::rename(&partial, root).with_context(|| format!("cannot make {}", root.display())));
    if made.is_err() && partial.exists() {
        // The reason why it was not made matters more than what it leaves behind.
        let _ = fs::remove_dir_all(&partial);
    }
    made
}
