//! Spans of the work that users wait for, sent to a collector by OTLP. Off unless configured: then every call here
//! reads an empty cell, and no span exists.
//!
//! Spans have explicit parents, as a start goes through tasks and processes that serve many. Only steps that happen
//! once for a request or a start have one; nothing that happens for each frame or segment.

mod otlp;

use std::fmt::Display;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Link, Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider};

use crate::config::TracesConfig;
use crate::wire::trace_context::TraceContext;
use otlp::Post;

/// Spans that wait to be sent; further ones are lost.
const QUEUE: usize = 4096;
/// Spans of one message, and how long one waits for others.
const BATCH: usize = 512;
const DELAY: Duration = Duration::from_secs(1);
/// Bounds of one span, so that a step that is repeated does not grow it.
const MAX_ATTRIBUTES: u32 = 32;
const MAX_EVENTS: u32 = 32;
/// Time for which the end of the process waits for the last spans.
const FLUSH: Duration = Duration::from_secs(1);
/// Longest text in a span, characters.
const MAX_TEXT: usize = 256;

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

tokio::task_local! {
    /// The span that steps of this task belong to.
    static CURRENT: TraceContext;
}

/// Sends the recorded spans until it is stopped.
#[derive(Debug)]
pub struct Exporter(SdkTracerProvider);

/// Begins recording for this process, if that is configured. `role` names the service, as `rsm-worker`; `instance`
/// tells processes of one role apart. Call inside a runtime that lives until [`Exporter::stop`]: spans are sent on it.
///
/// # Errors
/// One line, when the exporter cannot be made: a mistake in the program, or in the system around it.
pub fn start(
    config: &TracesConfig,
    role: &'static str,
    instance: &str,
    version: &'static str,
) -> Result<Option<Exporter>, String> {
    let Some(endpoint) = &config.otlp_endpoint else { return Ok(None) };
    let post = Post::new(endpoint).map_err(|e| format!("traces: {e}"))?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint.traces_url())
        .with_http_client(post)
        .build()
        .map_err(|e| format!("traces: {e}"))?;
    let bounds = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE)
        .with_max_export_batch_size(BATCH)
        .with_scheduled_delay(DELAY);
    let batches = BatchSpanProcessor::builder(exporter).with_batch_config(bounds.build()).build();
    let resource = Resource::builder_empty()
        .with_service_name(role)
        .with_attribute(KeyValue::new("service.version", version))
        .with_attribute(KeyValue::new("service.instance.id", instance.to_owned()));
    let share = f64::from(config.sample_percent) / 100.0;
    let provider = SdkTracerProvider::builder()
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
        .with_max_attributes_per_span(MAX_ATTRIBUTES)
        .with_max_events_per_span(MAX_EVENTS)
        .with_resource(resource.build())
        .with_span_processor(batches)
        .build();
    // A second start in one process changes nothing: in tests only.
    let _ = TRACER.set(provider.tracer("rsm"));
    tracing::info!(collector = %endpoint, percent = config.sample_percent, "traces are on");
    Ok(Some(Exporter(provider)))
}

impl Exporter {
    /// Sends the remaining spans, within a second. Blocks: not to be called on a thread of the runtime.
    pub fn stop(self) {
        // A collector that is away was logged, and the spans that it did not get are lost.
        let _ = self.0.shutdown_with_timeout(FLUSH);
    }
}

/// True when spans are recorded.
pub fn is_on() -> bool {
    TRACER.get().is_some()
}

/// A span to be begun; nothing while traces are off.
#[must_use]
pub struct Draft(Option<(SpanBuilder, Option<TraceContext>)>);

/// Begins a span that is the first of its trace, unless it is put under another. `name` is one of few.
pub fn span(name: impl Into<std::borrow::Cow<'static, str>>) -> Draft {
    Draft(is_on().then(|| (SpanBuilder::from_name(name).with_kind(SpanKind::Internal), None)))
}

/// Begins a span of work that runs [`inside`] another; none without.
pub fn step(name: &'static str) -> Span {
    match CURRENT.try_with(|current| *current) {
        Ok(current) => span(name).under(Some(current)).begin(),
        Err(_) => Span::none(),
    }
}

/// Runs `work` with `context` as the parent of its [`step`]s.
pub async fn inside<F: Future>(context: Option<TraceContext>, work: F) -> F::Output {
    match context {
        Some(context) => CURRENT.scope(context, work).await,
        None => work.await,
    }
}

impl Draft {
    /// The child of `parent`, if there is one.
    pub fn under(mut self, parent: Option<TraceContext>) -> Self {
        if let Some((_, own)) = &mut self.0 {
            *own = parent;
        }
        self
    }

    /// Links it to `other`, which is of another trace.
    pub fn linked(self, other: Option<TraceContext>) -> Self {
        match other {
            Some(other) => self.change(|builder| builder.with_links(vec![Link::with_context(remote(other))])),
            None => self,
        }
    }

