//! The guest side of the ABI: where the host writes, and how its calls reach the plugin.
//!
//! # Invariants
//!
//! A plugin instance has one thread and remembers no transaction: after each it is reset or dropped. The host calls, in this order:
//! `buffer`, `init`, then `buffer`, `apply`, and `output` after an answer with an output.
#![allow(unsafe_code, reason = "the ABI is raw memory")]

use alloc::vec::Vec;
use core::slice;

use crate::unshared::Unshared;
use crate::{Output, Params, Plugin, Verdict, abi, panic};

/// Inputs up to this many bytes are written to a static buffer; only longer ones cost an allocation.
const SMALL_BYTES_MAX: usize = 16 << 10;

/// Where short inputs go. A static of its own, all zeros, so that it takes no room in the `.wasm` file.
static SMALL: Unshared<[u8; SMALL_BYTES_MAX]> = Unshared::new([0; SMALL_BYTES_MAX]);

/// All other state of a plugin instance.
#[doc(hidden)]
pub struct Guest<P>(Unshared<State<P>>);

struct State<P> {
    plugin: Option<P>,
    output: Output,
    large: Vec<u8>,
}

impl<P: Plugin> Guest<P> {
    #[allow(clippy::new_without_default, reason = "only `export!` makes one, in a static")]
    pub const fn new() -> Self {
        Self(Unshared::new(State { plugin: None, output: Output(Vec::new()), large: Vec::new() }))
    }

    #[allow(clippy::mut_from_ref, reason = "exclusive by the order of the host's calls")]
    fn state(&self) -> &mut State<P> {
        // SAFETY: one thread, and no export calls another, so this is the only reference while it lives.
        unsafe { &mut *self.0.get() }
    }

    /// Where the host may write `len` bytes; what was there before is lost.
    pub fn buffer(&self, len: u32) -> u32 {
        let state = self.state();
        let start = if len as usize <= SMALL_BYTES_MAX {
            SMALL.get().cast::<u8>().cast_const()
        } else {
            state.large = Vec::with_capacity(len as usize);
            state.large.as_ptr()
        };
        start as u32
    }

    /// Makes the plugin from its params.
    pub fn init(&self, params_len: u32) -> u64 {
        panic::listen();
        let state = self.state();
        let made = P::Params::parse(state.input(params_len)).and_then(P::init);
        let verdict = match made {
            Ok(plugin) => {
                state.plugin = Some(plugin);
                Verdict::Accept
            }
            Err(refusal) => {
                state.output.write(refusal.message().as_bytes());
                Verdict::Reject(1)
            }
        };
        state.answer(verdict)
    }

    /// Hands the transaction to the plugin. Traps when `init` has not succeeded.
    pub fn apply(&self, tx_len: u32) -> u64 {
        let state = self.state();
        let Some(plugin) = &state.plugin else { core::arch::wasm32::unreachable() };
        let mut output = core::mem::take(&mut state.output);
        let verdict = plugin.apply(state.input(tx_len), &mut output);
        state.output = output;
        state.answer(verdict)
    }

    /// Where the output lies that the last answer spoke of.
    pub fn output(&self) -> u32 {
        self.state().output.as_bytes().as_ptr() as u32
    }
}

impl<P> State<P> {
    /// What the host wrote into the buffer it last asked for.
    fn input(&self, len: u32) -> &[u8] {
        let len = len as usize;
        let (start, capacity) = if len <= SMALL_BYTES_MAX {
            (SMALL.get().cast::<u8>().cast_const(), SMALL_BYTES_MAX)
        } else {
            (self.large.as_ptr(), self.large.capacity())
        };
        assert!(len <= capacity, "the host filled more than it asked for");
        // SAFETY: within the allocation by the line above; initialised, because the host has just written
        // all of it (and because wasm memory always is); nothing writes to it while the plugin reads.
        unsafe { slice::from_raw_parts(start, len) }
    }

    fn answer(&self, verdict: Verdict) -> u64 {
        // An output cannot be longer than the 4 GiB of a wasm memory.
        abi::pack(verdict, self.output.as_bytes().len() as u32)
    }
}
