//! From the core's spans to OpenTelemetry's: which trace a span is part of, and what becomes of a block's transactions.
//!
//! # Format
//!
//! - A span with the field `tx`, a transaction's hash, is part of that transaction's trace: the first 16 bytes of the hash.
//! - Else one with `height` is part of that block's: the first 16 bytes of SHA-256 over the network's id, a zero byte and
//!   the height in decimal.
//! - Else it is part of its parent's; without one it is dropped. A parent in another trace becomes a link.
//! - An event with `tx` in a block's span says that the transaction is in that block. Its own trace gets a span too, of the
//!   same name and time, with the event's fields, and a link to the block's span.
//! - The field `traceparent` (W3C) becomes a link. All others become attributes of their names.
//!
//! # Limits
//!
//! A block's span makes at most [`TRANSACTIONS_MAX`] such spans, of the transactions that are sampled; the attribute
//! `transactions_left_out` says how many it does not.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, ShouldSample, SpanData, SpanEvents, SpanLinks,
    SpanProcessor,
};
use sha2::{Digest, Sha256};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::Source;

/// How many transactions of a block get a span for each of the block's.
const TRANSACTIONS_MAX: usize = 64;

/// The layer that makes spans.
#[derive(Debug)]
pub(super) struct Traces {
    sampler: Sampler,
    network: String,
    processor: Arc<dyn SpanProcessor>,
    scope: InstrumentationScope,
}

/// A span that is not over.
struct Open {
    id: SpanId,
    start: SystemTime,
    said: Said,
    transactions: Vec<Said>,
    left_out: u64,
}

/// What the fields of a span or an event say.
#[derive(Default)]
struct Said {
    tx: Option<TraceId>,
    height: Option<u64>,
    link: Option<SpanContext>,
    attributes: Vec<KeyValue>,
}

impl Said {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        let value = value.into();
        match self.attributes.iter_mut().find(|one| one.key.as_str() == field.name()) {
            Some(before) => before.value = value,
            None => self.attributes.push(KeyValue::new(field.name(), value)),
        }
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "tx" => self.tx = trace_of_hash(&text),
            "traceparent" => {
                self.link = linked(&text);
                return;
            }
            // What an event says in words is for people.
            "message" => return,
            _ => {}
        }
        self.put(field, text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "height" {
            self.height = Some(value);
        }
        self.put(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }
}

/// The trace of the transaction with this hash, in hexadecimal digits. A hash of zeros stands for one that is not known.
fn trace_of_hash(hash: &str) -> Option<TraceId> {
    let id = TraceId::from_hex(hash.get(..32)?).ok()?;
    (id != TraceId::INVALID).then_some(id)
}

