//! Traces: what a transaction met on each node, for a collector that speaks OTLP over HTTP.
//!
//! Off unless the environment names a collector, by OpenTelemetry's own variables. Then every span and event with the target
//! `dseq::traces` is taken; nothing else is, and nothing of it is logged.
//!
//! # Invariants
//!
//! - A transaction's trace is named by the first 16 bytes of its hash, so the spans of all nodes are in one trace, and all
//!   nodes decide alike whether to keep it, without a word between them. So no byte of it can reach a block.
//! - Export is on a thread of its own. When the collector is slow or gone, spans are dropped; nothing waits for it.

mod client;
mod layer;
mod options;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, ResourceDetector};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanProcessor};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};

use super::logs::TRACES;
use client::Client;
use layer::Traces;
use options::{OTEL_SERVICE_NAME, Options};

/// How long the end of the process may wait for the collector.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(2);

/// Whose traces they are.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// The network: blocks' traces are told apart by it and the height.
    pub network: Option<String>,
    /// The node among others.
    pub node: Option<String>,
}

/// Sends finished spans until it is dropped.
#[derive(Debug)]
pub(super) struct Exporter {
    processor: Arc<BatchSpanProcessor>,
    /// Where to.
    pub(super) endpoint: String,
    /// Which of them.
    pub(super) sampler: String,
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.processor.shutdown_with_timeout(SHUTDOWN_PATIENCE) {
            tracing::warn!(%error, "the last traces were not exported");
        }
    }
}

type Started = (Box<dyn Layer<Registry> + Send + Sync>, Exporter);

/// Starts what the environment asks for; `None` if it asks for nothing.
///
/// # Errors
///
/// What of it is not understood or not possible.
pub(super) fn start(source: &Source) -> Result<Option<Started>, String> {
    let Some(options) = Options::read(&|name| std::env::var(name).ok())? else { return Ok(None) };
    let client = Client::new(&options);
    let exporter = SpanExporter::builder().with_http().with_http_client(client).build();
    let mut processor = BatchSpanProcessor::builder(exporter.map_err(|error| error.to_string())?).build();
    processor.set_resource(&resource(source));
    let processor = Arc::new(processor);
    let traces = Traces::new(options.sampler, source, Arc::clone(&processor) as _);
    let layer = traces.with_filter(filter_fn(|metadata| metadata.target() == TRACES)).boxed();
    Ok(Some((layer, Exporter { processor, endpoint: options.endpoint, sampler: options.sampler_name })))
}

/// What all spans of this process share. What the environment says of it counts first.
fn resource(source: &Source) -> Resource {
    let own = [
        Some(("service.name", "dseq".to_owned())),
        Some(("service.version", env!("CARGO_PKG_VERSION").to_owned())),
        source.node.clone().map(|node| ("service.instance.id", node)),
        source.network.clone().map(|network| ("dseq.network_id", network)),
    ];
    let own = own.into_iter().flatten().map(|(name, value)| KeyValue::new(name, value));
    let builder = Resource::builder_empty().with_attributes(own);
    let detected: Box<dyn ResourceDetector> = Box::new(EnvResourceDetector::new());
    let builder = builder.with_detector(detected);
    match std::env::var(OTEL_SERVICE_NAME) {
        Ok(name) if !name.is_empty() => builder.with_service_name(name).build(),
        _ => builder.build(),
    }
}
