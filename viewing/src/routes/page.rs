//! The viewer page and its files, built into the binary.

use std::borrow::Cow;
use std::sync::LazyLock;

use bytes::Bytes;
use salvo::http::HeaderValue;
use salvo::http::header::{ACCEPT_RANGES, CACHE_CONTROL, CONTENT_TYPE, ETAG};
use salvo::oapi::endpoint;
use salvo::{Request, Response, Writer as _};

use crate::http::extract::{Handles, RouteResult, Written};
use crate::http::path_prefix::PathPrefix;
use crate::http::problem::{Problem, ProblemBody};
use crate::http::representation;

/// A file that is served as it was built in.
pub struct Asset {
    /// Path under `/assets/`.
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

static INDEX: Asset =
    Asset::new("index.html", "text/html; charset=utf-8", include_bytes!(concat!(env!("OUT_DIR"), "/index.html")));

/// Everything under `/assets/`: build.rs makes the table from the folder `web`.
static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The page as a relay serves it: its root element says so, and the page leaves out the controls of operators.
static RELAY_INDEX: LazyLock<String> =
    LazyLock::new(|| INDEX.text().replacen("<html ", "<html data-role=\"relay\" ", 1));

/// The viewer page
#[endpoint(
    operation_id = "page",
    tags("page"),
    responses(
        (status_code = 200, description = "HTML", body = String, content_type = "text/html"),
        (status_code = 304, description = "As the client has it")
    )
)]
pub async fn index(request: &mut Request, app: Handles, response: &mut Response) -> RouteResult {
    serve_index(&INDEX.text(), request, &app, response);
    Ok(Written)
}

/// The viewer page
#[endpoint(
    operation_id = "page",
    tags("page"),
    responses(
        (status_code = 200, description = "HTML", body = String, content_type = "text/html"),
        (status_code = 304, description = "As the client has it")
    )
)]
pub async fn relay_index(request: &mut Request, app: Handles, response: &mut Response) -> RouteResult {
    serve_index(&RELAY_INDEX, request, &app, response);
    Ok(Written)
}

/// A file of the viewer page
#[endpoint(
    operation_id = "page_file",
    tags("page"),
    parameters(("file" = String, Path, description = "Its name")),
    responses(
        (status_code = 200, description = "The file", body = String, content_type = "text/plain"),
        (status_code = 304, description = "As the client has it"),
        (status_code = 404, description = "No such file", body = ProblemBody,
            content_type = "application/problem+json")
    )
)]
pub async fn file(request: &mut Request, response: &mut Response) -> RouteResult {
    let name = parameter(request, "file").to_owned();
    serve_asset(&name, response)
}

/// A file of the viewer page, in a folder
#[endpoint(
    operation_id = "page_file_in_folder",
    tags("page"),
    parameters(
        ("folder" = String, Path, description = "The folder's name"),
        ("file" = String, Path, description = "The file's name")
    ),
    responses(
        (status_code = 200, description = "The file", body = String, content_type = "text/plain"),
        (status_code = 304, description = "As the client has it"),
        (status_code = 404, description = "No such file", body = ProblemBody,
            content_type = "application/problem+json")
    )
)]
pub async fn file_in_folder(request: &mut Request, response: &mut Response) -> RouteResult {
    let name = format!("{}/{}", parameter(request, "folder"), parameter(request, "file"));
    serve_asset(&name, response)
}

fn parameter<'a>(request: &'a Request, name: &str) -> &'a str {
    request.params().get(name).map(String::as_str).unwrap_or_default()
}

fn serve_index(html: &str, request: &Request, app: &Handles, response: &mut Response) {
    let prefix = PathPrefix::of(request, &app.0);
    let path = request.uri().path();
    serve(response, INDEX.content_type, Bytes::from(prefix.rooted(html, path)));
}

fn serve_asset(name: &str, response: &mut Response) -> RouteResult {
    let asset = ASSETS.iter().find(|asset| asset.name == name).ok_or_else(Problem::gone)?;
    serve(response, asset.content_type, Bytes::from_static(asset.bytes));
    Ok(Written)
}

/// Answers with a file that is part of the program. A client asks for it each time, so that page and server are never
/// of two versions, and is told when it has it.
pub fn serve(response: &mut Response, content_type: &'static str, bytes: Bytes) {
    let headers = response.headers_mut();
    headers.insert(ETAG, representation::strong_tag(&bytes));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.body(bytes);
}

impl Asset {
    /// A file that is part of the program.
    pub const fn new(name: &'static str, content_type: &'static str, bytes: &'static [u8]) -> Self {
        Self { name, content_type, bytes }
    }

    fn text(&self) -> Cow<'static, str> {
        String::from_utf8_lossy(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asset(name: &str) -> Option<&'static Asset> {
        ASSETS.iter().find(|asset| asset.name == name)
    }

    #[test]
    fn files_are_served_by_their_paths_and_vendored_ones_by_their_names() {
        for name in ["app.js", "app.css", "favicon.svg", "wall/tile.js", "hls.min.js"] {
            assert!(asset(name).is_some_and(|asset| !asset.bytes.is_empty()), "{name}");
        }
        for name in ["index.html", "LICENSE", "README.md", "vendor/hls/hls.min.js", "lib/api-types.js"] {
            assert!(asset(name).is_none(), "{name}");
        }
        assert!(ASSETS.iter().all(|asset| asset.name.matches('/').count() < 2), "the routes know one folder");
    }

    #[test]
    fn index_preloads_every_module_and_nothing_else() {
        let html = std::str::from_utf8(INDEX.bytes).unwrap();
        for asset in ASSETS.iter().filter(|asset| asset.content_type.starts_with("text/javascript")) {
            let link = format!("<link rel=\"modulepreload\" href=\"/assets/{}\">", asset.name);
            assert_eq!(html.matches(&link).count(), usize::from(asset.name != "hls.min.js"), "{}", asset.name);
        }
    }

    #[test]
    fn only_a_relay_says_what_it_is() {
        let says = |page: &str| page.contains("<html data-role=\"relay\" lang");
        assert!(says(&RELAY_INDEX) && !says(&INDEX.text()));
    }

    #[test]
    fn whatever_the_page_refers_to_is_there() {
        let html = std::str::from_utf8(INDEX.bytes).unwrap();
        let mut found = 0;
        for part in html.split("/assets/").skip(1) {
            let name: String = part.chars().take_while(|c| c.is_ascii_alphanumeric() || ".-_/".contains(*c)).collect();
            assert!(asset(&name).is_some(), "{name}");
            found += 1;
        }
        assert!(found > 0);
    }
}
