//! Whatever bytes come in from outside, nothing panics, and what is said about them is consistent.
//!
//! Each target is tried with random input from seeds, a few thousand in an ordinary run; `make fuzz` tries a hundred times
//! as many, from another seed each time. A failure prints its seed: `DSEQ_FUZZ_SEED` with `DSEQ_FUZZ_RUNS=1` meets it
//! again.
//!
//! Why a loop of our own: bolero pins a version of `indexmap` that the `wasmparser` of wasmtime 48 does not accept, and
//! cargo-fuzz would have wasmtime compiled once more, by a nightly compiler. What a coverage-guided fuzzer finds by itself,
//! the shape of a module or a genesis, is given to this one: it changes good ones.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic, as its tests may")]

mod admission;
#[path = "../hostile/generated.rs"]
mod generated;
mod genesis;
mod mutate;
#[path = "../support/noise.rs"]
mod noise;
mod params;
#[path = "../support/smith.rs"]
mod smith;
mod write_barrier;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use noise::Noise;

/// Tries a target on `runs` seeds, or on what the environment says instead.
fn fuzz(target: &str, runs: u64, one: impl Fn(&mut Noise)) {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let times = number("DSEQ_FUZZ_TIMES").unwrap_or(1);
    let (runs, first) =
        (number("DSEQ_FUZZ_RUNS").unwrap_or(runs * times), number("DSEQ_FUZZ_SEED").unwrap_or(1));
    println!("{target}: {runs} runs, seeds from {first} on");
    for seed in first..first + runs {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| one(&mut Noise::new(seed)))) {
            println!("{target} failed: DSEQ_FUZZ_SEED={seed}");
            resume_unwind(panic);
        }
    }
}
