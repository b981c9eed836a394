//! HTTP as hostile, slow and broken clients see it: raw sockets against a server in this process.
//!
//! Bounds in time are set so that those that are to be reached are reached soon, and the others never; nothing is decided
//! by how long something takes.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod answer_time;
mod client;
mod connections;
mod documented;
mod end;
mod followers;
mod fuzzed;
mod held;
mod hosts;
mod layers;
mod log;
mod openapi;
mod overload;
mod pages;
mod pipeline;
mod problems;
mod proxied;
mod reading;
mod records;
mod routes;
mod sequence;
mod state;
mod streams;
mod submit;
mod writing;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use dseq::api::{Limits, Origins, Running, Server, Stopping, layered};
use dseq::telemetry::metrics::Metrics;

/// Bounds of which none is reached by accident.
fn limits() -> Limits {
    let never = Duration::from_secs(600);
    Limits {
        head_time_max: never,
        body_time_max: never,
        answer_time_max: never,
        write_wait_max: never,
        grace: Duration::from_secs(60),
        linger: Duration::from_secs(60),
        ..Limits::default()
    }
}

/// Serves a router with all its layers, on a port that the system chooses.
fn serve(limits: Limits, router: impl FnOnce(Stopping) -> Router) -> Running {
    serve_for(limits, &Origins::Own, router)
}

fn serve_for(limits: Limits, origins: &Origins, router: impl FnOnce(Stopping) -> Router) -> Running {
    serve_counted(limits, origins, Arc::default(), router)
}

fn serve_counted(
    limits: Limits,
    origins: &Origins,
    metrics: Arc<Metrics>,
    router: impl FnOnce(Stopping) -> Router,
) -> Running {
    let server = Server::bind("127.0.0.1:0".parse().unwrap(), limits).unwrap();
    let router = layered(router(server.stopping()), server.address(), server.limits(), origins, metrics);
    server.start(router).unwrap()
}

/// Answers `GET /` with "hello".
fn hello(_: Stopping) -> Router {
    Router::new().route("/", axum::routing::get(|| async { "hello" }))
}

/// Waits until something is so; generous, since it only decides how long a broken build takes to fail.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed() < client::PATIENCE, "never {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
