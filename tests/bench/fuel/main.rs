//! How long a unit of fuel can take: shapes of code that validation admits, each run until its fuel is spent.
//!
//! Without arguments every shape, worst last; with arguments those whose names contain one of them. The last column counts:
//! how long one transaction can hold a core under the default limits. It fails when that is longer than the goal. Time is
//! the thread's own, so that other work on the machine matters little; what that does to a shared cache matters to loads.

mod arithmetic;
mod beyond_instructions;
mod control;
mod host;
mod memory;
mod shape;
mod tables;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use dseq::limits;
use dseq::plugin::{
    CanonicalJson, Fault, Limits, Pipeline, PipelineSpec, PluginName, PluginSpec, Verdict, engine_id,
    on_large_stack,
};
use dseq::types::PluginHash;

use shape::Shape;

/// What a transaction, and a block of them, may hold one core for at most, in seconds: under the default limits, on the
/// machine the project is measured on.
const TX_SECONDS_MAX: f64 = 1.0;
const BLOCK_SECONDS_MAX: f64 = 2.0;

/// Calls that end by themselves are repeated for so long.
const REPEATED_FOR: Duration = Duration::from_millis(100);

/// What a call took.
struct Figure {
    name: &'static str,
    /// Memory beyond the default, in pages; 0: what the default gives.
    pages: u64,
    fuel: u64,
    ns: f64,
}

impl Figure {
    fn ns_per_unit(&self) -> f64 {
        self.ns / self.fuel as f64
    }

    /// What a transaction can take, with the fuel there is.
    fn seconds(&self) -> f64 {
        self.ns_per_unit() * Limits::default().fuel_max as f64 / 1e9
    }
}

fn measure(shape: &Shape) -> Result<Figure> {
    let wasm =
        wat::parse_str(shape.wat()).with_context(|| shape.wat().chars().take(3000).collect::<String>())?;
    let plugin = |number| {
        let name = PluginName::try_from(format!("shape{number}"))?;
        anyhow::Ok(PluginSpec { name, sha256: PluginHash::of(&wasm), params: CanonicalJson::default() })
    };
    let plugins = (0..shape.plugins).map(plugin).collect::<Result<_>>()?;
    let mut limits = Limits::default();
    limits.memory_bytes_max = limits.memory_bytes_max.max(shape.pages << 16);
    let spec = PipelineSpec { engine: engine_id(), limits, plugins };
    let pipeline = Pipeline::admit(spec, &vec![wasm.clone(); shape.plugins])?;
    let tx = Bytes::from(vec![b'x'; shape.tx_bytes]);
    let mut calls = 0_u32;
    if shape.once {
        pipeline.trace(&tx)?;
    }
    let (started, before) = (Instant::now(), thread_time());
    let fuel = loop {
        let (outcome, mut steps) = pipeline.trace(&tx)?;
        let step = steps.pop().context("no plugin")?;
        if let Verdict::Rejected { message, .. } = &step.verdict {
            // As the host does before it answers.
            std::hint::black_box(dseq::printable::line(message));
        }
        calls += 1;
        let is_spent = matches!(step.verdict, Verdict::Faulted { fault: Fault::OutOfFuel, .. });
        let is_faulted = matches!(step.verdict, Verdict::Faulted { .. });
        ensure!(is_spent != shape.once && is_faulted != shape.once, "{:?}", step.verdict);
        if !shape.once || started.elapsed() > REPEATED_FOR {
            break outcome.fuel.0;
        }
    };
    let took = thread_time().saturating_sub(before);
    Ok(Figure { name: shape.name, pages: shape.pages, fuel, ns: took.as_secs_f64() * 1e9 / f64::from(calls) })
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("processor time is not negative")
}

fn figures() -> Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let shapes = [
        arithmetic::shapes(),
        beyond_instructions::shapes(),
        control::shapes(),
        memory::shapes(),
        tables::shapes(),
        host::shapes(),
    ];
    let is_wanted = |shape: &Shape| wanted.is_empty() || wanted.iter().any(|part| shape.name.contains(part));
    let mut figures = Vec::new();
    for shape in shapes.into_iter().flatten().filter(is_wanted) {
        figures.push(measure(&shape).with_context(|| shape.name)?);
    }
    figures.sort_by(|one, other| one.seconds().total_cmp(&other.seconds()));
    ensure!(!figures.is_empty(), "no shape has such a name");
    println!("{:<66} {:>13} {:>11} {:>8} {:>8}", "", "units", "us", "ns/unit", "s");
    for figure in &figures {
        println!(
            "{:<66} {:>13} {:>11.1} {:>8.2} {:>8.2}",
            figure.name,
            figure.fuel,
            figure.ns / 1e3,
            figure.ns_per_unit(),
            figure.seconds()
        );
    }
    check(&figures)
}

/// The goal for what fits into the default limits; a bench that misses it fails.
fn check(figures: &[Figure]) -> Result<()> {
    let default_pages = Limits::default().memory_bytes_max >> 16;
    let within = figures.iter().filter(|figure| figure.pages <= default_pages);
    let worst = within.max_by(|one, other| one.seconds().total_cmp(&other.seconds()));
    let Some(worst) = worst else { return Ok(()) };
    let block = worst.ns_per_unit() * limits::BLOCK_FUEL_MAX as f64 / 1e9;
    println!(
        "\nthe worst within the default limits: {}, {:.2} s for a transaction (at most {TX_SECONDS_MAX}), \
         {block:.2} s for a block (at most {BLOCK_SECONDS_MAX})",
        worst.name,
        worst.seconds()
    );
    ensure!(
        worst.seconds() <= TX_SECONDS_MAX && block <= BLOCK_SECONDS_MAX,
        "fuel costs less than what it allows"
    );
    Ok(())
}

fn main() -> Result<()> {
    on_large_stack(figures).context("cannot start a thread")?
}
