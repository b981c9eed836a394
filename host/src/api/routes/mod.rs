//! What a node answers: one file for each topic.

mod batch;
mod index;
mod metrics;
mod openapi;
mod pipeline;
mod receipts;
mod records;
mod sequence;
mod status;
mod submit;

use std::sync::Arc;

use axum::Router;

use super::State;

/// A route as `/` lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The method; one with GET has HEAD too.
    pub method: &'static str,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// What it is for, in a few words.
    pub what: &'static str,
}

/// Some routes, and how they are listed.
struct Topic {
    listed: &'static [Listed],
    routes: fn() -> Router<Arc<State>>,
}

/// All routes, in the order in which they are listed.
const TOPICS: &[Topic] = &[
    Topic { listed: index::LISTED, routes: index::routes },
    Topic { listed: status::LISTED, routes: status::routes },
    Topic { listed: sequence::LISTED, routes: sequence::routes },
    Topic { listed: records::LISTED, routes: records::routes },
    Topic { listed: pipeline::LISTED, routes: pipeline::routes },
    Topic { listed: submit::LISTED, routes: submit::routes },
    Topic { listed: batch::LISTED, routes: batch::routes },
    Topic { listed: receipts::LISTED, routes: receipts::routes },
    Topic { listed: metrics::LISTED, routes: metrics::routes },
    Topic { listed: openapi::LISTED, routes: openapi::routes },
    Topic { listed: super::health::LISTED, routes: super::health::routes },
];

/// Every route of a node, in order.
pub fn listed() -> impl Iterator<Item = Listed> {
    TOPICS.iter().flat_map(|topic| topic.listed).copied()
}

/// The routes of a node, without the layers.
pub fn router(state: State) -> Router {
    let all = TOPICS.iter().fold(Router::new(), |router, topic| router.merge((topic.routes)()));
    all.with_state(Arc::new(state))
}
