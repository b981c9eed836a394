//! Threads with a native stack large enough for plugins.
//!
//! What a plugin's calls take of the native stack is bounded (`instrument/stack.rs`), and the native stack must never be
//! what decides: so plugins run only on threads that were made with [`PLUGIN_THREAD_STACK_BYTES`](limits::PLUGIN_THREAD_STACK_BYTES).
//!
//! # Invariants
//!
//! - Only whoever has made a thread with that stack declares that it has one.

use std::cell::Cell;
use std::io;
use std::thread::{self, JoinHandle};

use crate::limits;

thread_local! {
    static HAS_LARGE_STACK: Cell<bool> = const { Cell::new(false) };
}

/// Declares that the calling thread was made with the stack that plugins need.
pub(super) fn declare_large_stack() {
    HAS_LARGE_STACK.set(true);
}

/// Starts a thread with the stack that plugins need.
///
/// # Errors
///
/// When the system gives no thread.
pub fn spawn_with_large_stack<R: Send + 'static>(
    name: String,
    work: impl FnOnce() -> R + Send + 'static,
) -> io::Result<JoinHandle<R>> {
    builder(name).spawn(|| {
        declare_large_stack();
        work()
    })
}

/// Does `work` on a thread with the stack that plugins need: on the calling one if it has that stack, else on one of its
/// own.
///
/// # Errors
///
/// When the system gives no thread.
///
/// # Panics
///
/// When `work` does, with what it panics with.
pub fn on_large_stack<R: Send>(work: impl FnOnce() -> R + Send) -> io::Result<R> {
    if HAS_LARGE_STACK.get() {
        return Ok(work());
    }
    thread::scope(|scope| {
        let declared = || {
            declare_large_stack();
            work()
        };
        let thread = builder("plugin".to_owned()).spawn_scoped(scope, declared)?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn builder(name: String) -> thread::Builder {
    thread::Builder::new().name(name).stack_size(limits::PLUGIN_THREAD_STACK_BYTES)
}
