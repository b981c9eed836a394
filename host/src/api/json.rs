//! JSON as routes answer with it: a line feed ends it, so that the prompt of a shell does not stick to it.

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An answer of `application/json`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Json<T>(pub(super) T);

/// The text of an answer.
pub(super) fn text(value: &impl Serialize) -> String {
    // What we answer with (strings, numbers, lists, maps with strings as keys) always has a JSON form.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], text(&self.0)).into_response()
    }
}
