//! The walls of ARCHITECTURE.md, held: which words the code of which folder must not use, and why.
//!
//! Words are looked for in code: comments, and the unit tests at the end of a file, may say anything. Whoever is stopped
//! here either stands in the wrong folder or wants another architecture; then the table and ARCHITECTURE.md change
//! together.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Words that must not stand in some folders.
struct Wall {
    /// Where: files, or folders with all that is in them.
    folders: &'static [&'static str],
    /// Where all the same. At least one of the words stands there, or the wall is about nothing.
    except: &'static [&'static str],
    /// Whole words; a path such as `std::fs` counts as one.
    words: &'static [&'static str],
    /// What ARCHITECTURE.md says.
    reason: &'static str,
}

const WALLS: &[Wall] = &[
    Wall {
        folders: &["host/format/src"],
        except: &[],
        words: &["wasmtime", "tokio", "std::fs", "std::net", "std::time", "std::env", "std::process", "rand"],
        reason: "`dseq-format` is for clients and offline verifiers too: no I/O, no clock, no engine",
    },
    Wall {
        folders: &["host/src"],
        except: &["host/src/plugin"],
        words: &["wasmtime"],
        reason: "`plugin` is the only code that names wasmtime",
    },
    Wall {
        folders: &["host/src"],
        except: &["host/src/plugin/engine/mod.rs"],
        words: &["Config::new", "Config::default", "Engine::default"],
        reason: "one function builds the only `Config` of wasmtime",
    },
    Wall {
        folders: &["host/src"],
        except: &["host/src/abci"],
        words: &["tendermint_proto", "tendermint_abci"],
        reason: "`abci` is the only code that names CometBFT's message types",
    },
    Wall {
        folders: &["host/src"],
        except: &["host/src/cli"],
        words: &["anyhow"],
        reason: "errors are enums that say what failed; `anyhow` is for the command line alone",
    },
    Wall {
        folders: &["host", "plugins", "guest-sdk"],
        except: &["guest-sdk/src"],
        words: &["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"],
        reason: "unsafe code exists only in `guest-sdk`",
    },
    Wall {
        folders: &["host/src"],
        except: &["host/src/sequence", "host/src/node/app.rs"],
        words: &["Log::open", "\"sequence.bin\""],
        reason: "`sequence` is the only code that writes the log's files, for one owner: whoever serves consensus",
    },
    Wall {
        folders: &["host/src"],
        except: &["host/src/sequence", "host/src/node/checksum.rs", "host/src/cli/plugin/replay.rs"],
        words: &["SEQUENCE_FILE"],
        reason: "beside `sequence`, only `dseq checksum` and `dseq plugin replay` open the sequence, and only to read it",
    },
    Wall {
        folders: &["host/src/node/checksum.rs", "host/src/cli/plugin/replay.rs"],
        except: &[],
        words: &["fs::write", "File::create", "File::options", "OpenOptions", "set_len", "atomic_file"],
        reason: "whoever opens the sequence beside `sequence` writes no file",
    },
    Wall {
        folders: &["host/src/sequence", "host/src/plugin", "host/src/app"],
        except: &[],
        words: &["tokio", "rand", "std::env", "std::net", "SystemTime", "Instant", "std::{"],
        reason: "the core is synchronous and knows no clock, environment or randomness; \
                 imports from std are one a line, so that they can be found",
    },
    Wall {
        folders: &["host/src/app"],
        except: &[],
        words: &["std::fs", "std::process", "std::io", "std::path", "std::thread", "std::time"],
        reason: "`app` is pure: the caller hands in what was read, and makes durable what was decided",
    },
    Wall {
        folders: &["host/src/sequence"],
        except: &[],
        words: &["plugin::", "app::", "abci::", "node::", "cli::", "telemetry::"],
        reason: "`sequence` knows nothing of plugins, of ABCI or of CometBFT",
    },
    Wall {
        folders: &["host/src/plugin"],
        except: &[],
        words: &["sequence::", "app::", "abci::", "node::", "cli::", "telemetry::"],
        reason: "a pipeline is a function of plugin bytes, params and transaction: no height, no log, no engine",
    },
    Wall {
        folders: &["host/src/plugin/validate"],
        except: &[],
        words: &["instrument::", "engine::", "execute::", "admit::", "pipeline::"],
        reason: "imports go one way: `validate` is the first stage of admission, and needs no engine",
    },
    Wall {
        folders: &["host/src/plugin/instrument"],
        except: &[],
        words: &["engine::", "execute::", "admit::", "pipeline::"],
        reason: "imports go one way: `instrument` needs `validate` alone",
    },
    Wall {
        folders: &["host/src/plugin/execute"],
        except: &[],
        words: &["admit::", "pipeline::"],
        reason: "imports go one way: `execute` gets what was admitted",
    },
    Wall {
        folders: &["host/src/app"],
        except: &[],
        words: &["abci::", "node::", "cli::", "telemetry::"],
        reason: "`app` does not know that the engine is CometBFT",
    },
    Wall {
        folders: &["host/src"],
        except: &["host/src/api"],
        words: &["axum", "tower", "tower_http", "utoipa"],
        reason: "`api` is the only code that serves HTTP",
    },
    Wall {
        folders: &["host/src"],
        except: &["host/src/api", "host/src/node/engine/connection.rs"],
        words: &["hyper", "hyper_util", "http_body_util"],
        reason: "beside `api`, only the connections to CometBFT's RPC speak HTTP themselves: thousands of requests go there at once",
    },
    Wall {
        folders: &["host/src/api"],
        except: &[],
        words: &["node::", "cli::", "plugin::", "Service", "Log::", "Staging"],
        reason: "`api` sees the committed prefix and what the node tells it, through `State`",
    },
    Wall {
        folders: &["host/src"],
        except: &["host/src/receipts/index.rs"],
        words: &["redb::"],
        reason: "`receipts/index.rs` is the only code that names redb: nothing that is committed depends on it",
    },
    Wall {
        folders: &["host/src/receipts"],
        except: &[],
        words: &["plugin::", "abci::", "api::", "node::", "cli::"],
        reason: "`receipts` is derived from the log and from what Commit passes on",
    },
    Wall {
        folders: &["host/src/sequence", "host/src/plugin", "host/src/app"],
        except: &[],
        words: &["receipts::"],
        reason: "what is derived from the log is no part of what is committed",
    },
    Wall {
        folders: &["host/src/sequence", "host/src/plugin", "host/src/app", "host/src/abci"],
        except: &[],
        words: &["api::"],
        reason: "what serves consensus needs nothing of HTTP",
    },
    Wall {
        folders: &["host/src/abci"],
        except: &[],
        words: &["node::", "cli::"],
        reason: "no code of `node` runs between FinalizeBlock and Commit",
    },
    Wall {
        folders: &["host/src"],
        except: &["host/src/cli", "host/src/main.rs"],
        words: &["cli::"],
        reason: "nothing in `cli` is needed by another module",
    },
    Wall {
        folders: &["host/src"],
        except: &["host/src/telemetry/traces"],
        words: &["opentelemetry", "opentelemetry_sdk", "opentelemetry_otlp", "opentelemetry_http"],
        reason: "`telemetry/traces` is the only code that names OpenTelemetry; the core knows the macros of `tracing`",
    },
    Wall {
        folders: &["host/src"],
        except: &["host/src/telemetry/metrics"],
        words: &["prometheus_client"],
        reason: "`telemetry/metrics` is the only code that names Prometheus's client: others count by its methods",
    },
    Wall {
        folders: &["host/src"],
        except: &["host/src/load"],
        words: &["hdrhistogram"],
        reason: "`load` is the only code that names hdrhistogram",
    },
    Wall {
        folders: &["host/src"],
        except: &["host/src/cli"],
        words: &["indicatif", "comfy_table"],
        reason: "`cli` is the only code that draws on a terminal",
    },
    Wall {
        folders: &["host/src"],
        except: &["host/src/load/client.rs"],
        words: &["broadcast_tx_sync\""],
        reason: "how transactions get to a node over RPC is known only to `load/client.rs`",
    },
    Wall {
        folders: &["host/src"],
        except: &["host/src/node/engine/mempool.rs"],
        words: &["broadcast_tx_async"],
        reason: "how transactions get to the node's own engine is known only to `node/engine/mempool.rs`",
    },
    Wall {
        folders: &["host/src/telemetry"],
        except: &[],
        words: &["crate::"],
        reason: "telemetry is below everything: it imports nothing of ours but `printable`",
    },
];

