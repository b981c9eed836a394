//! What HTTP does, by route.
//!
//! # Limits
//!
//! A route is the pattern that a request matched, never its path; methods are a fixed list; and whatever goes wrong in
//! that, no more than [`ROUTES_MAX`] routes are told apart.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::cells::Histogram;

const ROUTES_MAX: usize = 64;
/// The route of requests that no pattern matched, and of those beyond [`ROUTES_MAX`].
const NO_ROUTE: &str = "other";
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];
/// Upper bounds until the head of an answer, in seconds.
const REQUEST_SECONDS: &[f64] =
    &[0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Answered {
    route: String,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Route {
    route: String,
}

/// Requests and connections of this node's HTTP listener.
pub struct Http {
    pub(super) requests: Family<Answered, Counter>,
    pub(super) duration: Family<Route, Histogram>,
    connections: OnceLock<Box<dyn Fn() -> usize + Send + Sync>>,
    routes: Mutex<BTreeSet<String>>,
}

impl Http {
    pub(super) fn new() -> Self {
        Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS)),
            connections: OnceLock::new(),
            routes: Mutex::default(),
        }
    }

    /// A request was answered. `route` is the pattern it matched.
    pub fn answered(&self, route: Option<&str>, method: &str, status: u16, duration: Duration) {
        let route = self.bounded(route.unwrap_or(NO_ROUTE)).to_owned();
        let method = METHODS.into_iter().find(|known| *known == method).unwrap_or("other");
        self.duration.get_or_create(&Route { route: route.clone() }).observe(duration);
        self.requests.get_or_create(&Answered { route, method, status }).inc();
    }

    /// Says where to read, at each scrape, how many connections are open. Only the first call counts.
    pub fn read_connections_from(&self, connections: impl Fn() -> usize + Send + Sync + 'static) {
        let _ = self.connections.set(Box::new(connections));
    }

    pub(super) fn connections(&self) -> u64 {
        self.connections.get().map_or(0, |connections| connections() as u64)
    }

    fn bounded<'a>(&self, route: &'a str) -> &'a str {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if routes.contains(route) {
            return route;
        }
        if routes.len() >= ROUTES_MAX {
            return NO_ROUTE;
        }
        routes.insert(route.to_owned());
        route
    }
}

/// Counts as one in a gauge until it is dropped.
#[derive(Debug)]
pub struct Guard(Gauge);

impl Guard {
    pub(super) fn of(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_methods_and_with_them_the_series_are_bounded() {
        let http = Http::new();
        for n in 0..10 * ROUTES_MAX {
            http.answered(Some(&format!("/{n}")), &format!("M{n}"), 200, Duration::ZERO);
        }
        let routes = http.routes.lock().unwrap().len();
        assert_eq!(routes, ROUTES_MAX);
        let other = Answered { route: NO_ROUTE.to_owned(), method: "other", status: 200 };
        assert_eq!(http.requests.get_or_create(&other).get(), 9 * ROUTES_MAX as u64);
    }

    #[test]
    fn a_reader_counts_until_it_is_done() {
        let readers = Gauge::default();
        let reading = [Guard::of(&readers), Guard::of(&readers)];
        assert_eq!(readers.get(), 2);
        drop(reading);
        assert_eq!(readers.get(), 0);
    }
}
