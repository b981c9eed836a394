//! Whether the log's disk is nearly full, so that CheckTx refuses before Commit fails.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::app::{Code, Refusal};
use crate::sequence::Reader;

/// CheckTx asks the file system for its free space once in this many transactions.
const CHECKS_PER_DISK_CHECK: u64 = 64;

/// Whether the log's disk is nearly full.
pub(super) struct Disk {
    /// Free space below which it is, in bytes.
    free_bytes_low: u64,
    /// What the last look found.
    is_low: AtomicBool,
    /// Checks so far: what makes the next look due.
    checks: AtomicU64,
}

impl Disk {
    pub(super) fn new(free_bytes_low: u64) -> Self {
        Self { free_bytes_low, is_low: AtomicBool::new(false), checks: AtomicU64::new(0) }
    }

    /// Free space below which the disk is nearly full, in bytes.
    pub(super) fn free_bytes_low(&self) -> u64 {
        self.free_bytes_low
    }

    fn is_low(&self) -> bool {
        self.is_low.load(Ordering::Relaxed)
    }

    /// Asks the file system. Where it cannot answer, Commit will find out; a check is no place to fail.
    pub(super) fn refresh(&self, reader: &Reader) -> Option<u64> {
        let free_bytes = reader.free_bytes().ok()?;
        let is_low = free_bytes < self.free_bytes_low;
        if self.is_low.swap(is_low, Ordering::Relaxed) != is_low {
            let free_bytes_low = self.free_bytes_low;
            if is_low {
                tracing::error!(free_bytes, free_bytes_low, "disk nearly full: refusing transactions");
            } else {
                tracing::info!(free_bytes, free_bytes_low, "disk has room again: accepting transactions");
            }
        }
        Some(free_bytes)
    }

    /// The refusal of a check while the disk is nearly full. Looks again at each one then, so it ends by itself.
    pub(super) fn refusal(&self, reader: &Reader) -> Option<Refusal> {
        let due = self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(CHECKS_PER_DISK_CHECK);
        if due || self.is_low() { self.look(reader) } else { None }
    }

    /// The refusal of a check if the disk is nearly full at this moment.
    pub(super) fn look(&self, reader: &Reader) -> Option<Refusal> {
        let free_bytes = self.refresh(reader)?;
        let low = self.free_bytes_low;
        (free_bytes < low).then(|| {
            let message = format!(
                "this node's disk is nearly full: {free_bytes} bytes are free, it keeps {low}; try another node"
            );
            Refusal::by_host(Code::DiskLow, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequence::Log;

    #[test]
    fn a_disk_that_fills_up_is_noticed_and_room_on_it_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let reader = Log::open(dir.path()).unwrap().reader();
        let mut disk = Disk::new(0);
        let refused = |disk: &Disk| disk.refusal(&reader).is_some();
        assert!((0..CHECKS_PER_DISK_CHECK).all(|_| !refused(&disk)));
        disk.free_bytes_low = u64::MAX;
        assert!((0..CHECKS_PER_DISK_CHECK).any(|_| refused(&disk)), "it asks once in so many checks");
        assert!(refused(&disk) && disk.is_low());
        disk.free_bytes_low = 0;
        assert!(!refused(&disk) && !disk.is_low());
    }
}