/// Lines that may stand where a wall forbids them: (file, beginning of the line).
const ALLOWED: &[(&str, &str)] = &[
    ("host/src/telemetry/logs/line.rs", "use crate::printable"),
    ("host/src/telemetry/logs/tests.rs", "use crate::printable"),
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The Rust files there, by their paths from the workspace on, in order.
fn files(place: &str) -> Vec<String> {
    let path = workspace().join(place);
    assert!(path.exists(), "{place} is not there any more; what does the wall stand for?");
    if path.is_file() {
        return vec![place.to_owned()];
    }
    let mut names: Vec<String> =
        path.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    // Unit tests may say anything, in a file of their own too.
    let is_code = |name: &str| name.ends_with(".rs") && name != "tests.rs";
    names.retain(|name| workspace().join(place).join(name).is_dir() || is_code(name));
    names.iter().flat_map(|name| files(&format!("{place}/{name}"))).collect()
}

/// Number and text of the lines that are code.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..)
        .zip(text.lines())
        .take_while(|(_, line)| !line.starts_with("mod tests {"))
        .map(|(number, line)| (number, line.split_once(" //").map_or(line, |(code, _)| code).trim()))
        .filter(|(_, line)| !line.starts_with("//"))
}

/// Whether the word stands in the line, and not as a part of a longer one.
fn names(line: &str, word: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let one_word = |left: &str, right: &str| left.ends_with(part_of_word) && right.starts_with(part_of_word);
    line.match_indices(word).any(|(start, _)| {
        let (before, after) = (&line[..start], &line[start + word.len()..]);
        !one_word(before, word) && !one_word(word, after)
    })
}

