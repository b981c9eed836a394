//! The real `dseq` on a real file system, stopped or hindered at each of its system calls by strace.
//!
//! A run that needs no mercy: first start on an empty home, InitChain with an inline plugin, blocks with records and
//! without, an orderly stop; then torn tails as a crash leaves them, a second start that recovers, more blocks. The
//! calls that run makes are counted, not known beforehand, so the tests follow the code. After each interference the
//! node starts again unaided, and must hold every block whose Commit was answered, none that was not sent, each byte
//! once, and end where an untroubled node ends.
//!
//! A kill leaves the page cache whole, so it cannot show a missing sync: [`order`] checks instead, in the calls of
//! the same run, that whatever an answer promises was synced before it.
//!
//! # Environment
//!
//! | variable | what |
//! |---|---|
//! | `DSEQ_SKIP_CRASH` | a reason to skip what needs strace, where it or ptrace is unavailable; printed |
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../support/mod.rs"]
mod support;

mod errors;
mod full;
mod kill;
mod order;
mod process;
mod scenario;
mod stack;
mod strace;
