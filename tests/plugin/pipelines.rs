//! Several plugins in a row, and the same results whatever the way they are computed.
use bytes::Bytes;
use dseq::plugin::{Fault, Found, HashedTx, Limits, Outcome, Pipeline, Verdict, in_parallel};
use dseq::types::Fuel;
use proptest::prelude::*;

use super::{ACCEPT, Guest, admit, apply, name, record};

/// Puts the byte in front of its input; rejects 'R' with code 5, faults over 'F', accepts 'A' unchanged.
fn prefixing(byte: u8) -> Vec<u8> {
    let apply = format!(
        "(local $first i32)
         (local.set $first (i32.load8_u (i32.const 1024)))
         (if (i32.eq (local.get $first) (i32.const 65)) (then (return {ACCEPT})))
         (if (i32.eq (local.get $first) (i32.const 70)) (then unreachable))
         (if (i32.eq (local.get $first) (i32.const 82))
             (then (return (i64.or (i64.const 0x0003000500000000) (i64.extend_i32_u (local.get 0))))))
         (memory.copy (i32.const 30001) (i32.const 1024) (local.get 0))
         (i32.store8 (i32.const 30000) (i32.const {byte}))
         (i64.or (i64.const 0x0002000000000000) (i64.extend_i32_u (i32.add (local.get 0) (i32.const 1))))"
    );
    let output = "(if (result i32) (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 82))
        (then (i32.const 1024)) (else (i32.const 30000)))";
    Guest { apply: &apply, output, ..Guest::default() }.wasm()
}

fn two(first: u8, second: u8) -> Pipeline {
    admit(Limits::default(), &[prefixing(first), prefixing(second)]).unwrap()
}

#[test]
fn the_output_of_one_plugin_is_the_input_of_the_next() {
    let both = apply(&two(b'1', b'2'), b"tx");
    let first = apply(&admit(Limits::default(), &[prefixing(b'1')]).unwrap(), b"tx");
    let second = apply(&admit(Limits::default(), &[prefixing(b'2')]).unwrap(), b"1tx");
    assert_eq!(both.fuel, Fuel(first.fuel.0 + second.fuel.0), "fuel is the sum");
    assert_eq!(both.record(&Bytes::new()).unwrap(), "21tx");
}

#[test]
fn a_transaction_every_plugin_accepts_unchanged_is_its_own_record() {
    let tx = Bytes::from_static(b"As it is");
    let outcome = two(b'1', b'2').apply(&HashedTx::of(&tx)).unwrap();
    assert_eq!(outcome.record(&tx).unwrap().as_ptr(), tx.as_ptr());
}

#[test]
fn accepting_unchanged_hands_on_what_came_before() {
    assert_eq!(record(&two(b'A', b'2'), b"tx"), "Atx");
}

#[test]
fn the_first_rejection_wins_and_names_its_plugin() {
    let outcome = apply(&two(b'1', b'2'), b"Reject me");
    let rejected = Verdict::Rejected { code: 5, message: "Reject me".to_owned() };
    assert_eq!(outcome.decisive(), Some((&name("p0"), &rejected)));

    let outcome = apply(&two(b'R', b'2'), b"tx");
    let rejected = Verdict::Rejected { code: 5, message: "Rtx".to_owned() };
    assert_eq!(outcome.decisive(), Some((&name("p1"), &rejected)));
    let first = apply(&admit(Limits::default(), &[prefixing(b'R')]).unwrap(), b"tx");
    assert!(outcome.fuel > first.fuel, "the plugin before it is paid for too");
}

#[test]
fn a_fault_is_charged_whole_on_top_of_the_plugins_before_it() {
    let outcome = apply(&two(b'F', b'2'), b"tx");
    let faulted = Verdict::Faulted { fault: Fault::Unreachable, message: String::new() };
    assert_eq!(outcome.decisive(), Some((&name("p1"), &faulted)));
    let first = apply(&admit(Limits::default(), &[prefixing(b'F')]).unwrap(), b"tx");
    assert_eq!(outcome.fuel, Fuel(first.fuel.0 + Limits::default().fuel_max));
}

#[test]
fn each_plugin_has_its_own_fuel() {
    let counting = "(local $n i64) (local.set $n (i64.const 4500))
        (loop $more (br_if $more (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))
        (i64.const 0x0001000000000000)";
    let wasm = Guest { apply: counting, ..Guest::default() }.wasm();
    let limits = Limits { fuel_max: 100_000, ..Limits::default() };
    let outcome = apply(&admit(limits, &[wasm.clone(), wasm.clone(), wasm]).unwrap(), b"tx");
    assert!(outcome.fuel > Fuel(150_000), "{outcome:?}");
    assert!(outcome.is_accepted(), "{outcome:?}");
}

#[test]
fn without_plugins_everything_is_accepted_for_nothing() {
    let pipeline = admit(Limits::default(), &[]).unwrap();
    let tx = Bytes::from_static(b"any");
    let expected = pipeline.apply(&HashedTx::of(&tx)).unwrap();
    assert_eq!((expected.fuel, expected.verdict()), (Fuel(0), &Verdict::Unchanged));
    assert_eq!(together(&pipeline, &vec![tx; 20]), vec![expected; 20]);
}

#[test]
fn a_pipeline_answers_with_what_it_was_made_of() {
    let pipeline = two(b'1', b'2');
    assert_eq!(pipeline.id(), pipeline.spec().id());
    assert_eq!(pipeline.spec().plugins.len(), 2);
    assert_eq!(*pipeline.limits(), Limits::default());
}

/// Judges all of them as a block's are.
fn together(pipeline: &Pipeline, txs: &[Bytes]) -> Vec<Outcome> {
    let look = |tx| {
        let tx = HashedTx::of(tx);
        pipeline.known(&tx).map_or(Found::Work(tx), Found::Answer)
    };
    in_parallel(txs, look, |tx| pipeline.apply(&tx)).unwrap()
}

#[test]
fn a_transaction_is_run_once() {
    let pipeline = two(b'1', b'2');
    for tx in [&b"one"[..], b"Reject"] {
        let tx = Bytes::from_static(tx);
        let tx = HashedTx::of(&tx);
        assert_eq!(pipeline.known(&tx), None);
        let outcome = pipeline.apply(&tx).unwrap();
        assert_eq!(pipeline.known(&tx), Some(outcome));
    }
}

fn some_txs() -> impl Strategy<Value = Vec<Bytes>> {
    // Few different ones, so that some meet the memo within one block.
    let tx = (prop::sample::select(b"AFRxyz".to_vec()), prop::collection::vec(any::<u8>(), 0..3));
    let tx = tx.prop_map(|(first, mut rest)| {
        rest.insert(0, first);
        Bytes::from(rest)
    });
    prop::collection::vec(tx, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn in_parallel_one_by_one_and_from_memory_the_outcomes_are_the_same(txs in some_txs(), second in any::<u8>()) {
        let run = |pipeline: &Pipeline, tx| pipeline.apply(&HashedTx::of(tx)).unwrap();
        let fresh: Vec<Outcome> = txs.iter().map(|tx| run(&two(b'1', second), tx)).collect();

        let pipeline = two(b'1', second);
        prop_assert_eq!(&together(&pipeline, &txs), &fresh, "in parallel");
        prop_assert_eq!(&together(&pipeline, &txs), &fresh, "from memory");

        let pipeline = two(b'1', second);
        let one_by_one: Vec<Outcome> = txs.iter().map(|tx| run(&pipeline, tx)).collect();
        prop_assert_eq!(&one_by_one, &fresh, "one by one");
    }
}
