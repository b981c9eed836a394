//! `dseq genesis`: the rules in a genesis file, before its network begins.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use serde_json::{Value, json};

use super::{HomeArg, say, table};
use crate::app::GenesisRules;
use crate::node::genesis::RulesError;
use crate::node::genesis::document::GenesisDoc;
use crate::node::genesis::file::GenesisFile;
use crate::node::genesis::membership::{self, Part};
use crate::node::genesis::origin;
use crate::node::genesis::rules::{self, PluginFile};
use crate::node::home::NodeHome;
use crate::node::network::NetworkFile;
use crate::plugin::{Pipeline, PluginDir, engine_id};

pub(super) const EXAMPLES: &str = "Examples:
  dseq genesis show --home node
  dseq genesis set --home node --plugin json=json.wasm --limit tx_bytes_max=65536
  dseq genesis verify --file genesis.json";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Show the engine, the limits and the pipeline
    Show(ShowArgs),
    /// Change the limits, the pipeline or plugin parameters; a genesis that no node would run is not written
    Set(SetArgs),
    /// Check whether a node would start with it
    Verify(FileArgs),
}

/// Which genesis file: a home's, or any.
#[derive(Debug, clap::Args)]
pub(super) struct FileArgs {
    #[command(flatten)]
    home: Option<HomeArg>,
    /// Genesis file that is not in a home
    #[arg(long, value_name = "FILE", conflicts_with = "home")]
    file: Option<PathBuf>,
    /// Folder of the plugin files [default: the home's plugins/, or plugins/ beside the file]
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("change").required(true).multiple(true).args(["pipeline", "params", "limits"])))]
pub(super) struct SetArgs {
    #[command(flatten)]
    file: FileArgs,
    /// Plugin of the new pipeline, which replaces the old one; repeat for several, in order
    #[arg(long = "plugin", id = "pipeline", value_name = "NAME=FILE")]
    pipeline: Vec<String>,
    /// Plugin parameters, as JSON
    #[arg(long, value_name = "NAME=JSON")]
    params: Vec<String>,
    /// Limit: tx_bytes_max, record_bytes_max, fuel_max or memory_bytes_max
    #[arg(long = "limit", id = "limits", value_name = "NAME=NUMBER")]
    limits: Vec<String>,
    /// Embed the new plugins in the genesis file, so that no node needs their files
    #[arg(long, requires = "pipeline")]
    inline: bool,
}

/// A genesis file and where its plugins are.
struct Place {
    genesis: PathBuf,
    plugins: PluginDir,
    /// The home it is in, if it was named by that.
    home: Option<NodeHome>,
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Show(args) => show(&args),
        Command::Set(args) => set(&args),
        Command::Verify(args) => verify(&args),
    }
}

fn place(args: &FileArgs) -> anyhow::Result<Place> {
    let (genesis, beside, home) = match (&args.home, &args.file) {
        (Some(HomeArg { home }), None) => {
            let home = NodeHome::open(home)?;
            (home.genesis_file(), home.plugins_dir(), Some(home))
        }
        (_, Some(file)) => (file.clone(), file.parent().unwrap_or(Path::new(".")).join("plugins"), None),
        (None, None) => bail!("which genesis? Give --home DIR or --file FILE"),
    };
    let plugins = PluginDir::new(args.plugins.clone().unwrap_or(beside));
    Ok(Place { genesis, plugins, home })
}

