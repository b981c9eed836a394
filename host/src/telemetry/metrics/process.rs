//! What the system says of this process. Read at each scrape.

use procfs::process::{LimitValue, Process};

/// The process as it is now; 0 stands for what the system does not say.
#[derive(Debug, Default)]
pub(super) struct Usage {
    pub(super) memory_bytes: u64,
    pub(super) cpu_seconds: f64,
    pub(super) threads: u64,
    pub(super) open_fds: u64,
    pub(super) max_fds: u64,
}

impl Usage {
    pub(super) fn now() -> Self {
        let Ok(process) = Process::myself() else { return Self::default() };
        let open_fds = process.fd_count().map_or(0, |count| count as u64);
        let max_fds = match process.limits().map(|limits| limits.max_open_files.soft_limit) {
            Ok(LimitValue::Value(max)) => max,
            Ok(LimitValue::Unlimited) | Err(_) => 0,
        };
        let Ok(stat) = process.stat() else { return Self { open_fds, max_fds, ..Self::default() } };
        let ticks = stat.utime.saturating_add(stat.stime);
        #[expect(clippy::cast_precision_loss, reason = "exact for the first 28 million years")]
        let cpu_seconds = ticks as f64 / procfs::ticks_per_second() as f64;
        Self {
            memory_bytes: stat.rss.saturating_mul(procfs::page_size()),
            cpu_seconds,
            threads: u64::try_from(stat.num_threads).unwrap_or(0),
            open_fds,
            max_fds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_descriptors() {
        let usage = Usage::now();
        assert!(usage.memory_bytes > 1 << 20, "{usage:?}");
        assert!(usage.threads > 0 && usage.open_fds > 2 && usage.max_fds > usage.open_fds, "{usage:?}");
        assert!(usage.cpu_seconds.is_finite(), "{usage:?}");
    }
}
