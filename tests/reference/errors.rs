//! `docs/errors.md`: result codes, exit codes, and every message of an error type, with its cause and what to do.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{compare, heading, repository, row, source};
use dseq::plugin::Fault;

const INTRO: &str = "# Errors

This page is generated from the code (`tests/reference`). Search it for the fixed words of a message; `‹…›` stands for what
differs from case to case. Where a column is empty, the message says it already. Left out is what only names a file or a step and is
followed by its cause, such as `cannot read ‹path›`. What is to be reported goes to the project's issue tracker.

Errors of the HTTP API are in [http.md](http.md), failing health checks in [health.md](health.md).

## Result codes of transactions and queries

A code is read together with its `codespace`. In `broadcast_tx_commit`'s answer, `check_tx` has them if the transaction was
refused before it reached a block, `tx_result` if it was rejected in one.

";

const FAULTS: &str = "
### Plugin faults

A plugin broke its contract: the transaction is rejected with codespace `plugin/<name>`, on every node alike. The cause is a
defect of the plugin, or a limit in the genesis that is too low for it. `dseq plugin run` shows the fault for one transaction.

";

const EXITS: &str = "
## Exit codes

| code | meaning | what to do |
|---|---|---|
| 0 | success | |
| 1 | failure or failed check | read the message; trying again may help |
| 2 | usage | correct the command; `--help` lists the flags |
| 3 | not found: no node that answers has the transaction, or has come as far as that place | ask again later |
| 4 | rejected: the pipeline, or a limit of the network, does not take the transaction | read the reason; the same bytes will be rejected again |
| 5 | outcome unknown: the transaction may be or become committed | ask with `dseq receipt` before you send it again |
| 6 | no node can be reached | look at the addresses (`--node`, `DSEQ_NODE`), and whether the nodes run |
| 7 | nodes disagree: two nodes hold different bytes | one of them is not to be trusted; `dseq checksum` and `dseq status` compare all |
| 78 | configuration error: a node that refuses to run | correct what the message names (configuration, home, genesis, plugins or CometBFT); a restart alone does not help |

";

/// Where a message can be met.
struct Section {
    title: &'static str,
    /// When these are met, and what to do if the message does not say it.
    about: &'static str,
    files: &'static [&'static str],
}

const SECTIONS: &[Section] = &[
    Section {
        title: "Settings of a node",
        about: "Met by every command that reads `dseq.toml`. The message names the file and line, variable or flag: correct it there. Exit code 78, 2 for a flag, or 1 in `dseq config check`.",
        files: &["node/config/error.rs"],
    },
    Section {
        title: "A node's home",
        about: "Met by `dseq init` and by every command with `--home`. Exit code 78, or 1 where the system failed.",
        files: &[
            "node/home/mod.rs",
            "node/home/new_home.rs",
            "node/home/access.rs",
            "node/home/machine.rs",
            "node/genesis/create.rs",
            "atomic_file.rs",
        ],
    },
    Section {
        title: "A network of machines",
        about: "Met by `dseq init` and `dseq network`. Nothing was changed then. Exit code 1, or 2 for a wrong flag.",
        files: &["node/network/error.rs", "node/network/fingerprint.rs", "cli/init.rs"],
    },
    Section {
        title: "Genesis and rules",
        about: "Met by `dseq init`, `dseq genesis` and the start of a node. Correct the genesis with `dseq genesis set` while nothing is committed; after the first block, put the network's genesis back. Exit code 1 for a failed check, 2 for a wrong flag, 78 at the start of a node.",
        files: &[
            "node/genesis/rules_error.rs",
            "node/genesis/document_error.rs",
            "node/genesis/origin.rs",
            "cli/genesis.rs",
            "app/genesis.rs",
            "abci/bounds.rs",
            "abci/halt.rs",
            "format:rules.rs",
            "format:json.rs",
            "format:types.rs",
        ],
    },
    Section {
        title: "Plugins",
        about: "Met where a plugin is loaded: `dseq plugin check`, `dseq genesis`, the start of a node. The author of the plugin changes it, or the pipeline uses another one. `dseq plugin check` shows the same message without a network. Exit code 1, or 78 at the start of a node.",
        files: &["plugin/validate/error.rs", "plugin/admit/error.rs", "plugin/dir.rs", "plugin/fault.rs"],
    },
    Section {
        title: "Tools for plugins",
        about: "Met by `dseq plugin`. Exit code 1, or 2 for a wrong flag.",
        files: &[
            "cli/plugin/mod.rs",
            "cli/plugin/new.rs",
            "cli/plugin/build.rs",
            "cli/plugin/goldens.rs",
            "cli/plugin/test.rs",
            "cli/plugin/bench.rs",
            "cli/plugin/replay.rs",
            "cli/plugin/run.rs",
            "cli/plugin/subject.rs",
            "cli/plugin/pipeline.rs",
        ],
    },
    Section {
        title: "Keys and recovery",
        about: "Met by `dseq keys`, `dseq recover` and `dseq upgrade check`, and at the start of a node, which then exits with 78. [Restore](run/restore.md), [moving](run/move.md), [a lost disk](run/lost-disk.md) and [a copied home](run/copied-home.md) say step by step what to do. Exit code 1, or 78 for a home that must not be used as it is.",
        files: &[
            "node/preflight/error.rs",
            "node/engine/key_files.rs",
            "node/engine/throwaway.rs",
            "node/keys/archive.rs",
            "node/keys/carry.rs",
            "node/recover/mod.rs",
            "node/recover/run.rs",
            "node/recover/watch.rs",
            "node/build_info.rs",
        ],
    },
    Section {
        title: "Running a node",
        about: "Met by `dseq start` and `dseq serve`, and then in their log. `dseq start` restarts after errors that a retry may fix (the app exits with 1), and exits with 78 after the others.",
        files: &[
            "node/supervisor/mod.rs",
            "node/engine/cometbft.rs",
            "node/engine/config.rs",
            "node/engine/overrides.rs",
            "node/engine/environment.rs",
            "node/engine/data.rs",
            "abci/transport/addr.rs",
            "abci/transport/listener.rs",
            "abci/transport/mod.rs",
            "api/server.rs",
        ],
    },
    Section {
        title: "The log",
        about: "Met at the start of a node, when a block is committed, and when records are read. Nothing committed is overwritten. `replay` means: the node fetches the chain's blocks again, from its own CometBFT or its peers.",
        files: &[
            "sequence/recovery.rs",
            "sequence/log.rs",
            "sequence/files.rs",
            "sequence/head.rs",
            "sequence/reader.rs",
            "api/tail/mod.rs",
        ],
    },
    Section {
        title: "Consensus and its connection",
        about: "Met in the log of a node whose CometBFT sends what dseq cannot take, usually because it is another version or uses another network's data.",
        files: &["app/state.rs", "abci/transport/connection.rs", "abci/transport/frames.rs"],
    },
    Section {
        title: "Local networks and several nodes",
        about: "Met by `dseq testnet`, `dseq checksum`, `dseq status` and what asks nodes over RPC. Exit code 1, or 2 for a wrong flag.",
        files: &[
            "node/testnet/error.rs",
            "node/testnet/logs.rs",
            "cli/testnet.rs",
            "cli/testnet/logs.rs",
            "cli/status/mod.rs",
            "node/checksum.rs",
            "cli/checksum.rs",
            "node/engine/rpc/mod.rs",
        ],
    },
    Section {
        title: "Clients",
        about: "Met by `dseq submit`, `dseq read`, `dseq tail` and `dseq receipt`, and by programs that use `dseq-client`. Exit codes 3 to 7 as in the table above, else 1.",
        files: &[
            "client:address.rs",
            "client:error.rs",
            "cli/transactions.rs",
            "cli/client/read.rs",
            "cli/client/submit.rs",
        ],
    },
    Section {
        title: "Load tests",
        about: "Met by `dseq load`, before it sends anything. Exit code 2 for a value beyond its bound, else 1.",
        files: &["load/mod.rs", "load/plan.rs", "cli/load/mod.rs"],
    },
];

