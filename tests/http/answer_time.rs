//! A handler that hangs, as on a disk that does not answer.

use std::future::pending;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use dseq::api::Limits;

use super::client::Client;
use super::{limits, serve};

#[test]
fn a_handler_that_hangs_is_answered_for_and_the_connection_goes_on() {
    let limits = Limits { answer_time_max: Duration::from_millis(50), ..limits() };
    let http = serve(limits, |_| {
        let hangs = || async { pending::<String>().await };
        Router::new().route("/hangs", get(hangs)).route("/", get(|| async { "hello" }))
    });
    let mut client = Client::connect(http.address());
    let answer = client.get("/hangs", "").answer();
    assert_eq!((answer.status, answer.problem_name().as_str()), (504, "answer-timeout"));
    let problem = answer.problem();
    assert_eq!((&problem["limit"], &problem["unit"]), (&50.into(), &"milliseconds".into()));
    assert_eq!(client.get("/", "").answer().text(), "hello");
}
