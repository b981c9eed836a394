//! One plugin, written with the SDK, by hand and in C, judges one suite of transactions: the ABI is what it says it is,
//! whoever speaks it.
//!
//! What the plugin does is told in `conformance/src/lib.rs`.
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

use bytes::Bytes;
use conformance::Conformance;
use dseq::plugin::{AdmitError, Fault, HashedTx, Limits, Pipeline, Verdict};
use dseq_sdk::testing::{Outcome, Tester};

use super::gallery::root;
use super::{admit, params, refusal, spec};

/// What the suite expects of a transaction.
enum Expected {
    Is(Outcome),
    /// The plugin stopped itself, with or without words.
    Stopped {
        words: bool,
    },
}

struct Case {
    name: String,
    tx: Bytes,
    expected: Expected,
}

/// A transaction that begins with an order.
fn ordering(order: u8, len: usize) -> Vec<u8> {
    let rest = (1..len).map(|n| n.to_le_bytes()[0] ^ n.to_le_bytes()[1] ^ n.to_le_bytes()[2]);
    std::iter::once(order).chain(rest).collect()
}

fn suite() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut case = |name: String, tx: Vec<u8>, expected| cases.push(Case { name, tx: tx.into(), expected });
    // The SDK keeps inputs of up to 16 KiB in a buffer of their own; a megabyte is the default limit.
    for len in [1, 2, 3, 255, 16 << 10, (16 << 10) + 1, 70_000, 1 << 20] {
        let [unchanged, reverse, double] = [b'a', b'r', b'd'].map(|order| ordering(order, len));
        let reversed = reverse.iter().rev().copied().collect::<Vec<_>>();
        let doubled = [&double[..], &double].concat();
        case(format!("unchanged, {len} bytes"), unchanged, Expected::Is(Outcome::Unchanged));
        case(format!("reversed, {len} bytes"), reverse, Expected::Is(Outcome::Replaced(reversed)));
        case(format!("larger than the input, {len} bytes"), double, Expected::Is(Outcome::Replaced(doubled)));
    }
    let mut rejected = |tx: &str, code, message: &str| {
        let name = format!("rejected with {code}, {} bytes", message.len());
        case(name, tx.as_bytes().to_vec(), Expected::Is(Outcome::rejected(code, message)));
    };
    rejected("x", 7, "x");
    rejected("x: why not, é 😀", 7, "x: why not, é 😀");
    rejected(&"x".repeat(1024), 7, &"x".repeat(1024));
    // Cut at 1024 bytes, but not through a character.
    rejected(&format!("x{}", "é".repeat(1 << 18)), 7, &format!("x{}", "é".repeat(511)));
    rejected("e", 999, "");
    rejected("e and more", 999, "");
    rejected("?", 1, "nobody knows this order");
    case("a panic".into(), b"p".to_vec(), Expected::Stopped { words: true });
    case("a panic over much".into(), ordering(b'p', 20_000), Expected::Stopped { words: true });
    case("a trap".into(), b"t".to_vec(), Expected::Stopped { words: false });
    cases
}

/// Runs the suite forwards and backwards, so that each transaction has others before it.
fn conforms(wasm: &[u8], words: Option<fn(&str, &Case) -> bool>) {
    let pipeline = admit(Limits::default(), &[wasm.to_vec()]).unwrap();
    let suite = suite();
    for case in suite.iter().chain(suite.iter().rev()) {
        let outcome = pipeline.apply(&HashedTx::of(&case.tx)).unwrap();
        let name = &case.name;
        match (&case.expected, outcome.verdict()) {
            (Expected::Is(Outcome::Unchanged), Verdict::Unchanged) => {}
            (Expected::Is(Outcome::Replaced(expected)), Verdict::Replaced(record)) => {
                assert!(record == expected, "{name}: {} bytes", record.len());
            }
            (Expected::Is(expected), Verdict::Rejected { code, message }) => {
                assert_eq!(&Outcome::rejected(*code, message), expected, "{name}");
            }
            (Expected::Stopped { words: told }, Verdict::Faulted { fault, message }) => {
                assert_eq!(*fault, Fault::Unreachable, "{name}");
                match words.filter(|_| *told) {
                    Some(words) => assert!(words(message, case), "{name}: {message}"),
                    None => assert_eq!(message, "", "{name}"),
                }
            }
            // A record of a megabyte is not worth showing.
            (_, Verdict::Replaced(record)) => panic!("{name}: replaced by {} bytes", record.len()),
            (_, verdict) => panic!("{name}: {verdict:?}"),
        }
    }
    refuses_params(wasm);
}

fn refuses_params(wasm: &[u8]) {
    let modules = [wasm.to_vec()];
    // The second is beyond the SDK's small buffer.
    for json in [r#"{"a":1}"#.to_owned(), format!(r#"{{"a":"{}"}}"#, "x".repeat(20_000))] {
        let mut spec = spec(Limits::default(), &modules);
        spec.plugins[0].params = params(&json);
        match refusal(Pipeline::admit(spec, &modules)) {
            AdmitError::Params { code, message, .. } => {
                assert_eq!((code, &*message), (1, "this plugin takes no params; write {}"));
            }
            other => panic!("{other}"),
        }
    }
}

fn sources() -> PathBuf {
    root().join("tests/plugin/conformance")
}

