//! Finding the one version of CometBFT that dseq is made for.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The pinned version; the Makefile reads the same file.
pub const VERSION: &str = include_str!("../../../networks/cometbft.version").trim_ascii();

/// A CometBFT program whose version was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CometBft {
    path: PathBuf,
    passed_over: Vec<String>,
}

/// No CometBFT of the pinned version.
#[derive(Debug, thiserror::Error)]
#[error("no CometBFT {VERSION} found; looked at:\n{looked}\nrun `make build`, or name one with --cometbft or DSEQ_COMETBFT", looked = tried.join("\n"))]
pub struct NotFound {
    tried: Vec<String>,
}

impl CometBft {
    /// Takes the program that was named; else the one beside this executable; else the first on PATH.
    ///
    /// # Errors
    ///
    /// When none of these has the pinned version; the error names each and what was wrong with it.
    pub fn find(named: Option<&Path>) -> Result<Self, NotFound> {
        // An empty name, as in an empty environment variable, names nothing.
        let candidates = match named.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => vec![path.to_owned()],
            None => beside_executable().into_iter().chain(on_path()).collect(),
        };
        Self::first_of(candidates)
    }

    fn first_of(candidates: Vec<PathBuf>) -> Result<Self, NotFound> {
        let mut tried = Vec::new();
        for path in candidates {
            match version_of(&path) {
                Ok(found) if found == VERSION => {
                    let passed_over =
                        tried.into_iter().filter(|text: &String| !text.ends_with(ABSENT)).collect();
                    return Ok(Self { path, passed_over });
                }
                Ok(found) => tried.push(format!("  {}: is version {found}, not {VERSION}", path.display())),
                Err(why) => tried.push(format!("  {}: {why}", path.display())),
            }
        }
        if tried.is_empty() {
            tried.push("  (PATH has no cometbft)".to_owned());
        }
        Err(NotFound { tried })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Programs that came first but were not used, each with the reason.
    #[must_use]
    pub fn passed_over(&self) -> &[String] {
        &self.passed_over
    }

    /// A command that runs it for a node's home.
    #[must_use]
    pub fn command(&self, home: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("--home").arg(home).stdin(Stdio::null());
        command
    }
}

const ABSENT: &str = "not there";

fn beside_executable() -> Option<PathBuf> {
    Some(std::env::current_exe().ok()?.parent()?.join("cometbft"))
}

/// Every `cometbft` that PATH leads to, in its order.
fn on_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join("cometbft")).filter(|file| file.is_file()).collect()
}

/// Asks a program for its version. Builds from a checkout say `v0.38.26+<commit>`.
fn version_of(path: &Path) -> Result<String, String> {
    let output = Command::new(path).arg("version").stdin(Stdio::null()).output();
    let output = output.map_err(|err| match err.kind() {
        std::io::ErrorKind::NotFound => ABSENT.to_owned(),
        _ => format!("cannot be run: {err}"),
    })?;
    if !output.status.success() {
        return Err(format!("`version` failed: {}", output.status));
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
        assert_eq!(found.passed_over(), [format!("  {}: is version 1.0.0, not {VERSION}", wrong.display())]);
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
