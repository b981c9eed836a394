//! Durations as arguments.

use std::time::Duration;

/// A duration with its unit, `ms`, `s`, `m` or `h`; a plain number is seconds.
///
/// # Errors
///
/// Says how to write one.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => Some(0.001),
        "" | "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3600.0),
        _ => None,
    };
    let seconds = unit.and_then(|unit| Some(number.parse::<f64>().ok()? * unit));
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| "expected a duration such as 500ms, 30s, 5m or 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs_f64());
        assert_eq!(
            ["500ms", "30", "30s", "5m", "1h", "1.5s"].map(seconds).map(Result::unwrap),
            [0.5, 30.0, 30.0, 300.0, 3600.0, 1.5]
        );
        for bad in ["", "s", "-1s", "1 s", "1d", "1e9", "..s", "99999999999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