/// Every word of these that stands in a file: its line and the word.
fn found<'a>(file: &str, words: &[&'a str]) -> Vec<(usize, &'a str)> {
    let text = std::fs::read_to_string(workspace().join(file)).unwrap();
    let allowed = |line: &str| ALLOWED.iter().any(|(of, start)| *of == file && line.starts_with(start));
    code(&text)
        .filter(|(_, line)| !allowed(line))
        .flat_map(|(number, line)| {
            words.iter().filter(|word| names(line, word)).map(move |word| (number, *word))
        })
        .collect()
}

#[test]
fn no_code_names_what_is_behind_a_wall() {
    let mut report = String::new();
    for wall in WALLS {
        let within = |file: &str, place: &str| Path::new(file).starts_with(place);
        for file in wall.folders.iter().flat_map(|folder| files(folder)) {
            if wall.except.iter().any(|place| within(&file, place)) {
                continue;
            }
            for (line, word) in found(&file, wall.words) {
                writeln!(report, "{file}:{line} names `{word}`: {}", wall.reason).unwrap();
            }
        }
    }
    assert!(report.is_empty(), "\n{report}See ARCHITECTURE.md.");
}

#[test]
fn every_wall_has_something_behind_it() {
    for wall in WALLS.iter().filter(|wall| !wall.except.is_empty()) {
        let mut behind = wall.except.iter().flat_map(|place| files(place));
        assert!(behind.any(|file| !found(&file, wall.words).is_empty()), "nothing names {:?}", wall.words);
    }
}

#[test]
fn comments_and_longer_words_are_ignored() {
    let text = "//! std::fs\nuse std::fs;\nlet a = 1; // std::fs\n    // std::fs\nuse std::fsync;\nmod tests {\nuse std::fs;";
    let lines: Vec<usize> =
        code(text).filter(|(_, line)| names(line, "std::fs")).map(|(number, _)| number).collect();
    assert_eq!(lines, [2]);
    assert!(
        names("use crate::plugin::Limits;", "plugin::")
            && !names("use crate::my_plugin::Limits;", "plugin::")
    );
}
