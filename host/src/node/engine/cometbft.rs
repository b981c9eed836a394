//! Finding the one version of CometBFT that dseq is made for.

use std::fmt;
use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The pinned version; the Makefile reads the same file.
pub const VERSION: &str = include_str!("../../../../networks/cometbft.version").trim_ascii();

/// A CometBFT program whose version was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CometBft {
    path: PathBuf,
    named: bool,
    passed_over: Vec<PassedOver>,
}

/// A program that is not the CometBFT that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Where.
    pub path: PathBuf,
    /// Why not.
    pub why: WhyNot,
}

/// Why a program is not the CometBFT that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// There is no such file.
    Absent,
    /// It says that it is another version.
    Version(String),
    /// It could not be asked.
    Failed(String),
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.why {
            WhyNot::Absent => f.write_str("not there"),
            WhyNot::Version(found) => write!(f, "is version {found}, not {VERSION}"),
            WhyNot::Failed(words) => f.write_str(words),
        }
    }
}

/// No CometBFT of the pinned version.
#[derive(Debug, thiserror::Error)]
#[error("no CometBFT {VERSION} found; looked at:\n{looked}\nrun `make build`, or name one with --cometbft or DSEQ_COMETBFT", looked = looked(tried))]
pub struct NotFound {
    tried: Vec<PassedOver>,
}

fn looked(tried: &[PassedOver]) -> String {
    if tried.is_empty() {
        return "  (PATH has no cometbft)".to_owned();
    }
    tried.iter().map(|one| format!("  {one}")).collect::<Vec<_>>().join("\n")
}

impl CometBft {
    /// Takes the program that was named; else the one beside this executable; else the first on PATH that has
    /// the pinned version.
    ///
    /// # Errors
    ///
    /// When none of these has the pinned version; the error names each and what was wrong with it.
    pub fn find(named: Option<&Path>) -> Result<Self, NotFound> {
        // An empty name, as in an empty environment variable, names nothing.
        match named.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => Ok(Self { named: true, ..Self::first_of(vec![path.to_owned()])? }),
            None => Self::first_of(beside_executable().into_iter().chain(on_path()).collect()),
        }
    }

    fn first_of(candidates: Vec<PathBuf>) -> Result<Self, NotFound> {
        let mut tried = Vec::new();
        for path in candidates {
            let why = match version_of(&path) {
                Ok(found) if found == VERSION => return Ok(Self { path, named: false, passed_over: tried }),
                Ok(found) => WhyNot::Version(found),
                Err(why) => why,
            };
            tried.push(PassedOver { path, why });
        }
        Err(NotFound { tried })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was named, not found.
    #[must_use]
    pub fn named(&self) -> bool {
        self.named
    }

    /// Programs that are there and came first, but were not used.
    pub fn passed_over(&self) -> impl Iterator<Item = &PassedOver> {
        self.passed_over.iter().filter(|one| one.why != WhyNot::Absent)
    }

    /// A command that runs it for a node's home.
    #[must_use]
    pub fn command(&self, home: &Path) -> Command {
        let mut command = isolated(&self.path);
        command.arg("--home").arg(home);
        command
    }
}

/// What CometBFT may see of our environment: what a program needs to run at all, and the knobs of Go's runtime.
///
/// Nothing else. CometBFT takes each of its settings from `CMT_*` and `TM_*` variables too, and `CMTHOME` and `TMHOME` win
/// over `--home`: with one left over from another node, it would run on that node's genesis, keys and data.
pub const ENVIRONMENT: &[&str] =
    &["PATH", "HOME", "TMPDIR", "GODEBUG", "GOGC", "GOMAXPROCS", "GOMEMLIMIT", "GOTRACEBACK"];

/// How Go's runtime collects CometBFT's garbage; an operator's own variables win.
///
/// CometBFT keeps little and allocates much: when its heap may grow to five times what is in use, not to twice as by
/// default, a transaction costs it a tenth less. The limit is for a mempool that is full (1 GiB by default, where five
/// times would be 5 GiB): with it such a node takes the 2 GiB that it took before, for no more work.
pub const GARBAGE: [(&str, &str); 2] = [("GOGC", "400"), ("GOMEMLIMIT", "2GiB")];

