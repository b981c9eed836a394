//! What browsers get, and that programs get something else.

use super::client::Client;
use super::routes::node;

/// What Chromium and Firefox send for what they show.
const BROWSER: &str = "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";

#[test]
fn browsers_get_the_page_and_programs_the_list() {
    let (_dir, http) = node();
    let mut client = Client::connect(http.address());
    let page = client.get("/", BROWSER).answer();
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_eq!((page.header("x-content-type-options"), page.header("vary")), ("nosniff", "accept"));
    assert!(page.text().starts_with("<!doctype html>"));
    for headers in ["", "accept: */*\r\n", "accept: application/json\r\n", "accept: text/html;q=0, */*\r\n"] {
        let list = client.get("/", headers).answer();
        assert_eq!(list.header("content-type"), "text/plain; charset=utf-8", "{headers}");
        assert_eq!(list.header("vary"), "accept", "a cache keeps both");
        assert!(list.text().starts_with("dseq "));
    }
}

#[test]
fn the_policy_allows_no_script_but_the_pages_own_and_no_other_host() {
    let (_dir, http) = node();
    let page = Client::connect(http.address()).get("/", BROWSER).answer();
    let policy = page.header("content-security-policy");
    let directives: Vec<&str> = policy.split("; ").collect();
    for directive in
        ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "form-action 'none'"]
    {
        assert!(directives.contains(&directive), "{policy}");
    }
    assert!(!policy.contains("unsafe-"), "{policy}");
    let script = directives.iter().find(|directive| directive.starts_with("script-src ")).unwrap();
    assert!(script.starts_with("script-src 'sha256-") && !script[12..].contains(' '), "{script}");
}

#[test]
fn a_browser_asks_each_time_whether_the_page_has_changed() {
    let (_dir, http) = node();
    let mut client = Client::connect(http.address());
    let page = client.get("/", BROWSER).answer();
    assert_eq!(page.header("cache-control"), "no-cache");
    let etag = page.header("etag");
    let again = client.get("/", &format!("{BROWSER}if-none-match: {etag}\r\n")).answer();
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, etag));
    assert_eq!(again.header("content-security-policy"), page.header("content-security-policy"));
    let other = client.get("/", &format!("{BROWSER}if-none-match: \"other\"\r\n")).answer();
    assert_eq!(other.status, 200);
}
