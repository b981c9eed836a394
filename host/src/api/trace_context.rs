//! The trace that a request belongs to: W3C Trace Context, `traceparent` in and out.
//!
//! # Format
//!
//! `00-<trace id, 32 hex digits>-<span id, 16 hex digits>-<flags, 2 hex digits>`, lower case, no id all zero. Of later
//! versions, which may append more, the same parts are read.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::HeaderMap;

/// The header's name.
pub(super) const TRACEPARENT: &str = "traceparent";

/// Where a request stands in its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace: the caller's, or a new one.
    pub trace_id: u128,
    /// The span of this request, made here.
    pub span_id: u64,
    /// The span of the caller, if it named one.
    pub parent_id: Option<u64>,
    /// Whether the caller records the trace.
    pub is_sampled: bool,
}

impl TraceContext {
    /// The context of a request: what its `traceparent` says, or a new trace when it has none, several, or one that
    /// makes no sense.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let only = values.next().filter(|_| values.next().is_none());
        let given = only.and_then(|value| parse(value.to_str().ok()?));
        let span_id = random_id().max(1);
        match given {
            Some((trace_id, parent_id, is_sampled)) => {
                Self { trace_id, span_id, parent_id: Some(parent_id), is_sampled }
            }
            None => {
                let trace_id = (u128::from(random_id()) << 64 | u128::from(random_id())).max(1);
                Self { trace_id, span_id, parent_id: None, is_sampled: false }
            }
        }
    }

    /// The caller's place in its trace, as a `traceparent`, if it named one.
    #[must_use]
    pub fn caller(&self) -> Option<String> {
        self.parent_id.map(|span_id| Self { span_id, ..*self }.to_string())
    }
}

impl fmt::Display for TraceContext {
    /// As a `traceparent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace_id, span_id, is_sampled, .. } = self;
        write!(f, "00-{trace_id:032x}-{span_id:016x}-{:02x}", u8::from(*is_sampled))
    }
}

/// Trace id, span id and whether it is sampled.
fn parse(text: &str) -> Option<(u128, u64, bool)> {
    let mut parts = text.split('-');
    let mut part = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits)?;
        part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some(part)
    };
    let [version, trace_id, span_id, flags] = [part(2)?, part(32)?, part(16)?, part(2)?];
    if version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let trace_id = u128::from_str_radix(trace_id, 16).ok().filter(|id| *id != 0)?;
    let span_id = u64::from_str_radix(span_id, 16).ok().filter(|id| *id != 0)?;
    Some((trace_id, span_id, u8::from_str_radix(flags, 16).ok()? & 1 == 1))
}

/// A number that no other request of any node is likely to have: a count under this process's random keys.
pub(super) fn random_id() -> u64 {
    static KEYS: OnceLock<RandomState> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    KEYS.get_or_init(RandomState::new).hash_one(COUNT.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(values: &[&str]) -> HeaderMap {
        let value = |text: &&str| (TRACEPARENT.parse().unwrap(), HeaderValue::from_str(text).unwrap());
        values.iter().map(value).collect()
    }

    #[test]
    fn a_request_continues_the_callers_trace_with_a_span_of_its_own() {
        let context = TraceContext::of(&headers(&[GIVEN]));
        assert_eq!(context.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((context.parent_id, context.is_sampled), (Some(0x00f0_67aa_0ba9_02b7), true));
        let out = context.to_string();
        assert_eq!((&out[..36], &out[52..]), (&GIVEN[..36], "-01"));
        assert_ne!(out, GIVEN);
        assert_eq!(context.caller().as_deref(), Some(GIVEN));
        assert_eq!(TraceContext::of(&headers(&[&out])).parent_id, Some(context.span_id));
    }

    #[test]
    fn what_makes_no_sense_starts_a_new_trace() {
        let zero_trace = format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32));
        let zero_span = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01";
        let bad: [&[&str]; 9] = [
            &[],
            &[GIVEN, GIVEN],
            &[&GIVEN[..54]],
            &[&GIVEN.to_uppercase()],
            &[&format!("{GIVEN}-more")],
            &[&GIVEN.replacen("00", "ff", 1)],
            &[&zero_trace],
            &[zero_span],
            &[""],
        ];
        for values in bad {
            let context = TraceContext::of(&headers(values));
            assert_eq!((context.parent_id, context.is_sampled), (None, false), "{values:?}");
            assert_ne!(context, TraceContext::of(&headers(values)));
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("{}-more", GIVEN.replacen("00", "cc", 1));
        let context = TraceContext::of(&headers(&[&later]));
        assert_eq!(context.parent_id, Some(0x00f0_67aa_0ba9_02b7));
        assert!(context.to_string().starts_with("00-4bf92f35"));
    }
}
