//! The trace contexts of one claimed stream. All of them are empty, and cost a test of a flag, while traces are off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rsm_shared::ops::traces::{self, Span};
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::state::Reason;
use rsm_shared::wire::trace_context::TraceContext;

/// One stream. Cheap to clone.
#[derive(Clone, Debug)]
pub struct StreamTrace(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    slug: Slug,
    fence: Fence,
    /// Context of its start on this worker.
    start: Option<TraceContext>,
    /// Context of the demand before its start: the stream was started for that.
    before: Option<TraceContext>,
    /// Context of a later demand, of another trace.
    since: Mutex<Option<TraceContext>>,
}

impl StreamTrace {
    /// A stream whose start has the span `start`; `demand` is the context of the newest demand.
    pub fn new(slug: Slug, fence: Fence, start: &Span, demand: Option<TraceContext>) -> Self {
        let (start, since) = (start.context(), Mutex::default());
        Self(Arc::new(Inner { slug, fence, start, before: demand, since }))
    }

    /// Notes the context of another demand for the stream.
    pub fn demanded(&self, demand: TraceContext) {
        let known = [self.0.start, self.0.before];
        if known.iter().flatten().all(|other| other.trace() != demand.trace()) {
            *self.0.since.lock() = Some(demand);
        }
    }

    /// Begins the span of an output that is waited for, in the trace of the newest demand.
    pub fn output(&self, name: &'static str) -> Span {
        let demand = *self.0.since.lock();
        self.marked(traces::span(name).under(demand.or(self.0.start)).begin())
    }

    /// Begins the span of a camera session: the first one is part of the start, each further one begins a trace.
    pub fn session(&self, start: &Span, before: Option<TraceContext>) -> Span {
        let draft = traces::span("open camera");
        let draft = if start.is_some() { draft.under(start.context()) } else { draft.linked(before.or(self.0.start)) };
        self.marked(draft.begin())
    }

    fn marked(&self, mut span: Span) -> Span {
        mark(&mut span, &self.0.slug, self.0.fence);
        span
    }
}

/// Says which stream and claim a span is about.
pub fn mark(span: &mut Span, slug: &Slug, fence: Fence) {
    if span.is_some() {
        span.set("rsm.stream", slug);
        span.count("rsm.epoch", fence.epoch.0);
        span.count("rsm.revision", fence.revision);
    }
}

/// A span that another task ends than the one that began it, with its current step. Without a span its calls cost a test
/// of a flag.
#[derive(Debug, Default)]
pub struct Waiting {
    waits: AtomicBool,
    /// The whole, and the step that it is at.
    spans: Mutex<(Span, Span)>,
}

impl Waiting {
    /// From now on.
    pub fn begin(&self, span: Span) {
        self.waits.store(span.is_some(), Ordering::Relaxed);
        *self.spans.lock() = (span, Span::none());
    }

    /// The next step; it ends with the one after it, or with the whole. Nothing while nothing is waited for.
    pub fn step(&self, name: &'static str) {
        if self.waits.load(Ordering::Relaxed) {
            let mut spans = self.spans.lock();
            // The one before ends first.
            spans.1 = Span::none();
            spans.1 = spans.0.child(name);
        }
    }

    /// Ends the span: the wait is over.
    pub fn end(&self) {
        if self.waits.load(Ordering::Relaxed) {
            self.begin(Span::none());
        }
    }

    /// It came to nothing.
    pub fn fail(&self, code: &'static str, text: impl std::fmt::Display) {
        if self.waits.load(Ordering::Relaxed) {
            let mut spans = self.spans.lock();
            spans.1.fail(code, &text);
            spans.0.fail(code, &text);
            drop(spans);
            self.end();
        }
    }
}

/// A camera session from its turn to its first key frame.
#[derive(Debug, Default)]
pub struct Opening {
    span: Span,
    /// Span of the stream's start, which the first picture ends.
    start: Span,
    /// Waits for the first picture and the first key frame.
    first: Span,
    key: Span,
}

impl Opening {
    /// A session with its own span, as part of a start or not.
    pub fn new(span: Span, start: Span) -> Self {
        Self { span, start, ..Self::default() }
    }

    /// The parent context of its steps.
    pub fn context(&self) -> Option<TraceContext> {
        self.span.context()
    }

    /// Begins a part of it.
    pub fn part(&self, name: &'static str) -> Span {
        self.span.child(name)
    }

    /// PLAY was answered.
    pub fn opened(&mut self) {
        self.first = self.span.child("first picture");
        self.key = self.span.child("first key frame");
    }

    /// A picture came; whether there is nothing more to wait for.
    pub fn picture(&mut self, is_key: bool) -> bool {
        drop(std::mem::take(&mut self.first));
        drop(std::mem::take(&mut self.start));
        is_key
    }

    /// The session ended before all that was waited for came.
    pub fn failed(mut self, reason: &Reason) {
        let code = reason.code.as_str();
        for span in [&mut self.key, &mut self.first, &mut self.span, &mut self.start] {
            span.fail(code, &reason.text);
        }
    }
}
