//! The default plugin: accepts every transaction unchanged, so that the sequence is plainly the
//! transactions' bytes, one after the other.
#![cfg_attr(target_arch = "wasm32", no_std)]

use dseq_sdk::{Output, Plugin, Refusal, Verdict};

/// Takes no params: `{}`.
pub struct Passthrough;

impl Plugin for Passthrough {
    type Params = ();

    fn init((): ()) -> Result<Self, Refusal> {
        Ok(Self)
    }

    fn apply(&self, _tx: &[u8], _out: &mut Output) -> Verdict {
        Verdict::Accept
    }
}

dseq_sdk::export!(Passthrough);

#[cfg(test)]
mod tests {
    use dseq_sdk::testing::{Outcome, Tester};

    use super::*;

    #[test]
    fn every_transaction_is_accepted_as_it_is() {
        let plugin = Tester::<Passthrough>::new("{}").unwrap();
        assert_eq!(plugin.apply(b"any bytes \x00\xff"), Outcome::Unchanged);
    }

    #[test]
    fn params_are_refused_because_they_would_do_nothing() {
        let refusal = Tester::<Passthrough>::new(r#"{"max":3}"#).err().unwrap();
        assert_eq!(refusal.message(), "this plugin takes no params; write {}");
    }
}
