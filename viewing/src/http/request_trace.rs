//! The span of a request, while traces are on. It is made when there is a reason: the request changes something, makes
//! a viewer wait for a stream, fails here, or belongs to a trace already. Players that fetch the next segment have none.

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use rsm_shared::ops::traces::{self, Span};
use rsm_shared::wire::trace_context::TraceContext;
use salvo::Request;
use salvo::http::{Method, StatusCode};

/// The header of W3C Trace Context.
const TRACEPARENT: &str = "traceparent";

tokio::task_local! {
    static REQUEST: Arc<RequestTrace>;
}

/// One request, with its span if it has one.
pub struct RequestTrace {
    begun: SystemTime,
    method: Method,
    /// The context that the client sent.
    parent: Option<TraceContext>,
    span: Mutex<Option<Span>>,
}

impl RequestTrace {
    /// `None` while traces are off.
    pub fn of(request: &Request) -> Option<Arc<Self>> {
        if !traces::is_on() {
            return None;
        }
        let header = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
        let parent = header.and_then(TraceContext::parse);
        let method = request.method().clone();
        Some(Arc::new(Self { begun: SystemTime::now(), method, parent, span: Mutex::default() }))
    }

    /// Runs `work`, which answers the request.
    pub async fn around<F: Future>(this: Option<Arc<Self>>, work: F) -> F::Output {
        match this {
            Some(this) => REQUEST.scope(this, work).await,
            None => work.await,
        }
    }

    /// Its span, made now if there was none.
    fn with<T>(&self, note: impl FnOnce(&mut Span) -> T) -> T {
        let mut span = self.span.lock();
        note(span.get_or_insert_with(|| {
            let draft = traces::span(self.method.as_str().to_owned()).under(self.parent).since(self.begun);
            draft.serving().begin()
        }))
    }

    /// The request was answered: ends its span.
    pub fn answered(&self, route: &'static str, status: StatusCode) {
        let changes = !matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let has = self.span.lock().is_some();
        let asked = self.parent.is_some_and(TraceContext::is_sampled);
        if !(has || asked || changes || status.is_server_error()) {
            return;
        }
        self.with(|span| {
            span.rename(format!("{} {route}", self.method));
            span.set("http.request.method", &self.method);
            span.set("http.route", route);
            span.count("http.response.status_code", status.as_u16().into());
            if status.is_server_error() {
                span.fail("http", status.canonical_reason().unwrap_or("server error"));
            }
        });
        self.span.lock().take();
    }
}

/// The span of the request that this task answers, made if there was none; `None` in other tasks, and while traces are
/// off.
pub fn span_context() -> Option<TraceContext> {
    REQUEST.try_with(|request| request.with(|span| span.context())).ok().flatten()
}

/// The request that this task answers has to do with `stream`; `first` is the request that its start belongs to, if that is
/// another's.
pub fn relate_to_stream(stream: &str, first: Option<TraceContext>) {
    let _ = REQUEST.try_with(|request| {
        request.with(|span| {
            span.set("rsm.stream", stream);
            if let Some(first) = first {
                span.link(first);
            }
        });
    });
}

/// Begins a part of the request's span; none when it has none.
pub fn begin_part(name: &'static str) -> Span {
    let part = |request: &Arc<RequestTrace>| {
        let span = request.span.lock();
        span.as_ref().map(|span| span.child(name))
    };
    REQUEST.try_with(part).ok().flatten().unwrap_or_default()
}
