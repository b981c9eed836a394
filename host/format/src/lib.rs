//! The formats of a dseq network that others parse or verify.
#![forbid(unsafe_code)]
#![warn(clippy::disallowed_methods)]
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

pub mod types;

pub mod limits;

pub mod excerpt;

pub mod printable;

pub mod json;

pub mod rules;

pub mod receipt;

pub mod entry;

pub mod bytes_root;

pub mod records_root;

pub mod app_hash;
