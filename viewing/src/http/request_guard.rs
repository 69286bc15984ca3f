//! The guard that every request passes: the origin check, security headers, the shape of errors, the measurement.

use std::sync::Arc;
use std::time::Instant;

use salvo::http::header::{self, HeaderName};
use salvo::http::{HeaderMap, HeaderValue, Method, StatusCode};
use salvo::{Depot, FlowCtrl, Handler, Request, Response, async_trait};

use super::compression::Compressor;
use super::label::Label;
use super::origin::{OriginDecision, OriginPolicy};
use super::problem::Problem;
use super::representation;
use super::request_trace::RequestTrace;
use crate::viewing::Viewing;

/// Content security policy of every page: it may load this server's own files, and pictures and media that it made itself.
/// No page needs an inline script or style.
const PAGE_CSP: &str = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; \
    connect-src 'self' ws: wss:; worker-src 'self' blob:; style-src 'self'; script-src 'self'; \
    base-uri 'none'; object-src 'none'";
/// Time that a browser remembers a preflight, seconds.
const PREFLIGHT_AGE: &str = "600";
/// Headers that a page of another origin may send: those that are read here or by a proxy in between.
const ACCEPTED: &str = "Authorization, Cache-Control, Content-Type, If-Modified-Since, If-None-Match, If-Range, \
    Last-Event-ID, Range, traceparent, tracestate";
/// Headers that a page of another origin may read.
const EXPOSED: &str = "Accept-Ranges, Allow, Content-Encoding, Content-Range, Date, ETag, Location, Retry-After, \
    X-Captured-At, X-Total-Count";

/// The outermost handler.
pub struct RequestGuard {
    viewing: Arc<Viewing>,
    origins: OriginPolicy,
    page_policy: HeaderValue,
    compressor: Compressor,
}

impl RequestGuard {
    /// For all requests to this process.
    pub fn new(viewing: Arc<Viewing>) -> Self {
        let api = &viewing.config.api;
        let page_policy = page_policy(&api.embed_origins);
        let origins = OriginPolicy::new(&api.allowed_origins, api.listen);
        Self { origins, page_policy, compressor: Compressor::default(), viewing }
    }
}

#[async_trait]
impl Handler for RequestGuard {
    async fn handle(&self, request: &mut Request, depot: &mut Depot, response: &mut Response, ctrl: &mut FlowCtrl) {
        let begun = Instant::now();
        let trace = RequestTrace::of(request);
        depot.insert_typed(self.viewing.clone());
        let header = |name: HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or("null"));
        let verdict = self.origins.judge(header(header::ORIGIN), header(header::HOST));
        let origin = request.headers().get(header::ORIGIN).cloned();
        if verdict == OriginDecision::Foreign && changes_something(request) {
            let problem = Problem::new(
                StatusCode::FORBIDDEN,
                "pages of this origin may not use this server; add it to api.allowed_origins to allow it",
            );
            response.render(problem);
            ctrl.skip_rest();
        } else if is_preflight(request) && response.status_code == Some(StatusCode::METHOD_NOT_ALLOWED) {
            response.status_code(StatusCode::NO_CONTENT);
            allow_methods(response.headers_mut());
            ctrl.skip_rest();
        } else {
            RequestTrace::around(trace.clone(), ctrl.call_next(request, depot, response)).await;
        }
        let status = response.status_code.unwrap_or(StatusCode::OK);
        let failed = status.is_client_error() || status.is_server_error();
        if failed && (response.body.is_none() || response.body.is_error()) {
            response.render(Problem::bare(status));
        }
        representation::finish(request, response, &self.compressor).await;
        let status = response.status_code.unwrap_or(StatusCode::OK);
        self.secure(response.headers_mut());
        if let (OriginDecision::Listed | OriginDecision::Allowed, Some(origin)) = (&verdict, origin) {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
            if verdict == OriginDecision::Listed {
                headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
        }
        response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
        let label = Label::of(depot);
        self.viewing.metrics.request(label, status, begun.elapsed());
        if let Some(trace) = trace {
            trace.answered(label, status);
        }
    }
}

/// Requests that a foreign page must not make: those that change something, and WebSockets, which the same-origin
/// policy of browsers does not cover. A preflight asks whether it may, and is told no.
fn changes_something(request: &Request) -> bool {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD);
    !safe || request.headers().contains_key(header::UPGRADE)
}

fn is_preflight(request: &Request) -> bool {
    *request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn allow_methods(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PATCH, DELETE"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, ACCEPTED),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_AGE),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// The policy of pages, which also says which sites may frame them: browsers that know it ignore X-Frame-Options.
fn page_policy(embed_origins: &[String]) -> HeaderValue {
    let ancestors =
        if embed_origins.is_empty() { "'none'".into() } else { format!("'self' {}", embed_origins.join(" ")) };
    let policy = format!("{PAGE_CSP}; frame-ancestors {ancestors}");
    // The configuration takes only origins, so that is a header.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"))
}

impl RequestGuard {
    fn secure(&self, headers: &mut HeaderMap) {
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        let page = headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
        if page {
            headers.insert(header::CONTENT_SECURITY_POLICY, self.page_policy.clone());
        }
    }
}
