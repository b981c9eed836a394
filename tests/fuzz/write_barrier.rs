//! What a plugin stores to and what its write barrier records: nothing may change outside of the dirty pages.
//!
//! Random functions that do hardly anything but store, branch and call each other are run with their barriers on another
//! engine than the product's, and the whole memory is compared before and after.

use std::cell::Cell;
use std::fmt::Write as _;

use dseq::plugin::{
    CanonicalJson, Limits, Pipeline, PipelineSpec, PluginName, PluginSpec, Verdict, engine_id, instrumented,
};
use dseq::types::PluginHash;
use wasmi::{Config, Engine, Linker, Module, Store, Val};

use super::noise::Noise;
use super::{fuzz, smith};

const MEMORY_BYTES: usize = 128 << 10;

/// As the host resets memory.
const PAGE_BYTES: usize = 4 << 10;
const MARGIN_BYTES: usize = 512;

const FUNCTIONS: usize = 7;
/// Two parameters and three more; behind them a counter for each of the loops that may be open.
const LOCALS: usize = 5;
const LOOPS: usize = 2;

/// How calls ended. Had all of them recorded all pages, or none stored anything, a test would say nothing.
#[derive(Default)]
struct Tally {
    ended: Cell<u64>,
    changed: Cell<u64>,
    some_clean: Cell<u64>,
}

impl Tally {
    fn count(&self, run: &Run) {
        let add = |counter: &Cell<u64>, is_one: bool| counter.set(counter.get() + u64::from(is_one));
        add(&self.ended, true);
        add(&self.changed, run.before != run.after);
        add(&self.some_clean, run.dirty != u32::MAX);
    }

    fn says_something(self, runs: u64) {
        let [ended, changed, some_clean] = [self.ended, self.changed, self.some_clean].map(Cell::into_inner);
        println!("{ended} ended well, {changed} changed their memory, {some_clean} left some pages clean");
        let says_something = ended > runs / 10 && changed > ended / 10 && some_clean > ended / 10;
        assert!(says_something || is_short(), "{ended} of {runs}, {changed}, {some_clean}");
    }
}

/// Whether one seed is looked at.
fn is_short() -> bool {
    std::env::var_os("DSEQ_FUZZ_RUNS").is_some()
}

#[test]
fn no_store_is_missed() {
    let tally = Tally::default();
    fuzz("write barrier", 4_000, |noise| {
        let text = format!("{})", functions(noise));
        let wasm = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let params = [noise.next(), noise.next()].map(address);
        let Some(run) = run(&instrumented(&wasm).unwrap(), "run", &params) else { return };
        let outside = run.outside();
        assert!(outside.is_empty(), "changed at {:?}, dirty {:032b}: {text}", &outside[..1], run.dirty);
        tally.count(&run);
    });
    tally.says_something(4_000);
}

#[test]
fn no_store_of_a_random_module_is_missed() {
    let tally = Tally::default();
    fuzz("write barrier of random modules", 200, |noise| {
        let seed = noise.next();
        let (plain, functions) = smith::module(seed);
        let Ok(wasm) = instrumented(&plain) else { return };
        for which in 0..=functions {
            let mut tx = noise.bytes(1 + 8 * 32);
            tx[0] = u8::try_from(which).unwrap();
            let Some(run) = run_plugin(&wasm, &tx) else { continue };
            assert!(run.outside().is_empty(), "module {seed}, function {which}: {:032b}", run.dirty);
            tally.count(&run);
        }
    });
    tally.says_something(200);
}

