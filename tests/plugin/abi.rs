//! The page on ABI v1, `guest-sdk/abi-v1.md`, against what host and SDK really do: each of its tables is read and tried.
use std::collections::BTreeMap;

use bytes::Bytes;
use dseq::limits;
use dseq::plugin::{AdmitError, Fault, HashedTx, Limits, Verdict, engine_text};
use dseq_sdk::abi::pack;
use wasmparser::{CompositeInnerType, ExternalKind, Parser, Payload, ValType};

use super::conformance::built_with_sdk;
use super::gallery::{built, root};
use super::{ACCEPT, Guest, admit, apply, record, refusal};

const PAGE: &str = include_str!("../../guest-sdk/abi-v1.md");

/// The rows of the one table whose first column has this head; names without their backticks.
fn table<const COLUMNS: usize>(head: &str) -> Vec<[&'static str; COLUMNS]> {
    let head = format!("| {head} |");
    assert_eq!(
        PAGE.lines().filter(|line| line.starts_with(&head)).count(),
        1,
        "tables that begin with {head}"
    );
    let lines = PAGE.lines().skip_while(|line| !line.starts_with(&head)).skip(2);
    let row = |line: &'static str| {
        let cells = line.trim_start_matches('|').trim_end_matches('|').split('|');
        let cells: Vec<&str> = cells.map(|cell| cell.trim().trim_matches('`')).collect();
        cells.try_into().unwrap_or_else(|_| panic!("not {COLUMNS} columns: {line}"))
    };
    lines.take_while(|line| line.starts_with('|')).map(row).collect()
}

