//! Cameras as operators register, list, change, start, stop and remove them.

use rsm_viewing::http::extract::{RouteResult, Written};
use rsm_viewing::http::path_prefix::PathPrefix;
use rsm_viewing::http::problem::{BodyProblems, Refusable, StoreProblems};
use rsm_viewing::routes::list::Page;
use rsm_viewing::routes::shown::{self, StateName};
use salvo::http::header::LOCATION;
use salvo::http::{HeaderValue, StatusCode};
use salvo::oapi::{Components, Ref, RefOr, Schema, ToSchema, endpoint};
use salvo::prelude::Json;
use salvo::{Request, Response, Writer as _};
use serde::Serialize;

use super::extract::{AppHandles, LinkBySlug};
use super::settings::NewLink;
use super::{body, change, settings};
use crate::directory::shown::{ShownHls, ShownJpeg, ShownLink, TransportName, show};

/// Settings of a new camera, and of a change. In a change every member may be left out and stays as it was; `null` takes
/// it back to its default.
#[derive(Debug, ToSchema)]
#[salvo(schema(name = "CameraInput"))]
#[expect(dead_code, reason = "documents the body; the body itself is read member by member")]
pub struct LinkInput {
    /// `rtsp` or `rtsps` address, at most 2048 bytes. User and password may stand in it, or in their own members.
    #[salvo(schema(max_length = 2048, example = json!("rtsp://192.168.1.20:554/stream1")))]
    url: String,
    /// Made from the address when left out.
    #[salvo(schema(min_length = 1, max_length = 200, required = false))]
    name: Option<String>,
    /// Workers that have this zone in `worker.zones` run it: 1 to 32 characters of A-Z, a-z, 0-9, `_` and `-`;
    /// `default` when left out. All cameras together are in 64 different zones at most. A change restarts the stream.
    #[salvo(schema(min_length = 1, max_length = 32, pattern = "^[A-Za-z0-9_-]{1,32}$", required = false))]
    zone: Option<String>,
    /// At most 256 bytes.
    #[salvo(schema(required = false))]
    username: Option<String>,
    /// At most 256 bytes. In a change, `***` or leaving it out keeps the stored one.
    #[salvo(schema(write_only, format = Password, required = false))]
    password: Option<String>,
    /// True when it runs without viewers.
    #[salvo(schema(required = false))]
    always_on: Option<bool>,
    /// For a camera that serves one session at a time: its stream moves between workers with a gap, never with two
    /// sessions.
    #[salvo(schema(required = false))]
    exclusive: Option<bool>,
    #[salvo(schema(required = false))]
    transport: Option<TransportName>,
    /// For an `rtsps` camera: take any certificate, also one that the camera signed itself. The stream is still
    /// encrypted, but an attacker on the way could pretend to be the camera.
    #[salvo(schema(required = false))]
    tls_insecure: Option<bool>,
    #[salvo(schema(required = false))]
    mjpeg: Option<ShownJpeg>,
    #[salvo(schema(required = false))]
    hls: Option<ShownHls>,
}

/// A change of a camera: the members of [`LinkInput`], none of them required.
pub struct LinkChange;

impl ToSchema for LinkChange {
    fn to_schema(components: &mut Components) -> RefOr<Schema> {
        LinkInput::to_schema(components);
        let input = components.schemas.get("CameraInput").cloned();
        if let Some(RefOr::Type(Schema::Object(mut members))) = input {
            members.required.clear();
            components.schemas.insert("CameraChange", Schema::Object(members));
        }
        Ref::from_schema_name("CameraChange").into()
    }
}

/// The answer to a new camera.
#[derive(Debug, Serialize, ToSchema)]
pub struct Saved {
    /// `Stream saved`
    message: &'static str,
    id: i64,
    slug: String,
}

/// The answer to a start or stop.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ordered {
    message: &'static str,
    slug: String,
    state: StateName,
}

/// All cameras
///
/// By id; with no parameter all of them.
#[endpoint(
    operation_id = "list_cameras",
    tags("cameras"),
    responses(
        (status_code = 200, description = "The cameras", body = Vec<ShownLink>,
            headers(("X-Total-Count" = u32, description = "Cameras that fit, on all pages")))
    )
)]
pub async fn list(page: Page, app: AppHandles, response: &mut Response) -> RouteResult {
    let fitting: Vec<_> = app
        .0
        .directory
        .all()
        .into_iter()
        .filter(|entry| page.filter.admits_address(entry, entry.link().url.as_url().as_str()))
        .collect();
    let shown: Vec<ShownLink> =
        page.cut(&fitting, response).map(|entry| show(entry, &app.0.viewing.hls.players)).collect();
    response.render(Json(shown));
    Ok(Written)
}

