//! How deep a plugin's calls nest: decided by what the bytecode says, never by the native stack.
use std::fmt::Write as _;

use bytes::Bytes;
use dseq::plugin::{Fault, HashedTx, Limits, Outcome, Pipeline, Verdict, instrumented};

use super::{ACCEPT, Guest, admit};

/// Judges a transaction for a caller with hardly any stack of its own.
fn apply(pipeline: &Pipeline, tx: &[u8]) -> Outcome {
    let tx = Bytes::copy_from_slice(tx);
    let outcome = on_a_short_stack(|| pipeline.apply(&HashedTx::of(&tx)));
    outcome.expect("a plugin's depth is no failure of the host")
}

fn on_a_short_stack<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        let short = std::thread::Builder::new().stack_size(256 << 10);
        short.spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}

/// A node opens its pipeline on its main thread, whose stack may be as short as its owner likes.
#[test]
fn taking_a_plugin_in_needs_no_stack_of_the_caller() {
    let extra = "(func $deep (param i32)
        (if (i32.gt_u (local.get 0) (i32.const 1)) (then (call $deep (i32.sub (local.get 0) (i32.const 1))))))";
    let guest = Guest {
        extra,
        init: "(call $deep (i32.const 8000)) (i64.const 0x0001000000000000)",
        ..Guest::default()
    };
    let module = guest.wasm();
    on_a_short_stack(|| admit(Limits::default(), &[module])).unwrap();
}

fn assert_overflows(guest: &Guest<'_>, what: &str) {
    let overflow = Verdict::Faulted { fault: Fault::StackOverflow, message: String::new() };
    assert_eq!(apply(&guest.pipeline(), b"x").verdict(), &overflow, "{what}");
}

/// The depth is a number of the network: a change here lets plugins fault where they did not, or not where they did.
#[test]
fn calls_nest_as_deep_as_their_counted_frames_allow_and_no_deeper() {
    // Its frame is 256 bytes, three values of 32 and ten instructions of 16: 512. That of dseq_apply is 256, two values
    // and five instructions: 400. So there are 4,194,304 - 400 bytes for 8,191 calls.
    let deep = Guest {
        extra: "(func $deep (param i32)
            (if (i32.gt_u (local.get 0) (i32.const 1)) (then (call $deep (i32.sub (local.get 0) (i32.const 1))))))",
        apply: "(call $deep (i32.load (i32.const 1024))) (i64.const 0x0001000000000000)",
        ..Guest::default()
    };
    let pipeline = deep.pipeline();
    let depth = |calls: u32| apply(&pipeline, &calls.to_le_bytes());
    assert_eq!(deepest(|calls| depth(calls).is_accepted()), 8191);
}

/// What is not counted comes on top of the deepest stack that is. Were there no room for it, the engine's own limit would
/// come first, and that is fatal.
#[test]
fn calls_that_are_not_counted_fit_on_the_deepest_stack_that_is() {
    // 560 values kept over a call, and 100: with the instructions that make them, just below 64 KiB as they are counted.
    let kept = |values: usize, call: &str| {
        let make: String =
            (0..values).map(|n| format!("(i64.mul (local.get 0) (i64.const {}))\n", 3 + 2 * n)).collect();
        format!("(param i64) (result i64) {make} {call} {}", "i64.xor\n".repeat(values))
    };
    let extra = format!(
        "(func $deep (param i32)
            (if (i32.gt_u (local.get 0) (i32.const 1))
              (then (call $deep (i32.sub (local.get 0) (i32.const 1))))
              (else (drop (call $tree (i64.extend_i32_u (local.get 0)))))))
         (func $tree {})
         (func $leaf {})",
        kept(560, "(call $leaf (local.get 0))"),
        kept(100, "(local.get 0)")
    );
    let apply_wat = format!("(call $deep (i32.load (i32.const 1024))) {ACCEPT}");
    let guest = Guest { extra: &extra, apply: &apply_wat, ..Guest::default() };
    let text = wasmprinter::print_bytes(instrumented(&guest.wasm()).unwrap()).unwrap();
    assert_eq!(
        text.matches("global.set").count(),
        6,
        "$deep and dseq_apply are counted, and no others: {text}"
    );
    let pipeline = guest.pipeline();
    let depth = |calls: u32| apply(&pipeline, &calls.to_le_bytes());
    let deepest = deepest(|calls| depth(calls).is_accepted());
    assert!(deepest > 5_000, "{deepest}");
    let overflow = Verdict::Faulted { fault: Fault::StackOverflow, message: String::new() };
    assert_eq!(depth(deepest + 1).verdict(), &overflow);
}

/// The largest number that fits.
fn deepest(fits: impl Fn(u32) -> bool) -> u32 {
    let (mut most, mut too_many) = (1_u32, 1_000_000_u32);
    while too_many - most > 1 {
        let middle = most.midpoint(too_many);
        if fits(middle) { most = middle } else { too_many = middle }
    }
    most
}

