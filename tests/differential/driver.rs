//! A host for ABI v1 written a second time, from its description alone, over any engine.

use bytes::Bytes;
use dseq::plugin::{Fault, Limits, Verdict};

/// Why an engine went no further.
#[derive(Debug)]
pub(crate) enum Stop {
    /// By this fault of the plugin.
    Fault(Fault),
    /// For a reason that no plugin may be able to cause.
    Engine(String),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// An engine that plugins are tried on.
pub(crate) trait Engine: Sync {
    fn name(&self) -> &'static str;
    /// Whether it counts the product's fuel, and makes NaNs canonical as the product does.
    fn is_wasmtime(&self) -> bool;
    fn compile(&self, wasm: &[u8]) -> Box<dyn Module>;
}

/// A module in the form that its engine wants it.
pub(crate) trait Module: Sync {
    /// Makes an instance with these bounds.
    fn instance(&self, limits: &Limits) -> Result<Box<dyn Instance>, Stop>;
}

/// One instance of a module.
pub(crate) trait Instance {
    /// Calls an exported function. A result of 32 bits comes in the lower half.
    fn call(&mut self, export: &str, param: Option<i32>) -> Result<i64, Stop>;
    fn memory(&mut self) -> &mut [u8];
    fn global(&mut self, export: &str) -> Option<i32>;
    fn set_fuel(&mut self, fuel: u64);
    /// What is left: all of it where fuel is not counted.
    fn fuel_left(&mut self) -> u64;
}

/// What became of params or a transaction. `fuel` is what it took: `fuel_max` after a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) fuel: u64,
    pub(crate) verdict: Verdict,
}

/// Runs a module as the product would: a fresh instance for each call.
pub(crate) struct Driver<'a> {
    pub(crate) module: &'a dyn Module,
    pub(crate) limits: Limits,
    pub(crate) params: &'a str,
    /// What its table and passive segments cost each instance; none if what the host does around a call is not to be counted.
    pub(crate) elements_fuel: Option<u64>,
}

const INIT: &str = "dseq_init";
const APPLY: &str = "dseq_apply";

