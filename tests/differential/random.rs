//! Random modules on every engine, and with their instrumentation beside without it.
//!
//! `DSEQ_RANDOM_MODULES` says how many, `DSEQ_RANDOM_SEED` from which seed on.

use std::env;
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use bytes::Bytes;
use dseq::plugin::{Fault, Limits, Verdict, instrumented, on_large_stack};

use super::compare::{Panel, Plugin, Tally};
use super::driver::{Driver, Engine};
use super::native;
use super::noise::Noise;
use super::smith;

/// How many in an ordinary run.
const MODULES: u64 = 200;

const LIMITS: Limits = Limits {
    tx_bytes_max: 1 << 20,
    record_bytes_max: 1 << 20,
    fuel_max: 2_000_000,
    memory_bytes_max: 1 << 20,
};

/// Tries so many seeds on all processors; a panic says which.
fn for_each_seed<T: AddAssign + Default + Send>(modules: u64, one: impl Fn(u64) -> T + Sync) -> T {
    let number = |name, default| env::var(name).map_or(default, |value| value.parse().unwrap());
    let (modules, first) = (number("DSEQ_RANDOM_MODULES", modules), number("DSEQ_RANDOM_SEED", 1));
    println!("{modules} random modules, seeds from {first} on");
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let some = |thread: u64| {
        let mut all = T::default();
        for seed in (first..first + modules).filter(|seed| seed % threads == thread) {
            all += catch_unwind(AssertUnwindSafe(|| one(seed))).unwrap_or_else(|panic| {
                println!("failed: DSEQ_RANDOM_SEED={seed}");
                resume_unwind(panic)
            });
        }
        all
    };
    let mut all = T::default();
    std::thread::scope(|scope| {
        let some = &some;
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || some(thread))).collect();
        threads.into_iter().for_each(|thread| all += thread.join().expect("the seed is printed above"));
    });
    all
}

/// One for each function, and one for all of them.
fn txs(seed: u64, functions: usize) -> Vec<Bytes> {
    let mut noise = Noise::new(!seed);
    let one = |which| {
        let mut tx = noise.bytes(1 + 8 * 32);
        tx[0] = u8::try_from(which).unwrap();
        Bytes::from(tx)
    };
    (0..=functions).map(one).collect()
}

#[test]
fn random_modules_end_alike_on_every_engine() {
    let panel = Panel::new();
    let tally: Tally = for_each_seed(MODULES, |seed| {
        let (wasm, functions) = smith::module(seed);
        let name = format!("seed {seed}");
        let shows_nans = smith::shows_nans(seed);
        let plugin = Plugin { name: &name, wasm: &wasm, params: "{}", limits: LIMITS, shows_nans };
        panel.compare(&plugin, &txs(seed, functions)).unwrap_or_else(|differs| panic!("{differs}"))
    });
    println!("{tally:?}");
    // Should wasm-smith one day make only modules that come to nothing, this test would say nothing.
    let checked = tally.checked();
    assert!(tally.accepted > checked / 4 && tally.faulted > checked / 10, "{tally:?}");
}

/// What counting the stack changes: how deep calls may nest, and what they cost. Nothing else.
#[test]
fn an_instrumented_module_does_what_the_plain_one_does() {
    let engine = &native::all()[1];
    let compared: u64 = for_each_seed(MODULES, |seed| {
        let (plain, functions) = smith::module(seed);
        // Now and then one is beyond a bound: no network would take it.
        let Ok(wasm) = instrumented(&plain) else { return 0 };
        let modules = [engine.compile(&plain), engine.compile(&wasm)];
        let [plain, counted] = modules.each_ref().map(|module| Driver {
            module: module.as_ref(),
            limits: LIMITS,
            params: "{}",
            elements_fuel: None,
        });
        on_large_stack(|| {
            if counted.init().verdict != Verdict::Unchanged {
                assert_eq!(plain.init().verdict, counted.init().verdict, "seed {seed}");
                return 0;
            }
            let txs = txs(seed, functions);
            let same = txs.iter().filter(|tx| {
                let counted = counted.apply(tx);
                // Past its depth, or what its depth left of the fuel, the plain one may go on: even for ever.
                if let Verdict::Faulted { fault: Fault::StackOverflow | Fault::OutOfFuel, .. } =
                    counted.verdict
                {
                    return false;
                }
                let plain = plain.apply(tx);
                assert_eq!(plain.verdict, counted.verdict, "seed {seed}");
                assert!(plain.fuel <= counted.fuel, "seed {seed}: {} and {}", plain.fuel, counted.fuel);
                true
            });
            same.count() as u64
        })
        .unwrap()
    });
    println!("{compared} transactions ended alike");
    assert!(compared > 0, "only {compared} transactions could be compared");
}
