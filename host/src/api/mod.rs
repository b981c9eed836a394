//! HTTP for readers, producers and operators.

pub mod health;
