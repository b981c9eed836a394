//! The two text formats of `/metrics`, and which one a request asks for.

use std::fmt;

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;

/// A format in which metrics are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus's text format 0.0.4, which every scraper and `promtool` reads.
    Text,
}

impl Format {
    /// The format that fits an `Accept` header best; the older one where both do equally, or nothing is said.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        let (mut open_metrics, mut text, mut any) = (None, None, None);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut is_served) = (1.0_f32, true);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => quality = value.trim().parse().unwrap_or(0.0),
                    "version" => {
                        is_served = matches!(value.trim().trim_matches('"'), "1.0.0" | "0.0.1" | "0.0.4");
                    }
                    _ => {}
                }
            }
            let best = match media.as_str() {
                "application/openmetrics-text" => &mut open_metrics,
                "text/plain" => &mut text,
                "*/*" | "text/*" => &mut any,
                _ => continue,
            };
            if is_served {
                *best = Some(best.map_or(quality, |best: f32| best.max(quality)));
            }
        }
        let (open_metrics, text) = (open_metrics.unwrap_or(0.0), text.or(any).unwrap_or(0.0));
        if open_metrics > text { Self::OpenMetrics } else { Self::Text }
    }

    /// The `Content-Type` to serve it with. Prometheus 3 refuses a scrape without the right one.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => prometheus_text::CONTENT_TYPE,
        }
    }

    pub(super) fn encode(self, registry: &Registry) -> Result<String, fmt::Error> {
        let mut encoded = String::new();
        match self {
            Self::OpenMetrics => text::encode(&mut encoded, registry)?,
            Self::Text => prometheus_text::encode(&mut encoded, registry)?,
        }
        Ok(encoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_that_was_asked_for() {
        let prometheus_2_42 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                               text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                            text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        let cases = [
            (prometheus_2_42, Format::OpenMetrics),
            (prometheus_3, Format::OpenMetrics),
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", Format::Text),
            ("application/openmetrics-text;q=0.2, text/plain;q=0.9", Format::Text),
            ("application/openmetrics-text;q=0", Format::Text),
            ("application/openmetrics-text; version=2.0.0", Format::Text),
            ("Application/OpenMetrics-Text", Format::OpenMetrics),
            ("*/*", Format::Text),
            ("text/html", Format::Text),
            ("", Format::Text),
        ];
        for (accept, format) in cases {
            assert_eq!(Format::accepted(accept), format, "{accept:?}");
        }
    }
}
