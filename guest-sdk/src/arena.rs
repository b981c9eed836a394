//! The allocator of plugins: an arena, for as long as one transaction.
//!
//! The host puts a plugin back to where it was after `init` once a transaction is judged, and with it everything that
//! was allocated. So memory is handed out in a row and hardly ever taken back: only what lies last can shrink, grow or
//! go. It starts in what the linker left of the memory's last page; a plugin that needs no more than that never grows
//! its memory, and its instance can be used again.
#![allow(unsafe_code, reason = "an allocator is raw memory")]

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::ptr;

use crate::unshared::Unshared;

/// Size of one wasm page in bytes.
const PAGE_BYTES: usize = 64 << 10;

struct Arena {
    /// Address of the first free byte; 0 before the first allocation.
    next: Unshared<usize>,
}

#[global_allocator]
static ARENA: Arena = Arena { next: Unshared::new(0) };

unsafe extern "C" {
    /// Where the linker's data ends. Only its address means anything.
    static __heap_base: u8;
}

impl Arena {
    fn next(&self) -> usize {
        // SAFETY: one thread, and no reference to the cell outlives a line of this file.
        let next = unsafe { *self.next.get() };
        if next == 0 { (&raw const __heap_base).addr() } else { next }
    }

    /// Hands out everything up to `end`, growing the memory if need be; `false` if it cannot.
    fn extend_to(&self, end: usize) -> bool {
        let bytes = memory_size(0) * PAGE_BYTES;
        if end > bytes && memory_grow(0, (end - bytes).div_ceil(PAGE_BYTES)) == usize::MAX {
            #[cfg(feature = "std")]
            crate::panic::leave_out_of_memory(end - self.next());
            return false;
        }
        // SAFETY: as in `next`.
        unsafe { *self.next.get() = end };
        true
    }
}

// SAFETY: blocks are handed out from ascending addresses, so they do not overlap; a block is only shortened, extended or
// taken back while it is the last; alignment is seen to in `alloc`, and nothing moves.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let start = self.next().checked_next_multiple_of(layout.align());
        let Some((start, end)) = start.and_then(|start| Some((start, start.checked_add(layout.size())?)))
        else {
            return ptr::null_mut();
        };
        if self.extend_to(end) { ptr::with_exposed_provenance_mut(start) } else { ptr::null_mut() }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if block.addr() + layout.size() == self.next() {
            self.extend_to(block.addr());
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if block.addr() + layout.size() == self.next() {
            let Some(end) = block.addr().checked_add(new_size) else { return ptr::null_mut() };
            return if self.extend_to(end) { block } else { ptr::null_mut() };
        }
        if new_size <= layout.size() {
            return block;
        }
        // SAFETY: the caller promises that `new_size`, rounded up to the alignment, does not overflow `isize`.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(new_size, layout.align())) };
        if !new.is_null() {
            // SAFETY: the old block is `layout.size()` bytes long, the new one longer, and they do not overlap.
            unsafe { ptr::copy_nonoverlapping(block, new, layout.size()) };
        }
        new
    }
}
