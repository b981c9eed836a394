//! Each way a plugin can break its contract, and the fault it becomes.
use dseq::plugin::{Fault, Limits, Pipeline, Verdict};
use dseq::types::Fuel;

use super::{Guest, admit, apply, applying, name, record, refusal};

/// A guest that breaks its contract in this way on every transaction.
fn guest(fault: Fault) -> Guest<'static> {
    let by_apply = |apply| Guest { apply, ..Guest::default() };
    match fault {
        Fault::Unreachable => by_apply("unreachable"),
        Fault::OutOfFuel => by_apply("(loop $again (br $again)) unreachable"),
        Fault::MemoryOutOfBounds => by_apply("(i64.load (i32.const 65529))"),
        Fault::DivisionByZero => by_apply("(i64.div_u (i64.const 1) (i64.const 0))"),
        Fault::IntegerOverflow => by_apply("(i64.div_s (i64.const 0x8000000000000000) (i64.const -1))"),
        Fault::BadConversion => by_apply("(i64.trunc_f64_s (f64.const nan))"),
        Fault::NullCall => Guest {
            extra: "(type $t (func (result i64))) (table 4 funcref)",
            ..by_apply("(call_indirect (type $t) (i32.const 3))")
        },
        Fault::BadSignature => Guest {
            extra: "(type $t (func (result i64))) (table 4 funcref) (func $f) (elem (i32.const 0) $f)",
            ..by_apply("(call_indirect (type $t) (i32.const 0))")
        },
        Fault::TableOutOfBounds => Guest {
            extra: "(type $t (func (result i64))) (table 4 funcref)",
            ..by_apply("(call_indirect (type $t) (i32.const 4))")
        },
        Fault::StackOverflow => Guest {
            extra: "(func $deep (param i64) (result i64)
                (i64.add (local.get 0) (call $deep (i64.add (local.get 0) (i64.const 1)))))",
            ..by_apply("(call $deep (i64.const 0))")
        },
        // Init asks for the 2 bytes of `{}`; the transaction is longer.
        Fault::BadBuffer => Guest { buffer: "(i32.const 65534)", ..Guest::default() },
        Fault::BadOutput => {
            Guest { output: "(i32.const 65536)", ..by_apply("(i64.const 0x0002000000000001)") }
        }
        Fault::OutputEmpty => by_apply("(i64.const 0x0002000000000000)"),
        Fault::OutputTooLarge => by_apply("(i64.const 0x0002000000400001)"),
        Fault::BadVerdict => by_apply("(i64.const 0)"),
        Fault::BadRejectCode => by_apply("(i64.const 0x000303e800000000)"),
    }
}

fn fault(pipeline: &Pipeline, tx: &'static [u8]) -> Fault {
    match apply(pipeline, tx).decisive() {
        Some((plugin, Verdict::Faulted { fault, .. })) => {
            assert_eq!(*plugin, name("p0"));
            *fault
        }
        other => panic!("expected a fault, got {other:?}"),
    }
}

#[test]
fn each_broken_contract_is_its_own_fault_and_costs_all_fuel() {
    for expected in Fault::ALL {
        let pipeline = guest(*expected).pipeline();
        assert_eq!(fault(&pipeline, b"transaction"), *expected);
        let outcome = apply(&pipeline, b"another transaction");
        assert_eq!(outcome.fuel, Fuel(Limits::default().fuel_max), "{expected:?}");
    }
}

#[test]
fn no_pointer_or_length_reaches_outside_of_the_memory() {
    // (answer of dseq_output, length it speaks of): last byte, straddling the end, sums beyond 32 bits.
    for (start, len, inside) in [
        ("65535", 1_u32, true),
        ("65535", 2, false),
        ("0", 65536, true),
        ("0", 65537, false),
        ("0xffffffff", 1, false),
        ("0xffffffff", 2, false),
        ("0xfffffff0", 0x20, false),
        ("0xffff0000", 0x10001, false),
    ] {
        let apply_body = format!("(i64.const {:#x})", 0x0002_0000_0000_0000_u64 | u64::from(len));
        let output = format!("(i32.const {start})");
        let pipeline = Guest { apply: &apply_body, output: &output, ..Guest::default() }.pipeline();
        match apply(&pipeline, b"x").verdict() {
            Verdict::Replaced(record) => {
                assert!(inside, "{start} + {len} was read");
                assert_eq!(record.len(), len as usize);
            }
            Verdict::Faulted { fault: Fault::BadOutput, .. } => {
                assert!(!inside, "{start} + {len} was refused");
            }
            other => panic!("{start} + {len}: {other:?}"),
        }
    }
}

#[test]
fn a_buffer_beyond_the_end_or_wrapping_around_is_never_written() {
    for start in ["65535", "65536", "0xfffffffe", "0xffffffff", "-2147483648"] {
        // A good buffer for the params, a bad one for the transaction.
        let buffer = format!(
            "(if (result i32) (i32.eq (local.get 0) (i32.const 2))
                (then (i32.const 0)) (else (i32.const {start})))"
        );
        let pipeline = Guest { buffer: &buffer, ..Guest::default() }.pipeline();
        assert_eq!(fault(&pipeline, b"three"), Fault::BadBuffer, "{start}");
    }
}

