//! The examples in the plugins' READMEs are what really happens.
//!
//! Each block of shell commands is run where `build/` is as `make build` leaves it; its lines that begin with `# ` are
//! what it prints about verdicts.
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::gallery::{locked, path, root};

/// The blocks of shell commands in a README.
fn blocks(readme: &str) -> Vec<&str> {
    readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn examples_in_readmes_are_what_really_happens() {
    let has_openssl = Command::new("openssl").arg("version").output().is_ok();
    for (plugin, _) in locked() {
        let readme = fs::read_to_string(root().join("plugins").join(&plugin).join("README.md")).unwrap();
        let blocks = blocks(&readme);
        assert!(!blocks.is_empty(), "the README of {plugin} has no example");
        for block in blocks {
            if block.contains("openssl") && !has_openssl {
                println!("skipped, because there is no openssl: an example of {plugin}");
                continue;
            }
            let temp = tempfile::tempdir().unwrap();
            let build = temp.path().join("build");
            fs::create_dir(&build).unwrap();
            symlink(env!("CARGO_BIN_EXE_dseq"), build.join("dseq")).unwrap();
            symlink(path(&plugin).parent().unwrap(), build.join("plugins")).unwrap();
            let output = Command::new("sh").args(["-euc", block]).current_dir(temp.path()).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "{block}\n{said}{}", String::from_utf8_lossy(&output.stderr));
            let is_verdict = |line: &&str| line.starts_with("accepted") || line.starts_with("rejected");
            let found: Vec<&str> = said.lines().filter(is_verdict).collect();
            let told: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("# ")).collect();
            assert_eq!(found, told, "{plugin}:\n{block}");
        }
    }
}
