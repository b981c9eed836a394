//! What one call gives a plugin and what it keeps from it: fuel, memory, messages, and a fresh start.
use std::fmt::Write as _;

use bytes::Bytes;
use dseq::plugin::{Fault, HashedTx, Limits, Pipeline, Verdict};
use dseq::types::Fuel;

use super::{ACCEPT, Guest, admit, apply, applying, name, record, rejection};

/// Rejects with the i32 on the stack as its code.
const REJECT_WITH: &str = "i64.extend_i32_u i64.const 32 i64.shl i64.const 0x0003000000000000 i64.or";

#[test]
fn nothing_in_globals_or_memory_survives_a_call() {
    let extra = "(global $calls (mut i32) (i32.const 1))";
    let apply_body = format!(
        "(i32.add (global.get $calls) (i32.load (i32.const 40000)))
         (global.set $calls (i32.const 300))
         (i32.store (i32.const 40000) (i32.const 500))
         (drop (memory.grow (i32.const 1)))
         (memory.fill (i32.const 70000) (i32.const 9) (i32.const 1000))
         {REJECT_WITH}"
    );
    let pipeline = Guest { extra, apply: &apply_body, ..Guest::default() }.pipeline();
    for tx in [b"a".as_slice(), b"b", b"c", b"d"] {
        assert_eq!(rejection(&apply(&pipeline, tx)).0, 1);
    }
}

/// Rejects with a code from 1 to 512 that any change of memory or globals changes, after it has changed them all: the
/// sum of all words of the memory (in which the transaction lies) and of the globals, in nine bits.
fn summing_and_spoiling() -> Guest<'static> {
    Guest {
        extra: r#"(global $a (mut i32) (i32.const 3)) (global $b (mut i64) (i64.const 5))
                  (global $c (mut f32) (f32.const 7)) (global $d (export "d") (mut f64) (f64.const 9))
                  (data (i32.const 50000) "some data")"#,
        init: "(i32.store (i32.const 60000) (i32.load (i32.const 1024))) (i64.const 0x0001000000000000)",
        apply: r#"(local $at i32) (local $sum i64)
            (local.set $sum (i64.add (i64.add (i64.extend_i32_u (global.get $a)) (global.get $b))
                (i64.trunc_sat_f64_u (f64.add (f64.promote_f32 (global.get $c)) (global.get $d)))))
            (loop $next
              (local.set $sum (i64.add (i64.rotl (local.get $sum) (i64.const 7)) (i64.load (local.get $at))))
              (i64.store (local.get $at) (i64.add (local.get $sum) (i64.const 0x0123456789abcdef)))
              (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 65536))))
            (global.set $a (i32.wrap_i64 (local.get $sum))) (global.set $b (local.get $sum))
            (global.set $c (f32.const nan)) (global.set $d (f64.const -0))
            (i64.mul (local.get $sum) (i64.const 0x9e3779b97f4a7c15))
            (i64.shr_u (i64.const 55))
            (i64.add (i64.const 1))
            i32.wrap_i64 i64.extend_i32_u i64.const 32 i64.shl i64.const 0x0003000000000000 i64.or"#,
        ..Guest::default()
    }
}

/// Each transaction's outcome must be what a pipeline that has seen no other makes of it.
fn assert_alone_and_in_a_row_alike(guest: &Guest<'_>, txs: &[&'static [u8]]) {
    let in_a_row = guest.pipeline();
    for tx in txs {
        assert_eq!(apply(&in_a_row, tx), apply(&guest.pipeline(), tx), "{tx:?}");
    }
}

#[test]
fn a_call_leaves_nothing_for_the_next_whatever_it_changed() {
    let long: &'static [u8] = &[0xa5; 30_000];
    let txs = [&b"one"[..], b"a longer one", long, b"x", b"three", b"", b"zz"];
    assert_alone_and_in_a_row_alike(&summing_and_spoiling(), &txs);
    let codes: std::collections::BTreeSet<u16> =
        txs.iter().map(|tx| rejection(&apply(&summing_and_spoiling().pipeline(), tx)).0).collect();
    assert!(codes.len() > 4, "the sum must tell transactions apart: {codes:?}");
}

