//! A plugin's last words: what a panic says, left where the host finds it.
//!
//! # Format
//!
//! The export `dseq_panic` is the address of 8 bytes: address and length of a text in UTF-8, both u32, little-endian. The
//! length is 0 until a panic has written a text like `src/lib.rs:12:5: index out of bounds: the len is 3 but the
//! index is 3`, cut at [`TEXT_BYTES_MAX`].

use core::fmt::{self, Write};
use core::panic::Location;

/// Longest text in bytes; the host shows no more.
const TEXT_BYTES_MAX: usize = 1024;

/// A text of bounded length. It is written without allocating: a panic may be about memory.
struct Text {
    bytes: [u8; TEXT_BYTES_MAX],
    len: usize,
}

impl Text {
    const EMPTY: Self = Self { bytes: [0; TEXT_BYTES_MAX], len: 0 };

    /// Appends these bytes.
    ///
    /// Fails when there is no room for them all.
    #[inline(never)]
    fn write_bytes(&mut self, bytes: &[u8]) -> fmt::Result {
        let end = self.len + bytes.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }
}

impl Write for Text {
    /// Fails when the text is full, which ends the writing.
    #[inline(never)]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fitting = text.floor_char_boundary(TEXT_BYTES_MAX - self.len);
        self.write_bytes(&text.as_bytes()[..fitting])?;
        if fitting < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// As `Location` shows itself, but without what that takes to pad and align: a good kilobyte of a plugin's code.
fn write_location(text: &mut Text, location: Option<&Location<'_>>) -> fmt::Result {
    let Some(location) = location else { return Ok(()) };
    text.write_str(location.file())?;
    for number in [location.line(), location.column()] {
        text.write_str(":")?;
        write_decimal(text, number)?;
    }
    text.write_str(": ")
}

fn write_decimal(text: &mut Text, number: u32) -> fmt::Result {
    if number > 9 {
        write_decimal(text, number / 10)?;
    }
    text.write_bytes(&[b'0' + (number % 10) as u8])
}

#[cfg(all(target_arch = "wasm32", feature = "std"))]
pub(crate) use guest::leave_out_of_memory;
#[cfg(target_arch = "wasm32")]
pub(crate) use guest::listen;

#[cfg(target_arch = "wasm32")]
mod guest {
    #![allow(unsafe_code, reason = "the ABI is raw memory")]

    use core::fmt;
    use core::panic::Location;

    use super::{Text, Write as _, write_location};
    use crate::unshared::Unshared;

    static TEXT: Unshared<Text> = Unshared::new(Text::EMPTY);

    /// Address and length of the text.
    #[unsafe(export_name = "dseq_panic")]
    static PANIC: Unshared<[u32; 2]> = Unshared::new([0; 2]);

    /// Whether words are being written.
    static BUSY: Unshared<bool> = Unshared::new(false);

    /// Leaves words for the host. The last ones count.
    fn leave(location: Option<&Location<'_>>, write_message: impl FnOnce(&mut Text) -> fmt::Result) {
        // SAFETY: one thread, and no reference to it is ever made.
        if unsafe { BUSY.get().replace(true) } {
            // The message itself panicked. The place of the first panic has been left, and that must do.
            core::arch::wasm32::unreachable();
        }
        // SAFETY: one thread, and not in here twice, so it is the only reference.
        let text = unsafe { &mut *TEXT.get() };
        text.len = 0;
        // What does not fit is left out.
        let located = write_location(text, location);
        publish(text);
        let _ = located.and_then(|()| write_message(text));
        publish(text);
        // SAFETY: as above.
        unsafe { *BUSY.get() = false };
    }

    fn publish(text: &Text) {
        // SAFETY: one thread, and no reference to it is ever made. Addresses and lengths in a wasm memory have 32 bits.
        unsafe { *PANIC.get() = [text.bytes.as_ptr() as u32, text.len as u32] };
    }

    /// Has panics of the standard library leave their words.
    #[cfg(feature = "std")]
    pub(crate) fn listen() {
        std::panic::set_hook(alloc::boxed::Box::new(|info| {
            let message = info.payload_as_str().unwrap_or("a panic without words");
            leave(info.location(), |text| text.write_str(message));
        }));
    }

    /// Without the standard library, [`handle`] is all it takes.
    #[cfg(not(feature = "std"))]
    pub(crate) fn listen() {}

    #[cfg(not(feature = "std"))]
    #[panic_handler]
    fn handle(info: &core::panic::PanicInfo<'_>) -> ! {
        let message = info.message();
        leave(info.location(), |text| match message.as_str() {
            Some(message) => text.write_str(message),
            None => write!(text, "{message}"),
        });
        core::arch::wasm32::unreachable()
    }

    /// Leaves word of memory that ran out: the standard library ends the plugin without a panic then.
    #[cfg(feature = "std")]
    pub(crate) fn leave_out_of_memory(bytes: usize) {
        leave(None, |text| write!(text, "the memory is full: there is no room for {bytes} bytes more"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_written_as_the_standard_library_does() {
        let location = Location::caller();
        let mut text = Text::EMPTY;
        write_location(&mut text, Some(location)).unwrap();
        assert_eq!(text.bytes[..text.len], *std::format!("{location}: ").as_bytes());
        for number in [0, 9, 10, 1009, u32::MAX] {
            let mut text = Text::EMPTY;
            write_decimal(&mut text, number).unwrap();
            assert_eq!(text.bytes[..text.len], *std::format!("{number}").as_bytes());
        }
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let mut text = Text::EMPTY;
        write!(text, "{:x<1022}", "").unwrap();
        assert!(write!(text, "éé more").is_err());
        assert_eq!(&text.bytes[1020..text.len], "xxé".as_bytes());
    }
}
