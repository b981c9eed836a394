//! Reads a request's body whole, within bounds, with a problem for each way in which that can fail.

use std::error::Error;
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tower_http::timeout::{DeadlineBody, TimeoutError};

use super::problem::{BODY_INCOMPLETE, BODY_TOO_LARGE, Problem, REQUEST_TIMEOUT};
use crate::printable;

/// A body that must arrive within this time.
pub(super) fn within(time_max: Duration, body: Body) -> Body {
    let with_limit = move |source: BoxError| {
        if source.is::<TimeoutError>() { TooSlow { source, time_max }.into() } else { source }
    };
    Body::new(DeadlineBody::new(time_max, body).map_err(with_limit))
}

/// A body took longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
struct TooSlow {
    source: BoxError,
    time_max: Duration,
}

/// The whole body of a request, of at most this many bytes; `admit` is asked before each part of it is kept. How long it may take is
/// bounded for all requests, by [`Limits::body_time_max`](super::Limits::body_time_max).
///
/// # Errors
///
/// One that is announced to be longer is refused before any of it is read.
pub async fn whole(
    headers: &HeaderMap,
    body: Body,
    bytes_max: u64,
    mut admit: impl FnMut(u64) -> Result<(), Problem>,
) -> Result<Bytes, Problem> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if let Some(announced) = announced.filter(|announced| *announced > bytes_max) {
        return Err(too_large(bytes_max, Some(announced)));
    }
    let limit = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let mut body = Limited::new(body, limit);
    // Copied together as they come: kept apart, parts of one byte would take many times as much memory.
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|err| not_read(&*err, bytes_max))?;
        // Trailers are no part of it.
        let Ok(part) = frame.into_data() else { continue };
        admit(part.len() as u64)?;
        whole.extend_from_slice(&part);
    }
    whole.shrink_to_fit();
    Ok(whole.into())
}

fn not_read(err: &(dyn Error + 'static), bytes_max: u64) -> Problem {
    if cause::<LengthLimitError>(err).is_some() {
        return too_large(bytes_max, None);
    }
    if let Some(TooSlow { time_max, .. }) = cause(err) {
        return Problem::new(&REQUEST_TIMEOUT, "the body of the request did not arrive in time")
            .exceeding_time(*time_max, None);
    }
    let why = deepest(err).to_string();
    Problem::new(
        &BODY_INCOMPLETE,
        format!("the body of the request could not be read: {}", printable::line(&why)),
    )
}

fn too_large(bytes_max: u64, announced: Option<u64>) -> Problem {
    let detail = format!("the body is longer than the {bytes_max} bytes that are taken here");
    Problem::new(&BODY_TOO_LARGE, detail).exceeding(bytes_max, announced, "bytes")
}

fn causes<'a>(err: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(err), |&err| err.source())
}

fn cause<'a, T: Error + 'static>(err: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(err).find_map(<dyn Error>::downcast_ref)
}

fn deepest<'a>(err: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    causes(err).last().unwrap_or(err)
}
