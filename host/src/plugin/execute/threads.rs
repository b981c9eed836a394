//! Threads that plugins fit on.
//!
//! What a plugin's calls take of the native stack is bounded (`stack`), and must never be what decides: so plugins run
//! only on threads that were made with [`PLUGIN_THREAD_STACK_BYTES`](limits::PLUGIN_THREAD_STACK_BYTES).
//!
//! # Invariants
//!
//! - A thread is marked only by whoever has made it with that stack.

use std::cell::Cell;
use std::io;
use std::thread::{self, JoinHandle};

use crate::limits;

thread_local! {
    static HAS_ROOM: Cell<bool> = const { Cell::new(false) };
}

/// Says that the calling thread was made with the stack that plugins need.
pub(in crate::plugin) fn mark() {
    HAS_ROOM.set(true);
}

/// Starts a thread that plugins fit on.
///
/// # Errors
///
/// When the system gives no thread.
pub fn spawn_with_room<R: Send + 'static>(
    name: String,
    work: impl FnOnce() -> R + Send + 'static,
) -> io::Result<JoinHandle<R>> {
    builder(name).spawn(|| {
        mark();
        work()
    })
}

/// Does `work` on a thread that plugins fit on: the calling one if it is such a thread, else one of its own.
///
/// # Errors
///
/// When the system gives no thread.
///
/// # Panics
///
/// When `work` does, with what it panics with.
pub fn with_room<R: Send>(work: impl FnOnce() -> R + Send) -> io::Result<R> {
    if HAS_ROOM.get() {
        return Ok(work());
    }
    thread::scope(|scope| {
        let marked = || {
            mark();
            work()
        };
        let thread = builder("plugin".to_owned()).spawn_scoped(scope, marked)?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

fn builder(name: String) -> thread::Builder {
    thread::Builder::new().name(name).stack_size(limits::PLUGIN_THREAD_STACK_BYTES)
}
