//! A value that one thread replaces and others read or wait for.
//!
//! `tests/race` checks every order in which its threads can run (with `cfg(loom)`); so nothing of ours is named here.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

#[cfg(loom)]
use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
use std::sync::{Condvar, Mutex, MutexGuard};

/// The value, shared by reference.
#[derive(Debug)]
pub(super) struct Published<T> {
    /// Always whole: it is replaced at once, and the lock is held for no longer than that takes.
    value: Mutex<Arc<T>>,
    /// Signalled after each replacement.
    replaced: Condvar,
}

impl<T> Published<T> {
    /// Publishes a first value.
    pub(super) fn new(value: T) -> Self {
        Self { value: Mutex::new(Arc::new(value)), replaced: Condvar::new() }
    }

    /// Replaces the value, and wakes all that wait.
    pub(super) fn publish(&self, value: T) {
        let value = Arc::new(value);
        *self.lock() = value;
        self.replaced.notify_all();
    }

    /// The value now.
    pub(super) fn now(&self) -> Arc<T> {
        Arc::clone(&self.lock())
    }

    /// Waits as long as the value is so, and no longer than `timeout`; returns the value then.
    pub(super) fn wait_while(&self, timeout: Duration, is_so: impl Fn(&T) -> bool) -> Arc<T> {
        Arc::clone(&self.wait(timeout, is_so))
    }

    #[cfg(not(loom))]
    fn wait(&self, timeout: Duration, is_so: impl Fn(&T) -> bool) -> MutexGuard<'_, Arc<T>> {
        let waited = self.replaced.wait_timeout_while(self.lock(), timeout, |value| is_so(value));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Under the model no time passes: a wake-up that is lost is a deadlock, which it reports.
    #[cfg(loom)]
    fn wait(&self, _: Duration, is_so: impl Fn(&T) -> bool) -> MutexGuard<'_, Arc<T>> {
        let mut value = self.lock();
        while is_so(&value) {
            value = self.replaced.wait(value).unwrap_or_else(PoisonError::into_inner);
        }
        value
    }

    fn lock(&self) -> MutexGuard<'_, Arc<T>> {
        // A poisoned lock still guards a whole value.
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
