//! Frames as one answer that never ends, for `<img>` and for recorders.

use std::time::Duration;

use salvo::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use salvo::http::{HeaderValue, Method};
use salvo::oapi::endpoint;
use salvo::{Request, Response, Writer as _};

use super::{frame_request, seat};
use crate::http::extract::{BySlug, Handles, RouteResult, Written};
use crate::http::problem::{Problem, QueryProblems, SeatProblems, WatchProblems};
use crate::http::request_trace;
use crate::relay::multipart::{self, Multipart};
use crate::relay::seats::ViewerKind;

/// Asks a proxy to pass on what comes: nginx would keep up to 1 GB for a slow viewer, minutes of pictures.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Frames as multipart
///
/// `multipart/x-mixed-replace`, each part one JPEG with Content-Length, X-Timestamp (seconds since the Unix epoch at which
/// the picture was captured) and X-Captured-At (RFC 3339). Always the newest: a slow viewer skips frames. The answer ends
/// when the camera is stopped or removed, and when the server stops.
#[endpoint(
    operation_id = "camera_mjpeg",
    tags("watching"),
    parameters(
        ("fps" = Option<u32>, Query, minimum = 1, maximum = 60,
            description = "Frames per second at most; all that the camera's bound allows when left out"),
        ("width" = Option<u32>, Query, minimum = 16, maximum = 3840,
            description = "How wide the pictures are shown, pixels: they come in the next size of 160, 320, 480, 640, 960, \
                1280, 1920 that is at least as wide, or as wide as the camera's bound allows"),
    ),
    responses(
        (status_code = 200, description = "Parts, each one JPEG", body = Vec<u8>,
            content_type = "multipart/x-mixed-replace"),
        SeatProblems, WatchProblems, QueryProblems
    )
)]
pub async fn mjpeg(request: &mut Request, app: Handles, stream: BySlug, response: &mut Response) -> RouteResult {
    let (app, stream) = (app.0, stream.0);
    let wanted = frame_request::read(request, &stream, app.config.mjpeg)?;
    // Joined before the link is looked at, so that a stop in between is not missed.
    let watching = (*request.method() != Method::HEAD).then(|| app.hub.watch(&stream, wanted.width));
    if !stream.offer().enabled {
        return Err(Problem::stopped());
    }
    if let Some(watching) = watching {
        let viewer = Multipart {
            watching,
            seat: seat::take(&app, request, ViewerKind::Multipart, Some(&stream.slug))?,
            demand: app.desk.jpeg_viewer(&stream, wanted.width),
            fps: wanted.fps,
            stall: Duration::from_secs(app.config.api.viewer_stall_s),
            counts: app.metrics.viewer.clone(),
            closing: app.closing.clone(),
            first: request_trace::begin_part("first frame"),
        };
        response.stream(viewer.body());
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(multipart::CONTENT_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    Ok(Written)
}
