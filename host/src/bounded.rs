//! Work with limits on processor time and memory, which are measured while it runs.
//!
//! Compiling a module is such work: `plugin::validate` refuses most modules that would take too long, and the same ones on every
//! machine, but what compiling takes is known only afterwards.
//!
//! # Determinism
//!
//! A slower machine may exceed a limit that another keeps. So this may only decide whether a node starts, and nothing that it
//! computes.

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use procfs::process::{Process, Task};
use rustix::thread::{Pid, gettid};
use rustix::time::{ClockId, clock_gettime};

use crate::limits;

/// How often the limits are checked. What is allocated in between comes on top.
const CHECK_EVERY: Duration = Duration::from_millis(20);

/// What some work may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Time of one processor.
    pub(crate) processor_time: Duration,
    /// Growth of the process's memory, swapped out or not.
    pub(crate) memory_bytes: u64,
}

/// The limit that was exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exceeded {
    ProcessorTime,
    Memory,
}

/// Does `work` on a thread of its own, within `bounds` if there are any. Answers with its result, and with the processor time
/// it took. Work that exceeds a limit cannot be stopped: its thread goes on, and the process is expected to end.
///
/// # Errors
///
/// The outer one when the system gives no thread or does not say what the process uses, the inner one when a limit is exceeded.
///
/// # Panics
///
/// When `work` does.
pub(crate) fn within<R: Send + 'static>(
    bounds: Option<Bounds>,
    work: impl FnOnce() -> R + Send + 'static,
) -> io::Result<Result<(R, Duration), Exceeded>> {
    let (tell_thread, thread_id) = mpsc::channel();
    let (alive, ended) = mpsc::channel::<()>();
    // A compiler recurses, nobody says how deep: it gets as much stack as any thread here.
    let builder =
        thread::Builder::new().name("bounded".to_owned()).stack_size(limits::PLUGIN_THREAD_STACK_BYTES);
    let worker = builder.spawn(move || {
        let _alive = alive;
        let _ = tell_thread.send(gettid());
        let result = work();
        (result, own_processor_time())
    })?;
    if let Some(bounds) = bounds {
        let thread_id = thread_id.recv().map_err(io::Error::other)?;
        let mut watched = None;
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(CHECK_EVERY) {
            if watched.is_none() {
                watched = Watched::new(thread_id)?;
            }
            if let Some(exceeded) = watched.as_ref().and_then(|watched| watched.exceeds(bounds)) {
                return Ok(Err(exceeded));
            }
        }
    }
    match worker.join() {
        Ok(done) => Ok(Ok(done)),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// A thread at work, and what the process used at the first check: most work has ended before.
struct Watched {
    process: Process,
    thread: Task,
    memory_before: u64,
}

impl Watched {
    /// None if the thread has just ended.
    fn new(thread_id: Pid) -> io::Result<Option<Self>> {
        let process = Process::myself().map_err(io::Error::other)?;
        let Ok(thread) = process.task_from_tid(thread_id.as_raw_nonzero().get()) else { return Ok(None) };
        let memory_before =
            memory_bytes(&process).ok_or_else(|| io::Error::other("/proc does not tell memory"))?;
        Ok(Some(Self { process, thread, memory_before }))
    }

    /// Nothing can be read of a thread that has just ended, or without descriptors: then the next check has to see it.
    fn exceeds(&self, bounds: Bounds) -> Option<Exceeded> {
        if processor_time(&self.thread).is_some_and(|used| used > bounds.processor_time) {
            return Some(Exceeded::ProcessorTime);
        }
        let grown = memory_bytes(&self.process)?.saturating_sub(self.memory_before);
        (grown > bounds.memory_bytes).then_some(Exceeded::Memory)
    }
}

fn own_processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

fn processor_time(thread: &Task) -> Option<Duration> {
    let stat = thread.stat().ok()?;
    let milliseconds = stat.utime.saturating_add(stat.stime).saturating_mul(1000);
    milliseconds.checked_div(procfs::ticks_per_second()).map(Duration::from_millis)
}

fn memory_bytes(process: &Process) -> Option<u64> {
    let status = process.status().ok()?;
    let kib = status.vmrss?.saturating_add(status.vmswap.unwrap_or(0));
    Some(kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    const ENOUGH: Bounds = Bounds { processor_time: Duration::from_secs(60), memory_bytes: 1 << 40 };

    /// Does `work` again and again until the test ends.
    fn endless(bounds: Bounds, mut work: impl FnMut() + Send + 'static) -> Exceeded {
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let exceeded = within(Some(bounds), move || {
            while !until.load(Ordering::Relaxed) {
                work();
            }
        });
        ended.store(true, Ordering::Relaxed);
        exceeded.unwrap().unwrap_err()
    }

    #[test]
    fn work_within_its_bounds_is_done() {
        for bounds in [None, Some(ENOUGH)] {
            assert_eq!(within(bounds, || 7).unwrap().unwrap().0, 7);
        }
    }

    /// On a busy machine a compiler waits for its turn, too.
    #[test]
    fn waiting_is_not_working() {
        let bounds = Bounds { processor_time: Duration::from_millis(200), ..ENOUGH };
        let (_, used) = within(Some(bounds), || thread::sleep(Duration::from_millis(400))).unwrap().unwrap();
        assert!(used < bounds.processor_time, "{used:?}");
    }

    #[test]
    fn work_that_takes_too_long_is_given_up() {
        let bounds = Bounds { processor_time: Duration::from_millis(50), ..ENOUGH };
        assert_eq!(endless(bounds, std::hint::spin_loop), Exceeded::ProcessorTime);
    }

    #[test]
    fn work_that_takes_too_much_memory_is_given_up() {
        let mut held: Vec<Vec<u8>> = Vec::new();
        let exceeded = endless(Bounds { memory_bytes: 64 << 20, ..ENOUGH }, move || {
            // Beyond the bound and no further, however long it takes to be noticed.
            if held.len() < 128 {
                held.push(vec![1; 1 << 20]);
            }
        });
        assert_eq!(exceeded, Exceeded::Memory);
    }

    #[test]
    #[should_panic(expected = "of the work itself")]
    fn a_panic_of_the_work_is_a_panic_here() {
        let _ = within(Some(ENOUGH), || panic!("of the work itself"));
    }
}