/// Builds the plugin that is written with the SDK, for a target and with features.
pub(crate) fn built_with_sdk(target: &str, features: &str) -> Vec<u8> {
    let target_dir = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let target_dir = target_dir.join("conformance").join(if features.is_empty() { "core" } else { features });
    let mut cargo = Command::new("cargo");
    for (name, _) in env::vars().filter(|(name, _)| name.starts_with("CARGO_") && name != "CARGO_HOME") {
        cargo.env_remove(name);
    }
    cargo.args(["build", "--quiet", "--locked", "--profile", "plugin", "-p", "conformance"]);
    cargo.args(["--no-default-features", "--features", features, "--target", target, "--target-dir"]);
    let status = cargo.arg(&target_dir).env_remove("RUSTFLAGS").current_dir(root()).status().unwrap();
    assert!(status.success(), "cargo build for {target}; is the target installed? `make toolchain` adds it");
    fs::read(target_dir.join(target).join("plugin/conformance.wasm")).unwrap()
}

/// Memory that runs out is told like a panic: by the SDK with the standard library, by a panic without.
fn says_that_memory_ran_out(wasm: &[u8], words: &str) {
    let limits = Limits { memory_bytes_max: 2 << 20, ..Limits::default() };
    let pipeline = admit(limits, &[wasm.to_vec()]).unwrap();
    let tx = Bytes::from(ordering(b'd', 600_000));
    match pipeline.apply(&HashedTx::of(&tx)).unwrap().verdict() {
        Verdict::Faulted { fault: Fault::Unreachable, message, .. } => {
            assert!(message.contains(words) && message.contains(" bytes "), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

fn is_told_with_its_place(message: &str, case: &Case) -> bool {
    let told = if case.tx.len() > 1 { "as told at length" } else { "as told" };
    let line =
        include_str!("conformance/src/lib.rs").lines().position(|line| line.contains("panic!(")).unwrap();
    let place = format!("tests/plugin/conformance/src/lib.rs:{}:", line + 1);
    message
        .strip_prefix(&place)
        .and_then(|rest| rest.split_once(": "))
        .is_some_and(|(_, words)| words == told)
}

#[test]
fn the_sdk_conforms_with_the_standard_library() {
    let wasm = built_with_sdk("wasm32-unknown-unknown", "std");
    conforms(&wasm, Some(is_told_with_its_place));
    says_that_memory_ran_out(&wasm, "the memory is full");
}

#[test]
fn the_sdk_conforms_without_the_standard_library() {
    let wasm = built_with_sdk("wasm32-unknown-unknown", "");
    conforms(&wasm, Some(is_told_with_its_place));
    says_that_memory_ran_out(&wasm, "memory allocation of");
}

#[test]
fn the_sdk_conforms_on_the_smallest_target() {
    conforms(&built_with_sdk("wasm32v1-none", ""), Some(is_told_with_its_place));
}

#[test]
fn wat_conforms_and_need_not_speak_of_panics() {
    let wat = include_str!("conformance/conformance.wat");
    conforms(&wat::parse_str(wat).unwrap(), Some(|message, _| message == "conformance.wat: as told"));
    let (export, global) = (r#"(global (export "dseq_panic") i32"#, "(global i32");
    assert!(wat.contains(export));
    conforms(&wat::parse_str(wat.replace(export, global)).unwrap(), None);
}

/// Whether there is nothing to compile C with, which is said; without clang and without a reason the test fails.
fn c_is_skipped() -> bool {
    static SKIPPED: OnceLock<bool> = OnceLock::new();
    *SKIPPED.get_or_init(|| {
        let reason = env::var("DSEQ_SKIP_C");
        if let Ok(reason) = &reason {
            use std::io::Write as _;
            let words = "SKIPPED: the plugin in C, because DSEQ_SKIP_C says:";
            writeln!(std::io::stderr(), "{words} {reason}").expect("standard error takes text");
        }
        reason.is_ok()
    })
}

/// Compiles the plugin in C as the head of its file says, with more warnings.
fn built_from_c(exports_panic: bool) -> Vec<u8> {
    let temp = tempfile::tempdir().unwrap();
    let wasm = temp.path().join("conformance.wasm");
    let mut clang = Command::new("clang");
    clang.args("--target=wasm32 -O2 -ffreestanding -fno-builtin -nostdlib -Wall -Wextra -Werror".split(' '));
    let panic = if exports_panic { ",--export=dseq_panic" } else { "" };
    clang.arg(format!("-Wl,--no-entry,--stack-first,-z,stack-size=16384{panic}"));
    let output = clang.arg("-o").args([&wasm, &sources().join("conformance.c")]).output();
    let output = output.expect("clang runs; install clang and lld, or set DSEQ_SKIP_C to the reason why not");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read(&wasm).unwrap()
}

#[test]
fn c_conforms_and_need_not_speak_of_panics() {
    if c_is_skipped() {
        return;
    }
    conforms(&built_from_c(true), Some(|message, _| message == "conformance.c: as told"));
    conforms(&built_from_c(false), None);
}

/// What authors see under `cargo test` is what a network does.
#[test]
fn the_harness_of_the_sdk_judges_as_the_host() {
    let tester = Tester::<Conformance>::new("{}").unwrap();
    let judged = suite().into_iter().filter_map(|case| match case.expected {
        Expected::Is(expected) => Some((case.name, tester.apply(&case.tx) == expected)),
        Expected::Stopped { .. } => None,
    });
    for (name, is_as_expected) in judged {
        assert!(is_as_expected, "{name}");
    }
    let refusal = Tester::<Conformance>::new(r#"{"a":1}"#).err().unwrap();
    assert_eq!(refusal.message(), "this plugin takes no params; write {}");
}
