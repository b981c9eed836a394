//! What a plugin is: the trait, its verdicts, and where it writes.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};

use crate::Params;

/// What a network runs on each transaction.
pub trait Plugin: Sized {
    /// What genesis may say to the plugin: a struct made by [`params!`](crate::params!), or `()` for a plugin that takes
    /// no params.
    type Params: Params;

    /// Makes the plugin from its params in genesis, which are of the right form already; here they may be checked
    /// against one another.
    ///
    /// # Errors
    ///
    /// Params the plugin cannot work with. Every node then refuses to start the network with these words.
    fn init(params: Self::Params) -> Result<Self, Refusal>;

    /// Decides about one transaction. What is left in `out` is the record of [`Verdict::Replace`] or the
    /// message of [`Verdict::Reject`]; [`Verdict::Accept`] ignores it.
    fn apply(&self, tx: &[u8], out: &mut Output) -> Verdict;
}

/// A plugin's decision about one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The record is the transaction itself; nothing is copied.
    Accept,
    /// The record is what was written to the output: at least one byte.
    Replace,
    /// No record. The code is from 1 to 999 and the plugin's own; what was written to the output is the
    /// message to the producer, as UTF-8.
    Reject(u16),
}

/// Why a plugin will not work with its params.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    /// A refusal in words for whoever writes the genesis file.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// The words.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Refusal {}

/// Where a plugin writes a record or a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output(pub(crate) Vec<u8>);

impl Output {
    /// Appends bytes.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// What was written so far.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Rejects: puts `message` in place of whatever was written. `code` is from 1 to 999.
    pub fn reject(&mut self, code: u16, message: impl fmt::Display) -> Verdict {
        self.clear();
        // Writing to an output cannot fail; an error could only be the message's own, and then the part
        // written before it is all there is to say.
        let _ = write!(self, "{message}");
        Verdict::Reject(code)
    }
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}
