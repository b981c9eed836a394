//! The plugin `json` as it is shipped: it makes of a document what the host makes of params, and the worst documents end
//! in a verdict or with the fuel, never with the memory or the stack.
use bytes::Bytes;
use dseq::plugin::{CanonicalJson, Fault, HashedTx, Limits, Pipeline, Verdict};

use super::gallery::built;
use super::{admit, record};

fn json() -> Pipeline {
    admit(Limits::default(), &[built("json")]).unwrap()
}

#[test]
fn a_record_is_what_the_host_makes_of_the_same_params() {
    let pipeline = json();
    for tx in [
        r#"{"b":[1,-0.0,1e-7,5e-324,1.7976931348623157e308,123456789.125],"a":{"\u20ac":"\ud83d\ude00\u0007/"}}"#,
        r#"["\u0000\u001f\"\\",{},[],{"":null,"\ufb33":true,"\ud83d\ude00":false}]"#,
        "9007199254740991",
    ] {
        let canonical = CanonicalJson::parse(tx).unwrap();
        assert_eq!(record(&pipeline, tx.as_bytes()), format!("{}\n", canonical.as_str()));
    }
}

/// An object of as many fields as fit, in the wrong order.
fn backwards() -> Bytes {
    let fields: Vec<String> = (10_000..99_990).rev().map(|n| format!("\"k{n}\":0")).collect();
    Bytes::from(format!("{{{}}}", fields.join(",")))
}

/// As many of a text as fit into the longest transaction, between a beginning and an end.
fn filled(start: &str, text: &str, end: &str) -> Bytes {
    let room = usize::try_from(Limits::default().tx_bytes_max).unwrap() - start.len() - end.len();
    Bytes::from(format!("{start}{}{end}", text.repeat(room / text.len())))
}

/// What the plugin's README tells a network to allow that wants every document of the longest transaction.
const LIMITS: Limits = Limits {
    tx_bytes_max: 1 << 20,
    record_bytes_max: 4 << 20,
    fuel_max: 400_000_000,
    memory_bytes_max: 16 << 20,
};

#[test]
fn the_worst_documents_end_in_a_verdict_or_with_the_fuel() {
    let pipeline = admit(LIMITS, &[built("json")]).unwrap();
    let nested = "{\"b\":".repeat(64);
    for tx in [
        filled("", "[", ""),
        filled("", "{\"a\":", ""),
        filled("[", "0,", "0]"),
        filled("[", "[],", "0]"),
        filled("[", "{\"b\":0,\"a\":0},", "0]"),
        filled("[", "1e15,", "0]"),
        filled("[", "5e-324,", "0]"),
        filled("[", "{\"b\":{\"b\":{},\"a\":0},\"a\":0},", "0]"),
        filled("[0.", "0", "1]"),
        filled("[1e", "9", "]"),
        filled("\"", "\\u0000", "\""),
        filled("{\"", "k", "\":0,\"k\":1}"),
        filled(&nested, " ", &format!("0{}", ",\"a\":0}".repeat(64))),
        backwards(),
    ] {
        let outcome = pipeline.apply(&HashedTx::of(&tx)).unwrap();
        let what = tx[..40].escape_ascii();
        if let Verdict::Faulted { fault, message } = outcome.verdict() {
            assert_eq!(*fault, Fault::OutOfFuel, "{what} ...: {message}");
        }
    }
}

/// With fuel for it the same documents are canonical: neither memory nor stack is what stops them.
#[test]
fn memory_is_enough_for_every_document_of_the_longest_transaction() {
    let limits = Limits { fuel_max: 2_000_000_000, ..LIMITS };
    let pipeline = admit(limits, &[built("json")]).unwrap();
    for tx in [
        filled("[", "0,", "0]"),
        filled("[", "{\"b\":0,\"a\":0},", "0]"),
        filled("[", "{\"b\":{\"b\":{},\"a\":0},\"a\":0},", "0]"),
        filled("[", "5e-324,", "0]"),
        filled("[", "{\"\":{}},", "0]"),
        backwards(),
    ] {
        let outcome = pipeline.apply(&HashedTx::of(&tx)).unwrap();
        let what = tx[..40].escape_ascii();
        assert!(outcome.is_accepted(), "{what} ...");
    }
}
