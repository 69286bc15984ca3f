//! The OpenAPI document, and a page to try it. Nothing on the page comes from outside.

use bytes::Bytes;
use salvo::oapi::swagger_ui::{self, Config};
use salvo::oapi::{Info, OpenApi, endpoint};
use salvo::{Request, Response, Router, Writer as _};

use super::page;
use crate::http::extract::{Handles, RouteResult, Written};
use crate::http::path_prefix::PathPrefix;
use crate::http::problem::{Problem, ProblemBody};

const DESCRIPTION: &str = "RTSP cameras in front of browsers. Register a camera with `POST /video/`, then watch it as \
    JPEG frames over WebSocket (`/ws/stream/<slug>/`), as HLS (`GET /video/<slug>/` names the playlist) or as single \
    pictures. Cameras start when somebody watches and stop when nobody does. Errors are `application/problem+json` \
    (RFC 9457) with a sentence in `error`. Paths work with and without the last slash.";

/// Files of the page: ours, and by name those of Swagger UI that it needs.
const OURS: [(&str, &str, &str); 2] = [
    ("docs.css", "text/css; charset=utf-8", include_str!("docs/docs.css")),
    ("docs.js", "text/javascript; charset=utf-8", include_str!("docs/docs.js")),
];
const THEIRS: [(&str, &str); 2] =
    [("swagger-ui.css", "text/css; charset=utf-8"), ("swagger-ui-bundle.js", "text/javascript; charset=utf-8")];

/// Documents `router`.
pub fn document(router: &Router) -> OpenApi {
    let info = Info::new("RTSP Stream Manager", env!("CARGO_PKG_VERSION")).description(DESCRIPTION);
    OpenApi::with_info(info).merge_router(router)
}

/// OpenAPI 3.1 document
#[endpoint(
    operation_id = "openapi",
    tags("documentation"),
    responses((status_code = 200, description = "This document", body = String, content_type = "application/json"))
)]
pub async fn openapi(request: &mut Request, app: Handles, response: &mut Response) -> RouteResult {
    let text = app.0.openapi.get().ok_or_else(Problem::internal)?;
    let prefix = PathPrefix::of(request, &app.0);
    page::serve(response, "application/json", with_server(text, prefix.as_str()));
    Ok(Written)
}

/// A page to try the API
#[endpoint(
    operation_id = "docs",
    tags("documentation"),
    responses((status_code = 200, description = "HTML", body = String, content_type = "text/html"))
)]
pub async fn docs(request: &mut Request, app: Handles, response: &mut Response) -> RouteResult {
    let html = PathPrefix::of(request, &app.0).rooted(include_str!("docs/index.html"), request.uri().path());
    page::serve(response, "text/html; charset=utf-8", html.into());
    Ok(Written)
}

/// A file of the page to try the API
#[endpoint(
    operation_id = "docs_file",
    tags("documentation"),
    parameters(("file" = String, Path, description = "Its name")),
    responses(
        (status_code = 200, description = "The file", body = String, content_type = "text/plain"),
        (status_code = 404, description = "No such file", body = ProblemBody,
            content_type = "application/problem+json")
    )
)]
pub async fn file(request: &mut Request, response: &mut Response) -> RouteResult {
    let name = request.params().get("file").map(String::as_str).unwrap_or_default();
    if let Some((_, content_type, text)) = OURS.iter().find(|(ours, ..)| *ours == name) {
        page::serve(response, content_type, Bytes::from_static(text.as_bytes()));
        return Ok(Written);
    }
    let (name, content_type) = THEIRS.iter().find(|(theirs, _)| *theirs == name).ok_or_else(Problem::gone)?;
    let found = swagger_ui::serve(name, "", "", "", &Config::default()).ok().flatten().ok_or_else(Problem::gone)?;
    page::serve(response, content_type, Bytes::from(found.bytes.into_owned()));
    Ok(Written)
}

/// The document with the path before this server's own, if one is known: paths in it begin after that.
fn with_server(document: &Bytes, prefix: &str) -> Bytes {
    match document.strip_prefix(b"{") {
        Some(rest) if !prefix.is_empty() => {
            // A prefix holds nothing that JSON would have to escape.
            [format!("{{\"servers\":[{{\"url\":\"{prefix}\"}}],").as_bytes(), rest].concat().into()
        }
        _ => document.clone(),
    }
}
