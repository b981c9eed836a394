use std::sync::Mutex;
use std::time::Duration;

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::Span;
use tracing_subscriber::layer::SubscriberExt;

use super::*;

#[derive(Debug, Default)]
struct Kept(Mutex<Vec<SpanData>>);

impl SpanProcessor for Kept {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().unwrap().push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

const TX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER: &str = "f00102030405060708090a0b0c0d0e0ff01112131415161718191a1b1c1d1e1f";

/// The spans that are made while this runs.
fn traced(sampler: Sampler, network: &str, run: impl FnOnce()) -> Vec<SpanData> {
    let kept = Arc::new(Kept::default());
    let source = Source { network: Some(network.to_owned()), node: None };
    let layer = Traces::new(sampler, &source, Arc::clone(&kept) as _);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), run);
    std::mem::take(&mut kept.0.lock().unwrap())
}

fn attributes(span: &SpanData) -> String {
    let all = span.attributes.iter().map(|one| format!("{}={}", one.key, one.value));
    all.collect::<Vec<_>>().join(" ")
}

fn trace(span: &SpanData) -> String {
    span.span_context.trace_id().to_string()
}

fn check_tx(hash: &str) {
    let span = tracing::trace_span!("CheckTx", tx = tracing::field::Empty, code = tracing::field::Empty);
    let entered = span.enter();
    // The hash is known only later, and a plugin's span is over before the span around it.
    drop(tracing::trace_span!("plugin", plugin = "upper", tx = %hash));
    span.record("tx", tracing::field::display(hash));
    span.record("code", 7);
    drop(entered);
}

#[test]
fn a_transactions_trace_is_named_by_its_hash_on_every_node() {
    let spans = traced(Sampler::AlwaysOn, "n", || check_tx(TX));
    let [plugin, check] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((trace(plugin), trace(check)), (TX[..32].to_owned(), TX[..32].to_owned()));
    assert_eq!((&*plugin.name, &*check.name), ("plugin", "CheckTx"));
    assert_eq!(plugin.parent_span_id, check.span_context.span_id());
    assert_eq!(check.parent_span_id, SpanId::INVALID);
    assert_eq!(attributes(check), format!("tx={TX} code=7"));
    assert!(check.start_time <= plugin.start_time && plugin.end_time <= check.end_time);
    let again = traced(Sampler::AlwaysOn, "n", || check_tx(TX));
    assert_ne!(again[1].span_context.span_id(), check.span_context.span_id());
}

fn commit(height: u64, txs: usize) {
    let _commit = tracing::trace_span!("Commit", height).entered();
    drop(tracing::trace_span!("sync", file = "records"));
    for offset in 0..txs {
        tracing::trace!(tx = %TX, offset, "transaction");
    }
}

#[test]
fn a_block_has_a_trace_and_so_has_its_part_in_each_of_its_transactions() {
    let spans = traced(Sampler::AlwaysOn, "n", || commit(7, 1));
    let [sync, commit_span, of_tx] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((&*sync.name, &*commit_span.name, &*of_tx.name), ("sync", "Commit", "Commit"));
    assert_eq!(trace(sync), trace(commit_span));
    assert_eq!(sync.parent_span_id, commit_span.span_context.span_id());
    assert_eq!(
        (trace(of_tx), attributes(of_tx)),
        (TX[..32].to_owned(), format!("tx={TX} offset=0 height=7"))
    );
    assert_eq!(of_tx.links[0].span_context, commit_span.span_context);
    assert_eq!((of_tx.start_time, of_tx.end_time), (commit_span.start_time, commit_span.end_time));
    let block = |network: &str, height| trace(&traced(Sampler::AlwaysOn, network, || commit(height, 0))[1]);
    assert_eq!(block("n", 7), trace(commit_span), "the same on every node");
    assert_ne!(block("m", 7), block("n", 7));
    assert_ne!(block("n", 8), block("n", 7));
}

#[test]
fn a_plugin_that_runs_in_a_block_is_in_its_transactions_trace_and_linked_to_the_block() {
    let spans = traced(Sampler::AlwaysOn, "n", || {
        let _block = tracing::trace_span!("FinalizeBlock", height = 7_u64).entered();
        drop(tracing::trace_span!("plugin", tx = %TX));
    });
    let [plugin, block] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((trace(plugin), plugin.parent_span_id), (TX[..32].to_owned(), SpanId::INVALID));
    assert_eq!(plugin.links[0].span_context, block.span_context);
}

#[test]
fn how_many_spans_a_block_makes_is_bounded() {
    let spans = traced(Sampler::AlwaysOn, "n", || commit(7, 1000));
    assert_eq!(spans.len(), 2 + TRANSACTIONS_MAX);
    assert_eq!(attributes(&spans[1]), format!("height=7 transactions_left_out={}", 1000 - TRANSACTIONS_MAX));
}

#[test]
fn what_is_kept_is_decided_by_the_trace_alone() {
    // The ratio looks at the last eight bytes.
    let ratio = || Sampler::TraceIdRatioBased(0.5);
    let both = || [TX, OTHER].into_iter().for_each(check_tx);
    let mut high = OTHER.to_owned();
    high.replace_range(16..18, "ff");
    assert_eq!(traced(ratio(), "n", both).len(), 4);
    assert_eq!(traced(ratio(), "n", || check_tx(&high)).len(), 0);
    assert_eq!(
        traced(Sampler::AlwaysOff, "n", || {
            both();
            commit(1, 3);
        })
        .len(),
        0
    );
}

#[test]
fn what_belongs_to_no_transaction_and_no_block_is_dropped() {
    let unknown = "0".repeat(64);
    let spans = traced(Sampler::AlwaysOn, "n", || {
        drop(tracing::trace_span!("sync", file = "records"));
        drop(tracing::trace_span!("CheckTx", tx = %unknown));
        drop(tracing::trace_span!("CheckTx", tx = "not a hash"));
        tracing::trace!(tx = %TX, "in no span");
    });
    assert_eq!(spans, []);
}

#[test]
fn a_callers_traceparent_becomes_a_link() {
    let (theirs, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let of = |header: &str| {
        let spans = traced(Sampler::AlwaysOn, "n", || {
            drop(tracing::trace_span!("Submit", tx = %TX, traceparent = header));
        });
        let span = spans.into_iter().next().unwrap();
        assert_eq!((trace(&span), attributes(&span)), (TX[..32].to_owned(), format!("tx={TX}")));
        span.links.iter().map(|link| link.span_context.clone()).collect::<Vec<_>>()
    };
    let link = of(&format!("00-{theirs}-{span}-01")).remove(0);
    assert_eq!(
        (link.trace_id().to_string(), link.span_id().to_string()),
        (theirs.to_owned(), span.to_owned())
    );
    assert!(link.is_remote() && link.is_sampled());
    for bad in [
        "",
        "00",
        &format!("ff-{theirs}-{span}-01"),
        &format!("00-{}-{span}-01", "0".repeat(32)),
        &format!("00-{theirs}-{span}-x1"),
    ] {
        assert_eq!(of(bad), [], "{bad}");
    }
}
