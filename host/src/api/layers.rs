//! What every request passes on its way to its route, and every answer on its way back.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Version};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use hyper::body::Body as _;
use tokio::time::timeout;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders};
use tower_http::csrf::{CsrfLayer, ProtectionError};

use super::hosts::{Hosts, host_of};
use super::origins::Origins;
use super::problem::{
    ANSWER_TIMEOUT, BAD_HOST, CROSS_ORIGIN, FOREIGN_HOST, HEAD_TOO_LARGE, INTERNAL, METHOD_NOT_ALLOWED,
    NOT_FOUND, Problem,
};
use super::{Limits, access_log, body};
use crate::excerpt::Excerpt;
use crate::panics::panic_message;
use crate::telemetry::metrics::Metrics;

/// Put on every answer that does not have the header already.
const SECURITY_HEADERS: [(&str, &str); 5] = [
    // No browser may take bytes that somebody submitted for a page or a script.
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    // What does not change says so itself.
    ("cache-control", "no-store"),
];

/// How long a browser may remember what a page of another origin may do.
const PREFLIGHT_AGE_MAX: Duration = Duration::from_secs(3600);

/// A router with everything around it, for a server that listens at `address`. Requests are counted and timed in `metrics`.
pub fn layered(
    router: Router,
    address: SocketAddr,
    limits: Limits,
    origins: &Origins,
    metrics: Arc<Metrics>,
) -> Router {
    let hosts = Arc::new(Hosts::of(address, origins));
    let mut router = router
        .fallback(no_such_route)
        .method_not_allowed_fallback(no_such_method)
        .layer(from_fn_with_state(Arc::new(limits), within_limits))
        .layer(csrf(origins));
    if let Some(cors) = cors(origins) {
        router = router.layer(cors);
    }
    router
        .layer(from_fn_with_state(hosts, for_this_host))
        .layer(CatchPanicLayer::custom(|payload: Box<dyn Any + Send>| panicked(&*payload)))
        .layer(from_fn(secured))
        .layer(from_fn_with_state(metrics, access_log::identify))
}

async fn no_such_route(request: Request) -> Problem {
    let path = Excerpt::of(request.uri().path());
    Problem::new(&NOT_FOUND, format!("nothing is at {path:?}; / lists what there is"))
}

async fn no_such_method(request: Request) -> Problem {
    let method = Excerpt::of(request.method().as_str());
    Problem::new(
        &METHOD_NOT_ALLOWED,
        format!("this path does not take {method:?}; Allow lists what it takes"),
    )
}

/// Refuses requests for the host of somebody else, and those that do not say clearly for which host they are.
async fn for_this_host(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    let host = match host_of(request.version(), request.uri(), request.headers()) {
        Ok(host) => host,
        Err(why) => return Problem::new(&BAD_HOST, why).into_response(),
    };
    // A client of HTTP/1.0 that names no host is no browser.
    if hosts.answers(&host) || (host.is_empty() && request.version() == Version::HTTP_10) {
        return next.run(request).await;
    }
    let detail = format!(
        "this node listens on loopback and does not answer for the host {:?}; ask for localhost or an IP address, or list \
         the origin in `http_cors_origins`",
        Excerpt::of(&host)
    );
    Problem::new(&FOREIGN_HOST, detail).into_response()
}

/// Refuses heads that are too large, and bounds the time that a body and the beginning of the answer may take.
async fn within_limits(State(limits): State<Arc<Limits>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let (bytes_max, fields_max) = (limits.head_bytes_max, limits.header_fields_max);
    let fields = headers.len() as u64;
    if fields > fields_max {
        let detail = format!("the request has more than {fields_max} header fields");
        return Problem::new(&HEAD_TOO_LARGE, detail)
            .exceeding(fields_max, Some(fields), "fields")
            .into_response();
    }
    let of_headers = headers.iter().map(|(name, value)| name.as_str().len().saturating_add(value.len()));
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let bytes = of_headers.fold(target, usize::saturating_add) as u64;
    if bytes > bytes_max {
        let detail = format!("the target and header fields of the request are longer than {bytes_max} bytes");
        return Problem::new(&HEAD_TOO_LARGE, detail)
            .exceeding(bytes_max, Some(bytes), "bytes")
            .into_response();
    }
    let request = if request.body().is_end_stream() {
        request
    } else {
        request.map(|whole| body::within(limits.body_time_max, whole))
    };
    timeout(limits.answer_time_max, next.run(request)).await.unwrap_or_else(|_| {
        let seconds = limits.answer_time_max.as_secs();
        tracing::error!("no answer to an HTTP request within {seconds} s: does the disk answer?");
        Problem::new(&ANSWER_TIMEOUT, format!("the node had no answer within {seconds} s"))
            .exceeding_time(limits.answer_time_max, None)
            .into_response()
    })
}

async fn secured(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in SECURITY_HEADERS {
        let name = HeaderName::from_static(name);
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// Refuses requests that may change something and come from pages of other origins: a browser sends them without asking,
/// also to servers that listen on its own machine alone.
fn csrf(origins: &Origins) -> CsrfLayer<impl Fn(ProtectionError) -> Response + Clone + use<>> {
    let mut layer = CsrfLayer::new();
    for origin in origins.values() {
        // One that it does not take stays untrusted.
        let trusted = origin.to_str().ok().and_then(|origin| layer.clone().add_trusted_origin(origin).ok());
        layer = trusted.unwrap_or(layer);
    }
    if *origins == Origins::Every {
        layer = layer.with_insecure_bypass(|_, _| true);
    }
    layer.with_rejection_response(|_| {
        let detail =
            "a page of another origin sent this request; list its origin in `http_cors_origins` to allow it";
        Problem::new(&CROSS_ORIGIN, detail).into_response()
    })
}

/// Lets pages of the listed origins read answers; none listed: none.
fn cors(origins: &Origins) -> Option<CorsLayer> {
    let origins = match origins {
        Origins::Own => return None,
        Origins::Listed(_) => AllowOrigin::list(origins.values()),
        Origins::Every => AllowOrigin::any(),
    };
    let layer = CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(ExposeHeaders::any())
        .max_age(PREFLIGHT_AGE_MAX);
    Some(layer)
}

/// The answer to a request whose handler panicked.
fn panicked(payload: &(dyn Any + Send)) -> Response {
    tracing::error!("the handler of an HTTP request panicked: {}", panic_message(payload));
    let detail =
        "the request met a defect of this program; the node's log has the reason under this request id";
    Problem::new(&INTERNAL, detail).into_response()
}