#[test]
fn the_page_of_errors_is_what_the_code_says() {
    let root = repository();
    let mut page = INTRO.to_owned();
    page.push_str(&codes(&source::front(&root.join("host/src/app/codes.rs"))));
    page.push_str(FAULTS);
    page.push_str(&heading(&["code", "message"]));
    for fault in Fault::ALL {
        page.push_str(&row(&[&fault.code().to_string(), &fault.to_string()]));
    }
    page.push_str(EXITS);
    page.push_str("## Messages\n");
    for section in SECTIONS {
        page.push_str(&format!("\n### {}\n\n{}\n\n", section.title, section.about));
        page.push_str(&heading(&["message", "cause", "what to do"]));
        let messages = section.files.iter().flat_map(|file| source::messages(&place(&root, file)));
        let rows = messages.map(|message| row(&[&message.text, &message.cause, &message.what_to_do]));
        // Several types say the same of the file system.
        let mut said = BTreeSet::new();
        page.extend(rows.filter(|row| said.insert(row.clone())));
    }
    compare("errors.md", &page);
}

#[test]
fn each_file_with_messages_is_in_one_section() {
    let root = repository();
    let listed: Vec<PathBuf> =
        SECTIONS.iter().flat_map(|section| section.files).map(|file| place(&root, file)).collect();
    assert_eq!(listed.iter().collect::<BTreeSet<_>>().len(), listed.len(), "a file is listed twice");
    for folder in ["host/src", "host/format/src", "host/client/src"] {
        for file in sources(&root.join(folder)) {
            let has = !source::messages(&file).is_empty();
            let is_listed = listed.contains(&file);
            assert_eq!(
                has,
                is_listed,
                "{}: put it into a section of `SECTIONS`, or take it out",
                file.display()
            );
        }
    }
}

fn place(root: &Path, file: &str) -> PathBuf {
    match file.split_once(':') {
        Some((of, file)) => root.join("host").join(of).join("src").join(file),
        None => root.join("host/src").join(file),
    }
}

/// The table in the module that defines the codes.
fn codes(front: &str) -> String {
    let lines: Vec<&str> = front.lines().filter(|line| line.starts_with('|')).collect();
    assert!(lines.len() > 10, "the table of codes is not found");
    format!("{}\n", lines.join("\n"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            // Templates of plugins are not ours.
            if !path.components().any(|part| part.as_os_str() == "template") {
                files.push(path);
            }
        }
    }
    files
}
