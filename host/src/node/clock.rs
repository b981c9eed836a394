//! What time it is on other machines, by the `Date` of their answers over HTTP.

use std::time::{Duration, SystemTime};

use crate::utc;

/// The date has whole seconds.
const RESOLUTION: Duration = Duration::from_secs(1);

/// Another machine's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// By how much it differs from this machine's at least.
    pub differs: Duration,
    /// Whether it is ahead of this machine's, if it differs.
    pub is_ahead: bool,
}

/// Asks who answers HTTP at a URL; none: nobody does, or without a date.
#[must_use]
pub fn of(url: &str, patience: Duration) -> Option<Clock> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(patience))
        .http_status_as_error(false)
        .max_redirects(0);
    let before = SystemTime::now();
    let response = ureq::Agent::from(config.build()).get(url).call().ok()?;
    let after = SystemTime::now();
    let date = date(response.headers().get("date")?.to_str().ok()?)?;
    Some(compare(date, before, after))
}

/// How far a date, cut to whole seconds, is from any moment between the question and the answer.
fn compare(date: SystemTime, before: SystemTime, after: SystemTime) -> Clock {
    let behind = before.duration_since(date + RESOLUTION).unwrap_or_default();
    let ahead = date.duration_since(after).unwrap_or_default();
    Clock { differs: behind.max(ahead), is_ahead: ahead > behind }
}

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT`, the only form that servers may send.
fn date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.split_once(", ")?;
    let mut parts = rest.strip_suffix(" GMT")?.split(' ');
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    utc::parse(&format!("{year}-{month:02}-{day}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn the_date_of_a_server_is_read() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(at(784_111_777)));
        for bad in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 6 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_a_date_leaves_open_is_no_difference() {
        let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        // Asked at 10.9 s, answered at 11.2 s: both 10 and 11 may be right.
        for date in [10_000, 11_000] {
            assert_eq!(compare(at(date), at(10_900), at(11_200)).differs, Duration::ZERO);
        }
        let differs = |millis, is_ahead| Clock { differs: Duration::from_millis(millis), is_ahead };
        assert_eq!(compare(at(5000), at(10_900), at(11_200)), differs(4900, false));
        assert_eq!(compare(at(20_000), at(10_900), at(11_200)), differs(8800, true));
    }
}
