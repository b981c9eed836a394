//! State in statics, without locks: nobody shares it.
#![allow(unsafe_code, reason = "says what the compiler cannot know of wasm")]

use core::cell::UnsafeCell;

/// A static's content, for the one thread there is.
pub(crate) struct Unshared<T>(UnsafeCell<T>);

// SAFETY: the host runs an instance on one thread, and wasm without the threads proposal has no way to
// start another.
unsafe impl<T> Sync for Unshared<T> {}

impl<T> Unshared<T> {
    pub(crate) const fn new(content: T) -> Self {
        Self(UnsafeCell::new(content))
    }

    /// Where it is. Whoever follows the pointer sees to it that no other reference lives.
    pub(crate) const fn get(&self) -> *mut T {
        self.0.get()
    }
}