#[test]
fn a_call_that_grew_memory_leaves_the_next_one_none_of_it() {
    let apply = format!("(drop (memory.grow (i32.load8_u (i32.const 1024)))) (memory.size) {REJECT_WITH}");
    let guest = Guest { apply: &apply, ..Guest::default() };
    assert_alone_and_in_a_row_alike(&guest, &[b"\x05", b"\x00", b"\x01", b"\x00a"]);
}

#[test]
fn a_call_that_trapped_leaves_nothing_for_the_next() {
    let apply = format!(
        "(local $was i32) (local.set $was (i32.add (i32.load (i32.const 40000)) (global.get $g)))
         (i32.store (i32.const 40000) (i32.const 70)) (global.set $g (i32.const 80))
         (if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 116)) (then unreachable))
         (local.get $was) {REJECT_WITH}"
    );
    let guest = Guest { extra: "(global $g (mut i32) (i32.const 1))", apply: &apply, ..Guest::default() };
    assert_alone_and_in_a_row_alike(&guest, &[b"a", b"trap", b"b", b"t", b"tt", b"c"]);
}

#[test]
fn a_segment_or_table_that_a_call_used_up_is_there_for_the_next() {
    let extra = r#"(table 2 funcref) (type $code (func (result i32)))
        (func $one (type $code) (i32.const 1)) (func $two (type $code) (i32.const 2))
        (elem (i32.const 0) func $one $two) (data $d "\05")"#;
    let apply = format!(
        "(memory.init $d (i32.const 40000) (i32.const 0) (i32.const 1)) (data.drop $d)
         (call_indirect (type $code) (i32.const 0))
         (table.copy (i32.const 0) (i32.const 1) (i32.const 1))
         (i32.add (i32.load8_u (i32.const 40000))) {REJECT_WITH}"
    );
    let guest = Guest { extra, apply: &apply, ..Guest::default() };
    assert_eq!(rejection(&super::apply(&guest.pipeline(), b"a")).0, 6);
    assert_alone_and_in_a_row_alike(&guest, &[b"a", b"b", b"c"]);
}

#[test]
fn memory_is_zero_at_birth_whoever_had_the_slot_before() {
    let dirty = applying(&format!(
        "(drop (memory.grow (i32.const 70)))
         (memory.fill (i32.const 2048) (i32.const 255) (i32.const 4600000)) {ACCEPT}"
    ));
    // Answers 1 if any 64-bit word above the transaction is not zero, else 2.
    let searching = applying(&format!(
        "(local $at i32)
         (drop (memory.grow (i32.const 70)))
         (local.set $at (i32.const 2048))
         (block $found (result i32)
           (loop $next
             (drop (br_if $found (i32.const 1) (i64.ne (i64.load (local.get $at)) (i64.const 0))))
             (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8)))
                                    (i32.const 4600000))))
           (i32.const 2))
         {REJECT_WITH}"
    ));
    for (one, two) in [(b"a".as_slice(), b"b".as_slice()), (b"c", b"d"), (b"e", b"f")] {
        record(&dirty, one);
        assert_eq!(rejection(&apply(&searching, two)).0, 2);
    }
}

#[test]
fn init_runs_in_every_instance_before_the_transaction() {
    let pipeline = Guest {
        extra: "(global $told (mut i32) (i32.const 0))",
        init: &format!("(global.set $told (i32.load16_u (i32.const 1024))) {ACCEPT}"),
        apply: &format!("(i32.sub (global.get $told) (i32.const 0x7d00)) {REJECT_WITH}"),
        ..Guest::default()
    }
    .pipeline();
    // "{}" as a little-endian number is 0x7d7b.
    assert_eq!(rejection(&apply(&pipeline, b"one")).0, 0x7b);
    assert_eq!(rejection(&apply(&pipeline, b"two")).0, 0x7b);
}

