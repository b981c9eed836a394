//! Accepts every transaction unchanged.
