//! Frames over WebSocket.

use std::task::Poll;
use std::time::Duration;

use salvo::oapi::endpoint;
use salvo::{Request, Response, Writer as _};

use super::{frame_request, seat};
use crate::http::extract::{BySlug, Handles, RouteResult, Written};
use crate::http::problem::{Problem, ProblemBody, QueryProblems, SeatProblems, WatchProblems};
use crate::http::query;
use crate::http::request_trace;
use crate::http::upgrade::{self, Connected};
use crate::relay::seats::ViewerKind;
use crate::relay::socket::{Socket, SocketEnd};
use crate::relay::viewer::{GOODBYE, SocketViewer};
use crate::relay::ws_frame::{GOING_AWAY, NORMAL, Opcode, message};

/// A socket that only says hello is kept open for this long.
const HELLO: Duration = Duration::from_secs(60);

/// Frames over WebSocket
///
/// Binary messages, each one whole JPEG, always the newest: a slow viewer skips frames. With `events=1` also JSON text
/// messages: `{"type": "state", "slug", "state", "reason", "since"}` at the start and at every change of state, and
/// `{"type": "closing", "in_ms"}` as soon as the server is told to stop. Closed with code 1000 when the camera is stopped
/// or removed, with 1001 when the server stops, each viewer at its own moment. Messages of clients are not used; those
/// of more than 4 KiB end the connection with 1009, invalid frames with 1002.
#[endpoint(
    operation_id = "camera_frames",
    tags("watching"),
    parameters(
        ("events" = Option<u8>, Query, minimum = 0, maximum = 1,
            description = "1 for messages on changes of state and the server's end"),
        ("fps" = Option<u32>, Query, minimum = 1, maximum = 60,
            description = "Frames per second at most; all that the camera's bound allows when left out"),
        ("width" = Option<u32>, Query, minimum = 16, maximum = 3840,
            description = "How wide the pictures are shown, pixels: they come in the next size of 160, 320, 480, 640, 960, \
                1280, 1920 that is at least as wide, or as wide as the camera's bound allows"),
    ),
    responses(
        (status_code = 101, description = "A WebSocket"),
        (status_code = 426, description = "The request is not for a WebSocket",
            body = ProblemBody, content_type = "application/problem+json"),
        (status_code = 403, description = "The request comes from a page of another origin",
            body = ProblemBody, content_type = "application/problem+json"),
        SeatProblems, WatchProblems, QueryProblems
    )
)]
pub async fn frames(request: &mut Request, app: Handles, stream: BySlug, response: &mut Response) -> RouteResult {
    let events = query::flag(request, "events")?;
    let (app, stream) = (app.0, stream.0);
    let wanted = frame_request::read(request, &stream, app.config.mjpeg)?;
    if !stream.offer().enabled {
        return Err(Problem::stopped());
    }
    upgrade::check(request, response)?;
    let seat = seat::take(&app, request, ViewerKind::Mjpeg, Some(&stream.slug))?;
    app.desk.announce_frames(&stream);
    let first = request_trace::begin_part("first frame");
    let threads = app.threads.clone();
    let serve = move |connection: Connected| async move {
        let viewer = SocketViewer {
            // Joined first: a stop or removal before this is seen below, one after it by the viewer.
            watching: app.hub.watch(&stream, wanted.width),
            demand: app.desk.jpeg_viewer(&stream, wanted.width),
            seat,
            events,
            fps: wanted.fps,
            stall: Duration::from_secs(app.config.api.viewer_stall_s),
            counts: app.metrics.viewer.clone(),
            closing: app.closing.clone(),
            first,
            stream: stream.clone(),
        };
        let offer = stream.offer();
        if !offer.enabled || app.streams.by_id(offer.id).is_none() {
            return viewer.turn_away(connection).await;
        }
        drop(app);
        viewer.serve(connection).await;
    };
    upgrade::accept(request, response, &threads, serve)?;
    Ok(Written)
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
        SeatProblems
    )
)]
pub async fn hello(request: &mut Request, app: Handles, response: &mut Response) -> RouteResult {
    upgrade::check(request, response)?;
    let seat = seat::take(&app.0, request, ViewerKind::Mjpeg, None)?;
    let closing = app.0.closing.clone();
    let greet = move |connection: Connected| async move {
        let mut socket = Socket::new(connection);
        socket.begin(message(Opcode::Text, b"Hello, world!"));
        let talk = std::future::poll_fn(|cx| {
            let ended = socket.poll_hear(cx);
            // A ping that was just heard is answered.
            match socket.poll_send(cx) {
                Poll::Ready(Err(_)) => Poll::Ready(SocketEnd::Gone),
                _ => ended,
            }
        });
        let (code, answered) = tokio::select! {
            ended = tokio::time::timeout(HELLO, talk) => match ended {
                Ok(SocketEnd::Gone) => return,
                Ok(SocketEnd::Closed(code) | SocketEnd::Violated(code)) => (code, true),
                Err(_) => (NORMAL, false),
            },
            moment = closing.moment() => {
                tokio::time::sleep_until(moment.at).await;
                (GOING_AWAY, false)
            }
        };
        let _goodbye = closing.goodbye();
        drop(seat);
        let _ = tokio::time::timeout(GOODBYE, socket.say_goodbye(code, "", answered)).await;
    };
    upgrade::accept(request, response, &app.0.threads, greet)?;
    Ok(Written)
}
