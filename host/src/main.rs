//! dseq
fn main() {}
