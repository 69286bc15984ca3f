//! Probing a camera before it is saved: a worker opens it and answers with one picture, or with the reason why there is
//! none.

use std::time::Duration;

use data_encoding::BASE64;
use rsm_shared::bus::probe::{self, PATIENCE, ProbeAnswer};
use rsm_shared::stream::spec::JpegParams;
use rsm_shared::wire::messages::{ProbeReport, ProbeRequest, VERSION};
use rsm_viewing::http::extract::{RouteResult, Written};
use rsm_viewing::http::problem::{BodyProblems, Problem, Refusable, TestProblems};
use rsm_viewing::routes::media_facts::{Audio, Video};
use rsm_viewing::routes::shown::StateName;
use salvo::http::HeaderValue;
use salvo::http::header::CACHE_CONTROL;
use salvo::oapi::{ToSchema, endpoint};
use salvo::prelude::Json;
use salvo::{Request, Response, Writer as _};
use serde::Serialize;
use tracing::warn;

use super::extract::{AppHandles, LinkBySlug};
use super::links::{LinkChange, LinkInput};
use super::{body, settings};
use crate::app::App;
use crate::operators::probe_slots::AT_ONCE;
use crate::store::links::LinkSettings;

/// When to try again while that many run, or while there is no worker; seconds.
const RETRY_AFTER: u64 = 5;
/// Size of the picture, which is for a form.
const PICTURE: JpegParams = JpegParams { max_fps: 1, max_width: 640, quality: 80 };

/// Result of a test.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(name = "CameraTest"))]
pub struct Tested {
    /// True when there is a picture.
    ok: bool,
    /// State that a stream of this camera would be in now.
    state: StateName,
    reason: Option<TestReason>,
    video: Option<Video>,
    audio: Option<Audio>,
    /// The worker that probed it.
    worker: String,
    /// Milliseconds.
    took_ms: u64,
    /// A JPEG of at most 640 pixels across, as `data:image/jpeg;base64,...`.
    picture: Option<String>,
}

/// Why there is no picture.
#[derive(Debug, Serialize, ToSchema)]
struct TestReason {
    /// One of a closed set.
    code: &'static str,
    /// For a person.
    text: String,
}

/// Try a camera
///
/// Nothing is saved. Takes 22 s at most. A camera that does not work is answered with 200, too: `reason` says why.
#[endpoint(
    operation_id = "test_new_camera",
    tags("cameras"),
    request_body(content = LinkInput, description = "The camera"),
    responses(
        (status_code = 200, description = "What a worker saw", body = Tested),
        BodyProblems,
        Refusable,
        TestProblems
    )
)]
pub async fn unsaved(request: &mut Request, app: AppHandles, response: &mut Response) -> RouteResult {
    let members = body::json_object(request, app.0.viewing.config.api.max_body_bytes).await?;
    let new = settings::create(members)?;
    answer(&app.0, &new.settings, response).await
}

/// Try a change of a camera
///
/// Probes the stored camera with the changes of the body; nothing is saved. Without a password, or with `***`, the stored
/// one is used. A camera that serves one session only may refuse while its stream runs.
#[endpoint(
    operation_id = "test_camera",
    tags("cameras"),
    request_body(content = LinkChange, description = "What changes"),
    responses(
        (status_code = 200, description = "What a worker saw", body = Tested),
        BodyProblems,
        Refusable,
        TestProblems
    )
)]
pub async fn changed(
    request: &mut Request,
    app: AppHandles,
    stream: LinkBySlug,
    response: &mut Response,
) -> RouteResult {
    let members = body::json_object(request, app.0.viewing.config.api.max_body_bytes).await?;
    let settings = settings::change(members, &stream.0.link().settings)?;
    answer(&app.0, &settings, response).await
}

async fn answer(app: &App, settings: &LinkSettings, response: &mut Response) -> RouteResult {
    let _turn = app.probes.try_take().ok_or_else(|| {
        Problem::too_many(RETRY_AFTER, format!("{AT_ONCE} tests are running already; try again in a moment"))
    })?;
    if !app.frames.connected() {
        return Err(Problem::later(RETRY_AFTER, "not connected to NATS; no worker can be asked to probe the camera"));
    }
    let request = ProbeRequest { v: VERSION, spec: settings.spec(app.viewing.config.hls.params()), jpeg: PICTURE };
    let zone = &settings.zone;
    let tested = match probe::ask(&app.frames, zone, &request).await {
        Ok(ProbeAnswer::Report(report, picture)) => tested(*report, picture.as_deref()),
        Ok(ProbeAnswer::NoWorker) => {
            let sentence = format!(
                "no worker is running for zone {zone}. Start one with `rsm worker`, or `rsm up` for everything"
            );
            return Err(Problem::later(RETRY_AFTER, sentence));
        }
        Err(e) => {
            warn!(repeats = true, %zone, error = %e, "no worker answered a request to probe a camera");
            let seconds = Duration::as_secs(&PATIENCE);
            let sentence = format!(
                "the worker of zone {zone} that was asked to probe the camera did not answer within {seconds} s"
            );
            return Err(Problem::later(RETRY_AFTER, sentence));
        }
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.render(Json(tested));
    Ok(Written)
}

fn tested(report: ProbeReport, picture: Option<&[u8]>) -> Tested {
    Tested {
        ok: picture.is_some(),
        state: StateName(report.state),
        reason: report.reason.map(|reason| TestReason { code: reason.code.as_str(), text: reason.text }),
        video: report.video.as_ref().map(Video::from),
        audio: report.audio.as_ref().map(Audio::from),
        worker: report.worker.to_string(),
        took_ms: report.took_ms,
        picture: picture.map(|jpeg| format!("data:image/jpeg;base64,{}", BASE64.encode(jpeg))),
    }
}