/// Counts down from `turns`; the same fuel each time.
fn counting(turns: u64) -> String {
    format!(
        "(local $n i64) (local.set $n (i64.const {turns}))
         (loop $more (br_if $more (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))
         {ACCEPT}"
    )
}

/// Pages of a memory.
fn pages(count: u32) -> String {
    format!("(memory (export \"memory\") {count})")
}

/// What starting an instance takes, and what a call costs after it.
fn starting_and_call(memory: &str, extra: &str, init: &str) -> [u64; 2] {
    let pipeline = Guest { memory, extra, init, ..Guest::default() }.pipeline();
    [pipeline.init_fuel().0, apply(&pipeline, b"x").fuel.0]
}

/// What [`counting`] takes more than accepting at once.
fn counting_fuel(turns: u64) -> u64 {
    // The loop is entered, turned, and left.
    (2 + 4) + (8 + 8) * turns + 8
}

#[test]
fn a_call_pays_for_its_instance_if_that_cannot_be_reset() {
    let long = counting(1_000);
    for (memory, extra) in [
        (pages(3), ""),
        (pages(1), "(elem $e func 0) (func (elem.drop $e))"),
        (pages(1), "(table 1000 funcref) (elem $e func 0) (func (elem.drop $e))"),
    ] {
        let [start, call] = starting_and_call(&memory, extra, ACCEPT);
        let [longer_start, longer_call] = starting_and_call(&memory, extra, &long);
        assert_eq!(longer_start - start, counting_fuel(1_000), "init is part of it");
        assert_eq!(longer_call - call, longer_start - start, "{memory} {extra}");
        assert_eq!(call, 500 + start + 5, "one byte and four instructions");
    }
    let start = |memory: &str, extra| starting_and_call(memory, extra, ACCEPT)[0];
    assert_eq!(start(&pages(3), "") - start(&pages(1), ""), 2 * 32_768, "a byte of memory is half a unit");
    let table = start(&pages(3), "(table 1000 funcref)") - start(&pages(3), "");
    assert_eq!(table, 16_000, "an element of a table is 16 units");
    let passive =
        start(&pages(3), "(elem func 0 0) (elem func 0) (elem declare func 0)") - start(&pages(3), "");
    assert_eq!(passive, (3 + 2) * 50, "a passive segment and each of its elements is 50 units");
}

#[test]
fn a_call_pays_for_resetting_an_instance_and_not_for_init() {
    let call = |count, init: &str| starting_and_call(&pages(count), "", init)[1];
    assert_eq!(call(1, &counting(1_000)), call(1, ACCEPT));
    assert_eq!(call(2, ACCEPT) - call(1, ACCEPT), 2_048, "32 bytes of memory are a unit");
    // Grown in init, and more than can be reset: as if it were so long at first, but for what the growing takes.
    let grown = starting_and_call(&pages(2), "", &format!("(drop (memory.grow (i32.const 1))) {ACCEPT}"));
    assert_eq!(grown[1], 500 + grown[0] + 5);
}

/// Some of them get a fresh instance, some one that was reset, and one runs beside others.
#[test]
fn what_a_call_is_charged_does_not_depend_on_which_instance_it_gets() {
    // Grows at 'G', traps at 'T'.
    let body = format!(
        "(local $first i32) (local.set $first (i32.load8_u (i32.const 1024)))
         (if (i32.eq (local.get $first) (i32.const 71)) (then (drop (memory.grow (i32.const 1)))))
         (if (i32.eq (local.get $first) (i32.const 84)) (then unreachable))
         {ACCEPT}"
    );
    for count in [1, 2, 3] {
        let pipeline = Guest { memory: &pages(count), apply: &body, ..Guest::default() }.pipeline();
        let fuel = |tx: &'static [u8]| pipeline.trace(&Bytes::from_static(tx)).unwrap().0.fuel;
        let (fresh, grown) = (fuel(b"x"), fuel(b"G"));
        for _ in 0..3 {
            assert_eq!([fuel(b"x"), fuel(b"y"), fuel(b"G"), fuel(b"x")], [fresh, fresh, grown, fresh]);
            assert_eq!([fuel(b"T"), fuel(b"x")], [Fuel(Limits::default().fuel_max), fresh]);
        }
        let many: Vec<Bytes> = (0..64_u8).map(|n| Bytes::from(vec![b'x', n])).collect();
        let one_more_byte = Fuel(fresh.0 + 1);
        let half = |txs: &[Bytes]| {
            txs.iter().for_each(|tx| assert_eq!(pipeline.trace(tx).unwrap().0.fuel, one_more_byte));
        };
        std::thread::scope(|scope| {
            scope.spawn(|| half(&many[..32]));
            half(&many[32..]);
        });
    }
}

#[test]
fn a_plugin_whose_start_takes_all_the_fuel_is_refused() {
    let limits = Limits { fuel_max: 100_000, ..Limits::default() };
    let admitted = |count| admit(limits, &[Guest { memory: &pages(count), ..Guest::default() }.wasm()]);
    admitted(2).unwrap();
    let error = admitted(3).map(drop).unwrap_err().to_string();
    assert!(error.ends_with("the plugin ran out of fuel (code 1001)"), "{error}");
}

/// Fuel is part of every transaction's result. A change here forks running networks.
#[test]
fn fuel_is_fixed() {
    let mut table = String::new();
    let then_accept = |code: &str| format!("{code} {ACCEPT}");
    let guests: [(&str, String); 16] = [
        ("accept", ACCEPT.to_owned()),
        ("count 1", counting(1)),
        ("count 1000", counting(1_000)),
        ("fill 1 byte", then_accept("(memory.fill (i32.const 0) (i32.const 1) (i32.const 1))")),
        ("fill 65536 bytes", then_accept("(memory.fill (i32.const 0) (i32.const 1) (i32.const 65536))")),
        ("load", then_accept("(drop (i32.load (i32.const 0)))")),
        ("store", then_accept("(i32.store (i32.const 0) (i32.const 1))")),
        ("division", then_accept("(drop (i64.rem_s (i64.const 7) (i64.const 2)))")),
        ("nop", then_accept("nop")),
        ("select", then_accept("(drop (select (i32.const 1) (i32.const 2) (i32.const 3)))")),
        ("float", then_accept("(drop (f64.mul (f64.const 7) (f64.const 2)))")),
        ("float-convert", then_accept("(drop (i32.trunc_sat_f64_u (f64.const 7)))")),
        ("branch", then_accept("(block (br_if 0 (i32.const 0)))")),
        ("indirect", then_accept("(block (br_table 0 0 (i32.const 0)))")),
        ("bulk", then_accept("(memory.copy (i32.const 0) (i32.const 1) (i32.const 0))")),
        ("memory", then_accept("(drop (memory.grow (i32.const 0)))")),
    ];
    for (name, body) in guests {
        let _ = writeln!(table, "{name}: {}", apply(&applying(&body), b"x").fuel);
    }
    assert_eq!(
        table,
        "accept: 2553\ncount 1: 2583\ncount 1000: 18567\nfill 1 byte: 2837\nfill 65536 bytes: 68372\n\
         load: 2602\nstore: 2571\ndivision: 2563\nnop: 2554\nselect: 2560\nfloat: 2587\nfloat-convert: 2562\nbranch: 2572\nindirect: 2594\nbulk: 2645\n\
         memory: 2809\n"
    );
}

#[test]
fn a_transaction_that_uses_up_its_fuel_costs_the_next_one_nothing() {
    // Loops for ever over a transaction that begins with 'L'.
    let pipeline = applying(&format!(
        "(if (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 76)) (then (loop $again (br $again)))) {ACCEPT}"
    ));
    let before = apply(&pipeline, b"fine");
    let faulted = apply(&pipeline, b"Loop");
    assert!(matches!(faulted.verdict(), Verdict::Faulted { fault: Fault::OutOfFuel, .. }), "{faulted:?}");
    assert_eq!(faulted.fuel, Fuel(Limits::default().fuel_max));
    let after = apply(&pipeline, b"good");
    assert!(after.is_accepted(), "{after:?}");
    assert_eq!(after.fuel, before.fuel);
}

#[test]
fn memory_grows_to_the_limit_of_genesis_and_then_answers_minus_one() {
    // Grows page by page until it is told -1, and rejects with the number of pages it then has.
    let growing = format!(
        "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
         (memory.size) {REJECT_WITH}"
    );
    let pages = |memory: &str, limit_pages: u64| {
        let limits = Limits { memory_bytes_max: limit_pages * 65536, ..Limits::default() };
        let wasm = Guest { memory, apply: &growing, ..Guest::default() }.wasm();
        rejection(&apply(&admit(limits, &[wasm]).unwrap(), b"x")).0
    };
    assert_eq!(pages(r#"(memory (export "memory") 1)"#, 16), 16);
    assert_eq!(pages(r#"(memory (export "memory") 16)"#, 16), 16);
    assert_eq!(pages(r#"(memory (export "memory") 1 5)"#, 16), 5, "its own maximum is lower");
    assert_eq!(pages(r#"(memory (export "memory") 1 900)"#, 16), 16, "its own maximum is higher");
}

#[test]
fn asking_for_all_memory_at_once_is_refused_like_any_other_growth() {
    for delta in ["65535", "65536", "0xffffffff", "0x80000000"] {
        let pipeline =
            applying(&format!("(i32.sub (i32.const 0) (memory.grow (i32.const {delta}))) {REJECT_WITH}"));
        assert_eq!(rejection(&apply(&pipeline, b"x")).0, 1, "memory.grow {delta} must answer -1");
    }
}

#[test]
fn accepting_unchanged_copies_nothing_and_holds_on_to_nothing() {
    let pipeline = applying(ACCEPT);
    let network_buffer = Bytes::from(vec![7; 100_000]);
    let tx = network_buffer.slice(500..600);
    let outcome = pipeline.apply(&HashedTx::of(&tx)).unwrap();
    assert_eq!(outcome.record(&tx).unwrap().as_ptr(), tx.as_ptr());
    drop(tx);
    assert!(network_buffer.is_unique(), "the memo holds on to a slice of the network's buffer");
}

#[test]
fn a_replaced_record_is_a_copy_of_the_output() {
    // Puts "ok" in place of the transaction.
    let pipeline =
        applying("(i32.store16 (i32.const 1024) (i32.const 0x6b6f)) (i64.const 0x0002000000000002)");
    let tx = Bytes::from(vec![7; 100]);
    let outcome = pipeline.apply(&HashedTx::of(&tx)).unwrap();
    assert_eq!(outcome.record(&tx).unwrap(), "ok");
    assert!(tx.is_unique());
}

#[test]
fn a_transaction_as_long_as_the_limit_reaches_the_plugin_whole() {
    // A buffer of 1 MiB, and the last byte of the transaction as the code.
    let pipeline = Guest {
        memory: r#"(memory (export "memory") 17)"#,
        apply: &format!("(i32.load8_u offset=1023 (local.get 0)) {REJECT_WITH}"),
        ..Guest::default()
    }
    .pipeline();
    let mut tx = vec![1; 1 << 20];
    *tx.last_mut().unwrap() = 77;
    let tx = Bytes::from(tx);
    assert_eq!(rejection(&pipeline.apply(&HashedTx::of(&tx)).unwrap()).0, 77);
}

/// What becomes of a message whose bytes are the transaction's.
fn message(tx: &[u8]) -> String {
    let pipeline = Guest {
        memory: r#"(memory (export "memory") 17)"#,
        apply: "(i64.or (i64.const 0x0003000900000000) (i64.extend_i32_u (local.get 0)))",
        ..Guest::default()
    }
    .pipeline();
    let (code, message) = rejection(&pipeline.apply(&HashedTx::of(&Bytes::copy_from_slice(tx))).unwrap());
    assert_eq!(code, 9);
    message
}

#[test]
fn a_message_is_cut_at_a_character_and_made_valid_text() {
    assert_eq!(message(b"not a line"), "not a line");
    assert_eq!(message("zw\u{f6}lf".as_bytes()), "zw\u{f6}lf");
    assert_eq!(message(b"bad \xff byte"), "bad \u{fffd} byte");

    assert_eq!(message(&[b'a'; 1024]).len(), 1024);
    assert_eq!(message(&[b'a'; 1025]).len(), 1024);
    assert_eq!(message(&vec![b'a'; 1 << 20]).len(), 1024);

    // A two-byte character across the cut is left out, and no replacement character takes its place.
    let across = format!("{}\u{f6}tail", "a".repeat(1023));
    assert_eq!(message(across.as_bytes()), "a".repeat(1023));
    // Invalid bytes grow to three bytes each; the bound is on what is kept.
    assert_eq!(message(&[0xff; 2000]).len(), 1023);
}

#[test]
fn a_rejection_needs_no_message() {
    let pipeline =
        Guest { output: "unreachable", apply: "(i64.const 0x0003000100000000)", ..Guest::default() };
    assert_eq!(rejection(&apply(&pipeline.pipeline(), b"x")), (1, String::new()));
}

#[test]
fn nan_bits_are_the_same_on_every_processor() {
    // 0/0 has its sign bit set on x86-64 and clear elsewhere; canonical is clear.
    let pipeline = applying(&format!(
        "(i32.wrap_i64 (i64.shr_u (i64.reinterpret_f64 (f64.div (f64.const 0) (f64.const 0))) (i64.const 51)))
         (i32.sub (i32.const 0xf00)) {REJECT_WITH}"
    ));
    // 0x7ff8... >> 51 is 0xfff.
    assert_eq!(rejection(&apply(&pipeline, b"x")).0, 0xff);
}

/// What the transaction costs beyond what one of a single byte does.
fn extra_fuel(pipeline: &Pipeline, tx: &'static [u8]) -> u64 {
    apply(pipeline, tx).fuel.0 - apply(pipeline, b"x").fuel.0
}

#[test]
fn each_byte_the_host_copies_and_each_page_grown_costs_fuel() {
    assert_eq!(extra_fuel(&applying(ACCEPT), &[7; 1001]), 1000, "the input");
    // Both answer the transaction's length; the one with twice the output costs the more of it.
    let output = |factor: u64| {
        let kind = "(i64.const 0x0002000000000000)";
        applying(&format!("(i64.or {kind} (i64.mul (i64.const {factor}) (i64.extend_i32_u (local.get 0))))"))
    };
    assert_eq!(extra_fuel(&output(1), &[7; 1001]), 2000, "the input and the output");
    assert_eq!(extra_fuel(&output(2), &[7; 1001]), 3000, "twice the output");
    let message = "(i64.or (i64.const 0x0003000100000000) (i64.extend_i32_u (local.get 0)))";
    assert_eq!(extra_fuel(&applying(message), &[b'x'; 1001]), 1000 + 16 * 1000, "a message");
    assert_eq!(
        extra_fuel(&applying(message), &[b'x'; 2001]),
        2000 + 16 * 1023,
        "what is cut from a message costs nothing"
    );
    let growing = |pages: &str| {
        apply(&applying(&format!("(drop (memory.grow (i32.const {pages}))) {ACCEPT}")), b"x").fuel.0
    };
    let starting = applying(ACCEPT).init_fuel().0;
    assert_eq!(
        growing("3") - growing("0"),
        3 * 32_768 + starting,
        "and the next call's instance is a new one"
    );
    assert_eq!(growing("1000") - growing("0"), 0, "memory that is not given costs nothing");
}

#[test]
fn copies_beyond_the_fuel_are_out_of_fuel() {
    let limits = Limits { fuel_max: 50_000, ..Limits::default() };
    let guest = Guest { apply: "(i64.const 0x00020000000001f4)", ..Guest::default() };
    let pipeline = admit(limits, &[guest.wasm()]).unwrap();
    let outcome = apply(&pipeline, &[7; 46_946]);
    assert_eq!(outcome.fuel, Fuel(50_000), "to the last unit");
    assert!(matches!(outcome.verdict(), Verdict::Replaced(record) if record.len() == 500), "{outcome:?}");
    for tx in [&[7; 46_947][..], &[7; 50_000], &[7; 50_001]] {
        let outcome = pipeline.apply(&HashedTx::of(&Bytes::copy_from_slice(tx))).unwrap();
        assert!(matches!(outcome.verdict(), Verdict::Faulted { fault: Fault::OutOfFuel, .. }), "{outcome:?}");
        assert_eq!(outcome.fuel, Fuel(50_000));
    }
}

#[test]
fn a_trace_has_each_plugins_step() {
    let growing =
        Guest { apply: &format!("(drop (memory.grow (i32.const 2))) {ACCEPT}"), ..Guest::default() }.wasm();
    let replacing = Guest { apply: "(i64.const 0x0002000000000001)", ..Guest::default() }.wasm();
    let panicking = Guest { apply: "unreachable", ..Guest::default() }.wasm();
    let pipeline = admit(Limits::default(), &[growing, replacing, panicking.clone(), panicking]).unwrap();
    let tx = Bytes::from_static(b"abc");
    let (outcome, steps) = pipeline.trace(&tx).unwrap();
    let seen: Vec<(u64, Verdict)> =
        steps.iter().map(|step| (step.memory_bytes, step.verdict.clone())).collect();
    let faulted = Verdict::Faulted { fault: Fault::Unreachable, message: String::new() };
    assert_eq!(
        seen,
        [
            (3 << 16, Verdict::Unchanged),
            (1 << 16, Verdict::Replaced(Bytes::from_static(b"a"))),
            (1 << 16, faulted.clone()),
        ],
        "the plugin after the fault does not run"
    );
    let fuel: u64 = steps.iter().map(|step| step.fuel.0).sum();
    assert_eq!(outcome.fuel, Fuel(fuel));
    assert_eq!(outcome.decisive(), Some((&name("p2"), &faulted)));
    assert_eq!(apply(&pipeline, b"abc"), outcome);
}
