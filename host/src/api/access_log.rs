//! Identifies each request, counts and times it for metrics when its answer begins, and logs it when its answer has been sent
//! or cut off.
//!
//! Events have the target `dseq::http::access` and the level debug, or warn when this node failed (status 500). Every one
//! has the same fields. What is logged while a request is handled carries its `request_id` and `trace_id`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Body as _, Frame, SizeHint};
use tracing::Instrument as _;

use super::Client;
use super::limits::REQUEST_ID_BYTES_MAX;
use super::problem::ProblemType;
use super::trace_context::{TRACEPARENT, TraceContext, random_id};
use crate::printable;
use crate::telemetry::metrics::Metrics;

/// The header's name.
const REQUEST_ID: &str = "x-request-id";
/// The route of a request whose path has none.
const NO_ROUTE: &str = "(none)";

/// What a request is called in the log and by its client; an extension of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The client's own id if it is a short word, else a new one.
    fn of(headers: &HeaderMap) -> Self {
        let is_word = |text: &&str| {
            let of_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
            (1..=REQUEST_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(of_word)
        };
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(is_word);
        Self(given.map_or_else(|| format!("{:016x}", random_id()), str::to_owned))
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The outermost layer.
pub(super) async fn identify(
    State(metrics): State<Arc<Metrics>>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let (id, trace) = (RequestId::of(request.headers()), TraceContext::of(request.headers()));
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let mut answered = Answered {
        began,
        method: request.method().clone(),
        route,
        client: request.extensions().get::<Client>().copied(),
        id: id.clone(),
        trace,
        status: StatusCode::OK,
        problem: None,
        bytes: 0,
    };
    request.extensions_mut().insert(id.clone());
    request.extensions_mut().insert(trace);
    let span =
        tracing::info_span!("http", request_id = %id, trace_id = format_args!("{:032x}", trace.trace_id));
    let mut response = next.run(request).instrument(span).await;
    let headers = response.headers_mut();
    // Both are made of plain ASCII.
    for (name, value) in [(REQUEST_ID, id.to_string()), (TRACEPARENT, trace.to_string())] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    answered.status = response.status();
    answered.count(&metrics);
    answered.problem = response.extensions().get::<&'static ProblemType>().map(|of| of.name);
    response.map(|body| Body::new(Counted { body, ended: false, answered }))
}

/// A request and what became of it.
struct Answered {
    began: Instant,
    method: Method,
    /// The pattern that its path matched: the path itself would make the number of routes unbounded.
    route: Option<String>,
    client: Option<Client>,
    id: RequestId,
    trace: TraceContext,
    status: StatusCode,
    problem: Option<&'static str>,
    bytes: u64,
}

impl Answered {
    fn count(&self, metrics: &Metrics) {
        let Self { began, method, route, status, .. } = self;
        metrics.http().answered(route.as_deref(), method.as_str(), status.as_u16(), began.elapsed());
    }

    fn log(&self, complete: bool) {
        let Self { began, method, route, client, id, trace, status, problem, bytes } = self;
        macro_rules! event {
            ($level:ident) => {
                tracing::$level!(
                    target: "dseq::http::access",
                    // A method may be any word.
                    method = &*printable::line(method.as_str()),
                    route = route.as_deref().unwrap_or(NO_ROUTE),
                    status = status.as_u16(),
                    problem,
                    bytes,
                    complete,
                    duration_ms = began.elapsed().as_secs_f64() * 1000.0,
                    client = client.map(|Client(address)| tracing::field::display(address)),
                    request_id = %id,
                    trace_id = format_args!("{:032x}", trace.trace_id),
                    "HTTP request"
                )
            };
        }
        if *status == StatusCode::INTERNAL_SERVER_ERROR { event!(warn) } else { event!(debug) }
    }
}

/// A response's body that counts its bytes, and logs the request when it is done with or dropped.
struct Counted {
    body: Body,
    ended: bool,
    answered: Answered,
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.answered.bytes = self.answered.bytes.saturating_add(bytes);
            }
            Poll::Ready(None) => self.ended = true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // hyper does not ask a body of known length for its end.
        self.answered.log(self.ended || self.body.is_end_stream());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(given: &str) -> String {
        let headers = [(REQUEST_ID.parse().unwrap(), HeaderValue::from_str(given).unwrap())];
        RequestId::of(&headers.into_iter().collect()).to_string()
    }

    #[test]
    fn a_clients_request_id_is_kept_if_it_is_a_short_word() {
        let longest = "x".repeat(REQUEST_ID_BYTES_MAX);
        for good in ["7", "a-B_c.d:9", "01890a5d-ac96-774b-bcce-b302099a8057", &longest] {
            assert_eq!(id_for(good), good);
        }
        for bad in ["", "a b", "a\"b", "a=b", "\u{e9}", &format!("{longest}x")] {
            let id = id_for(bad);
            assert!(id.len() == 16 && id != id_for(bad), "{bad} {id}");
        }
    }
}
