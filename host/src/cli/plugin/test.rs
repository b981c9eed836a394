//! `dseq plugin test`: tests a plugin against its golden files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};

use super::goldens::{Case, Difference, Expected, Golden};
use super::render::trace;
use super::rewriting::Rewriting;
use super::{EXIT_FAILED, build, pipeline, read, say};
use crate::atomic_file;
use crate::plugin::{AdmitError, Limits, Pipeline, on_large_stack};

#[derive(Debug, clap::Args)]
#[command(before_help = "Examples:
  dseq plugin test                              # build and test this project
  dseq plugin test --update                     # update its golden files
  dseq plugin test --plugin notes.wasm goldens  # test a built file")]
pub(in crate::cli) struct Args {
    /// Golden files, folders of them, or projects with a folder `goldens/`
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<PathBuf>,
    /// The `.wasm` file [default: build the project as `dseq plugin build` does]
    #[arg(long, value_name = "FILE")]
    plugin: Option<PathBuf>,
    /// Write the results into the golden files
    #[arg(long)]
    update: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let files = args.paths.iter().map(|path| golden_files(path)).collect::<Result<Vec<_>, _>>()?.concat();
    let mut built = BTreeMap::new();
    let mut counts = Counts::default();
    for file in &files {
        let plugin = match &args.plugin {
            Some(plugin) => plugin.clone(),
            None => built_for(file, &mut built)?,
        };
        test(file, &plugin, args.update, &mut counts)
            .with_context(|| format!("cannot test {}", file.display()))?;
    }
    say(counts.text())?;
    Ok(if counts.failed > 0 { ExitCode::from(EXIT_FAILED) } else { ExitCode::SUCCESS })
}

/// The golden files at a path: itself, or those in the folder.
fn golden_files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let found = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if !found.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let dir = if path.join("Cargo.toml").is_file() { path.join("goldens") } else { path.to_owned() };
    let mut files = Vec::new();
    if dir.is_dir() {
        for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
            let file = entry?.path();
            if file.extension().is_some_and(|extension| extension == "toml") {
                files.push(file);
            }
        }
    }
    if files.is_empty() {
        bail!("there is no golden file (*.toml) in {}; name the folder that has them", dir.display());
    }
    files.sort();
    Ok(files)
}

/// The `.wasm` file of a golden file's project; each project is built once.
fn built_for(file: &Path, built: &mut BTreeMap<PathBuf, PathBuf>) -> anyhow::Result<PathBuf> {
    let project = project_of(file)?;
    if let Some(plugin) = built.get(&project) {
        return Ok(plugin.clone());
    }
    let plugin = build::build(&project, None)?;
    built.insert(project, plugin.clone());
    Ok(plugin)
}

/// The folder with a `Cargo.toml` that a golden file belongs to.
fn project_of(file: &Path) -> anyhow::Result<PathBuf> {
    let file = std::path::absolute(file).context("cannot determine the current folder")?;
    let project = file.ancestors().skip(1).find(|folder| folder.join("Cargo.toml").is_file());
    project.map(Path::to_owned).with_context(|| {
        format!("{} is in no project that could be built; give the plugin with --plugin FILE", file.display())
    })
}

fn test(path: &Path, plugin: &Path, update: bool, counts: &mut Counts) -> anyhow::Result<()> {
    let text = fs::read_to_string(path)?;
    let golden = Golden::parse(&text, path)?;
    let mut rewriting = Rewriting::of(&text)?;
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let admitted = admit(plugin, &golden)?;
    match (admitted, &golden.refused) {
        (Ok(pipeline), None) => {
            for (index, case) in golden.cases.iter().enumerate() {
                let trace =
                    on_large_stack(|| trace(&pipeline, &case.tx)).context("cannot start a thread")??;
                let outcome = trace.outcome.map_err(|refusal| {
                    anyhow!("case {:?}: {}; change its transaction", case.name, refusal.message)
                })?;
                let found = Expected::of(&outcome);
                let how = how(case, &found, update)?;
                if matches!(how, How::Updated) {
                    rewriting.case(index, &found)?;
                }
                counts.print(&file, &case.name, &how)?;
            }
        }
        (Err(found), Some(expected)) if found == *expected => counts.print(&file, REFUSED, &How::Ok)?,
        (Err(found), Some(_)) if update => {
            rewriting.refused(&found);
            counts.print(&file, REFUSED, &How::Updated)?;
        }
        (admitted, refused) => {
            let accepted = "the params are accepted".to_owned();
            let expected = refused.as_ref().map_or(accepted.clone(), |message| format!("{message:?}"));
            let found = admitted.map_or_else(|message| format!("{message:?}"), |_| accepted);
            counts.print(
                &file,
                REFUSED,
                &How::Failed(vec![Difference { what: "refused", expected, found }]),
            )?;
        }
    }
    let updated = rewriting.to_string();
    if update && updated != text {
        atomic_file::replace(path, updated.as_bytes())?;
    }
    Ok(())
}

/// The name of the case for a file's params.
const REFUSED: &str = "the params";

/// The plugin with the file's params, or the message with which it refuses them.
fn admit(plugin: &Path, golden: &Golden) -> anyhow::Result<Result<Pipeline, String>> {
    let wasm = read(plugin)?;
    let plugin = pipeline::alone(plugin, golden.params.clone())?;
    match pipeline::admit(&[plugin], &[wasm], Limits::default()) {
        Ok(pipeline) => Ok(Ok(pipeline)),
        Err(error) => match error.downcast_ref() {
            Some(AdmitError::Params { message, .. }) => Ok(Err(message.clone())),
            _ => Err(error),
        },
    }
}

fn how(case: &Case, found: &Expected, update: bool) -> anyhow::Result<How> {
    if update {
        return Ok(if case.is_complete(found) { How::Ok } else { How::Updated });
    }
    if !case.has_verdict() {
        bail!("case {:?} has no verdict; write one, or use --update", case.name);
    }
    let differences = case.differences(found);
    Ok(if differences.is_empty() { How::Ok } else { How::Failed(differences) })
}

/// How a case went.
enum How {
    Ok,
    Updated,
    Failed(Vec<Difference>),
}

#[derive(Default)]
struct Counts {
    passed: u64,
    failed: u64,
    updated: u64,
}

impl Counts {
    fn print(&mut self, file: &str, case: &str, how: &How) -> anyhow::Result<()> {
        let (count, word, differences) = match how {
            How::Ok => (&mut self.passed, "ok", &[][..]),
            How::Updated => (&mut self.updated, "updated", &[][..]),
            How::Failed(differences) => (&mut self.failed, "FAILED", &differences[..]),
        };
        *count += 1;
        say(format!("test {file}: {case} ... {word}"))?;
        for Difference { what, expected, found } in differences {
            say(format!("    {what:<8} expected  {expected}\n    {:<8} found     {found}", ""))?;
        }
        Ok(())
    }

    fn text(&self) -> String {
        let Self { passed, failed, updated } = self;
        let result = if *failed > 0 { "FAILED" } else { "ok" };
        let updated = if *updated > 0 { format!("; {updated} updated") } else { String::new() };
        format!("\ntest result: {result}. {passed} passed; {failed} failed{updated}")
    }
}
