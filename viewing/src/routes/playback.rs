//! Asking for a stream, and its status.

use rsm_shared::stream::state::StreamState;
use salvo::http::HeaderValue;
use salvo::http::header::CACHE_CONTROL;
use salvo::oapi::schema::AllOf;
use salvo::oapi::{BasicType, Components, Object, RefOr, Schema, ToSchema, endpoint};
use salvo::prelude::Json;
use salvo::{Request, Response, Writer as _};
use serde::Serialize;

use super::media_facts::{Audio, Video};
use super::shown::{StateName, Viewers, state, viewers};
use crate::http::extract::{BySlug, Handles, RouteResult, Written};
use crate::http::path_prefix::PathPrefix;
use crate::http::problem::{Problem, WatchProblems};
use crate::streams::Stream;
use crate::viewing::Viewing;

/// Status of a stream.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(name = "Status"))]
pub struct Status {
    state: StateName,
    /// Why it is in that state, for a person.
    reason: Option<String>,
    /// The same for a machine; one of a closed set.
    reason_code: Option<&'static str>,
    /// Since when it is in that state, RFC 3339.
    #[salvo(schema(value_type = String, format = DateTime))]
    since: String,
    /// The worker that runs it.
    worker: Option<String>,
    /// Number of its newest placement on a worker; grows with each.
    epoch: Option<u64>,
    video: Option<Video>,
    audio: Option<Audio>,
    viewers: Viewers,
    /// Milliseconds since the camera's last picture.
    last_frame_age_ms: Option<u64>,
    /// Camera sessions after the first, since the stream was placed.
    restarts: u32,
    /// Why HLS is not written although it is wanted.
    hls_error: Option<String>,
}

/// The answer to asking for a stream.
#[derive(Debug, Serialize)]
struct Started {
    /// `Stream started` or `Stream already started`
    message: &'static str,
    /// The HLS multivariant playlist.
    playlist_url: String,
    #[serde(flatten)]
    status: Status,
}

impl ToSchema for Started {
    fn to_schema(components: &mut Components) -> RefOr<Schema> {
        let text = || Object::with_type(BasicType::String);
        let own = Object::new()
            .property("message", text().enum_values(["Stream started", "Stream already started"]))
            .required("message")
            .property("playlist_url", text().description("The HLS multivariant playlist"))
            .required("playlist_url");
        AllOf::new().item(Status::to_schema(components)).item(own).into()
    }
}

/// Ask for a stream
///
/// The camera starts if it does not run, and HLS is made for it. The demand ends by itself when no player
/// fetches the playlist.
#[endpoint(
    operation_id = "watch_camera",
    tags("watching"),
    responses((status_code = 200, description = "Where it plays, and how it is", body = Started), WatchProblems)
)]
pub async fn watch(request: &mut Request, app: Handles, stream: BySlug, response: &mut Response) -> RouteResult {
    let stream = &stream.0;
    let offer = stream.offer();
    if !offer.enabled {
        return Err(Problem::stopped());
    }
    let wanted = app.0.hls.want(stream);
    let runs = stream.view().state == StreamState::Running;
    let message = if wanted && runs { "Stream already started" } else { "Stream started" };
    let playlist_url = PathPrefix::of(request, &app.0).address(&format!("/video/play/{}/", offer.id));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.render(Json(Started { message, playlist_url, status: status_of(&app.0, stream) }));
    Ok(Written)
}

/// Status of a stream
#[endpoint(
    operation_id = "camera_status",
    tags("watching"),
    responses((status_code = 200, description = "How it is", body = Status))
)]
pub async fn status(app: Handles, stream: BySlug, response: &mut Response) -> RouteResult {
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.render(Json(status_of(&app.0, &stream.0)));
    Ok(Written)
}

fn status_of(app: &Viewing, stream: &Stream) -> Status {
    let (offer, view) = (stream.offer(), stream.view());
    Status {
        state: StateName(state(&offer, &view)),
        reason: view.reason.as_ref().map(|reason| reason.text.clone()),
        reason_code: view.reason.as_ref().map(|reason| reason.code.as_str()),
        since: view.since.to_string(),
        worker: view.worker.clone(),
        epoch: view.epoch,
        video: view.video.as_ref().map(Video::from),
        audio: view.audio.as_ref().map(Audio::from),
        viewers: viewers(stream, offer.id, &app.hls.players),
        last_frame_age_ms: stream.last_media().map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX)),
        restarts: view.restarts,
        hls_error: view.hls_error.clone(),
    }
}