/// The host's half: the whole memory is shown by a transaction of one byte, on a fresh instance and after others.
#[test]
fn nothing_of_a_call_is_left_for_the_next() {
    const ABI: &str = r#"
        (func (export "dseq_abi_v1"))
        (func (export "dseq_buffer") (param i32) (result i32) (i32.const 4090))
        (func (export "dseq_init") (param i32) (result i64) (i64.const 0x0001000000000000))
        (func (export "dseq_apply") (param i32) (result i64)
          (if (i32.eq (local.get 0) (i32.const 1)) (then (return (i64.const 0x0002000000020000))))
          (call $f0 (i32.load (i32.const 4090)) (i32.load (i32.const 4094)))
          (i64.const 0x0001000000000000))
        (func (export "dseq_output") (result i32) (i32.const 0)))"#;
    let accepted = Cell::new(0);
    fuzz("calls after calls", 300, |noise| {
        let text = functions(noise) + ABI;
        let wasm = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let limits = Limits { fuel_max: 1_000_000, ..Limits::default() };
        let plugin = PluginSpec {
            name: PluginName::try_from("fuzzed".to_owned()).unwrap(),
            sha256: PluginHash::of(&wasm),
            params: CanonicalJson::default(),
        };
        let spec = PipelineSpec { engine: engine_id(), limits, plugins: vec![plugin] };
        let pipeline = Pipeline::admit(spec, &[wasm]).unwrap_or_else(|error| panic!("{error}: {text}"));
        let verdict = |tx: Vec<u8>| pipeline.trace(&tx.into()).unwrap().0.verdict().clone();
        let fresh = verdict(vec![7]);
        assert!(matches!(&fresh, Verdict::Replaced(memory) if memory.len() == MEMORY_BYTES));
        for _ in 0..4 {
            let params = [noise.next(), noise.next()].map(|random| address(random).to_le_bytes());
            if verdict(params.concat()) == Verdict::Unchanged {
                accepted.set(accepted.get() + 1);
            }
            assert!(verdict(vec![7]) == fresh, "{params:?} left something behind: {text}");
        }
    });
    assert!(accepted.get() > 600 || is_short(), "only {} were accepted", accepted.get());
}

/// A memory before and after a call that ended well.
struct Run {
    before: Vec<u8>,
    after: Vec<u8>,
    dirty: u32,
}

