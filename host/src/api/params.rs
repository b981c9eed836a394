//! Parameters in queries and paths, with a problem for each way in which they can be wrong.

use std::str::FromStr;
use std::time::Duration;

use axum::extract::Query;
use axum::http::Uri;

use super::problem::{BAD_PARAMETER, Problem};
use crate::excerpt::Excerpt;
use crate::types::TxHash;

/// How long a request may wait at most, in seconds: proxies between give up after about that long.
pub(super) const WAIT_SECONDS_MAX: u64 = 60;

/// The parameters of a request, decoded, in the order in which they came.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// The parameters in a target.
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let pairs = Query::try_from_uri(uri);
        let Query(pairs) = pairs.map_err(|_| bad("the query is not a list of name=value"))?;
        Ok(Self(pairs))
    }

    /// The value of a parameter, if it is there.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(bad(format!("the parameter {name} is given twice")));
        }
        Ok(first)
    }

    /// The value of a parameter that is a number in decimal digits, if it is there.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        match decimal(text) {
            Some(number) => Ok(Some(number)),
            None => {
                Err(bad(format!("{name} must be a decimal number below 2^64, not {:?}", Excerpt::of(text))))
            }
        }
    }

    /// The value of a parameter that is a time to wait, in seconds, if it is there.
    pub(super) fn seconds(&self, name: &str) -> Result<Option<Duration>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        seconds(text).map(Some).ok_or_else(|| {
            let text = Excerpt::of(text);
            bad(format!(
                "{name} is {text:?}; it must be a number of seconds from 0 to {WAIT_SECONDS_MAX}, such as 2 or 0.5"
            ))
        })
    }

    /// Refuses parameters that are not in a list: they are likely misspelled, and to ignore them would change the answer.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                let there = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let name = Excerpt::of(name);
                Err(bad(format!("there is no parameter {name:?} here; there are {there}")))
            }
        }
    }
}

/// A problem of [`BAD_PARAMETER`].
pub(super) fn bad(detail: impl Into<String>) -> Problem {
    Problem::new(&BAD_PARAMETER, detail)
}

/// The hash of a transaction in a path.
pub(super) fn hash(text: &str) -> Result<TxHash, Problem> {
    TxHash::from_str(text).map_err(|err| bad(format!("the hash of a transaction: {err}")))
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

/// A number in decimal digits and nothing else, if it fits in 64 bits.
pub(super) fn decimal(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Params {
        Params::of(&format!("/?{query}").parse().unwrap()).unwrap()
    }

    #[test]
    fn numbers_are_decimal_digits_that_fit() {
        assert_eq!(params("a=7&b=18446744073709551615").number("a").unwrap(), Some(7));
        assert_eq!(params("a=007").number("a").unwrap(), Some(7));
        assert_eq!(params("b=7").number("a").unwrap(), None);
        for bad in
            ["a", "a=", "a=-1", "a=%2B1", "a=1.0", "a=0x1", "a=+1", "a=18446744073709551616", "a=1&a=1"]
        {
            params(bad).number("a").unwrap_err();
        }
    }

    #[test]
    fn a_hash_is_64_digits() {
        let digits = "0123456789abcdef".repeat(4);
        assert_eq!(hash(&digits).unwrap().to_string(), digits);
        assert_eq!(hash(&digits.to_uppercase()).unwrap().to_string(), digits, "as CometBFT writes them");
        assert!(hash(&digits[1..]).is_err() && hash(&format!("0x{digits}")).is_err() && hash("").is_err());
    }

    #[test]
    fn values_are_decoded() {
        assert_eq!(params("a=%6eow").one("a").unwrap(), Some("now"));
        assert_eq!(params("a=%ff").one("a").unwrap(), Some("\u{fffd}"));
    }

    #[test]
    fn what_is_not_known_is_refused_where_that_is_asked_for() {
        params("a=1").only(&["a", "b"]).unwrap();
        params("a=1&c=1").only(&["a", "b"]).unwrap_err();
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
            let params = params(&query);
            let _ = (params.number("from"), params.seconds("wait"), params.only(&["x"]));
        }
    }
}
