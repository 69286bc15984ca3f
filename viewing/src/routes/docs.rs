//! The OpenAPI document, and a page to try it. Nothing on the page comes from outside.

use bytes::Bytes;
use salvo::http::HeaderValue;
use salvo::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use salvo::oapi::swagger_ui::{self, Config};
use salvo::oapi::{Info, OpenApi, endpoint};
use salvo::{Request, Response, Router, Writer as _};

use crate::http::extract::{Handles, RouteResult, Written};
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
pub async fn openapi(app: Handles, response: &mut Response) -> RouteResult {
    let text = app.0.openapi.get().ok_or_else(Problem::internal)?;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response.body(text.clone());
    Ok(Written)
}

/// A page to try the API
#[endpoint(
    operation_id = "docs",
    tags("documentation"),
    responses((status_code = 200, description = "HTML", body = String, content_type = "text/html"))
)]
pub async fn page(response: &mut Response) -> RouteResult {
    write(response, "text/html; charset=utf-8", include_str!("docs/index.html"));
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
        write(response, content_type, *text);
        return Ok(Written);
    }
    let (name, content_type) = THEIRS.iter().find(|(theirs, _)| *theirs == name).ok_or_else(Problem::gone)?;
    let found = swagger_ui::serve(name, "", "", "", &Config::default()).ok().flatten().ok_or_else(Problem::gone)?;
    write(response, content_type, Bytes::from(found.bytes.into_owned()));
    Ok(Written)
}

fn write(response: &mut Response, content_type: &'static str, body: impl Into<salvo::http::ResBody>) {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response.body(body);
}
