//! The network under test: `dseq testnet` starts and stops it, as an operator would.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use dseq::node::process::running::Running;
use dseq::node::testnet::{Network, Node};
use serde_json::Value;

use crate::{BASE_PORT, DIR, PLUGIN};

/// How long a disturbed node may take until it is one of the network again.
pub(crate) const RETURN_PATIENCE: Duration = Duration::from_secs(120);

/// Where the network is, and what it is made of.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct NetworkArgs {
    /// Folder of the network, made anew. What is in it is removed
    #[arg(long, default_value = DIR)]
    pub(crate) dir: PathBuf,
    /// The base of the nodes' ports
    #[arg(long, default_value_t = BASE_PORT)]
    base_port: u16,
    /// `dseq`
    #[arg(long, default_value = "build/dseq")]
    dseq: PathBuf,
    /// CometBFT
    #[arg(long, default_value = "build/cometbft")]
    cometbft: PathBuf,
    /// The plugin
    #[arg(long, default_value = PLUGIN)]
    plugin: PathBuf,
}

pub(crate) struct Testnet {
    dseq: PathBuf,
    cometbft: PathBuf,
    dir: PathBuf,
    pub(crate) nodes: Vec<Node>,
}

impl Testnet {
    /// Makes it anew, and waits until all nodes accept transactions.
    pub(crate) fn start(options: &NetworkArgs) -> Result<Self> {
        let found = |path: &PathBuf| {
            path.canonicalize().with_context(|| format!("{}: run `make build` first", path.display()))
        };
        let (dseq, cometbft, plugin) =
            (found(&options.dseq)?, found(&options.cometbft)?, found(&options.plugin)?);
        let mut net = Self { dseq, cometbft, dir: options.dir.clone(), nodes: Vec::new() };
        if net.dir.join("network.json").exists() {
            net.stop()?;
            std::fs::remove_dir_all(&net.dir)?;
        }
        let name = plugin.file_stem().context("the plugin has no name")?.display();
        let plugin = format!("{name}={}", plugin.display());
        let base_port = options.base_port.to_string();
        net.testnet(&["start", "--base-port", &base_port, "--plugin", &plugin])?;
        net.nodes = Network::open(&net.dir)?.nodes()?;
        Ok(net)
    }

    /// Starts the nodes that do not run, and waits until all accept transactions.
    pub(crate) fn start_again(&self) -> Result<()> {
        self.testnet(&["start"]).map(drop)
    }

    pub(crate) fn stop(&self) -> Result<()> {
        self.testnet(&["stop"]).map(drop)
    }

    fn testnet(&self, args: &[&str]) -> Result<String> {
        let mut command = self.command("testnet");
        let output = command.args(args).arg("--dir").arg(&self.dir).output()?;
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "dseq testnet {} failed:\n{said}", args.join(" "));
        Ok(said)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(&self.dseq);
        command.env("DSEQ_COMETBFT", &self.cometbft).arg(name);
        command
    }

    /// What `dseq checksum --json` says once all nodes have committed equally much.
    pub(crate) fn checksum(&self) -> Result<Value> {
        let begin = Instant::now();
        loop {
            let output = self.command("checksum").args(["--json", "--dir"]).arg(&self.dir).output()?;
            let said = serde_json::from_slice::<Value>(&output.stdout);
            let found = said.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
            let nodes = found["nodes"].as_array().context("no nodes")?;
            if nodes.windows(2).all(|pair| pair[0]["length"] == pair[1]["length"]) {
                return Ok(found);
            }
            if begin.elapsed() > RETURN_PATIENCE {
                bail!(
                    "after {} s the nodes have committed different lengths: {found}",
                    RETURN_PATIENCE.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The processes of a node, if they all run.
    pub(crate) fn running(&self, node: usize) -> Option<Running> {
        Running::read(&self.nodes[node].home).filter(|running| {
            let all = [Some(running.supervisor), running.app, running.cometbft];
            all.into_iter().all(|process| process.is_some_and(dseq::node::process::ProcessId::is_alive))
        })
    }
}
