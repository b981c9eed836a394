//! The envelope, and whether its signature holds.

use alloc::format;
use alloc::string::String;
use core::fmt;

use ed25519_compact::{Error, PublicKey, Signature};

use crate::Producer;

/// The first line of what is signed.
const DOMAIN: &[u8] = b"dseq/signed/v1\n";

/// Where the payload begins, in bytes: behind 32 of the key and 64 of the signature.
const PAYLOAD_AT: usize = 96;

/// A transaction's parts.
pub(crate) struct Envelope<'a> {
    /// The producer's public key.
    pub(crate) key: &'a [u8; 32],
    signature: &'a [u8; 64],
    /// What the producer wants in the sequence: at least one byte.
    pub(crate) payload: &'a [u8],
}

/// A transaction with no room for key, signature and a payload.
pub(crate) struct TooShort {
    len: usize,
}

impl fmt::Display for TooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes are too short for an envelope: {PAYLOAD_AT} bytes of key and signature, and at least 1 of payload",
            self.len
        )
    }
}

/// Why a signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forged {
    /// No signature looks like this.
    Form,
    /// Of another key, or over something else.
    Mismatch,
    /// No signature holds under this key.
    Key,
}

impl Forged {
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Form => 3,
            Self::Mismatch => 4,
            Self::Key => 5,
        }
    }

    pub(crate) fn words(self, producer: &Producer, context: &str) -> String {
        let name = &producer.name;
        match self {
            Self::Form => {
                "the signature is none: R is no point it may be, or S is not below the group's order".into()
            }
            Self::Mismatch => {
                format!("the signature is not {name:?}'s for this payload in the context {context:?}")
            }
            Self::Key => {
                format!("the key of {name:?} in the params is no point of the curve; nobody can sign with it")
            }
        }
    }
}

impl<'a> Envelope<'a> {
    /// Takes a transaction apart.
    pub(crate) fn open(tx: &'a [u8]) -> Result<Self, TooShort> {
        let parts = tx.split_first_chunk().and_then(|(key, rest)| Some((key, rest.split_first_chunk()?)));
        match parts {
            Some((key, (signature, payload))) if !payload.is_empty() => Ok(Self { key, signature, payload }),
            _ => Err(TooShort { len: tx.len() }),
        }
    }

    /// Whether the signature holds for this payload in this context, and why it does not.
    pub(crate) fn verify(&self, context: &str) -> Result<(), Forged> {
        let parts = [DOMAIN, context.as_bytes(), b"\n", self.payload];
        verify(self.key, self.signature, &parts)
    }
}

/// Verifies a signature over the parts of a message, one after the other.
pub(crate) fn verify(key: &[u8; 32], signature: &[u8; 64], parts: &[&[u8]]) -> Result<(), Forged> {
    let verdict = |error| match error {
        Error::InvalidPublicKey | Error::WeakPublicKey => Forged::Key,
        Error::SignatureMismatch => Forged::Mismatch,
        _ => Forged::Form,
    };
    let mut state = PublicKey::new(*key).verify_incremental(&Signature::new(*signature)).map_err(verdict)?;
    parts.iter().for_each(|part| state.absorb(part));
    state.verify().map_err(verdict)
}