impl Run {
    /// Where it changed and is not recorded.
    fn outside(&self) -> Vec<usize> {
        let is_dirty = |at: usize| {
            (0..32).any(|page| {
                let (start, end) = (page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
                self.dirty & 1 << page != 0 && at + MARGIN_BYTES >= start && at < end + MARGIN_BYTES
            })
        };
        let changed = (0..self.before.len()).filter(|at| self.before[*at] != self.after[*at]);
        changed.filter(|at| !is_dirty(*at)).collect()
    }
}

fn instance(wasm: &[u8]) -> Option<(Store<()>, wasmi::Instance)> {
    let mut config = Config::default();
    config.consume_fuel(true);
    let engine = Engine::new(&config);
    let module = Module::new(&engine, wasm).unwrap();
    let mut store = Store::new(&engine, ());
    store.set_fuel(200_000).unwrap();
    let instance = Linker::new(&engine).instantiate_and_start(&mut store, &module).ok()?;
    Some((store, instance))
}

/// Runs one function; `None` if that traps, or if the module has no barriers.
fn run(wasm: &[u8], function: &str, params: &[i32]) -> Option<Run> {
    let (mut store, instance) = instance(wasm)?;
    let memory = instance.get_memory(&store, "memory").unwrap();
    let dirty = instance.get_global(&store, "dseq_dirty_pages")?;
    let before = memory.data(&store).to_vec();
    let params: Vec<Val> = params.iter().map(|param| Val::I32(*param)).collect();
    instance.get_func(&store, function).unwrap().call(&mut store, &params, &mut []).ok()?;
    let dirty = dirty.get(&store).i32().unwrap().cast_unsigned();
    Some(Run { before, after: memory.data(&store).to_vec(), dirty })
}

/// Runs a plugin on a transaction; `None` if that traps, or grows the memory, or does not fit into it, or if the
/// plugin has no barriers.
fn run_plugin(wasm: &[u8], tx: &[u8]) -> Option<Run> {
    let (mut store, instance) = instance(wasm)?;
    let dirty = instance.get_global(&store, "dseq_dirty_pages")?;
    let memory = instance.get_memory(&store, "memory").unwrap();
    let (len, mut start) = (Val::I32(i32::try_from(tx.len()).unwrap()), [Val::I32(0)]);
    instance
        .get_func(&store, "dseq_buffer")
        .unwrap()
        .call(&mut store, std::slice::from_ref(&len), &mut start)
        .ok()?;
    let start = usize::try_from(start[0].i32().unwrap()).unwrap();
    memory.data_mut(&mut store).get_mut(start..start + tx.len())?.copy_from_slice(tx);
    let before = memory.data(&store).to_vec();
    instance.get_func(&store, "dseq_apply").unwrap().call(&mut store, &[len], &mut [Val::I64(0)]).ok()?;
    let dirty = dirty.get(&store).i32().unwrap().cast_unsigned();
    let after = memory.data(&store).to_vec();
    (after.len() == before.len() && after.len() <= MEMORY_BYTES).then_some(Run { before, after, dirty })
}

/// An address that is mostly inside of the memory, and often near the edge of a page.
fn address(random: u64) -> i32 {
    let near_an_edge = (random >> 8) % 33 * 4096 + (random >> 20) % 1200;
    let address =
        if random.is_multiple_of(3) { (random >> 8) % 131_072 } else { near_an_edge.saturating_sub(600) };
    i32::try_from(address).unwrap()
}

fn offset(noise: &mut Noise) -> u64 {
    match noise.below(41) {
        0..10 => 0,
        10..20 => noise.next() % 64,
        20..30 => noise.next() % 1_200,
        30..40 => noise.next() % 9_000,
        // With it the address is beyond what 32 bits hold.
        _ => u64::from(u32::MAX) - noise.next() % 5_000,
    }
}

/// A module, all but its end, whose `run` stores, and calls functions that do.
fn functions(noise: &mut Noise) -> String {
    let mut text = format!(
        "(module (memory (export \"memory\") 2) (type $f (func (param i32 i32))) (data $d \"{}\")
        (table 2 funcref) (elem (i32.const 0) $f{} $f{})\n",
        "0123456789".repeat(50),
        FUNCTIONS - 1,
        FUNCTIONS - 2
    );
    for function in 0..FUNCTIONS {
        let export = if function == 0 { "(export \"run\")" } else { "" };
        let locals = " i32".repeat(LOCALS - 2 + LOOPS);
        writeln!(text, "(func $f{function} {export} (param i32 i32) (local{locals})").unwrap();
        let mut body = Body { noise, text: String::new(), function, blocks: 0, loops: 0 };
        let statements = 1 + body.noise.below(7);
        (0..statements).for_each(|_| body.statement());
        text.push_str(&body.text);
        text.push_str(")\n");
    }
    text
}

/// A function's body as far as it is written.
struct Body<'a> {
    noise: &'a mut Noise,
    text: String,
    function: usize,
    /// Blocks that are open.
    blocks: usize,
    loops: usize,
}