#[test]
fn a_message_outside_of_the_memory_is_a_fault_even_if_it_would_be_cut() {
    let pipeline = applying("(i64.const 0x000300010000ffff)");
    assert_eq!(fault(&pipeline, b"x"), Fault::BadOutput);
}

#[test]
fn answers_outside_of_the_table_are_faults() {
    for (answer, expected) in [
        ("-1", Fault::BadVerdict),
        ("0x0001000000000001", Fault::BadVerdict),
        ("0x0001000100000000", Fault::BadVerdict),
        ("0x0002000100000001", Fault::BadVerdict),
        ("0x0004000000000000", Fault::BadVerdict),
        ("0x0101000000000000", Fault::BadVerdict),
        ("0x0003000000000000", Fault::BadRejectCode),
        ("0x0003ffff00000000", Fault::BadRejectCode),
    ] {
        let pipeline = applying(&format!("(i64.const {answer})"));
        assert_eq!(fault(&pipeline, b"x"), expected, "{answer}");
    }
}

#[test]
fn a_record_may_be_as_long_as_the_limit_and_no_longer() {
    let limits = Limits { record_bytes_max: 100, ..Limits::default() };
    let replacing = |len: u32| {
        let apply = format!("(i64.const {:#x})", 0x0002_0000_0000_0000_u64 | u64::from(len));
        admit(limits, &[Guest { apply: &apply, ..Guest::default() }.wasm()]).unwrap()
    };
    assert_eq!(record(&replacing(100), b"x").len(), 100);
    assert_eq!(fault(&replacing(101), b"x"), Fault::OutputTooLarge);

    let unchanged = admit(limits, &[Guest::default().wasm()]).unwrap();
    assert_eq!(record(&unchanged, &[7; 100]).len(), 100);
    assert_eq!(fault(&unchanged, &[7; 101]), Fault::OutputTooLarge);
}

/// A guest with words about its panic at 100, told of at 40, which stops itself on every transaction.
fn panicking(global: &str, told: &str) -> Guest<'static> {
    let extra = format!(
        r#"(global $panic (export "dseq_panic") {global}) (data (i32.const 40) "{told}")
           (data (i32.const 100) "src/lib.rs:3:5: no \ff such")"#
    );
    Guest { extra: extra.leak(), apply: "unreachable", ..Guest::default() }
}

fn panic_message(pipeline: &Pipeline) -> String {
    match apply(pipeline, b"x").verdict() {
        Verdict::Faulted { fault: Fault::Unreachable, message } => message.clone(),
        other => panic!("expected a panic, got {other:?}"),
    }
}

#[test]
fn a_panic_is_told_in_the_plugins_words_as_far_as_they_lie_in_its_memory() {
    const PLACE: &str = "i32 (i32.const 40)";
    for (global, told, expected) in [
        (PLACE, r"\64\00\00\00\18\00\00\00", "src/lib.rs:3:5: no \u{fffd} suc"),
        (PLACE, "", ""),
        (PLACE, r"\64\00\00\00\ff\ff\ff\ff", ""),
        (PLACE, r"\ff\ff\00\00\01\00\00\00", "\0"),
        (PLACE, r"\ff\ff\00\00\02\00\00\00", ""),
        ("i32 (i32.const 65529)", r"\64\00\00\00\18\00\00\00", ""),
        ("i32 (i32.const -1)", r"\64\00\00\00\18\00\00\00", ""),
    ] {
        assert_eq!(panic_message(&panicking(global, told).pipeline()), expected, "{global} {told}");
    }
    let long = panic_message(&panicking(PLACE, r"\64\00\00\00\00\80\00\00").pipeline());
    assert_eq!((long.len(), &long[..14]), (1024, "src/lib.rs:3:5"));
}

#[test]
fn words_about_a_panic_are_not_told_of_another_fault() {
    let guest = panicking("i32 (i32.const 40)", r"\64\00\00\00\18\00\00\00");
    let dividing = Guest { apply: "(i64.div_u (i64.const 1) (i64.const 0))", ..guest };
    match apply(&dividing.pipeline(), b"x").verdict() {
        Verdict::Faulted { fault: Fault::DivisionByZero, message, .. } => assert_eq!(message, ""),
        other => panic!("expected a division by zero, got {other:?}"),
    }
}

#[test]
fn a_panic_of_init_is_told_with_the_refusal() {
    let guest = panicking("i32 (i32.const 40)", r"\64\00\00\00\0f\00\00\00");
    let message = refusal(Guest { init: "unreachable", ..guest }.admit()).to_string();
    assert_eq!(
        message,
        "plugin p0: faulted when given its params {}: the plugin panicked or executed unreachable code: \
         src/lib.rs:3:5: (code 1000)"
    );
}

#[test]
fn the_place_of_words_about_a_panic_is_an_immutable_i32() {
    for (global, found) in [
        ("(mut i32) (i32.const 40)", "a mutable global of type i32"),
        ("i64 (i64.const 40)", "an immutable global of type i64"),
    ] {
        let message = refusal(panicking(global, "").admit()).to_string();
        let expected = format!(
            "plugin p0: exports \"dseq_panic\" as {found}, but ABI v1 asks for an immutable global of type i32"
        );
        assert_eq!(message, expected);
    }
}
