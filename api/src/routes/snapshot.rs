//! One picture of a stream.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{ImageFormat, ImageReader, Limits};
use salvo::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, LAST_MODIFIED};
use salvo::http::{HeaderValue, StatusCode};
use salvo::oapi::endpoint;
use salvo::{Request, Response, Writer as _};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::extract::{Answer, BySlug, Handles, Written};
use super::query;
use crate::problem::{Problem, QueryProblems, WaitProblems, WatchProblems};
use crate::relay::hub::{End, Frame, Watching, ended};
use crate::streams::Stream;

const X_CAPTURED_AT: HeaderName = HeaderName::from_static("x-captured-at");
/// How long a request waits for a picture that is young enough.
const WAIT: Duration = Duration::from_secs(10);
/// Age of the oldest picture taken, unless the request says otherwise; milliseconds.
const MAX_AGE_MS: u64 = 5000;
/// Pictures scaled at a time: each keeps a core busy for some 20 ms.
const SCALERS: usize = 2;
/// When to try again, seconds.
const RETRY_AFTER: u64 = 2;
/// Of a scaled picture.
const QUALITY: u8 = 85;
/// Largest picture scaled, pixels each way, and the memory it may take, bytes.
const MAX_SIDE: u32 = 8192;
const MAX_MEMORY: u64 = 256 << 20;

/// What all snapshots share.
pub struct Snapshots {
    scalers: Arc<Semaphore>,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { scalers: Arc::new(Semaphore::new(SCALERS)) }
    }
}

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
pub async fn snapshot(request: &mut Request, app: Handles, stream: BySlug, response: &mut Response) -> Answer {
    let max_age = Duration::from_millis(query::number(request, "max_age_ms", 0..=60_000)?.unwrap_or(MAX_AGE_MS));
    let width = query::number(request, "width", 16..=3840)?.and_then(|width| u32::try_from(width).ok());
    let stream = &stream.0;
    let begun = Instant::now();
    // Joined before the link is looked at, so that a stop in between is not missed.
    let watching = app.0.hub.watch(stream);
    if !stream.offer().enabled {
        return Err(Problem::stopped());
    }
    app.0.desk.want_jpeg(stream, WAIT);
    let oldest = begun.checked_sub(max_age).unwrap_or(begun);
    let frame = young_enough(watching, oldest, begun + WAIT).await.map_err(|none| match none {
        None => Problem::later(RETRY_AFTER, no_picture(stream)),
        Some(End::Stopped) => Problem::stopped(),
        Some(End::Removed) => Problem::unknown_stream(),
    })?;
    let jpeg = match width {
        Some(width) if width < frame.headers.width => scaled(&app.0.snapshots, &frame, width).await?,
        _ => frame.jpeg.clone(),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("image/jpeg"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(at) = captured(&frame) {
        for (name, text) in [(X_CAPTURED_AT, at.to_string()), (LAST_MODIFIED, http_date(at))] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
    }
    response.body(jpeg);
    Ok(Written)
}

/// The newest frame that was captured after `oldest`, or why there is none by `deadline`.
async fn young_enough(mut watching: Watching, oldest: Instant, deadline: Instant) -> Result<Arc<Frame>, Option<End>> {
    let fits = |frame: &Option<Arc<Frame>>| frame.as_ref().is_some_and(|frame| frame.captured() >= oldest);
    tokio::select! {
        frame = timeout_at(deadline, watching.frames.wait_for(fits)) => match frame {
            Ok(Ok(frame)) => frame.clone().ok_or(None),
            Ok(Err(_)) | Err(_) => Err(None),
        },
        why = ended(&mut watching.end) => Err(Some(why)),
    }
}

fn no_picture(stream: &Stream) -> String {
    match &stream.view().reason {
        Some(reason) => format!("there is no picture: {}", reason.text),
        None => format!("no picture came within {} s; the camera may still be starting", WAIT.as_secs()),
    }
}

async fn scaled(snapshots: &Snapshots, frame: &Frame, width: u32) -> Result<Bytes, Problem> {
    let crowded = || Problem::later(RETRY_AFTER, "too many pictures are being scaled");
    let turn = snapshots.scalers.clone().acquire_owned();
    let permit = tokio::time::timeout(WAIT, turn).await.map_err(|_| crowded())?.map_err(|_| crowded())?;
    let jpeg = frame.jpeg.clone();
    let work = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        scale(&jpeg, width)
    });
    match work.await {
        Ok(Ok(jpeg)) => Ok(jpeg.into()),
        Ok(Err(e)) => {
            tracing::warn!("a frame cannot be scaled: {e}");
            Err(Problem::new(StatusCode::BAD_GATEWAY, "the camera's picture cannot be scaled; ask for it unscaled"))
        }
        Err(_) => Err(Problem::internal()),
    }
}

fn scale(jpeg: &[u8], width: u32) -> Result<Vec<u8>, image::ImageError> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_MEMORY);
    let mut reader = ImageReader::with_format(Cursor::new(jpeg), ImageFormat::Jpeg);
    reader.limits(limits);
    let picture = reader.decode()?;
    // The height follows; only the width bounds it.
    let small = picture.resize(width, MAX_SIDE, FilterType::Triangle);
    let mut out = Vec::new();
    small.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut out, QUALITY))?;
    Ok(out)
}

/// When the picture reached the worker; `None` for a time that no calendar has.
fn captured(frame: &Frame) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_microsecond(i64::try_from(frame.headers.captured_at_us).ok()?).ok()
}

/// RFC 9110 section 5.6.7.
fn http_date(at: jiff::Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_scaled_to_its_width() {
        let mut jpeg = Vec::new();
        image::RgbImage::new(320, 180).write_with_encoder(JpegEncoder::new(&mut jpeg)).unwrap();
        let small = image::load_from_memory(&scale(&jpeg, 160).unwrap()).unwrap();
        assert_eq!((small.width(), small.height()), (160, 90));
        assert!(scale(b"no jpeg", 160).is_err());
    }

    #[test]
    fn dates_are_http_dates() {
        assert_eq!(http_date("1994-11-06T08:49:37.5Z".parse().unwrap()), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
