//! The viewer page and its files, built into the binary.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::LazyLock;

use salvo::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use salvo::http::{HeaderValue, StatusCode};
use salvo::oapi::endpoint;
use salvo::{Request, Response};

use crate::http::extract::{RouteResult, Written};
use crate::http::problem::{Problem, ProblemBody};

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file that is served as it was built in.
pub struct Asset {
    name: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

macro_rules! asset {
    ($name:literal, $content_type:expr) => {
        asset!($name, $content_type, $name)
    };
    ($name:literal, $content_type:expr, $path:literal) => {
        Asset {
            name: $name,
            content_type: $content_type,
            bytes: include_bytes!(concat!("../../../viewing/web/", $path)),
        }
    };
}

static INDEX: Asset = asset!("index.html", HTML);

/// Everything under `/assets/`.
static ASSETS: &[Asset] = &[
    asset!("announce.js", SCRIPT),
    asset!("api.js", SCRIPT),
    asset!("app.css", CSS),
    asset!("app.js", SCRIPT),
    asset!("backoff.js", SCRIPT),
    asset!("camera-address.js", SCRIPT),
    asset!("camera-facts.js", SCRIPT),
    asset!("camera-fields.js", SCRIPT),
    asset!("camera-form.js", SCRIPT),
    asset!("camera-look.js", SCRIPT),
    asset!("camera-page-parts.js", SCRIPT),
    asset!("camera-page.js", SCRIPT),
    asset!("camera-sharing.js", SCRIPT),
    asset!("camera-stage.js", SCRIPT),
    asset!("camera-states.js", SCRIPT),
    asset!("choices.js", SCRIPT),
    asset!("dialogs.css", CSS),
    asset!("favicon.svg", SVG),
    asset!("frame-size.js", SCRIPT),
    asset!("full-screen.js", SCRIPT),
    asset!("hls-player.js", SCRIPT),
    asset!("import-dialog-parts.js", SCRIPT),
    asset!("import-dialog.js", SCRIPT),
    asset!("import-rows.js", SCRIPT),
    asset!("jpeg-player.js", SCRIPT),
    asset!("live.js", SCRIPT),
    asset!("low-latency.js", SCRIPT),
    asset!("players.js", SCRIPT),
    asset!("qualities.js", SCRIPT),
    asset!("sight.js", SCRIPT),
    asset!("sparkline.js", SCRIPT),
    asset!("tile-menu.js", SCRIPT),
    asset!("tile-stage.js", SCRIPT),
    asset!("tile.js", SCRIPT),
    asset!("time-words.js", SCRIPT),
    asset!("undo.js", SCRIPT),
    asset!("wall-bar.js", SCRIPT),
    asset!("wall-layout.js", SCRIPT),
    asset!("wall-move.js", SCRIPT),
    asset!("wall-order.js", SCRIPT),
    asset!("wall-screen.js", SCRIPT),
    asset!("wall.css", CSS),
    asset!("wall.js", SCRIPT),
    asset!("words.js", SCRIPT),
    asset!("hls.min.js", SCRIPT, "vendor/hls/hls.min.js"),
];

static INDEX_TAG: LazyLock<HeaderValue> = LazyLock::new(|| INDEX.tag());

/// The page as a relay serves it: its root element says so, and the page leaves out the controls of operators.
static RELAY_INDEX: LazyLock<Asset> = LazyLock::new(|| {
    let html = String::from_utf8_lossy(INDEX.bytes).replacen("<html ", "<html data-role=\"relay\" ", 1);
    Asset { bytes: html.into_bytes().leak(), ..INDEX }
});

static RELAY_INDEX_TAG: LazyLock<HeaderValue> = LazyLock::new(|| RELAY_INDEX.tag());

/// The viewer page
#[endpoint(
    operation_id = "page",
    tags("page"),
    responses(
        (status_code = 200, description = "HTML", body = String, content_type = "text/html"),
        (status_code = 304, description = "As the client has it")
    )
)]
pub async fn index(request: &mut Request, response: &mut Response) -> RouteResult {
    INDEX.serve(request, response, INDEX_TAG.clone());
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
pub async fn relay_index(request: &mut Request, response: &mut Response) -> RouteResult {
    RELAY_INDEX.serve(request, response, RELAY_INDEX_TAG.clone());
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
    let name = request.params().get("file").map(String::as_str).unwrap_or_default();
    let asset = ASSETS.iter().find(|asset| asset.name == name).ok_or_else(Problem::gone)?;
    asset.serve(request, response, asset.tag());
    Ok(Written)
}

impl Asset {
    /// A file that is part of the program.
    pub const fn new(name: &'static str, content_type: &'static str, bytes: &'static [u8]) -> Self {
        Self { name, content_type, bytes }
    }

    /// Changes with the content.
    fn tag(&self) -> HeaderValue {
        let mut hasher = DefaultHasher::new();
        self.bytes.hash(&mut hasher);
        let tag = format!("\"{:016x}\"", hasher.finish());
        HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""))
    }

    /// Answers with the file, or 304 when the client has it.
    fn serve(&self, request: &Request, response: &mut Response, tag: HeaderValue) {
        let known = request.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).is_some_and(|known| {
            known.split(',').any(|one| one.trim().trim_start_matches("W/").as_bytes() == tag.as_bytes())
        });
        let headers = response.headers_mut();
        headers.insert(ETAG, tag);
        // Looked at again each time, so that page and server are never of two versions.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if known {
            response.status_code(StatusCode::NOT_MODIFIED);
            return;
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        response.body(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_built_in() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../viewing/web");
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if entry.file_type().unwrap().is_file() && name != "index.html" {
                assert!(ASSETS.iter().any(|asset| asset.name == name), "{name} is not in the table");
            }
        }
    }

    #[test]
    fn only_a_relay_says_what_it_is() {
        let says = |page: &Asset| std::str::from_utf8(page.bytes).unwrap().contains("<html data-role=\"relay\" lang");
        assert!(says(&RELAY_INDEX) && !says(&INDEX));
        assert_ne!(RELAY_INDEX.tag(), INDEX.tag());
    }

    #[test]
    fn whatever_the_page_refers_to_is_there() {
        let html = std::str::from_utf8(INDEX.bytes).unwrap();
        let mut found = 0;
        for part in html.split("/assets/").skip(1) {
            let name: String = part.chars().take_while(|c| c.is_ascii_alphanumeric() || ".-_".contains(*c)).collect();
            assert!(ASSETS.iter().any(|asset| asset.name == name), "{name}");
            found += 1;
        }
        assert!(found > 0);
    }
}
