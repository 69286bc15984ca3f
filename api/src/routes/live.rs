//! Frames over WebSocket.

use std::time::Duration;

use salvo::http::StatusCode;
use salvo::http::header::{CONNECTION, SEC_WEBSOCKET_VERSION, UPGRADE};
use salvo::oapi::endpoint;
use salvo::websocket::{Message, WebSocket, WebSocketUpgrade};
use salvo::{Request, Response, Writer as _};

use super::extract::{Answer, BySlug, Handles, Written};
use super::{query, seat};
use crate::problem::{Problem, ProblemBody, QueryProblems, WatchProblems};
use crate::relay::seats::Kind;
use crate::relay::viewer::{MAX_INCOMING, Viewer};

/// How long a socket that only says hello is kept open.
const HELLO: Duration = Duration::from_secs(60);

/// Frames over WebSocket
///
/// Binary messages, each one whole JPEG, always the newest: a slow viewer skips frames. With `events=1` also JSON text
/// messages `{"type": "state", "slug", "state", "reason", "since"}`, one at the start and one at every change of state.
/// Closed with code 1000 when the camera is stopped or removed, with 1001 when the server stops.
#[endpoint(
    operation_id = "camera_frames",
    tags("watching"),
    parameters(("events" = Option<u8>, Query, minimum = 0, maximum = 1, description = "1 for messages on changes of state")),
    responses(
        (status_code = 101, description = "A WebSocket"),
        (status_code = 426, description = "The request is not for a WebSocket",
            body = ProblemBody, content_type = "application/problem+json"),
        (status_code = 403, description = "The request comes from a page of another origin",
            body = ProblemBody, content_type = "application/problem+json"),
        (status_code = 503, description = "Every seat for viewers is taken; Retry-After says when to try again",
            body = ProblemBody, content_type = "application/problem+json"),
        WatchProblems, QueryProblems
    )
)]
pub async fn frames(request: &mut Request, app: Handles, stream: BySlug, response: &mut Response) -> Answer {
    let events = query::flag(request, "events")?;
    let (app, stream) = (app.0, stream.0);
    if !stream.offer().enabled {
        return Err(Problem::stopped());
    }
    check_upgrade(request, response)?;
    let seat = seat::take(&app, request, Kind::Mjpeg, Some(&stream.slug))?;
    let serve = move |socket: WebSocket| async move {
        let viewer = Viewer {
            // Joined first: a stop or removal before this is seen below, one after it by the viewer.
            watching: app.hub.watch(&stream),
            wish: app.desk.jpeg_viewer(&stream),
            seat,
            events,
            counts: app.metrics.viewer.clone(),
            stop: app.stop.clone(),
            stream: stream.clone(),
        };
        let offer = stream.offer();
        if !offer.enabled || app.streams.by_id(offer.id).is_none() {
            return viewer.turn_away(socket).await;
        }
        viewer.serve(socket).await;
    };
    upgrade(request, response, serve).await
}

/// Hello over WebSocket
///
/// One text message, `Hello, world!`, to try whether WebSockets get through.
#[endpoint(
    operation_id = "hello",
    tags("watching"),
    responses(
        (status_code = 101, description = "A WebSocket"),
        (status_code = 403, description = "The request comes from a page of another origin",
            body = ProblemBody, content_type = "application/problem+json"),
        (status_code = 426, description = "The request is not for a WebSocket",
            body = ProblemBody, content_type = "application/problem+json"),
        (status_code = 503, description = "Every seat for viewers is taken; Retry-After says when to try again",
            body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub async fn hello(request: &mut Request, app: Handles, response: &mut Response) -> Answer {
    check_upgrade(request, response)?;
    let seat = seat::take(&app.0, request, Kind::Mjpeg, None)?;
    let stop = app.0.stop.clone();
    let greet = move |mut socket: WebSocket| async move {
        let _seat = seat;
        let talk = async {
            if socket.send(Message::text("Hello, world!")).await.is_ok() {
                while socket.recv().await.is_some_and(|message| message.is_ok_and(|message| !message.is_close())) {}
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(HELLO, talk) => {}
            () = stop.cancelled() => {}
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), socket.close()).await;
    };
    upgrade(request, response, greet).await
}

/// RFC 6455 section 4.2.1, as far as another answer than 400 is due.
fn check_upgrade(request: &Request, response: &mut Response) -> Result<(), Problem> {
    let has = |name, wanted: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(',').any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    if has(CONNECTION, "upgrade") && has(UPGRADE, "websocket") && has(SEC_WEBSOCKET_VERSION, "13") {
        return Ok(());
    }
    let _ = response.add_header(UPGRADE, "websocket", true);
    let _ = response.add_header(SEC_WEBSOCKET_VERSION, "13", true);
    Err(Problem::new(StatusCode::UPGRADE_REQUIRED, "this address speaks WebSocket, version 13, only"))
}

async fn upgrade<F, Fut>(request: &mut Request, response: &mut Response, serve: F) -> Answer
where
    F: FnOnce(WebSocket) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    // A frame is flushed as one message; nothing is gathered behind it.
    let socket =
        WebSocketUpgrade::new().max_message_size(MAX_INCOMING).max_frame_size(MAX_INCOMING).write_buffer_size(0);
    socket
        .upgrade(request, response, serve)
        .await
        .map(|()| Written)
        .map_err(|_| Problem::bad_request("the WebSocket handshake is not valid"))
}