    /// The work began at `at`.
    pub fn since(self, at: SystemTime) -> Self {
        self.change(|builder| builder.with_start_time(at))
    }

    /// It answers a request.
    pub fn serving(self) -> Self {
        self.change(|builder| builder.with_kind(SpanKind::Server))
    }

    fn change(self, change: impl FnOnce(SpanBuilder) -> SpanBuilder) -> Self {
        Self(self.0.map(|(builder, parent)| (change(builder), parent)))
    }

    /// The span, which ends when it is dropped.
    pub fn begin(self) -> Span {
        let Some(((builder, parent), tracer)) = self.0.zip(TRACER.get()) else { return Span::none() };
        let around = match parent {
            Some(parent) => Context::new().with_remote_span_context(remote(parent)),
            None => Context::new(),
        };
        Span(Some(Box::new(tracer.build_with_context(builder, &around))))
    }
}

/// One thing that takes time. Ends when it is dropped. Nothing, and free, while traces are off.
#[derive(Debug, Default)]
pub struct Span(Option<Box<opentelemetry_sdk::trace::Span>>);

impl Span {
    /// None.
    pub fn none() -> Self {
        Self(None)
    }

    /// Parent for related work, here and in other processes; `None` while traces are off.
    pub fn context(&self) -> Option<TraceContext> {
        let context = self.0.as_ref()?.span_context();
        let (trace, span) = (context.trace_id().to_bytes(), context.span_id().to_bytes());
        TraceContext::new(u128::from_be_bytes(trace), u64::from_be_bytes(span), context.is_sampled())
    }

    /// Begins a part of it; none if there is no span.
    pub fn child(&self, name: &'static str) -> Self {
        match self.context() {
            Some(context) => span(name).under(Some(context)).begin(),
            None => Self::none(),
        }
    }

    /// Says more of it. Never an address with credentials, or anything else that is secret.
    pub fn set(&mut self, key: &'static str, value: impl Display) {
        if let Some(span) = self.recorded() {
            span.set_attribute(KeyValue::new(key, bounded(&value)));
        }
    }

    /// Says a number of it.
    pub fn count(&mut self, key: &'static str, value: u64) {
        if let Some(span) = self.recorded() {
            span.set_attribute(KeyValue::new(key, i64::try_from(value).unwrap_or(i64::MAX)));
        }
    }

    /// Something happened now. `name` is one of few.
    pub fn event(&mut self, name: &'static str) {
        if let Some(span) = self.recorded() {
            span.add_event(name, Vec::new());
        }
    }

    /// Calls it otherwise, once that is known. `name` is one of few.
    pub fn rename(&mut self, name: String) {
        if let Some(span) = self.recorded() {
            span.update_name(name);
        }
    }

    /// It has to do with `other`, which is of another trace.
    pub fn link(&mut self, other: TraceContext) {
        if let Some(span) = self.recorded() {
            span.add_link(remote(other), Vec::new());
        }
    }

    /// True when there is a span.
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }

    /// It came to nothing: `code` is one of few, `text` a sentence for people.
    pub fn fail(&mut self, code: &'static str, text: impl Display) {
        if let Some(span) = self.recorded() {
            span.set_attribute(KeyValue::new("error.type", code));
            span.set_status(Status::error(bounded(&text)));
        }
    }

    /// Ends it now.
    pub fn end(self) {}

    fn recorded(&mut self) -> Option<&mut opentelemetry_sdk::trace::Span> {
        self.0.as_deref_mut().filter(|span| span.is_recording())
    }
}

fn bounded(value: &impl Display) -> String {
    let mut text = value.to_string();
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(end);
    }
    text
}

fn remote(context: TraceContext) -> SpanContext {
    let flags = if context.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let (trace, span) = (TraceId::from(context.trace()), SpanId::from(context.span()));
    SpanContext::new(trace, span, flags, true, TraceState::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_recorded_while_traces_are_off() {
        let off = TracesConfig { otlp_endpoint: None, sample_percent: 100 };
        assert!(start(&off, "rsm-test", "1", "0").unwrap().is_none());
        let parent = TraceContext::new(7, 8, true);
        let mut begun = span("request").under(parent).linked(parent).since(SystemTime::now()).serving().begin();
        begun.set("rsm.stream", "yard");
        begun.fail("refused", "the camera refuses connections");
        assert!(begun.context().is_none() && begun.child("part").context().is_none());
        assert!(inside(parent, async { step("connect").context() }).await.is_none());
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let cut = bounded(&"é".repeat(MAX_TEXT * 2));
        assert_eq!(cut.chars().count(), MAX_TEXT);
        assert_eq!(bounded(&"short"), "short");
    }
}
