//! Only what a known producer has signed, with Ed25519: the signature is verified here, and the payload is the record.
//!
//! # Format
//!
//! A transaction is an envelope:
//!
//! | bytes | what |
//! |---|---|
//! | 32 | the producer's public key |
//! | 64 | the signature (RFC 8032, pure Ed25519: first R, then S) |
//! | 1 or more | the payload |
//!
//! What is signed is a text of two lines and then the payload, so that a signature for another network, or for anything
//! else, is none here:
//!
//! ```text
//! dseq/signed/v1
//! <context>
//! <payload>
//! ```
//!
//! Each line ends with one line feed; the payload is taken as it is. A context holds no line feed, so no two of
//! context and payload make the same text.
//!
//! | code | rejected |
//! |---|---|
//! | 1 | too short for an envelope with a payload |
//! | 2 | the key is none of the producers' |
//! | 3 | the signature has a form that none has |
//! | 4 | the signature is not this producer's for this payload in this context |
//! | 5 | the producer's key in the params is no key: nobody can sign with it |
//!
//! # Determinism
//!
//! Implementations of Ed25519 differ in which signatures they let pass of those that no honest signer makes. Here key and
//! R must be canonical encodings of points that do not have a small order, S must be below the group's order, and
//! 8SB = 8R + 8kA must hold (RFC 8032, section 5.1.7, which asks for no more than the last two). So a key that anybody
//! can sign for is none, and nobody can make a second signature from the first.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod envelope;
mod producers;
#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use dseq_sdk::{Output, Plugin, Refusal, Verdict};

use envelope::Envelope;
use producers::Producers;
pub use producers::{Key, Producer};

/// Longest context, in bytes.
const CONTEXT_BYTES_MAX: usize = 64;

dseq_sdk::params! {
    /// What genesis may say.
    pub struct Params {
        /// What the signatures are for: 1 to 64 printable ASCII characters; the chain's name is a good one.
        pub context: String,
        /// Who may sign.
        pub producers: Vec<Producer>,
        /// Whether the record is the whole envelope, so that readers can verify it again; else it is the payload.
        pub keep_envelope: bool = false,
    }
}

/// See the crate's documentation.
pub struct Signed {
    context: String,
    producers: Producers,
    keep_envelope: bool,
}

impl Plugin for Signed {
    type Params = Params;

    fn init(params: Params) -> Result<Self, Refusal> {
        let Params { context, producers, keep_envelope } = params;
        let printable = context.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !printable || context.is_empty() || context.len() > CONTEXT_BYTES_MAX {
            return Err(Refusal::new(format!(
                "context is {context:?}; it must be 1 to {CONTEXT_BYTES_MAX} printable ASCII characters"
            )));
        }
        Ok(Self { context, producers: Producers::new(producers)?, keep_envelope })
    }

    fn apply(&self, tx: &[u8], out: &mut Output) -> Verdict {
        let envelope = match Envelope::open(tx) {
            Ok(envelope) => envelope,
            Err(short) => return out.reject(1, short),
        };
        let Some(producer) = self.producers.find(envelope.key) else {
            return out.reject(2, format_args!("the key {} is none of the producers'", Key(*envelope.key)));
        };
        if let Err(forged) = envelope.verify(&self.context) {
            return out.reject(forged.code(), forged.words(producer, &self.context));
        }
        if self.keep_envelope {
            return Verdict::Accept;
        }
        out.write(envelope.payload);
        Verdict::Replace
    }
}

dseq_sdk::export!(Signed);