/// Register a camera
#[endpoint(
    operation_id = "add_camera",
    tags("cameras"),
    request_body(content = LinkInput, description = "The camera"),
    responses(
        (status_code = 201, description = "Registered", body = Saved,
            headers(("Location" = String, description = "Where it is played: /video/<slug>/"))),
        BodyProblems,
        (status_code = 409, description = "The limit of registered cameras is reached",
            body = rsm_viewing::http::problem::ProblemBody, content_type = "application/problem+json"),
        Refusable,
        StoreProblems
    )
)]
pub async fn create(request: &mut Request, app: AppHandles, response: &mut Response) -> RouteResult {
    let members = body::json_object(request, app.0.viewing.config.api.max_body_bytes).await?;
    let NewLink { settings, slug_label } = settings::create(members)?;
    let link = change::add(&app.0, slug_label, settings).await?;
    let location = PathPrefix::of(request, &app.0.viewing).address(&format!("/video/{}/", link.slug));
    // A slug holds nothing that a header could not.
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, location);
    }
    response.status_code(StatusCode::CREATED);
    response.render(Json(Saved { message: "Stream saved", id: link.id, slug: link.slug.to_string() }));
    Ok(Written)
}

/// Change a camera
///
/// Only members of the body change. An item of a list can be sent back as it was.
#[endpoint(
    operation_id = "change_camera",
    tags("cameras"),
    request_body(content = LinkChange, description = "What changes"),
    responses(
        (status_code = 200, description = "The camera as it is now", body = ShownLink),
        BodyProblems,
        Refusable,
        StoreProblems
    )
)]
pub async fn update(
    request: &mut Request,
    app: AppHandles,
    stream: LinkBySlug,
    response: &mut Response,
) -> RouteResult {
    let members = body::json_object(request, app.0.viewing.config.api.max_body_bytes).await?;
    change::change(&app.0, &stream.0, move |link| settings::change(members, &link.settings)).await?;
    response.render(Json(show(&stream.0, &app.0.viewing.hls.players)));
    Ok(Written)
}

/// Remove a camera
///
/// Its stream ends, its viewers are disconnected.
#[endpoint(
    operation_id = "remove_camera",
    tags("cameras"),
    responses((status_code = 204, description = "Removed"), Refusable, StoreProblems)
)]
pub async fn remove(app: AppHandles, stream: LinkBySlug, response: &mut Response) -> RouteResult {
    change::remove(&app.0, &stream.0).await?;
    response.status_code(StatusCode::NO_CONTENT);
    Ok(Written)
}

/// Start a camera
///
/// After a stop. It runs as soon as there is a viewer, or at once when it is always on.
#[endpoint(
    operation_id = "start_camera",
    tags("cameras"),
    responses((status_code = 202, description = "May run", body = Ordered), Refusable, StoreProblems)
)]
pub async fn start(request: &mut Request, app: AppHandles, stream: LinkBySlug, response: &mut Response) -> RouteResult {
    order(request, &app, &stream, true, response).await
}

/// Stop a camera
///
/// It stays registered; viewers are disconnected and refused until it is started again.
#[endpoint(
    operation_id = "stop_camera",
    tags("cameras"),
    responses((status_code = 202, description = "Will not run", body = Ordered), Refusable, StoreProblems)
)]
pub async fn stop(request: &mut Request, app: AppHandles, stream: LinkBySlug, response: &mut Response) -> RouteResult {
    order(request, &app, &stream, false, response).await
}

async fn order(
    request: &mut Request,
    app: &AppHandles,
    stream: &LinkBySlug,
    enabled: bool,
    response: &mut Response,
) -> RouteResult {
    let members = body::json_object(request, app.0.viewing.config.api.max_body_bytes).await?;
    super::fields::Fields::new(members).end()?;
    change::enable(&app.0, &stream.0, enabled).await?;
    let message = if enabled { "Stream may run" } else { "Stream is being stopped" };
    let state = StateName(shown::state(&stream.0.offer(), &stream.0.view()));
    response.status_code(StatusCode::ACCEPTED);
    response.render(Json(Ordered { message, slug: stream.0.slug.to_string(), state }));
    Ok(Written)
}