/// The span that a `traceparent` names: version, trace, span and flags, in hexadecimal digits.
fn linked(header: &str) -> Option<SpanContext> {
    let mut parts = header.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|one| one.is_ascii_hexdigit());
    if !is_hex(version, 2) || version == "ff" || !is_hex(trace, 32) || !is_hex(span, 16) || !is_hex(flags, 2)
    {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

impl Traces {
    pub(super) fn new(sampler: Sampler, source: &Source, processor: Arc<dyn SpanProcessor>) -> Self {
        let network = source.network.clone().unwrap_or_default();
        let scope = InstrumentationScope::builder("dseq").with_version(env!("CARGO_PKG_VERSION")).build();
        Self { sampler, network, processor, scope }
    }

    fn trace_of_block(&self, height: u64) -> TraceId {
        let hash =
            Sha256::new().chain_update(&self.network).chain_update([0]).chain_update(height.to_string());
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        TraceId::from_bytes(id)
    }

    /// The trace that a span is part of: by what it says, or else by what its parents say.
    fn trace_of<'a, S: LookupSpan<'a>>(&self, span: &SpanRef<'a, S>) -> Option<TraceId> {
        span.scope().find_map(|span| {
            let extensions = span.extensions();
            let said = &extensions.get::<Open>()?.said;
            said.tx.or_else(|| Some(self.trace_of_block(said.height?)))
        })
    }

    fn is_sampled(&self, trace: TraceId) -> bool {
        let sampled = self.sampler.should_sample(None, trace, "", &SpanKind::Internal, &[], &[]);
        sampled.decision == SamplingDecision::RecordAndSample
    }

    /// Hands a finished span over.
    fn finish(&self, trace: TraceId, span: Finished) {
        let mut links = SpanLinks::default();
        links.links = span.links.into_iter().map(Link::with_context).collect();
        self.processor.on_end(SpanData {
            span_context: context(trace, span.id),
            parent_span_id: span.parent,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: span.name.into(),
            start_time: span.start,
            end_time: span.end,
            attributes: span.attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links,
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        });
    }
}

struct Finished {
    id: SpanId,
    parent: SpanId,
    name: &'static str,
    start: SystemTime,
    end: SystemTime,
    attributes: Vec<KeyValue>,
    links: Vec<SpanContext>,
}

fn context(trace: TraceId, span: SpanId) -> SpanContext {
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE)
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Traces {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, registry: Context<'_, S>) {
        let Some(span) = registry.span(id) else { return };
        let mut said = Said::default();
        attributes.record(&mut said);
        let id = RandomIdGenerator::default().new_span_id();
        let open = Open { id, start: SystemTime::now(), said, transactions: Vec::new(), left_out: 0 };
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, registry: Context<'_, S>) {
        let Some(span) = registry.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.said);
        }
    }

    fn on_event(&self, event: &Event<'_>, registry: Context<'_, S>) {
        let Some(span) = registry.event_span(event) else { return };
        let mut said = Said::default();
        event.record(&mut said);
        if !said.tx.is_some_and(|tx| self.is_sampled(tx)) {
            return;
        }
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            if open.transactions.len() < TRANSACTIONS_MAX {
                open.transactions.push(said);
            } else {
                open.left_out = open.left_out.saturating_add(1);
            }
        }
    }

    fn on_close(&self, id: Id, registry: Context<'_, S>) {
        let end = SystemTime::now();
        let Some(span) = registry.span(&id) else { return };
        let Some(trace) = self.trace_of(&span) else { return };
        // A parent that does not know its trace yet will be in this one: a check learns its transaction's hash late.
        let around = span.parent().and_then(|parent| {
            let parent_trace = self.trace_of(&parent).unwrap_or(trace);
            Some(context(parent_trace, parent.extensions().get::<Open>()?.id))
        });
        let (parent, elsewhere): (Vec<_>, Vec<_>) =
            around.into_iter().partition(|around| around.trace_id() == trace);
        let Some(open) = span.extensions_mut().remove::<Open>() else { return };
        let Open { id, start, said, transactions, left_out } = open;
        let (name, of_block) = (span.name(), context(trace, id));
        let height = said.height;
        if self.is_sampled(trace) {
            let mut attributes = said.attributes;
            if left_out > 0 {
                let count = i64::try_from(left_out).unwrap_or(i64::MAX);
                attributes.push(KeyValue::new("transactions_left_out", count));
            }
            let parent = parent.first().map_or(SpanId::INVALID, SpanContext::span_id);
            let links = said.link.into_iter().chain(elsewhere).collect();
            self.finish(trace, Finished { id, parent, name, start, end, attributes, links });
        }
        for Said { tx, mut attributes, .. } in transactions {
            let Some(tx) = tx else { continue };
            if let Some(height) = height {
                attributes.push(KeyValue::new("height", i64::try_from(height).unwrap_or(i64::MAX)));
            }
            let id = RandomIdGenerator::default().new_span_id();
            let parent = SpanId::INVALID;
            self.finish(
                tx,
                Finished { id, parent, name, start, end, attributes, links: vec![of_block.clone()] },
            );
        }
    }
}

#[cfg(test)]
mod tests;