impl Driver<'_> {
    /// Has the plugin take its params.
    ///
    /// # Panics
    ///
    /// When the engine does what no plugin may be able to cause.
    pub(crate) fn init(&self) -> Ended {
        match self.module.instance(&self.limits) {
            Ok(mut instance) => self.start(instance.as_mut()),
            Err(stop) => self.faulted(None, stop),
        }
    }

    /// Runs the plugin on a transaction, in an instance that has accepted its params.
    ///
    /// # Panics
    ///
    /// When it has not, and when the engine does what no plugin may be able to cause.
    pub(crate) fn apply(&self, tx: &[u8]) -> Ended {
        let mut instance = self.module.instance(&self.limits).expect("it was made for init before");
        let init = self.start(instance.as_mut());
        assert_eq!(init.verdict, Verdict::Unchanged, "init accepted before");
        let memory = instance.memory().len() as u64;
        let is_restored = memory <= 128 << 10 && instance.global("dseq_dirty_pages").is_some();
        let charge = match self.elements_fuel {
            None => (0, 0),
            Some(_) if is_restored => (500 + memory / 32, init.fuel),
            Some(_) => (500 + init.fuel, 0),
        };
        self.run(instance.as_mut(), APPLY, tx, charge)
    }

    /// Init, and what making the instance costs.
    fn start(&self, instance: &mut dyn Instance) -> Ended {
        let memory = instance.memory().len() as u64;
        let charge = self.elements_fuel.map_or(0, |elements| 8_000 + memory / 2 + elements);
        self.run(instance, INIT, self.params.as_bytes(), (charge, 0))
    }

    /// `charge` is what the call costs beside its own work, and what more if the memory grows.
    fn run(&self, instance: &mut dyn Instance, entry: &str, input: &[u8], charge: (u64, u64)) -> Ended {
        match self.try_run(instance, entry, input, charge) {
            Ok(ended) => ended,
            Err(stop) => self.faulted(Some(instance), stop),
        }
    }

    fn try_run(
        &self,
        instance: &mut dyn Instance,
        entry: &str,
        input: &[u8],
        (charged, charged_if_grown): (u64, u64),
    ) -> Result<Ended, Stop> {
        let bytes_before = instance.memory().len() as u64;
        let given = self.limits.fuel_max.checked_sub(charged + input.len() as u64).ok_or(Fault::OutOfFuel)?;
        instance.set_fuel(given);
        let len = i32::try_from(input.len()).expect("transactions are bounded");
        let buffer = instance.call("dseq_buffer", Some(len))?;
        let place = range(instance, buffer, input.len() as u64).ok_or(Fault::BadBuffer)?;
        instance.memory()[place].copy_from_slice(input);
        let answer = instance.call(entry, Some(len))?.cast_unsigned();

        let [kind, code] = [answer >> 48, answer >> 32 & 0xffff];
        let output_len = answer & 0xffff_ffff;
        let verdict = match (kind, code, output_len) {
            (1, 0, 0) if entry == APPLY && input.len() as u64 > self.limits.record_bytes_max => {
                return Err(Fault::OutputTooLarge.into());
            }
            (1, 0, 0) => Verdict::Unchanged,
            (2, 0, 0) => return Err(Fault::OutputEmpty.into()),
            (2, 0, _) if entry == INIT => return Err(Fault::BadVerdict.into()),
            (2, 0, len) if len > self.limits.record_bytes_max => return Err(Fault::OutputTooLarge.into()),
            (2, 0, len) => Verdict::Replaced(Bytes::from(output(instance, len)?)),
            (3, 1..=999, len) => {
                let bytes = if len == 0 { Vec::new() } else { output(instance, len)? };
                Verdict::Rejected {
                    code: u16::try_from(code).expect("bounded above"),
                    message: words(&bytes),
                }
            }
            (3, _, _) => return Err(Fault::BadRejectCode.into()),
            _ => return Err(Fault::BadVerdict.into()),
        };
        let put_out = match &verdict {
            Verdict::Replaced(record) => record.len() as u64,
            Verdict::Rejected { message, .. } if entry == APPLY => 16 * message.len() as u64,
            _ => 0,
        };
        let grown = instance.memory().len() as u64 - bytes_before;
        let growing = if grown > 0 { grown / 2 + charged_if_grown } else { 0 };
        let left = instance.fuel_left().checked_sub(put_out + growing).ok_or(Fault::OutOfFuel)?;
        Ok(Ended { fuel: self.limits.fuel_max - left, verdict })
    }

    fn faulted(&self, instance: Option<&mut dyn Instance>, stop: Stop) -> Ended {
        let fault = match stop {
            Stop::Fault(fault) => fault,
            Stop::Engine(reason) => panic!("an engine failed over a plugin: {reason}"),
        };
        let (mut fault, mut message) = (fault, String::new());
        if let (Fault::Unreachable, Some(instance)) = (fault, instance) {
            if instance.global("dseq_stack_left") == Some(-1) {
                fault = Fault::StackOverflow;
            } else {
                message = panic_words(instance).unwrap_or_default();
            }
        }
        Ended { fuel: self.limits.fuel_max, verdict: Verdict::Faulted { fault, message } }
    }
}

/// The bytes of the memory from a place that a plugin has named; none if they are not all there.
fn range(instance: &mut dyn Instance, start: i64, len: u64) -> Option<std::ops::Range<usize>> {
    let start = start.cast_unsigned() & 0xffff_ffff;
    let end = start + len;
    let is_inside = end <= instance.memory().len() as u64;
    is_inside.then(|| usize::try_from(start).unwrap()..usize::try_from(end).unwrap())
}

fn output(instance: &mut dyn Instance, len: u64) -> Result<Vec<u8>, Stop> {
    let start = instance.call("dseq_output", None)?;
    let range = range(instance, start, len).ok_or(Fault::BadOutput)?;
    Ok(instance.memory()[range].to_vec())
}

fn panic_words(instance: &mut dyn Instance) -> Option<String> {
    let place = instance.global("dseq_panic")?;
    let place = range(instance, i64::from(place), 8)?;
    let told = u64::from_le_bytes(instance.memory()[place].try_into().unwrap());
    let range = range(instance, told.cast_signed(), told >> 32)?;
    Some(words(&instance.memory()[range]))
}

/// Text of at most 1024 bytes.
fn words(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    text.truncate(text.floor_char_boundary(1024));
    text
}
