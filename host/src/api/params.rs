//! Query parameters, with a problem for each way in which they can be wrong.

use axum::extract::Query;
use axum::http::Uri;

use super::problem::{BAD_PARAMETER, Problem};
use crate::excerpt::Excerpt;

/// The parameters of a request, decoded, in the order in which they came.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// The parameters in a target.
    pub(super) fn of(uri: &Uri) -> Result<Self, Problem> {
        let Query(pairs) = Query::try_from_uri(uri)
            .map_err(|_| Problem::new(&BAD_PARAMETER, "the query is not a list of name=value"))?;
        Ok(Self(pairs))
    }

    /// The value of a parameter, if it is there.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(Problem::new(&BAD_PARAMETER, format!("{name} is there more than once")));
        }
        Ok(first)
    }

    /// The value of a parameter that is a number in decimal digits, if it is there.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let Some(text) = self.one(name)? else { return Ok(None) };
        match decimal(text) {
            Some(number) => Ok(Some(number)),
            None => Err(Problem::new(
                &BAD_PARAMETER,
                format!("{name} must be a decimal number below 2^64, not {:?}", Excerpt::of(text)),
            )),
        }
    }

    /// Refuses parameters that are not in a list: they are likely misspelled, and to ignore them would change the answer.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                let there = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                let name = Excerpt::of(name);
                let detail = format!("there is no parameter {name:?} here; there are {there}");
                Err(Problem::new(&BAD_PARAMETER, detail))
            }
        }
    }
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
    fn values_are_decoded() {
        assert_eq!(params("a=%6eow").one("a").unwrap(), Some("now"));
        assert_eq!(params("a=%ff").one("a").unwrap(), Some("\u{fffd}"));
    }

    #[test]
    fn what_is_not_known_is_refused_where_that_is_asked_for() {
        params("a=1").only(&["a", "b"]).unwrap();
        params("a=1&c=1").only(&["a", "b"]).unwrap_err();
    }
}
