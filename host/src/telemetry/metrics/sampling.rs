//! Which of many short pieces of work are timed.
//!
//! Reading the clock twice around a CheckTx takes a few percent of it. So each thread times at most one piece in a tick of
//! the kernel's coarse clock (1 to 10 ms, most often 4), which costs a few nanoseconds to read: all of a quiet node's
//! checks are timed, and up to some hundreds a second on each thread of a busy one's.

use std::cell::Cell;

use rustix::time::{ClockId, clock_gettime};

/// What is sampled, each by itself.
#[derive(Clone, Copy, Debug)]
pub enum Sampled {
    /// A CheckTx.
    Check,
    /// A call of a plugin.
    PluginCall,
}

thread_local! {
    /// The tick in which this thread last timed each kind.
    static LAST: [Cell<i64>; 2] = const { [Cell::new(-1), Cell::new(-1)] };
}

/// Whether this thread is to time the next piece of this kind.
#[must_use]
pub fn due(kind: Sampled) -> bool {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    let tick = now.tv_sec.wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec);
    LAST.with(|last| last[kind as usize].replace(tick) != tick)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_timed_and_most_of_many_are_not() {
        assert!(due(Sampled::Check));
        let timed = (0..1_000_000).filter(|_| due(Sampled::Check)).count();
        assert!(timed < 100_000, "{timed}");
        assert!(due(Sampled::PluginCall), "each kind has its own");
    }
}
