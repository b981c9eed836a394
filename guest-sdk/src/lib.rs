//! Write dseq plugins in Rust.
