//! What a request that submits waits for.

use std::time::Duration;

use crate::api::params::{Params, bad};
use crate::api::problem::Problem;
use crate::excerpt::Excerpt;

/// How long a submission waits when nothing is said.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// What a submission waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Nothing: it is answered as soon as its hash is known.
    None,
    /// The pipeline accepts it, and it was handed to the engine.
    Checked,
    /// It is committed on this node.
    #[default]
    Committed,
}

/// How long, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For what.
    pub wait: Wait,
    /// How long at most.
    pub timeout: Duration,
}

impl Patience {
    /// Reads `wait` and `timeout`, and takes no other parameters.
    pub(in crate::api) fn of(params: &Params) -> Result<Self, Problem> {
        params.only(&["wait", "timeout"])?;
        let wait = match params.one("wait")? {
            None => Wait::default(),
            Some("none") => Wait::None,
            Some("checked") => Wait::Checked,
            Some("committed") => Wait::Committed,
            Some(other) => {
                let other = Excerpt::of(other);
                return Err(bad(format!("wait is {other:?}; it must be none, checked or committed")));
            }
        };
        Ok(Self { wait, timeout: params.seconds("timeout")?.unwrap_or(TIMEOUT_DEFAULT) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(query: &str) -> Result<Patience, String> {
        let params = Params::of(&format!("/?{query}").parse().unwrap()).unwrap();
        Patience::of(&params).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn what_to_wait_for_and_how_long_is_read() {
        let of = |wait, millis| Ok(Patience { wait, timeout: Duration::from_millis(millis) });
        assert_eq!(patience(""), of(Wait::Committed, 10_000));
        assert_eq!(patience("wait=checked"), of(Wait::Checked, 10_000));
        assert_eq!(patience("timeout=0.25&wait=none"), of(Wait::None, 250));
        assert_eq!(patience("timeout=60"), of(Wait::Committed, 60_000));
        for bad in [
            "60.001",
            "61",
            "-1",
            "+1",
            "1e1",
            ".5",
            "5.",
            "",
            "inf",
            "NaN",
            "1,5",
            "1.2.3",
            "9".repeat(400).as_str(),
        ] {
            assert!(patience(&format!("timeout={bad}")).unwrap_err().contains("from 0 to 60"), "{bad}");
        }
        assert!(patience("wait=commit").unwrap_err().contains("none, checked or committed"));
    }

    #[test]
    fn a_parameter_given_twice_or_unknown_is_refused() {
        assert!(patience("wait=none&wait=none").unwrap_err().contains("given twice"));
        assert!(patience("timout=3&wait=none").unwrap_err().contains("there are wait, timeout"));
    }
}