/// How many threads may run CometBFT's code at once where the machine has fewer processors; an operator's own variable wins.
///
/// CometBFT's ABCI client, as released, sends a check once a timer has fired, which it sets to 20 nanoseconds. While the goroutine that sends waits
/// for a thread, the timer fires again and again, and with two threads the one that is free may do nothing else for ten
/// milliseconds. With eight, another thread is there to send: a transaction costs CometBFT an eighth less on two processors. (16 are no better than 8.)
pub const GO_THREADS_MIN: usize = 8;

/// CometBFT's log has no time zone in its timestamps; in UTC they can be compared with ours.
const TIME_ZONE: (&str, &str) = ("TZ", "UTC");

/// A command in an environment of our choice, without input.
fn isolated(program: &Path) -> Command {
    let mut command = Command::new(program);
    let passed_on = ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command
        .env_clear()
        .envs(GARBAGE)
        .envs(more_threads())
        .envs([TIME_ZONE])
        .envs(passed_on)
        .stdin(Stdio::null());
    command
}

/// Go's own default, one thread for each processor, is left alone where it is enough.
fn more_threads() -> Option<(&'static str, String)> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    (processors < GO_THREADS_MIN).then(|| ("GOMAXPROCS", GO_THREADS_MIN.to_string()))
}

fn beside_executable() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.join("cometbft"))
}

/// Every `cometbft` that PATH leads to, in its order.
fn on_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join("cometbft")).filter(|file| file.is_file()).collect()
}

/// Asks a program for its version. Builds from a checkout say `v1.2.3+<commit>`.
fn version_of(path: &Path) -> Result<String, WhyNot> {
    let output = isolated(path).arg("version").output();
    let output = output.map_err(|err| match err.kind() {
        io::ErrorKind::NotFound => WhyNot::Absent,
        _ => WhyNot::Failed(format!("cannot be run: {err}")),
    })?;
    if !output.status.success() {
        return Err(WhyNot::Failed(format!("`version` failed: {}", output.status)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let word = text.trim();
    let word = word.strip_prefix('v').unwrap_or(word);
    Ok(word.split('+').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fake(dir: &Path, name: &str, says: &str) -> PathBuf {
        let path = dir.join(name);
        // Written by another process: while we had it open, a test beside this one might fork, and the kernel
        // does not run a file that anybody has open for writing.
        let script = format!("printf '#!/bin/sh\\necho {says}\\n' > \"$0\" && chmod 755 \"$0\"");
        assert!(Command::new("sh").arg("-c").arg(script).arg(&path).status().unwrap().success());
        path
    }

    #[test]
    fn a_wrong_version_is_passed_over_and_said() {
        let dir = tempfile::tempdir().unwrap();
        let wrong = fake(dir.path(), "wrong", "1.0.0");
        let right = fake(dir.path(), "right", &format!("v{VERSION}+abc123"));
        let absent = dir.path().join("absent");
        let found = CometBft::first_of(vec![absent, wrong.clone(), right.clone()]).unwrap();
        assert_eq!(found.path(), right);
        let passed_over: Vec<String> = found.passed_over().map(ToString::to_string).collect();
        assert_eq!(passed_over, [format!("{}: is version 1.0.0, not {VERSION}", wrong.display())]);
    }

    #[test]
    fn cometbft_sees_only_the_environment_that_was_chosen_for_it() {
        // Cargo's own variables are among ours: without an end to inheritance they would be among the child's.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some(), "run by cargo");
        let output = isolated(Path::new("/usr/bin/env")).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let seen: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert!(seen.contains(&"PATH"), "{seen:?}");
        let is_chosen = |name: &&str| ENVIRONMENT.contains(name) || *name == TIME_ZONE.0;
        assert!(seen.iter().all(is_chosen) && text.contains("TZ=UTC\n"), "{seen:?}");
        assert!(GARBAGE.iter().all(|(name, _)| ENVIRONMENT.contains(name)), "or an operator's would not win");
        assert!(!ENVIRONMENT.iter().any(|name| name.starts_with("CMT") || name.starts_with("TM_")));
    }

    #[test]
    fn a_named_program_of_the_wrong_version_is_refused_even_if_another_would_do() {
        let dir = tempfile::tempdir().unwrap();
        let wrong = fake(dir.path(), "wrong", "0.38.0-rc3");
        let message = CometBft::find(Some(&wrong)).unwrap_err().to_string();
        assert!(message.contains(&format!("is version 0.38.0-rc3, not {VERSION}")), "{message}");
        assert!(message.contains("--cometbft"), "{message}");
    }
}
