//! The pages that browsers get, each one document with its style and script in it.
//!
//! # Invariants
//!
//! - A page needs nothing from another host, and its policy lets it ask none: only this node.
//! - No script or style runs but the page's own, which the policy names by hash. What producers submitted is shown as text
//!   and never becomes markup (`require-trusted-types-for`).
//! - One document is one version: a browser asks whether it has changed each time, by its `ETag`.

use std::sync::LazyLock;

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use sha2::{Digest, Sha256};

/// The node's page.
pub(super) static NODE: LazyLock<Document> = LazyLock::new(|| {
    Document::assemble(
        include_str!("node.html"),
        &[include_str!("common.css"), include_str!("node.css")],
        &[
            include_str!("common.js"),
            include_str!("sha256.js"),
            include_str!("bytes.js"),
            include_str!("follow.js"),
            include_str!("tail.js"),
            include_str!("node.js"),
            include_str!("submit.js"),
            include_str!("lookup.js"),
            include_str!("main.js"),
        ],
    )
});

/// What the node answers, from its own description.
pub(super) static API: LazyLock<Document> = LazyLock::new(|| {
    Document::assemble(
        include_str!("api.html"),
        &[include_str!("common.css"), include_str!("api.css")],
        &[include_str!("common.js"), include_str!("api.js")],
    )
});

/// Where the style goes in a page.
const STYLE: &str = "<style></style>";
/// Where the script goes. A module: strict, and with no globals.
const SCRIPT: &str = "<script type=\"module\"></script>";
/// What is replaced by the version of this program.
const VERSION: &str = "%VERSION%";

/// A page, ready to be sent.
#[derive(Debug)]
pub(super) struct Document {
    html: Bytes,
    etag: HeaderValue,
    policy: HeaderValue,
}

impl Document {
    /// Puts the parts together; what is not there is found by a test.
    fn assemble(html: &str, styles: &[&str], scripts: &[&str]) -> Self {
        let (style, script) = (styles.concat(), scripts.concat());
        let policy = format!(
            "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'; trusted-types 'none'; require-trusted-types-for 'script'",
            source_of(&script),
            source_of(&style),
        );
        let html = html
            .replace(VERSION, env!("CARGO_PKG_VERSION"))
            .replace(STYLE, &format!("<style>{style}</style>"))
            .replace(SCRIPT, &format!("<script type=\"module\">{script}</script>"));
        let etag = format!("\"{}\"", HEXLOWER.encode(&Sha256::digest(&html)));
        // Both are ASCII.
        let value = |text: &str| HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
        Self { html: html.into(), etag: value(&etag), policy: value(&policy) }
    }

    /// The page, or that the client has it already.
    pub(super) fn answer(&self, request: &HeaderMap) -> Response {
        let has_it = request
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|tag| self.etag == tag.trim().trim_start_matches("W/"));
        let headers = [
            (ETAG, self.etag.clone()),
            // Kept, and asked about each time: after an upgrade of the node its new page is shown at once.
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (CONTENT_SECURITY_POLICY, self.policy.clone()),
        ];
        if has_it {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        (headers, [(CONTENT_TYPE, html)], self.html.clone()).into_response()
    }
}

/// A script or style as a policy names it.
fn source_of(text: &str) -> String {
    format!("'sha256-{}'", BASE64.encode(&Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages() -> [&'static str; 2] {
        [&NODE, &API].map(|page| std::str::from_utf8(&page.html).unwrap())
    }

    #[test]
    fn each_page_is_whole_and_names_no_other_host() {
        for html in pages() {
            for missing in [STYLE, SCRIPT, VERSION] {
                assert!(!html.contains(missing), "{missing}");
            }
            assert_eq!(html.matches("</script>").count(), 1);
            assert_eq!(html.matches("</style>").count(), 1);
            for foreign in ["https://", "src=", "@import", "url(", "importScripts"] {
                assert!(!html.contains(foreign), "{foreign}");
            }
            // An address of SVG's name is all that looks like a host.
            let names = html.matches("http://").count();
            assert_eq!(names, html.matches("http://www.w3.org/2000/svg").count());
        }
    }

    #[test]
    fn nothing_in_a_page_needs_what_its_policy_forbids() {
        for html in pages() {
            for forbidden in [
                " style=\"",
                " onclick=\"",
                " onload=\"",
                "innerHTML",
                "insertAdjacentHTML",
                "eval(",
                "javascript:",
            ] {
                assert!(!html.contains(forbidden), "{forbidden}");
            }
        }
    }

    #[test]
    fn a_client_that_has_the_page_is_told_so_and_another_version_is_another_tag() {
        let mut headers = HeaderMap::new();
        assert_eq!(NODE.answer(&headers).status(), 200);
        headers.insert(
            IF_NONE_MATCH,
            HeaderValue::from_str(&format!("\"x\", W/{}", NODE.etag.to_str().unwrap())).unwrap(),
        );
        assert_eq!(NODE.answer(&headers).status(), 304);
        let other = Document::assemble(STYLE, &["a"], &[]);
        assert_ne!(other.etag, Document::assemble(STYLE, &["b"], &[]).etag);
        assert_eq!(other.answer(&headers).status(), 200);
    }
}
