//! The golden files of this repository's plugins, run as those who write plugins run theirs: by `dseq plugin test`.
//!
//! A difference means that the plugin computes something else than before, verdict, record, words or fuel: networks
//! that run it fork. `UPDATE=1` writes what it does now into the files; the difference is then to be reviewed, and its
//! reason said in the commit.
use std::env;
use std::process::Command;

use super::gallery::{locked, path, root};

#[test]
fn every_plugin_does_what_its_golden_files_say() {
    for (plugin, _) in locked() {
        let mut test = Command::new(env!("CARGO_BIN_EXE_dseq"));
        test.args(["plugin", "test"]).arg(root().join("plugins").join(&plugin));
        test.arg("--plugin").arg(path(&plugin));
        if env::var_os("UPDATE").is_some() {
            test.arg("--update");
        }
        let output = test.output().unwrap();
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(output.status.success(), "{plugin}: run with UPDATE=1 if it is meant\n{}", said.concat());
    }
}
