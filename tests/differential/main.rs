//! The same plugins and transactions on other engines: the same verdict, the same output, the same class of fault; and the
//! same fuel wherever wasmtime is below, however it compiles.
//!
//! All run the module that the product compiles, instrumentation and all, through a second host for the ABI (`driver`).
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic, as its tests may")]

mod compare;
mod driver;
mod gallery;
#[path = "../hostile/generated.rs"]
mod generated;
mod interpreter;
mod native;
#[path = "../support/noise.rs"]
mod noise;
mod random;
#[path = "../support/smith.rs"]
mod smith;
#[path = "../hostile/suite.rs"]
mod suite;

use bytes::Bytes;
use compare::{Panel, Plugin};
use dseq::plugin::Limits;
use suite::Expected;

#[test]
fn hostile_plugins_end_alike_on_every_engine() {
    let panel = Panel::new();
    for hostile in suite::all() {
        let Expected::Endings(endings) = &hostile.expected else { continue };
        let txs: Vec<Bytes> = endings.iter().map(|(tx, _)| tx.clone()).collect();
        let plugin = told_nothing(&hostile.name, &hostile.wasm);
        let tally = panel.compare(&plugin, &txs).unwrap_or_else(|differs| panic!("{differs}"));
        assert_eq!(tally.checked(), txs.len(), "{} is not admitted", hostile.name);
    }
}

/// What the hostile modules do before there is a transaction.
#[test]
fn plugins_that_fail_at_init_do_so_on_every_engine() {
    let panel = Panel::new();
    let mut failed = 0;
    for hostile in suite::all() {
        let Expected::Refused(words) = &hostile.expected else { continue };
        let plugin = told_nothing(&hostile.name, &hostile.wasm);
        let tally = panel.compare(&plugin, &[]).unwrap_or_else(|differs| panic!("{differs}"));
        failed += tally.init_failed;
        assert_eq!(tally.init_failed + tally.not_admitted, 1, "{}: {words}", hostile.name);
    }
    assert!(failed >= 8, "only {failed} failed at init");
}

#[test]
fn the_gallery_has_the_same_results_on_every_engine() {
    let panel = Panel::new();
    let mut checked = 0;
    for (name, wasm) in gallery::built() {
        for (params, mut txs) in gallery::golden_inputs(&name) {
            txs.extend(gallery::anything(&name));
            let plugin = Plugin { params: &params, ..told_nothing(&name, &wasm) };
            let tally = panel.compare(&plugin, &txs).unwrap_or_else(|differs| panic!("{differs}"));
            assert_eq!(tally.not_admitted, 0, "{name}: {params}");
            checked += tally.checked();
        }
    }
    assert!(checked > 0);
}

/// A plugin whose params are `{}`.
fn told_nothing<'a>(name: &'a str, wasm: &'a [u8]) -> Plugin<'a> {
    Plugin { name, wasm, params: "{}", limits: Limits::default(), shows_nans: name == "nan-bits" }
}
