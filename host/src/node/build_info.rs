//! What a `dseq` program is made for, and whether another one fits in its place.
//!
//! # Format
//!
//! What `dseq version --json` prints: `{"dseq":"0.1.0","engine":"<hex>","cometbft":"0.39.4","formats":{"app hash":"dseq/app-hash/v1"}}`.
//! A program that prints more is read all the same.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::excerpt::words;
use crate::node::engine::cometbft;
use crate::{plugin, sequence};

/// How long another program may take to answer.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// Maximum size of its answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// What a program is made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildInfo {
    /// Its version.
    pub dseq: String,
    /// The id of its engine: programs with the same one come to the same results.
    pub engine: String,
    /// The version of CometBFT that it runs.
    pub cometbft: String,
    /// The version of each format that is on disk, or is hashed.
    pub formats: BTreeMap<String, String>,
}

/// Another program that does not say what it is made for.
#[derive(Debug, thiserror::Error)]
pub enum BuildInfoError {
    /// It cannot be run.
    ///
    /// Give the path of a dseq that is built for this machine and that this user may run.
    #[error("cannot run {path}", path = path.display())]
    Run {
        /// The program.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It takes too long.
    ///
    /// Run it by hand, to see what it waits for.
    #[error("{path} did not end within {seconds} s and was killed", path = path.display(), seconds = PATIENCE.as_secs())]
    Slow {
        /// The program.
        path: PathBuf,
    },
    /// It says something else.
    ///
    /// Give the path of the dseq that is to take this one's place.
    #[error("{path} does not answer `version --json` as dseq does ({status}; it said {said:?}); is it dseq, of a version that has `upgrade check`?", path = path.display())]
    Other {
        /// The program.
        path: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// What it said, without its middle if that is long.
        said: String,
    },
}

impl BuildInfo {
    /// This program's.
    #[must_use]
    pub fn own() -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut formats: BTreeMap<String, String> =
            sequence::FORMATS.map(|(name, magic)| (name.to_owned(), text(magic))).into();
        formats.insert("app hash".to_owned(), text(dseq_format::app_hash::TAG));
        formats.insert("pipeline id".to_owned(), text(dseq_format::rules::PIPELINE_ID_TAG));
        Self {
            dseq: env!("CARGO_PKG_VERSION").to_owned(),
            engine: plugin::engine_id().to_string(),
            cometbft: cometbft::VERSION.to_owned(),
            formats,
        }
    }

    /// Asks another program.
    ///
    /// # Errors
    ///
    /// When it cannot be run, or does not say.
    pub fn of(program: &Path) -> Result<Self, BuildInfoError> {
        let (status, said) = run(program, &["version", "--json"])?;
        let found = serde_json::from_str(&said).ok().filter(|_| status.success());
        found.ok_or_else(|| BuildInfoError::Other {
            path: program.to_owned(),
            status,
            said: words(&said.trim()),
        })
    }

    /// Why a program with this cannot take the place of ours in a network whose genesis pins `engine`; empty: it can.
    #[must_use]
    pub fn misfits(&self, ours: &Self, engine: &str) -> Vec<String> {
        let mut found = Vec::new();
        if self.engine != engine {
            found.push(format!(
                "its engine is {}, and the network's is {engine}: it may compute other results and refuses to run here",
                words(&self.engine)
            ));
        }
        for (name, version) in &ours.formats {
            match self.formats.get(name) {
                Some(new) if new == version => {}
                Some(new) => {
                    found.push(format!("its format of the {name} is {}, and ours is {version}", words(new)));
                }
                None => found
                    .push(format!("it does not say which format of the {name} it has; ours is {version}")),
            }
        }
        found
    }
}

/// Runs a program to its end: how it ended, and what it wrote to both outputs.
///
/// # Errors
///
/// When it cannot be run, or takes too long.
pub fn run(program: &Path, args: &[&str]) -> Result<(ExitStatus, String), BuildInfoError> {
    let failed = |source| BuildInfoError::Run { path: program.to_owned(), source };
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let outputs = [child.stdout.take().map(reading), child.stderr.take().map(reading)];
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            break status;
        }
        if began.elapsed() >= PATIENCE {
            child.kill().and_then(|()| child.wait()).map_err(failed)?;
            return Err(BuildInfoError::Slow { path: program.to_owned() });
        }
        thread::sleep(POLL);
    };
    let said = outputs.into_iter().flatten().filter_map(|output| output.join().ok());
    Ok((status, said.collect()))
}

/// Reads an output to its end, and keeps its beginning, so that whoever writes much is not held up.
fn reading(output: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut output = output;
        let mut text = Vec::new();
        let _ = output.by_ref().take(ANSWER_BYTES_MAX).read_to_end(&mut text);
        let _ = io::copy(&mut output, &mut io::sink());
        String::from_utf8_lossy(&text).into_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_engine_or_format_does_not_fit_and_more_formats_do() {
        let ours = BuildInfo::own();
        let misfits = |change: &dyn Fn(&mut BuildInfo)| {
            let mut new = ours.clone();
            change(&mut new);
            new.misfits(&ours, &ours.engine).join("; ")
        };
        assert_eq!(misfits(&|_| {}), "");
        assert_eq!(misfits(&|new| drop(new.formats.insert("new".to_owned(), "1".to_owned()))), "");
        assert!(misfits(&|new| new.engine = "00".to_owned()).contains("may compute other results"));
        assert!(misfits(&|new| drop(new.formats.remove("app hash"))).contains("does not say"));
        let other = misfits(&|new| drop(new.formats.insert("rules".to_owned(), "x".to_owned())));
        assert!(other.contains("its format of the rules is"), "{other}");
    }

    #[test]
    fn a_program_that_is_not_ours_is_said_so() {
        let err = BuildInfo::of(Path::new("/bin/echo")).unwrap_err().to_string();
        assert!(err.contains("does not answer `version --json`") && err.contains("version --json"), "{err}");
        assert!(
            BuildInfo::of(Path::new("/nowhere")).unwrap_err().to_string().contains("cannot run /nowhere")
        );
    }
}