impl Body<'_> {
    fn put(&mut self, text: impl std::fmt::Display) {
        writeln!(self.text, "{text}").unwrap();
    }

    fn statement(&mut self) {
        match self.noise.below(18) {
            0..6 => self.store(),
            6 | 7 => self.set(),
            8 => self.bulk(),
            9 => self.block("block"),
            10 => self.branching(),
            11 if self.loops < LOOPS => self.looping(),
            12 | 13 => self.call(),
            14 if self.blocks > 0 => {
                let (target, other) = (self.noise.below(self.blocks), self.noise.below(self.blocks));
                let condition = self.condition();
                // A loop is only left, so that it ends.
                match self.noise.below(8) {
                    0 => self.put(format_args!("{condition} br_table $b{target} $b{other}")),
                    1 => self.put(format_args!("br $b{target}")),
                    _ => self.put(format_args!("{condition} br_if $b{target}")),
                }
            }
            15 if self.noise.below(4) == 0 => {
                let condition = self.condition();
                self.put(format_args!("{condition} if return end"));
            }
            16 => self.store_of_two_ways(),
            _ => self.store(),
        }
    }

    /// Which address and which value it is depends on a branch.
    fn store_of_two_ways(&mut self) {
        let [first, second] = [self.address(), self.address()];
        let [one, other] = [self.noise.below(1_000), self.noise.below(1_000)];
        let (condition, offset) = (self.condition(), offset(self.noise));
        self.put(format_args!(
            "block $two (result i32 i32) {first} i32.const {one} {condition} br_if $two drop drop
             {second} i32.const {other} end i32.store offset={offset}"
        ));
    }

    fn local(&mut self) -> usize {
        self.noise.below(LOCALS)
    }

    fn condition(&mut self) -> String {
        format!("local.get {} i32.const {} i32.and", self.local(), 1 << self.noise.below(12))
    }

    fn address(&mut self) -> String {
        match self.noise.below(8) {
            0..5 => format!("local.get {}", self.local()),
            5 => format!("i32.const {}", address(self.noise.next())),
            6 => format!("i32.const {} local.tee {}", address(self.noise.next()), self.local()),
            _ => format!("local.get {} i32.const {} i32.xor", self.local(), self.noise.below(8_192)),
        }
    }

    /// Now and then something happens between the address and the value.
    fn store(&mut self) {
        let (address, offset, value) = (self.address(), offset(self.noise), self.noise.next());
        self.put(address);
        if self.noise.below(6) == 0 {
            self.set();
        }
        let (ty, width) =
            [("i32", ""), ("i64", ""), ("i32", "8"), ("i32", "16"), ("i64", "32")][self.noise.below(5)];
        let value = if ty == "i32" { value >> 32 } else { value };
        self.put(format_args!("{ty}.const {value} {ty}.store{width} offset={offset}"));
    }

    fn set(&mut self) {
        let (local, from) = (self.local(), self.local());
        let value = match self.noise.below(3) {
            0 => format!("i32.const {}", address(self.noise.next())),
            1 => format!("local.get {from} i32.const {} i32.xor", self.noise.below(8_192)),
            _ => format!("local.get {from}"),
        };
        self.put(format_args!("{value} local.set {local}"));
    }

    fn bulk(&mut self) {
        let (to, len) = (self.address(), [0, 1, 100, 5_000][self.noise.below(4)]);
        let kind = self.noise.below(3);
        if kind == 0 {
            let (from, len) = (self.noise.below(100), len.min(400));
            self.put(format_args!("{to} i32.const {from} i32.const {len} memory.init $d"));
        } else if kind == 1 {
            let from = self.address();
            self.put(format_args!("{to} {from} i32.const {len} memory.copy"));
        } else {
            let byte = self.noise.below(256);
            self.put(format_args!("{to} i32.const {byte} i32.const {len} memory.fill"));
        }
    }

    fn statements(&mut self) {
        let count = self.noise.below(4);
        (0..count).for_each(|_| self.statement());
    }

    fn block(&mut self, opening: &str) {
        let label = self.blocks;
        self.put(format_args!("{opening} $b{label}"));
        self.blocks += 1;
        self.statements();
        self.blocks -= 1;
        self.put("end");
    }

    fn branching(&mut self) {
        let (condition, label) = (self.condition(), self.blocks);
        self.put(format_args!("{condition} if $b{label}"));
        self.blocks += 1;
        self.statements();
        if self.noise.below(2) == 0 {
            self.put("else");
            self.statements();
        }
        self.blocks -= 1;
        self.put("end");
    }

    /// Three times round.
    fn looping(&mut self) {
        let counter = LOCALS + self.loops;
        self.put(format_args!("i32.const 3 local.set {counter} loop $again{counter}"));
        self.loops += 1;
        self.statements();
        self.loops -= 1;
        self.put(format_args!(
            "local.get {counter} i32.const 1 i32.sub local.tee {counter} br_if $again{counter} end"
        ));
    }

    /// Only functions behind this one, so that no calls go round.
    fn call(&mut self) {
        let behind = FUNCTIONS - 1 - self.function;
        if behind == 0 {
            return self.store();
        }
        let (first, second) = (self.address(), self.address());
        if self.function < FUNCTIONS - 2 && self.noise.below(4) == 0 {
            let element = self.noise.below(2);
            return self.put(format_args!("{first} {second} i32.const {element} call_indirect (type $f)"));
        }
        let callee = self.function + 1 + self.noise.below(behind);
        self.put(format_args!("{first} {second} call $f{callee}"));
        if self.noise.below(10) == 0 {
            let condition = self.condition();
            self.put(format_args!("{condition} if local.get 0 local.get 1 call $f{callee} unreachable end"));
        }
    }
}
