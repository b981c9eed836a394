//! A network of machines: each member's public file, the one file from which all of them begin, and a home's part in it.
//!
//! ```text
//! make_home   keys and settings ──> member.json, public ──┐
//! create      the members' files, the rules ──────────────┴──> network.json, public, and its fingerprint
//! join        network.json into a home: genesis, plugins, peers ──> dseq start
//! ```
//!
//! A local network (`node/testnet`) and a network of one (`dseq init --solo`) take the same steps in one process.
//!
//! # Invariants
//!
//! - What leaves a machine is [`Member`] and [`NetworkFile`], and neither has room for a secret.
//! - All members begin with the same file: who joins says which fingerprint is expected.
//! - A home that has begun a network takes no other one.

mod error;
mod file;
mod fingerprint;
mod found;
mod join;
mod keys;
mod make_home;
mod member;
mod profile;

#[cfg(test)]
pub(in crate::node) use member::tests;

pub use error::NetworkError;
pub use file::{Draft, NetworkFile};
pub use fingerprint::{Expected, Fingerprint};
pub use found::{Founding, found};
pub use join::{Joined, Role, join};
pub use make_home::{Listen, NewMember, make_home};
pub use member::{ADDRESS_EXPECTED, Member, NAME_EXPECTED, is_name, parse_address};
pub use profile::Profile;
