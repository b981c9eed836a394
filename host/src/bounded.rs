//! Work within bounds on processor time and memory, which are measured while it runs.
//!
//! Compiling a module is such work: `plugin::validate` refuses most modules that would take too long, and the same ones on every
//! machine, but what a compiler takes is known only once it has compiled.
//!
//! # Determinism
//!
//! A slower machine may exceed a bound that another keeps. So this may only decide whether a node starts, and nothing that it
//! computes.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use procfs::process::Process;

use crate::limits;

/// Between two looks at what is used. What is allocated in the meantime comes on top of the bound.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What some work may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Time of one processor.
    pub(crate) processor_time: Duration,
    /// Growth of the process's resident memory.
    pub(crate) memory_bytes: u64,
}

/// The bound that was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    ProcessorTime,
    Memory,
}

/// Does `work` on a thread of its own, for as long as it keeps within `bounds`. Work that exceeds them cannot be stopped: its
/// thread goes on, and the process is expected to end.
///
/// # Errors
///
/// The outer one when the system gives no thread, the inner one when a bound is exceeded.
///
/// # Panics
///
/// When `work` does.
pub(crate) fn within<R: Send + 'static>(
    bounds: Bounds,
    work: impl FnOnce() -> R + Send + 'static,
) -> io::Result<Result<R, Exceeded>> {
    let began = Instant::now();
    let memory_before = resident_bytes();
    let (tell_thread, thread_id) = mpsc::channel();
    let (tell_done, done) = mpsc::channel();
    let builder = thread::Builder::new().name("compile".to_owned());
    let worker = builder.stack_size(limits::PLUGIN_THREAD_STACK_BYTES).spawn(move || {
        // Nobody is listening any more once a bound is exceeded.
        let _ = tell_thread.send(rustix::thread::gettid());
        let _ = tell_done.send(work());
    })?;
    let thread_id = thread_id.recv().ok().map(|id| id.as_raw_nonzero().get());
    loop {
        match done.recv_timeout(LOOK_EVERY) {
            Ok(result) => return Ok(Ok(result)),
            Err(RecvTimeoutError::Disconnected) => match worker.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                Ok(()) => return Err(io::Error::other("the thread ended without a result")),
            },
            Err(RecvTimeoutError::Timeout) => {}
        }
        // Without /proc the time that has passed has to do; a thread cannot have used more.
        let used = thread_id.and_then(processor_time).unwrap_or_else(|| began.elapsed());
        if used > bounds.processor_time {
            return Ok(Err(Exceeded::ProcessorTime));
        }
        if resident_bytes().saturating_sub(memory_before) > bounds.memory_bytes {
            return Ok(Err(Exceeded::Memory));
        }
    }
}

/// The processor time that a thread of this process has used.
fn processor_time(thread_id: i32) -> Option<Duration> {
    let stat = Process::myself().ok()?.task_from_tid(thread_id).ok()?.stat().ok()?;
    let milliseconds = stat.utime.saturating_add(stat.stime).saturating_mul(1000);
    milliseconds.checked_div(procfs::ticks_per_second()).map(Duration::from_millis)
}

/// The process's memory as the kernel counts it, 0 where it does not say.
fn resident_bytes() -> u64 {
    let pages = Process::myself().and_then(|own| own.statm()).map_or(0, |statm| statm.resident);
    pages.saturating_mul(procfs::page_size())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const ENOUGH: Bounds = Bounds { processor_time: Duration::from_secs(3600), memory_bytes: 1 << 40 };

    /// Does `work` again and again until the test ends.
    fn endless(bounds: Bounds, mut work: impl FnMut() + Send + 'static) -> Exceeded {
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let exceeded = within(bounds, move || {
            while !until.load(Ordering::Relaxed) {
                work();
            }
        });
        ended.store(true, Ordering::Relaxed);
        exceeded.unwrap().unwrap_err()
    }

    #[test]
    fn work_within_its_bounds_is_done() {
        assert_eq!(within(ENOUGH, || 7).unwrap(), Ok(7));
    }

    /// On a busy machine a compiler waits for its turn, too.
    #[test]
    fn waiting_is_not_working() {
        let bounds = Bounds { processor_time: Duration::from_millis(200), ..ENOUGH };
        assert_eq!(within(bounds, || thread::sleep(Duration::from_millis(400))).unwrap(), Ok(()));
    }

    #[test]
    fn work_that_takes_too_long_is_given_up() {
        let bounds = Bounds { processor_time: Duration::from_millis(50), ..ENOUGH };
        assert_eq!(endless(bounds, std::hint::spin_loop), Exceeded::ProcessorTime);
    }

    #[test]
    fn work_that_takes_too_much_memory_is_given_up() {
        let mut held: Vec<Vec<u8>> = Vec::new();
        let exceeded = endless(Bounds { memory_bytes: 256 << 20, ..ENOUGH }, move || {
            // Beyond the bound and no further, however long it takes to be noticed.
            if held.len() < 512 {
                held.push(vec![1; 1 << 20]);
            }
        });
        assert_eq!(exceeded, Exceeded::Memory);
    }

    #[test]
    #[should_panic(expected = "of the work itself")]
    fn a_panic_of_the_work_is_a_panic_here() {
        let _ = within(ENOUGH, || panic!("of the work itself"));
    }
}
