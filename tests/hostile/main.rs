//! Plugins that mean no good, and plugins that are merely bad: what becomes of each is written beside it, no other
//! transaction notices, and nothing is left behind.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic, as its tests may")]

mod generated;
mod left_behind;
mod suite;

use bytes::Bytes;
use dseq::plugin::{
    AdmitError, CanonicalJson, Found, Limits, Pipeline, PipelineSpec, PluginName, PluginSpec, Step, Verdict,
    engine_id, in_parallel, on_large_stack,
};
use dseq::types::PluginHash;
use suite::{Ending, Expected, Hostile};

/// Puts out a sum over every word of its memory, in which the transaction lies, over its globals and the memory's size:
/// whatever another plugin could have left in its way would show. Then it spoils all of that itself.
///
/// With one page it is reset for its next call, with three it is made anew.
fn good(pages: u32) -> Pipeline {
    let text = format!(
        r#"(module
            (memory (export "memory") {pages})
            (global $a (mut i32) (i32.const 3))
            (global $b (mut f64) (f64.const 5))
            (data (i32.const 50000) "some data")
            (func (export "dseq_abi_v1"))
            (func (export "dseq_buffer") (param i32) (result i32) (i32.const 1024))
            (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
            (func (export "dseq_apply") (param i32) (result i64)
                (local $at i32) (local $sum i64)
                (local.set $sum (i64.add (i64.extend_i32_u (global.get $a)) (i64.trunc_sat_f64_s (global.get $b))))
                (loop $next
                    (local.set $sum (i64.add (i64.rotl (local.get $sum) (i64.const 7)) (i64.load (local.get $at))))
                    (i64.store (local.get $at) (local.get $sum))
                    (br_if $next (i32.lt_u
                        (local.tee $at (i32.add (local.get $at) (i32.const 8)))
                        (i32.mul (memory.size) (i32.const 65536)))))
                (global.set $a (i32.const 70))
                (global.set $b (f64.const nan))
                (i64.store (i32.const 0) (local.get $sum))
                (i64.const 0x0002000000000008))
            (func (export "dseq_output") (result i32) (i32.const 0)))"#
    );
    admit(&wat::parse_str(text).unwrap(), Limits::default()).unwrap()
}

/// A pipeline of this plugin alone, whose params are `{}`.
fn admit(wasm: &[u8], limits: Limits) -> Result<Pipeline, AdmitError> {
    let plugin = PluginSpec {
        name: PluginName::try_from("hostile".to_owned()).unwrap(),
        sha256: PluginHash::of(wasm),
        params: CanonicalJson::default(),
    };
    Pipeline::admit(PipelineSpec { engine: engine_id(), limits, plugins: vec![plugin] }, &[wasm.to_vec()])
}

/// What a pipeline of one plugin makes of a transaction, without asking what it made of it before.
fn run(pipeline: &Pipeline, tx: &Bytes) -> Step {
    let (_, mut steps) =
        pipeline.trace(tx).unwrap_or_else(|fatal| panic!("a plugin broke the host: {fatal}"));
    steps.pop().expect("a pipeline of one plugin")
}

fn txs(hostile: &Hostile) -> &[(Bytes, Ending)] {
    match &hostile.expected {
        Expected::Refused(_) => &[],
        Expected::Endings(endings) => endings,
    }
}

#[test]
fn each_module_ends_as_its_head_says_and_the_next_transaction_does_not_notice() {
    let tx = Bytes::from_static(b"of somebody else");
    let neighbours = [good(1), good(3)];
    let alone = neighbours.each_ref().map(|good| run(good, &tx));
    assert!(alone.iter().all(|step| matches!(step.verdict, Verdict::Replaced(_))), "{alone:?}");
    let all = suite::all();
    assert!(all.len() > 40);
    let mut wrong = Vec::new();
    for hostile in &all {
        let next = || assert_eq!(neighbours.each_ref().map(|good| run(good, &tx)), alone, "{}", hostile.name);
        if let Err(words) = on_large_stack(|| as_expected(hostile, next)).unwrap() {
            wrong.push(format!("{}: {words}", hostile.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Holds a module against its expectation, each transaction twice; `next` is asked after each.
fn as_expected(hostile: &Hostile, next: impl Fn()) -> Result<(), String> {
    let (endings, pipeline) = match (&hostile.expected, admit(&hostile.wasm, Limits::default())) {
        (Expected::Refused(words), Err(error)) => {
            next();
            let error = error.to_string();
            let is_said = error.contains(words) && error.len() < 5_000;
            return if is_said { Ok(()) } else { Err(format!("refused with {error:.2000}")) };
        }
        (Expected::Refused(_), Ok(_)) => return Err("is admitted".to_owned()),
        (Expected::Endings(_), Err(error)) => return Err(format!("is refused: {error}")),
        (Expected::Endings(endings), Ok(pipeline)) => (endings, pipeline),
    };
    let run_all = || {
        let each = endings.iter().map(|(tx, ending)| {
            let step = run(&pipeline, tx);
            next();
            let found = Ending(step.verdict.clone());
            if found == *ending { Ok(step) } else { Err(format!("{found:?} instead of {ending:?}")) }
        });
        each.collect::<Result<Vec<Step>, String>>()
    };
    if run_all()? == run_all()? { Ok(()) } else { Err("ends otherwise the second time".to_owned()) }
}

/// All of them at once, each among all others, with the good ones in between.
#[test]
fn side_by_side_they_end_as_they_do_alone() {
    let tx = Bytes::from_static(b"of somebody else");
    let neighbours = [good(1), good(3)];
    let alone = neighbours.each_ref().map(|good| Ending(run(good, &tx).verdict));
    let all = suite::all();
    let pipelines = all.iter().filter(|hostile| !txs(hostile).is_empty());
    let pipelines: Vec<(&Hostile, Pipeline)> =
        pipelines.map(|hostile| (hostile, admit(&hostile.wasm, Limits::default()).unwrap())).collect();
    let mut items = Vec::new();
    for (hostile, pipeline) in &pipelines {
        items.extend(txs(hostile).iter().map(|(tx, ending)| (hostile.name.as_str(), pipeline, tx, ending)));
        items.extend(neighbours.iter().zip(&alone).map(|(good, ending)| ("good", good, &tx, ending)));
    }
    let all = in_parallel(&items, Found::Work, |(name, pipeline, tx, ending)| {
        let (outcome, _) = pipeline.trace(tx)?;
        Ok((*name, Ending(outcome.verdict().clone()), *ending))
    });
    for (name, found, expected) in all.unwrap() {
        assert_eq!(found, *expected, "{name}");
    }
}

#[test]
fn a_module_whose_head_says_nothing_or_nonsense_is_an_error() {
    for (head, words) in [
        ("Loops for ever.", "says nowhere what to expect"),
        ("tx: \"a\"", "says nowhere what to expect"),
        ("tx: \"a\"\ntx: \"b\"\nexpect: unchanged", "no expectation before \"tx: \\\"b\\\"\""),
        ("expect: unchanged\ntx: \"a\"", "or nothing of its last transaction"),
        ("expect: unchanged\nexpect: refused \"a\"", "expects a refusal and transactions"),
        ("expect: fine", "\"fine\" is no outcome"),
        ("expect: fault 1000 OutOfFuel", "1000 OutOfFuel is no fault"),
        ("expect: replaced abc", "abc"),
    ] {
        let error = suite::expectation(head.lines()).unwrap_err();
        assert!(error.contains(words), "{head:?}: {error}");
    }
}
