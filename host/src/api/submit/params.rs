//! Parameters of requests that submit and of those that ask for receipts.

use std::str::FromStr;
use std::time::Duration;

use axum::http::Uri;

use crate::api::problem::{BAD_PARAMETER, Problem};
use crate::excerpt::Excerpt;
use crate::types::TxHash;

/// How long a request may wait at most, in seconds: proxies between give up after about that long.
pub const WAIT_SECONDS_MAX: u64 = 60;
/// How long a submission waits when nothing is said.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// What a submission waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Nothing: it is answered as soon as its hash is known.
    None,
    /// The pipeline accepts it, and the engine has taken it.
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

/// The parameters of a query, of which each has to be taken.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Takes a query apart.
    ///
    /// # Errors
    ///
    /// It has a parameter twice.
    pub fn parse(uri: &Uri) -> Result<Self, Problem> {
        let pairs = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        let axum::extract::Query(pairs) = pairs.map_err(|err| bad(format!("the query: {err}")))?;
        let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
        if let Some((_, twice)) =
            names.iter().enumerate().find(|(place, name)| names[..*place].contains(name))
        {
            return Err(bad(format!("the parameter {:?} is given twice", Excerpt::of(twice))));
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(other, _)| other == name)?;
        Some(self.0.swap_remove(place).1)
    }

    /// A number of records, bytes or blocks.
    ///
    /// # Errors
    ///
    /// It is no number.
    pub fn number(&mut self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        // Digits alone: Rust would take a plus sign as well.
        let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let not_one =
            || bad(format!("{name} is {:?}; it must be a number from 0 to {}", Excerpt::of(&text), u64::MAX));
        number.map(Some).ok_or_else(not_one)
    }

    /// A time to wait, in seconds.
    ///
    /// # Errors
    ///
    /// It is no number of seconds, or more than [`WAIT_SECONDS_MAX`].
    pub fn seconds(&mut self, name: &str) -> Result<Option<Duration>, Problem> {
        let Some(text) = self.take(name) else { return Ok(None) };
        seconds(&text).map(Some).ok_or_else(|| {
            let text = Excerpt::of(&text);
            let detail =
                format!("{name} is {text:?}; it must be a number of seconds from 0 to {WAIT_SECONDS_MAX}, such as 2 or 0.5");
            bad(detail)
        })
    }

    /// What a submission waits for, and how long.
    ///
    /// # Errors
    ///
    /// `wait` or `timeout` is not what it must be.
    pub fn patience(&mut self) -> Result<Patience, Problem> {
        let wait = match self.take("wait").as_deref() {
            None => Wait::default(),
            Some("none") => Wait::None,
            Some("checked") => Wait::Checked,
            Some("committed") => Wait::Committed,
            Some(other) => {
                let other = Excerpt::of(other);
                return Err(bad(format!("wait is {other:?}; it must be none, checked or committed")));
            }
        };
        let timeout = self.seconds("timeout")?.unwrap_or(TIMEOUT_DEFAULT);
        Ok(Patience { wait, timeout })
    }

    /// Refuses what is left: a misspelt parameter must not go unnoticed.
    ///
    /// # Errors
    ///
    /// Something is left.
    pub fn done(self, known: &str) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                Err(bad(format!("there is no parameter {:?} here; there are {known}", Excerpt::of(name))))
            }
        }
    }
}

/// The hash of a transaction in a path.
///
/// # Errors
///
/// It is not 64 hexadecimal digits.
pub fn hash(text: &str) -> Result<TxHash, Problem> {
    TxHash::from_str(text).map_err(|err| bad(format!("the hash of a transaction: {err}")))
}

/// A problem of [`BAD_PARAMETER`].
pub fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(&BAD_PARAMETER, detail)
}

/// Digits, with a point and more digits or without: what f64 takes beyond that (`inf`, `1e3`, `+1`) is a mistake here.
fn seconds(text: &str) -> Option<Duration> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds: f64 = (digits(whole) && digits(part)).then(|| text.parse().ok()).flatten()?;
    #[expect(clippy::cast_precision_loss, reason = "sixty is exact")]
    let max = WAIT_SECONDS_MAX as f64;
    (seconds <= max).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Query, Problem> {
        Query::parse(&format!("/?{query}").parse().unwrap())
    }

    fn patience(query: &str) -> Result<Patience, String> {
        let mut query = parse(query).unwrap();
        query.patience().map_err(|problem| format!("{problem:?}"))
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
        assert!(parse("wait=none&wait=none").is_err());
        let mut query = parse("timout=3&wait=none").unwrap();
        query.patience().unwrap();
        assert!(query.done("wait and timeout").is_err());
        assert!(parse("").unwrap().done("none").is_ok());
    }

    #[test]
    fn numbers_and_hashes_are_nothing_else() {
        let number = |text: &str| parse(&format!("n={text}")).unwrap().number("n").ok().flatten();
        assert_eq!((number("0"), number("18446744073709551615")), (Some(0), Some(u64::MAX)));
        for bad in ["", "-1", "%2B1", "1.0", "18446744073709551616", "0x1", "%201"] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
        let digits = "0123456789abcdef".repeat(4);
        assert_eq!(hash(&digits).unwrap().to_string(), digits);
        assert_eq!(hash(&digits.to_uppercase()).unwrap().to_string(), digits, "as CometBFT writes them");
        assert!(hash(&digits[1..]).is_err() && hash(&format!("0x{digits}")).is_err() && hash("").is_err());
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_a_time_to_wait_is_digits_up_to_the_maximum(text in "[0-9.eE+, -]{0,8}|[0-9]{1,2}(\\.[0-9]{1,9})?") {
            if let Some(found) = seconds(&text) {
                proptest::prop_assert!(found <= Duration::from_secs(WAIT_SECONDS_MAX));
                proptest::prop_assert!(text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
                proptest::prop_assert!((found.as_secs_f64() - text.parse::<f64>().unwrap()).abs() < 1e-6);
            }
        }

        #[test]
        fn a_hash_is_read_as_it_is_written(bytes in proptest::array::uniform32(0_u8..)) {
            let text = TxHash(bytes).to_string();
            proptest::prop_assert_eq!(hash(&text).unwrap().0, bytes);
            proptest::prop_assert!(hash(&text[1..]).is_err());
        }

        #[test]
        fn no_query_panics(query in "[a-z=&%0-9+.]{0,60}") {
            if let Ok(mut query) = parse(&query) {
                let _ = (query.patience(), query.number("from"), query.seconds("wait"), query.done("x"));
            }
        }
    }
}
