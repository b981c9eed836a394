//! The default plugin as it is shipped: its verdicts, its fuel.
use bytes::Bytes;
use dseq::plugin::{HashedTx, Limits, Pipeline};

use super::gallery::built;
use super::{admit, apply, params, refusal, spec};

fn passthrough() -> Pipeline {
    admit(Limits::default(), &[built("passthrough")]).unwrap()
}

#[test]
fn every_transaction_is_its_own_record() {
    let pipeline = passthrough();
    for len in [1, 2, 255, 16 << 10, (16 << 10) + 1, 70_000, 1 << 20] {
        let tx = Bytes::from(vec![0xab; len]);
        let outcome = pipeline.apply(&HashedTx::of(&tx)).unwrap();
        assert_eq!(outcome.record(&tx).unwrap().as_ptr(), tx.as_ptr(), "{len} bytes");
    }
}

/// Fuel is part of every transaction's result. A change here forks the networks that run this plugin.
#[test]
fn its_fuel_is_fixed() {
    let pipeline = passthrough();
    let fuel = [b"x".as_slice(), &[7; 256], &[7; 20_000]].map(|tx| apply(&pipeline, tx).fuel.0);
    assert_eq!(fuel, [5021, 5276, 25_482]);
}

#[test]
fn params_are_refused() {
    let wasm = built("passthrough");
    let mut spec = spec(Limits::default(), std::slice::from_ref(&wasm));
    spec.plugins[0].params = params(r#"{"max": 3}"#);
    assert_eq!(
        refusal(Pipeline::admit(spec, &[wasm])).to_string(),
        "plugin p0: refuses its params {\"max\":3}: this plugin takes no params; write {} (code 1)"
    );
}
