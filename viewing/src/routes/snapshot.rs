//! One picture of a stream.

use std::sync::Arc;
use std::time::Duration;

use rsm_shared::stream::jpeg_width::JpegWidth;
use salvo::http::HeaderValue;
use salvo::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, LAST_MODIFIED};
use salvo::oapi::endpoint;
use salvo::{Request, Response, Writer as _};
use tokio::time::{Instant, timeout_at};

use super::frame_request;
use crate::http::extract::{BySlug, Handles, RouteResult, Written};
use crate::http::problem::{Problem, QueryProblems, WaitProblems, WatchProblems};
use crate::http::query;
use crate::http::request_trace;
use crate::relay::frame::Frame;
use crate::relay::slot::{StreamEnd, newest};
use crate::streams::Stream;
use crate::viewing::Viewing;

const X_CAPTURED_AT: HeaderName = HeaderName::from_static("x-captured-at");
/// Time that a request waits for a picture that is young enough, and that its demand holds.
const WAIT: Duration = Duration::from_secs(10);
/// Age of the oldest picture taken, unless the request says otherwise; milliseconds.
const MAX_AGE_MS: u64 = 5000;
/// When to try again, seconds.
const RETRY_AFTER: u64 = 2;

/// The newest picture
///
/// Starts the camera if it does not run, and waits up to 10 s for a picture that is young enough.
#[endpoint(
    operation_id = "camera_snapshot",
    tags("watching"),
    parameters(
        ("max_age_ms" = Option<u32>, Query, minimum = 0, maximum = 60_000,
            description = "Age of the oldest picture taken, milliseconds; 5000 when left out"),
        ("width" = Option<u32>, Query, minimum = 16, maximum = 3840,
            description = "Scales a wider picture down to this many pixels"),
    ),
    responses(
        (status_code = 200, description = "A JPEG", body = Vec<u8>, content_type = "image/jpeg",
            headers(("X-Captured-At" = String, description = "When the picture reached the server, RFC 3339"))),
        WatchProblems, WaitProblems, QueryProblems
    )
)]
pub async fn snapshot(request: &mut Request, app: Handles, stream: BySlug, response: &mut Response) -> RouteResult {
    let max_age = Duration::from_millis(query::number(request, "max_age_ms", 0..=60_000)?.unwrap_or(MAX_AGE_MS));
    let width = frame_request::width(request)?;
    let (app, stream) = (app.0, stream.0);
    let (source, frame) = young_enough(&app, &stream, width, max_age).await?;
    let jpeg = match width {
        Some(width) if width < frame.headers.width => app.snapshots.scaled(&stream.slug, source, &frame, width).await?,
        _ => frame.jpeg.clone(),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(at) = frame.captured_at() {
        for (name, text) in [(X_CAPTURED_AT, at.to_string()), (LAST_MODIFIED, http_date(at))] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
    }
    response.body(jpeg);
    Ok(Written)
}

/// A frame that is no older than `max_age`, and the width of its subscription. The width that is wanted comes first, then
/// widths that are watched anyway; when none is there, it is asked for.
async fn young_enough(
    app: &Viewing,
    stream: &Arc<Stream>,
    width: Option<u32>,
    max_age: Duration,
) -> Result<(Option<JpegWidth>, Arc<Frame>), Problem> {
    let begun = Instant::now();
    let oldest = begun.checked_sub(max_age).unwrap_or(begun);
    let fits = |frame: &Frame| frame.captured() >= oldest;
    let step = width.and_then(|width| frame_request::step(width, stream, app.config.mjpeg));
    let larger = JpegWidth::all().filter(|other| step.is_some_and(|step| *other > step)).map(Some);
    let sources: Vec<_> = std::iter::once(step).chain(larger).chain(step.map(|_| None)).collect();
    let held = |source: &Option<JpegWidth>| app.hub.newest(&stream.slug, *source);
    let there = sources.iter().find(|source| held(source).is_some_and(|frame| fits(&frame)));
    // One that is made already, if too old, brings the next one sooner than one that has to be begun.
    let made = || sources.iter().find(|source| held(source).is_some());
    let source = there.or_else(made).copied().unwrap_or(step);
    // Joined before the link is looked at, so that a stop in between is not missed.
    let mut watching = app.hub.watch(stream, source);
    if !stream.offer().enabled {
        return Err(Problem::stopped());
    }
    app.desk.want_jpeg(stream, source, WAIT);
    let mut first = request_trace::begin_part("first frame");
    let frame = timeout_at(begun + WAIT, newest(&mut watching, fits)).await.unwrap_or(Err(None));
    match &frame {
        Ok(frame) => frame.ends(&mut first),
        Err(_) => first.fail("no_picture", "no picture came in time"),
    }
    frame.map(|frame| (source, frame)).map_err(|none| match none {
        None => Problem::later(RETRY_AFTER, no_picture(stream)),
        Some(StreamEnd::Stopped) => Problem::stopped(),
        Some(StreamEnd::Removed) => Problem::unknown_stream(),
    })
}

fn no_picture(stream: &Stream) -> String {
    match &stream.view().reason {
        Some(reason) => format!("there is no picture: {}", reason.text),
        None => format!("no picture came within {} s; the camera may still be starting", WAIT.as_secs()),
    }
}

/// RFC 9110 section 5.6.7.
fn http_date(at: jiff::Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_http_dates() {
        assert_eq!(http_date("1994-11-06T08:49:37.5Z".parse().unwrap()), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