/// Each function here ends in another way, a hundred thousand times in one call: were a frame not given back, or given
/// back twice, it would show.
#[test]
fn however_a_function_ends_it_gives_its_frame_back() {
    // What calls itself is counted, and so is whatever calls it.
    let leaf = "(func $leaf (if (i32.const 0) (then (call $leaf))))";
    for end in [
        "(call $leaf) (return (i32.const 1))",
        "(call $leaf) (br 0 (i32.const 1))",
        "(call $leaf) (i32.const 1)",
        "(call $leaf) (block (loop (br_if 1 (i32.const 1)))) (block (block (return (i32.const 1)))) (unreachable)",
        "(call $leaf) (br_if 0 (i32.const 1) (i32.const 1))",
        "(call $leaf) (block (br_table 0 1 1 (i32.const 2) (i32.const 1))) (i32.const 1)",
        "(call $leaf) (if (i32.const 1) (then (return (i32.const 1)))) (i32.const 1)",
    ] {
        let end = end.replace("(br_table 0 1 1 (i32.const 2) (i32.const 1))", "(br_table 0 0 (i32.const 1))");
        let guest = Guest {
            extra: &format!("{leaf} (func $f (result i32) {end})"),
            apply: &format!(
                "(local $n i32)
                 (loop $again
                   (drop (call $f))
                   (br_if $again (i32.lt_u
                     (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100000))))
                 {ACCEPT}"
            ),
            ..Guest::default()
        };
        let outcome = apply(&guest.pipeline(), b"x");
        assert!(outcome.is_accepted(), "{end}: {outcome:?}");
    }
}

#[test]
fn recursion_of_every_kind_is_a_fault() {
    for (what, extra) in [
        ("of one", "(func $f (call $f))"),
        ("of two", "(func $f (call $g)) (func $g (call $f))"),
        (
            "through a table",
            "(type $t (func)) (table 1 funcref) (elem (i32.const 0) $f)
             (func $f (call_indirect (type $t) (i32.const 0)))",
        ),
        // Functions are counted from those of `extra` on: 4 is dseq_apply.
        ("through an export", "(func $f (drop (call 4 (i32.const 1))))"),
    ] {
        let apply = format!("(call $f) {ACCEPT}");
        assert_overflows(&Guest { extra, apply: &apply, ..Guest::default() }, what);
    }
}

/// The largest frames for the fewest counted bytes that we know to write. Were one of them larger than it is counted,
/// the engine's own limit would come first, and that is fatal.
#[test]
fn no_frame_is_larger_than_it_is_counted() {
    let count = 3_000;
    // As many values as there are instructions to make them, all needed again after the call.
    let distinct = |make: &dyn Fn(usize) -> String, combine: &str| {
        let mut body = String::new();
        (0..count).for_each(|n| writeln!(body, "{}", make(n)).unwrap());
        body.push_str("(call $f (local.get 0))\n");
        (0..count).for_each(|_| writeln!(body, "{combine}").unwrap());
        body
    };
    let integers = distinct(&|n| format!("(i64.mul (local.get 0) (i64.const {}))", 3 + 2 * n), "i64.xor");
    let float = |n| format!("(f64.mul (f64.convert_i64_s (local.get 0)) (f64.const {n}.5))");
    let floats = distinct(&float, "f64.add")
        .replace("(call $f (local.get 0))", "(f64.convert_i64_s (call $f (local.get 0)))")
        + "i64.trunc_sat_f64_s";
    let loads = distinct(&|n| format!("(i64.load offset={} (i32.wrap_i64 (local.get 0)))", 8 * n), "i64.xor");
    let divisions = distinct(&|n| format!("(i64.rem_u (local.get 0) (i64.const {}))", 3 + 2 * n), "i64.xor");
    // Equal results before and after the call, which the compiler may keep instead of making them again.
    let again = {
        let one = |n: usize| format!("(i64.rotl (local.get 0) (i64.const {}))\n", n % 63 + 1);
        let some: String =
            (0..1_000).map(|n| format!("{}(i64.mul (i64.const {}))\n", one(n), n + 3)).collect();
        let sum = "i64.xor\n".repeat(999);
        format!("{some}{sum}(call $f (local.get 0)) i64.xor\n{some}{sum} i64.add")
    };
    let locals = {
        let declared = "(local ".to_owned() + &"i64 ".repeat(900) + ")";
        let set: String =
            (1..=900).map(|n| format!("(local.set {n} (i64.add (local.get 0) (i64.const {n})))\n")).collect();
        let sum: String = (1..=900).map(|n| format!("(local.get {n}) i64.xor\n")).collect();
        format!("{declared}{set}(call $f (local.get 0))\n{sum}")
    };
    let params = {
        let args = "(local.get 0) ".repeat(100);
        format!("(call $g {args})")
    };
    let shapes = [
        ("integers", integers),
        ("floats", floats),
        ("loads", loads),
        ("divisions", divisions),
        ("again", again),
        ("locals", locals),
    ];
    for (what, body) in &shapes {
        let extra = format!("(func $f (param i64) (result i64) {body})");
        assert_overflows(
            &Guest {
                extra: &extra,
                apply: &format!("(drop (call $f (i64.const 1))) {ACCEPT}"),
                ..Guest::default()
            },
            what,
        );
    }
    let extra = format!(
        "(func $g (param {}) (result i64) (call $g {}))
         (func $f (param i64) (result i64) {params})",
        "i64 ".repeat(100),
        (0..100).rev().map(|n| format!("(local.get {n})")).collect::<String>()
    );
    assert_overflows(
        &Guest {
            extra: &extra,
            apply: &format!("(drop (call $f (i64.const 1))) {ACCEPT}"),
            ..Guest::default()
        },
        "params",
    );
}
