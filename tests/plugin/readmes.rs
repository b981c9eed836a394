//! The examples in the plugins' READMEs and in `dseq plugin`'s `--help` run.
//!
//! Each block of shell commands in a README is run where `build/` is as `make build` leaves it; its lines that begin with
//! `# ` are what it prints about verdicts.
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

/// Whether an example of `--help` needs what this test has not: a project to build, a node, a plugin beside the program.
fn needs_more(example: &str) -> bool {
    let is = |command: &str| example.starts_with(&format!("dseq plugin {command}"));
    is("build")
        || is("replay")
        || (is("test") && !example.contains("--plugin"))
        || (is("bench") && !example.contains("--against"))
}

#[test]
fn examples_in_help_run() {
    let temp = tempfile::tempdir().unwrap();
    for (name, plugin) in
        [("notes", "passthrough"), ("old-notes", "passthrough"), ("hex", "hex"), ("lines", "lines")]
    {
        fs::copy(path(plugin), temp.path().join(format!("{name}.wasm"))).unwrap();
    }
    fs::write(temp.path().join("notes.txt"), "rain at noon\nsun\n").unwrap();
    fs::create_dir(temp.path().join("goldens")).unwrap();
    let golden = "[[case]]\nname = \"rain\"\ntx = \"rain\"\nverdict = \"unchanged\"\n";
    fs::write(temp.path().join("goldens/rain.toml"), golden).unwrap();
    symlink(env!("CARGO_BIN_EXE_dseq"), temp.path().join("dseq")).unwrap();
    let search = format!("{}:{}", temp.path().display(), std::env::var("PATH").unwrap());
    let shell = |line: &str| {
        let mut command = Command::new("sh");
        command.args(["-euc", line]).current_dir(temp.path()).env("PATH", &search);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let mut ran = 0;
    for command in ["new", "build", "check", "inspect", "run", "test", "bench", "hash", "replay"] {
        let help = shell(&format!("dseq plugin {command} --help"));
        let examples = help.split_once("\n\nExamples:\n").and_then(|(_, rest)| rest.split("\n\n").next());
        let examples = examples.unwrap_or_else(|| panic!("it leads with no examples: {help}"));
        for example in examples.lines().map(str::trim).filter(|example| !needs_more(example)) {
            shell(example);
            ran += 1;
        }
    }
    assert_eq!(ran, 12, "examples that ran");
}