fn show(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let place = place(&args.file)?;
    let file = GenesisFile::read(&place.genesis)?;
    let rules = file.rules()?;
    if args.json {
        say(format!("{:#}", as_json(&file, &rules, place.home.as_ref())))?;
        return Ok(ExitCode::SUCCESS);
    }
    let limits = rules.pipeline.limits;
    let pipeline = match rules.pipeline.plugins.as_slice() {
        [] => "no plugins: every transaction is a record".to_owned(),
        _ => plugins_table(&rules, &place.plugins),
    };
    say(format!(
        "chain id     {}\nnetwork id   {}\nvalidators   {}\nengine       {}\npipeline id  {}\nlimits       tx_bytes_max {}, \
         record_bytes_max {}, fuel_max {}, memory_bytes_max {}\n\n{pipeline}",
        file.chain_id(),
        file.network_id(),
        // A file that is not good is shown too; `verify` says what is wrong with it.
        validators(&file, place.home.as_ref()).unwrap_or_else(|err| err.to_string()),
        engine(&rules),
        rules.pipeline.id(),
        limits.tx_bytes_max,
        limits.record_bytes_max,
        limits.fuel_max,
        limits.memory_bytes_max,
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn engine(rules: &GenesisRules) -> String {
    let (pinned, ours) = (rules.pipeline.engine, engine_id());
    if pinned == ours {
        format!("{pinned} (this build's)")
    } else {
        format!("{pinned} (not this build's, which is {ours})")
    }
}

fn plugins_table(rules: &GenesisRules, dir: &PluginDir) -> String {
    let mut rows = vec![["#", "plugin", "sha256", "params", "where"].map(str::to_owned).to_vec()];
    for (number, (plugin, inline)) in (1_usize..).zip(rules.pipeline.plugins.iter().zip(&rules.inline_wasm)) {
        let location = match (inline, dir.find(&plugin.sha256)) {
            (Some(_), _) => "in the file".to_owned(),
            (None, Ok(_)) => dir.path().display().to_string(),
            (None, Err(_)) => format!("not in {}", dir.path().display()),
        };
        rows.push(vec![
            number.to_string(),
            plugin.name.to_string(),
            plugin.sha256.to_string(),
            plugin.params.as_str().to_owned(),
            location,
        ]);
    }
    table(&rows)
}

fn as_json(file: &GenesisFile, rules: &GenesisRules, home: Option<&NodeHome>) -> Value {
    let plugins = rules.pipeline.plugins.iter().zip(&rules.inline_wasm).map(|(plugin, inline)| {
        let (name, sha256) = (plugin.name.as_str(), plugin.sha256.to_string());
        json!({ "name": name, "sha256": sha256, "params": plugin.params.value(), "inline": inline.is_some() })
    });
    let doc = file.doc().ok();
    let part = doc.as_ref().zip(home).map(|(doc, home)| Part::of(home, doc));
    json!({
        "chain_id": file.chain_id(),
        "network_id": file.network_id().to_string(),
        "validators": doc.as_ref().map(|doc| doc.validators.len()),
        "total_power": doc.as_ref().map(GenesisDoc::total_power),
        "validator": match part {
            Some(Part::Validator(index)) => json!(index),
            Some(Part::FullNode) => json!(false),
            Some(Part::Unknown) | None => Value::Null,
        },
        "engine": rules.pipeline.engine.to_string(),
        "is_engine_of_this_build": rules.pipeline.engine == engine_id(),
        "pipeline_id": rules.pipeline.id().to_string(),
        "limits": rules.pipeline.limits,
        "pipeline": plugins.collect::<Vec<_>>(),
    })
}

fn set(args: &SetArgs) -> anyhow::Result<ExitCode> {
    let place = place(&args.file)?;
    if let Some(home) = &place.home
        && origin::has_blocks(home)?
    {
        bail!(
            "the node in {} has committed blocks and keeps the rules it made them under; changing the file would only \
             stop it. For other rules, make a new network: new homes with `dseq init`, then `dseq network create`",
            home.root().display()
        );
    }
    let mut file = GenesisFile::read(&place.genesis)?;
    let pinned_engine = file.engine();
    let pipeline = change(&mut file, args, &place.plugins)?;
    file.write()?;
    let mut fingerprint = None;
    if let Some(home) = &place.home
        && home.network_file().exists()
    {
        // The home's copy of the network's file says the same as its genesis, unless somebody has edited one of them by hand.
        if let Ok(network) = NetworkFile::read(&home.network_file()).and_then(|old| old.with_genesis(&file)) {
            network.write(&home.network_file())?;
            fingerprint = Some(network.fingerprint()).filter(|_| network.members().len() > 1);
        }
    }
    say(format!("{} is changed; its pipeline id is {}", place.genesis.display(), pipeline.id()))?;
    if let Some(old) = pinned_engine.filter(|old| *old != engine_id().to_string()) {
        say(format!("It pinned engine {old}; it pins this build's now, which is {}.", engine_id()))?;
    }
    if place.home.is_some() {
        say("Every node of the network needs the same file, and the plugins it pins.")?;
    }
    if let Some(fingerprint) = fingerprint {
        say(format!(
            "This home is now of another network than the one it joined; its fingerprint is\n  {fingerprint}\nThe other members \
             need the same change, or a new file by `dseq network create` that all of them join."
        ))?;
    }
    if place.home.as_ref().is_some_and(|home| home.kept_genesis().exists()) {
        say(
            "The node has run with another genesis, but nothing is committed: it takes this one at its next start.",
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Makes the changes, admits the result as a node would, and stores the new plugins unless they are in the file itself.
fn change(file: &mut GenesisFile, args: &SetArgs, dir: &PluginDir) -> anyhow::Result<Pipeline> {
    let plugins = args.pipeline.iter().map(|text| PluginFile::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let plugins = rules::read_plugins(&plugins)?;
    if !plugins.is_empty() {
        file.pin(&plugins, args.inline);
    }
    file.set_params(&args.params)?;
    file.set_limits(&args.limits)?;
    file.pin_engine();
    let pipeline = file.admit(|wanted| {
        let given = plugins.iter().find(|plugin| plugin.sha256 == *wanted);
        given.map_or_else(|| dir.find(wanted), |plugin| Ok(plugin.wasm.clone()))
    })?;
    if !args.inline {
        for plugin in &plugins {
            dir.store(&plugin.name, &plugin.wasm)?;
        }
    }
    Ok(pipeline)
}

fn verify(args: &FileArgs) -> anyhow::Result<ExitCode> {
    let place = place(args)?;
    let file = GenesisFile::read(&place.genesis)?;
    let pipeline = file.admit(|wanted| place.plugins.find(wanted))?;
    if let Some(home) = &place.home {
        // What `start` refuses with 78 is a failed check here.
        origin::check(home, &file).map_err(|err| anyhow::anyhow!("{err}"))?;
    }
    let names: Vec<&str> = pipeline.spec().plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    let pipeline_text = if names.is_empty() { "without plugins".to_owned() } else { names.join(", ") };
    say(format!("{} is valid: pipeline {pipeline_text}, id {}", place.genesis.display(), pipeline.id()))?;
    say(format!("network {}: {}", file.network_id(), validators(&file, place.home.as_ref())?))?;
    Ok(ExitCode::SUCCESS)
}

/// Who decides, and what part the home has in it.
fn validators(file: &GenesisFile, home: Option<&NodeHome>) -> Result<String, RulesError> {
    let doc = file.doc()?;
    Ok(membership::describe(&doc, home.map(|home| Part::of(home, &doc))))
}
