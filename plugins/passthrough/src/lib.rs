//! The default plugin: accepts every transaction unchanged, so that the sequence is plainly the
//! transactions' bytes, one after the other.

use dseq_sdk::{Output, Plugin, Refusal, Verdict};

/// Takes no params: `{}`.
pub struct Passthrough;

impl Plugin for Passthrough {
    fn init(params: &str) -> Result<Self, Refusal> {
        if params == "{}" { Ok(Self) } else { Err(Refusal::new("passthrough takes no params; write {}")) }
    }

    fn apply(&self, _tx: &[u8], _out: &mut Output) -> Verdict {
        Verdict::Accept
    }
}

dseq_sdk::export!(Passthrough);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transaction_is_accepted_as_it_is() {
        let plugin = Passthrough::init("{}").unwrap();
        assert_eq!(plugin.apply(b"any bytes \x00\xff", &mut Output::default()), Verdict::Accept);
    }

    #[test]
    fn params_are_refused_because_they_would_do_nothing() {
        let refusal = Passthrough::init(r#"{"max":3}"#).err().unwrap();
        assert_eq!(refusal.message(), "passthrough takes no params; write {}");
    }
}
