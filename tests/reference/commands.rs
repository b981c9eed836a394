//! docs/cli.md: the help of every command.

use std::process::Command;

use super::compare;

const INTRO: &str = "# Commands

What `dseq COMMAND --help` says, for each command; `dseq man` makes manual pages of the same, and `dseq completions` completions for
a shell. [errors.md](errors.md#exit-codes) has the exit codes.

This page is generated: `UPDATE=1 cargo test -p dseq --test reference` rewrites it.
";

/// What a command says of itself, in an environment that sets nothing.
fn help(words: &[String]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dseq"));
    let output = command.args(words).arg("--help").env_clear().output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The commands below one, in the order of its help.
fn below(help: &str) -> Vec<String> {
    let Some((_, rest)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let is_command = |line: &&str| line.starts_with("  ") && !line.starts_with("   ");
    let lines = rest.lines().take_while(|line| !line.is_empty()).filter(is_command);
    let names = lines.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    names.map(str::to_owned).collect()
}

/// The command, and then those below it.
fn describe(words: &[String], page: &mut String) {
    let said = help(words);
    let title = format!("dseq {}", words.join(" "));
    let lines: Vec<&str> = said.lines().map(str::trim_end).collect();
    page.push_str(&format!("\n## `{}`\n\n```text\n{}\n```\n", title.trim_end(), lines.join("\n").trim()));
    for name in below(&said) {
        describe(&[words, &[name]].concat(), page);
    }
}

#[test]
fn the_page_of_commands_is_what_they_say() {
    let mut page = INTRO.to_owned();
    describe(&[], &mut page);
    assert!(page.matches("\n## `").count() > 20, "{page}");
    compare("cli.md", &page);
}