/// An export in WAT that is what the page says.
fn export(name: &str, is: &str) -> String {
    match is {
        "memory" => format!(r#"(memory (export "{name}") 1)"#),
        "() -> ()" => format!(r#"(func (export "{name}"))"#),
        "() -> i32" => format!(r#"(func (export "{name}") (result i32) (i32.const 1024))"#),
        "(i32) -> i32" => format!(r#"(func (export "{name}") (param i32) (result i32) (i32.const 1024))"#),
        "(i32) -> i64" => format!(r#"(func (export "{name}") (param i32) (result i64) {ACCEPT})"#),
        "global i32, immutable" => format!(r#"(global (export "{name}") i32 (i32.const 0))"#),
        "global i32, mutable" => format!(r#"(global (export "{name}") (mut i32) (i32.const 0))"#),
        other => panic!("no such export: {other}"),
    }
}

fn admit_exports(exports: &[(&str, &str)]) -> Result<(), AdmitError> {
    let exports: String = exports.iter().map(|(name, is)| export(name, is)).collect();
    admit(Limits::default(), &[wat::parse_str(format!("(module {exports})")).unwrap()]).map(|_| ())
}

#[test]
fn the_host_asks_for_the_exports_of_the_page_and_no_others() {
    let rows = table::<4>("export");
    let all: Vec<(&str, &str)> = rows.iter().map(|[name, is, ..]| (*name, *is)).collect();
    admit_exports(&all).unwrap();
    for [name, is, needed, _] in &rows {
        let without: Vec<_> = all.iter().filter(|(other, _)| other != name).copied().collect();
        match (*needed, admit_exports(&without)) {
            ("no", Ok(())) => {}
            ("yes", Err(AdmitError::ExportMissing { export, .. })) => assert_eq!(export, *name),
            (_, answer) => panic!("{name} is needed: {needed}, but without it: {answer:?}"),
        }
        for wrong in all.iter().map(|(_, is)| *is).chain(["global i32, mutable"]) {
            // A module has one memory.
            if wrong == *is || (wrong == "memory" && *name != "memory") {
                continue;
            }
            let mut exports = without.clone();
            exports.push((*name, wrong));
            let answer = admit_exports(&exports);
            assert!(
                matches!(&answer, Err(AdmitError::ExportType { export, .. }) if export == name),
                "{name} as {wrong}: {answer:?}"
            );
        }
    }
    let with = |name| admit_exports(&[&all[..], &[(name, "() -> ()")]].concat());
    assert!(matches!(with("dseq_abi_v2"), Err(AdmitError::Invalid { .. })));
    with("another").unwrap();
}

/// What a module exports, in the words of the page.
fn exports_of(wasm: &[u8]) -> BTreeMap<String, String> {
    let (mut types, mut functions, mut globals, mut exports) = (vec![], vec![], vec![], BTreeMap::new());
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.unwrap() {
            Payload::TypeSection(section) => {
                for ty in section.into_iter().flat_map(|group| group.unwrap().into_types()) {
                    let CompositeInnerType::Func(ty) = ty.composite_type.inner else {
                        panic!("a function's")
                    };
                    let list = |list: &[ValType]| list.iter().map(ToString::to_string).collect::<String>();
                    types.push(match (list(ty.params()), ty.results()) {
                        (params, [one]) => format!("({params}) -> {one}"),
                        (params, results) => format!("({params}) -> ({})", list(results)),
                    });
                }
            }
            Payload::FunctionSection(section) => functions.extend(section.into_iter().map(Result::unwrap)),
            Payload::GlobalSection(section) => globals.extend(section.into_iter().map(|global| {
                let ty = global.unwrap().ty;
                format!("global {}, {}", ty.content_type, if ty.mutable { "mutable" } else { "immutable" })
            })),
            Payload::ExportSection(section) => {
                for export in section.into_iter().map(Result::unwrap) {
                    let index = export.index as usize;
                    let is = match export.kind {
                        ExternalKind::Func => types[functions[index] as usize].clone(),
                        ExternalKind::Global => globals[index].clone(),
                        ExternalKind::Memory => "memory".to_owned(),
                        other => format!("{other:?}"),
                    };
                    exports.insert(export.name.to_owned(), is);
                }
            }
            _ => {}
        }
    }
    exports
}

#[test]
fn the_sdk_exports_what_the_page_says() {
    for plugin in ["passthrough", "hex"] {
        let mut exports = exports_of(&built(plugin));
        // The linker's own; allowed and ignored.
        exports.retain(|name, _| !name.starts_with("__"));
        let page = table::<4>("export").into_iter().map(|[name, is, ..]| (name.to_owned(), is.to_owned()));
        assert_eq!(exports, page.collect::<BTreeMap<_, _>>(), "{plugin}");
    }
}

/// Stops itself unless it is called in the order of the page.
fn pedantic(export: &str) -> String {
    let steps = table::<4>("step").into_iter().filter(|[_, _, called, _]| *called == export);
    let allowed = steps.flat_map(|[step, after, ..]| {
        after.split(", ").map(move |after| (if after.is_empty() { "0" } else { after }, step))
    });
    let allow = |(after, step)| {
        let set = format!("(then (global.set $at (i32.const {step})) (br $ok))");
        format!("(if (i32.eq (global.get $at) (i32.const {after})) {set})")
    };
    format!("(block $ok {} unreachable)", allowed.map(allow).collect::<String>())
}

#[test]
fn the_host_calls_in_the_order_of_the_page() {
    let [buffer, init, apply_body, output] =
        ["dseq_buffer", "dseq_init", "dseq_apply", "dseq_output"].map(pedantic);
    let replace = format!("{apply_body} (i64.const 0x0002000000000001)");
    let accept = format!("{apply_body} {ACCEPT}");
    let (init_accepts, init_rejects) =
        (format!("{init} {ACCEPT}"), format!("{init} (i64.const 0x0003000100000002)"));
    let (buffer, output) = (format!("{buffer} (i32.const 1024)"), format!("{output} (i32.const 1024)"));
    let pedant = Guest {
        buffer: &buffer,
        init: &init_accepts,
        apply: &replace,
        output: &output,
        extra: "(global $at (mut i32) (i32.const 0))",
        ..Guest::default()
    };
    let pipeline = pedant.pipeline();
    for tx in [&b"one"[..], b"two", b"three"] {
        assert_eq!(record(&pipeline, tx), tx[..1]);
    }
    let without_output = Guest { apply: &accept, output: "unreachable", ..pedant }.pipeline();
    for tx in [&b"one"[..], b"two", b"three"] {
        assert_eq!(record(&without_output, tx), tx);
    }
    let refusing = Guest { init: &init_rejects, ..pedant };
    match refusal(refusing.admit()) {
        AdmitError::Params { code: 1, message, .. } => assert_eq!(message, "{}"),
        other => panic!("{other}"),
    }
}

/// An answer as the page packs it: the fields' values, each shifted to its place.
fn packed(fields: &[(&str, u64)]) -> u64 {
    let places: BTreeMap<&str, u32> = table::<3>("bits")
        .into_iter()
        .map(|[bits, field, _]| (field, bits.split_once('-').unwrap().0.parse().unwrap()))
        .collect();
    fields.iter().map(|(field, value)| value << places[field]).sum()
}

/// Whether the page's words about a number allow this one.
fn allows(words: &str, number: u64) -> bool {
    match words.split(' ').collect::<Vec<_>>()[..] {
        [only] => number == only.parse::<u64>().unwrap(),
        [least, "or", "more"] => number >= least.parse::<u64>().unwrap(),
        [least, "to", most] => (least.parse::<u64>().unwrap()..=most.parse().unwrap()).contains(&number),
        _ => panic!("{words}"),
    }
}

/// A plugin whose answer is the transaction's first 8 bytes, and whose output is the transaction.
#[test]
fn the_host_takes_the_answers_of_the_page_and_no_others() {
    let pipeline = Guest { apply: "(i64.load (i32.const 1024))", ..Guest::default() }.pipeline();
    let rows = table::<5>("verdict");
    let mut taken = 0;
    for kind in 0..=5 {
        let row = rows.iter().find(|[number, ..]| number.parse() == Ok(kind));
        let lengths = [0, 1, 8].into_iter();
        let with_codes = lengths.flat_map(|length| [0, 1, 999, 1000].map(|code| (length, code)));
        for (length, code, zero) in
            with_codes.flat_map(|(length, code)| [0, 1].map(|zero| (length, code, zero)))
        {
            let answer = packed(&[("length", length), ("code", code), ("verdict", kind), ("zero", zero)]);
            let tx = Bytes::copy_from_slice(&answer.to_le_bytes());
            let outcome = pipeline.apply(&HashedTx::of(&tx)).unwrap();
            let known = row.filter(|[_, _, lengths, codes, _]| {
                zero == 0 && allows(lengths, length) && allows(codes, code)
            });
            match (known.map(|[_, means, ..]| means.split(':').next().unwrap()), outcome.verdict()) {
                (Some("accepted unchanged"), Verdict::Unchanged) => {}
                (Some("replaced"), Verdict::Replaced(record)) => {
                    assert_eq!(*record, tx.slice(..usize::try_from(length).unwrap()));
                }
                (Some("rejected"), Verdict::Rejected { code: told, .. }) => {
                    assert_eq!(u64::from(*told), code);
                }
                (None, Verdict::Faulted { fault, .. }) => {
                    let answers = [Fault::OutputEmpty, Fault::BadVerdict, Fault::BadRejectCode];
                    assert!(answers.contains(fault), "{answer:#018x}: {fault}");
                    continue;
                }
                (known, verdict) => panic!("{answer:#018x}: the page says {known:?}, the host {verdict:?}"),
            }
            taken += 1;
        }
    }
    assert_eq!(
        taken,
        1 + 2 + 3 * 2,
        "one way to accept, two lengths of a record, three of a message with two codes"
    );
}

#[test]
fn init_may_answer_what_the_page_says() {
    for [kind, _, lengths, codes, answered_by] in table::<5>("verdict") {
        let least = |words: &str| (0..).find(|number| allows(words, *number)).unwrap();
        let fields = [("length", least(lengths)), ("code", least(codes)), ("verdict", kind.parse().unwrap())];
        let init = format!("(i64.const {:#x})", packed(&fields));
        let answer = Guest { init: &init, ..Guest::default() }.admit().map(|_| ());
        if answered_by.contains("dseq_init") {
            assert!(matches!(answer, Ok(()) | Err(AdmitError::Params { .. })), "{kind}: {answer:?}");
        } else {
            assert!(matches!(answer, Err(AdmitError::Init { .. })), "{kind}: {answer:?}");
        }
    }
}

#[test]
fn the_sdk_packs_as_the_page_says() {
    use dseq_sdk::Verdict::{Accept, Reject, Replace};

    let kinds: BTreeMap<&str, u64> = table::<5>("verdict")
        .into_iter()
        .map(|[kind, means, ..]| (means.split(':').next().unwrap(), kind.parse().unwrap()))
        .collect();
    let page = |means, length, code| packed(&[("length", length), ("code", code), ("verdict", kinds[means])]);
    assert_eq!(pack(Accept, 7), page("accepted unchanged", 0, 0));
    assert_eq!(pack(Replace, u32::MAX), page("replaced", u64::from(u32::MAX), 0));
    for code in [1, 999] {
        assert_eq!(pack(Reject(code), 5), page("rejected", 5, u64::from(code)));
    }
}

#[test]
fn words_about_a_panic_lie_where_the_page_says() {
    let places = table::<2>("bytes").into_iter().map(|[bytes, _]| bytes.split_once('-').unwrap().0);
    let places: Vec<usize> = places.map(|place| place.parse().unwrap()).collect();
    let [address, length] = places[..] else { panic!("an address and a length") };
    let mut place = [0; 8];
    place[address..][..4].copy_from_slice(&128_u32.to_le_bytes());
    place[length..][..4].copy_from_slice(&5_u32.to_le_bytes());
    let place: String = place.iter().map(|byte| format!("\\{byte:02x}")).collect();
    let extra = format!(
        r#"(global (export "dseq_panic") i32 (i32.const 64)) (data (i32.const 64) "{place}") (data (i32.const 128) "words")"#
    );
    let pipeline = Guest { apply: "unreachable", extra: &extra, ..Guest::default() }.pipeline();
    match apply(&pipeline, b"tx").verdict() {
        Verdict::Faulted { fault: Fault::Unreachable, message, .. } => assert_eq!(message, "words"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_faults_are_those_of_the_page() {
    let page: Vec<String> = table::<3>("code").into_iter().map(|row| row.join(" ")).collect();
    let host: Vec<String> =
        Fault::ALL.iter().map(|fault| format!("{} {fault:?} {fault}", fault.code())).collect();
    assert_eq!(host, page);
}

#[test]
fn the_limits_are_those_of_the_page() {
    let host = serde_json::to_value(Limits::default()).unwrap();
    let host = host.as_object().unwrap();
    let ceilings = BTreeMap::from([
        ("tx_bytes_max", limits::TX_BYTES_CEILING),
        ("record_bytes_max", limits::RECORD_BYTES_CEILING),
        ("fuel_max", limits::FUEL_CEILING),
        ("memory_bytes_max", limits::MEMORY_BYTES_CEILING),
    ]);
    let page = table::<4>("limit");
    assert_eq!(page.len(), host.len());
    for [name, default, ceiling, _] in page {
        assert_eq!(
            (host[name].to_string(), ceilings[name].to_string()),
            (default.into(), ceiling.into()),
            "{name}"
        );
    }
    assert!(PAGE.contains(&format!("what is beyond {} bytes is cut off", limits::MESSAGE_BYTES_MAX)));
}

/// The engine id is a hash over this text, so what stands in it is what nodes agree on.
#[test]
fn features_fuel_and_module_limits_are_those_of_the_engine() {
    let text = engine_text();
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap();
    let pairs = |head| table::<3>(head).into_iter().map(|[name, value, _]| (name, value)).collect::<Vec<_>>();
    let of_line = |name| line(name).split(' ').map(|pair| pair.split_once('=').unwrap()).collect::<Vec<_>>();

    assert_eq!(pairs("host fuel"), of_line("host-fuel"));
    let costs: Vec<(&str, &str)> = of_line("fuel-costs")
        .into_iter()
        .map(|(family, cost)| (family, cost.split_once(':').unwrap().0))
        .collect();
    assert_eq!(pairs("instructions"), costs);
    let features: Vec<&str> = table::<1>("feature").into_iter().map(|[feature]| feature).collect();
    assert_eq!(features, line("wasm-features").split(' ').collect::<Vec<_>>());
    let mut limits = of_line("module-limits");
    limits.extend(
        ["table-elements-max", "stack-bytes-max", "stack-uncounted-bytes-max"].map(|name| (name, line(name))),
    );
    assert_eq!(pairs("module limit"), limits);
    assert_eq!(pairs("compile work"), of_line("compile-work"));
}

#[test]
fn a_plugins_file_says_of_itself_what_the_page_says() {
    let plugins = [
        ("plugins/hex", built("hex")),
        ("plugins/passthrough", built("passthrough")),
        ("tests/plugin/conformance", built_with_sdk("wasm32-unknown-unknown", "std")),
    ];
    for (folder, wasm) in plugins {
        let manifest = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let said = |key: &str| manifest["package"][key].as_str();
        let section = Parser::new(0).parse_all(&wasm).find_map(|payload| match payload.unwrap() {
            Payload::CustomSection(section) if section.name() == "dseq_plugin" => Some(section.data()),
            _ => None,
        });
        let mut rest = section.expect("the section");
        for [text, _] in table::<2>("text") {
            let (found, left) = postcard::take_from_bytes::<&str>(rest).unwrap();
            let expected = match text {
                "sdk" => env!("CARGO_PKG_VERSION"),
                // Not there: the workspace's.
                "version" => said(text).unwrap_or(env!("CARGO_PKG_VERSION")),
                other => said(other).unwrap(),
            };
            assert_eq!((folder, text, found), (folder, text, expected));
            rest = left;
        }
        assert!(rest.is_empty());
    }
}
