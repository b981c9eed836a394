//! The plugin of the conformance suite, by the SDK. `conformance.wat` and `conformance.c` beside it do the same by hand.
//!
//! | first byte | what becomes of the transaction |
//! |---|---|
//! | `a` | accepted unchanged |
//! | `r` | replaced by its bytes in reverse |
//! | `d` | replaced by itself, twice |
//! | `x` | rejected with code 7; the message is the transaction |
//! | `e` | rejected with code 999 and an empty message |
//! | `p` | the plugin stops itself and says "as told" |
//! | `t` | the plugin stops itself without a word |
//! | any other | rejected with code 1; the message is "nobody knows this order" |
//!
//! It takes no params, and refuses any with code 1 and the words "this plugin takes no params; write {}".
#![cfg_attr(all(target_arch = "wasm32", not(feature = "std")), no_std)]

use dseq_sdk::{Output, Plugin, Refusal, Verdict};

/// Does as the table says.
pub struct Conformance;

impl Plugin for Conformance {
    type Params = ();

    fn init((): ()) -> Result<Self, Refusal> {
        Ok(Self)
    }

    fn apply(&self, tx: &[u8], out: &mut Output) -> Verdict {
        match tx.first() {
            Some(b'a') => Verdict::Accept,
            Some(b'r') => {
                tx.iter().rev().for_each(|byte| out.write(&[*byte]));
                Verdict::Replace
            }
            Some(b'd') => {
                out.write(tx);
                out.write(tx);
                Verdict::Replace
            }
            Some(b'x') => {
                out.write(tx);
                Verdict::Reject(7)
            }
            Some(b'e') => out.reject(999, ""),
            Some(b'p') => panic!("{}", told(tx)),
            #[cfg(target_arch = "wasm32")]
            Some(b't') => core::arch::wasm32::unreachable(),
            _ => out.reject(1, "nobody knows this order"),
        }
    }
}

/// Words the compiler does not know, so that the panic has to write them.
fn told(tx: &[u8]) -> &'static str {
    if tx.len() > 1 { "as told at length" } else { "as told" }
}

dseq_sdk::export!(Conformance);
