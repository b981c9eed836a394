//! Consensus scenarios as text: each file in `scenarios/` is a history that reads from top to bottom.
//!
//! A block of a file is one or more commands, `----`, and what they answered, up to an empty line. The test runs the
//! commands of a file against one application and compares; `UPDATE=1` writes down what was answered instead, and the
//! diff is reviewed like code. Lines that start with `#` are for the reader.
//!
//! | command | what happens |
//! |---|---|
//! | `init_chain PIPELINE [initial_height=N] [LIMIT=N]` | InitChain with the `moody` plugin or the `empty` pipeline |
//! | `info`, `commit` | the request of that name |
//! | `check TX...`, `prepare [bytes=N] TX...`, `process TX...` | the request of that name |
//! | `finalize HEIGHT TX...` | FinalizeBlock of a block that consensus has decided and stored |
//! | `round TX...` | a round that decides nothing: prepare, and process of what was prepared |
//! | `block TX...` | a whole height: check each, prepare, process, finalize, commit |
//! | `query PATH [height=N] [prove]` | Query |
//! | `sequence` | the file as anybody would read it |
//! | `stop`, `start`, `restart` | the application's process; nothing is saved at its end |
//! | `handshake` | CometBFT connects: Info, then InitChain and the blocks that the application lacks |
//! | `backup`, `restore`, `erase` | the log's folder, while the application is stopped |
//!
//! A transaction is a word: what is written, `""` for no bytes, `x*300` for 300 times the letter, `a{1..9}` for nine
//! transactions. A receipt is written height/index/offset+length, and of a hash the first 8 digits.

mod commands;
mod text;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use commands::Scenario;
use text::with_short_hashes;

/// The command that is running; says so when it panics.
struct Running(String);

impl Drop for Running {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("while running {}", self.0);
        }
    }
}

/// The file as it would be if the commands answered what they answer now.
fn run_file(path: &Path, text: &str) -> String {
    let mut scenario = Scenario::new();
    let (mut found, mut said) = (String::new(), String::new());
    let mut unanswered = false;
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        writeln!(found, "{line}").unwrap();
        if line == "----" {
            found.push_str(if said.is_empty() { "ok\n" } else { &said });
            said.clear();
            unanswered = false;
            // What it was, up to the empty line.
            if lines.by_ref().any(|(_, line)| line.is_empty()) {
                found.push('\n');
            }
        } else if !line.is_empty() && !line.starts_with('#') {
            let _running = Running(format!("{}:{number}: {line}", path.display()));
            let answer = with_short_hashes(scenario.run(line).trim_end());
            if !answer.is_empty() {
                writeln!(said, "{answer}").unwrap();
            }
            unanswered = true;
        }
    }
    assert!(!unanswered, "{}: a command without ---- below it", path.display());
    found
}

/// The first line in which two texts differ, and what is around it.
fn difference(expected: &str, found: &str) -> String {
    let same = expected.lines().zip(found.lines()).take_while(|(one, other)| one == other).count();
    let around = |text: &str| {
        let lines = text.lines().enumerate().skip(same.saturating_sub(4)).take(12);
        lines.map(|(index, line)| format!("{:>4} {line}\n", index + 1)).collect::<String>()
    };
    format!("expected\n{}found\n{}", around(expected), around(found))
}

#[test]
fn every_scenario_goes_as_it_is_written() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let dir = workspace.join("tests/abci/scenarios");
    let mut files: Vec<PathBuf> = dir.read_dir().unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|name| name == "txt"));
    files.sort();
    assert!(!files.is_empty());
    let mut report = String::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let found = run_file(&file, &text);
        if found == text {
            continue;
        }
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&file, found).unwrap();
        } else {
            writeln!(report, "{}\n{}", file.display(), difference(&text, &found)).unwrap();
        }
    }
    assert!(report.is_empty(), "{report}UPDATE=1 writes the files anew; review the diff.");
}
