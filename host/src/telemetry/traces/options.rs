//! What OpenTelemetry's variables ask for.

use std::time::Duration;

use opentelemetry_sdk::trace::Sampler;

pub(super) const OTEL_SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const TIMEOUTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];

/// The one protocol that is spoken.
const PROTOCOL: &str = "http/protobuf";
/// How long an export may take unless it is said, in milliseconds.
const TIMEOUT_MILLIS: u64 = 10_000;

/// How traces are exported.
#[derive(Debug)]
pub(super) struct Options {
    /// Where to.
    pub(super) endpoint: String,
    /// Which of them, and how that was said.
    pub(super) sampler: Sampler,
    pub(super) sampler_name: String,
    /// How long an export may take.
    pub(super) timeout: Duration,
}

impl Options {
    /// Reads them; `None` if there are to be no traces.
    ///
    /// They are off unless an endpoint or the exporter is named. Headers and attributes are read where they are used, by
    /// the library.
    pub(super) fn read(variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let get =
            |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if get(DISABLED).is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return Ok(None);
        }
        let own = get(TRACES_ENDPOINT);
        let of_all = get(ENDPOINT).map(|base| format!("{}/v1/traces", base.trim_end_matches('/')));
        let endpoint = match (get(EXPORTER).as_deref(), own.or(of_all)) {
            (Some("none"), _) | (None, None) => return Ok(None),
            (Some("otlp") | None, Some(endpoint)) => endpoint,
            (Some("otlp"), None) => "http://localhost:4318/v1/traces".to_owned(),
            (Some(other), _) => return Err(format!("{EXPORTER} is {other:?}; it must be otlp or none")),
        };
        if let Some((name, found)) = PROTOCOLS.iter().find_map(|name| Some((name, get(name)?)))
            && found != PROTOCOL
        {
            return Err(format!("{name} is {found:?}; dseq speaks {PROTOCOL} only"));
        }
        if !endpoint.starts_with("http://") {
            return Err(format!(
                "the endpoint is {endpoint:?}; dseq exports to http:// only: run a collector beside the node for TLS"
            ));
        }
        let (sampler, sampler_name) = sampler(get(SAMPLER).as_deref(), get(SAMPLER_ARG).as_deref())?;
        let millis = match TIMEOUTS.iter().find_map(|name| Some((name, get(name)?))) {
            None => TIMEOUT_MILLIS,
            Some((name, text)) => {
                let parsed = text.parse().ok().filter(|millis| *millis > 0);
                parsed.ok_or_else(|| format!("{name} is {text:?}; it must be a number of milliseconds"))?
            }
        };
        Ok(Some(Self { endpoint, sampler, sampler_name, timeout: Duration::from_millis(millis) }))
    }
}

/// No span of ours has a parent elsewhere, so that what depends on the parent does not.
fn sampler(name: Option<&str>, argument: Option<&str>) -> Result<(Sampler, String), String> {
    let name = name.unwrap_or("always_on");
    let sampler = match name.strip_prefix("parentbased_").unwrap_or(name) {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => {
            let text = argument.unwrap_or("1");
            let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
            let ratio = ratio.ok_or_else(|| format!("{SAMPLER_ARG} is {text:?}; it must be from 0 to 1"))?;
            return Ok((Sampler::TraceIdRatioBased(ratio), format!("{name} {ratio}")));
        }
        _ => {
            return Err(format!(
                "{SAMPLER} is {name:?}; it must be always_on, always_off or traceidratio, with parentbased_ before it or without"
            ));
        }
    };
    Ok((sampler, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How they read with these variables: endpoint, sampler and milliseconds, or why not.
    fn read(variables: &[(&str, &str)]) -> String {
        let get = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        match Options::read(&get) {
            Ok(None) => "off".to_owned(),
            Ok(Some(options)) => {
                format!("{} {} {}", options.endpoint, options.sampler_name, options.timeout.as_millis())
            }
            Err(why) => why,
        }
    }

    #[test]
    fn traces_are_off_unless_the_environment_asks_for_them() {
        assert_eq!(read(&[]), "off");
        assert_eq!(read(&[(ENDPOINT, "")]), "off");
        assert_eq!(read(&[(SAMPLER, "always_on"), (OTEL_SERVICE_NAME, "x")]), "off");
        assert_eq!(read(&[(ENDPOINT, "http://c:1"), (EXPORTER, "none")]), "off");
        assert_eq!(read(&[(ENDPOINT, "http://c:1"), (DISABLED, "TRUE")]), "off");
        assert_eq!(read(&[(ENDPOINT, "http://c:1/x/")]), "http://c:1/x/v1/traces always_on 10000");
        assert_eq!(read(&[(EXPORTER, "otlp")]), "http://localhost:4318/v1/traces always_on 10000");
        let both = [(ENDPOINT, "http://c:1"), (TRACES_ENDPOINT, "http://t:2/y"), (TIMEOUTS[1], "7")];
        assert_eq!(read(&both), "http://t:2/y always_on 7");
        let ratio = [(ENDPOINT, "http://c:1"), (SAMPLER, "parentbased_traceidratio"), (SAMPLER_ARG, "0.25")];
        assert_eq!(read(&ratio), "http://c:1/v1/traces parentbased_traceidratio 0.25 10000");
    }

    #[test]
    fn what_is_not_possible_is_said_with_what_is() {
        let with = |name: &str, value: &str| read(&[(ENDPOINT, "http://c:1"), (name, value)]);
        assert_eq!(with(EXPORTER, "zipkin"), "OTEL_TRACES_EXPORTER is \"zipkin\"; it must be otlp or none");
        assert_eq!(
            with(PROTOCOLS[1], "grpc"),
            "OTEL_EXPORTER_OTLP_PROTOCOL is \"grpc\"; dseq speaks http/protobuf only"
        );
        assert!(
            with(TRACES_ENDPOINT, "https://c")
                .starts_with("the endpoint is \"https://c\"; dseq exports to http:// only")
        );
        assert!(with(SAMPLER, "xray").starts_with("OTEL_TRACES_SAMPLER is \"xray\"; it must be always_on, "));
        assert!(with(TIMEOUTS[0], "1s").ends_with("must be a number of milliseconds"));
        let ratio = [(ENDPOINT, "http://c:1"), (SAMPLER, "traceidratio"), (SAMPLER_ARG, "2")];
        assert_eq!(read(&ratio), "OTEL_TRACES_SAMPLER_ARG is \"2\"; it must be from 0 to 1");
    }
}
