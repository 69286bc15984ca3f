//! One viewer: a WebSocket that gets the newest frame it has not been sent, and nothing twice.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use prometheus::{Histogram, IntCounter};
use rsm_shared::stream::state::{Reason, StreamState};
use salvo::websocket::{Message, WebSocket};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::hub::{End, Frame, Watching, ended};
use super::seats::Seat;
use super::wishes::ViewerWish;
use crate::streams::{Stream, View};

/// Longest message taken from a viewer, bytes; what it says is not used.
pub const MAX_INCOMING: usize = 4 << 10;
/// A viewer that takes nothing at all for this long is gone. A slow one takes a little, and stays.
const STALL: Duration = Duration::from_secs(60);
const PING: Duration = Duration::from_secs(20);
/// A viewer that says nothing for this long, not even a pong, is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// A frame of this age is still worth being the first one shown.
const FRESH: Duration = Duration::from_secs(1);
/// How long a viewer may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// Close codes of RFC 6455 section 7.4.1.
const NORMAL: u16 = 1000;
const GOING_AWAY: u16 = 1001;

/// One viewer and all that it holds.
pub struct Viewer {
    pub stream: Arc<Stream>,
    pub watching: Watching,
    pub wish: ViewerWish,
    pub seat: Seat,
    /// Whether it wants to be told state changes.
    pub events: bool,
    pub counts: ViewerCounts,
    pub stop: CancellationToken,
}

/// What viewers count; the metrics themselves stand in the API's table.
#[derive(Clone)]
pub struct ViewerCounts {
    /// Frames that a viewer was too slow for.
    pub skipped: IntCounter,
    /// From published to sent, seconds.
    pub relay_seconds: Histogram,
}

/// Why a viewer's socket ends.
enum Leave {
    /// It went, or does not answer.
    Gone,
    /// We say goodbye.
    Close(u16, &'static str),
}

/// A state as a viewer is told it.
#[derive(Serialize)]
struct StateMessage<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    slug: &'a str,
    state: &'static str,
    reason: Option<&'a str>,
    /// RFC 3339.
    since: String,
}

type Told = (StreamState, Option<Reason>);

impl Viewer {
    /// Serves until the viewer goes, the stream ends, or the process does.
    pub async fn serve(mut self, socket: WebSocket) {
        let (mut sink, mut incoming) = socket.split();
        let leave = self.relay(&mut sink, &mut incoming).await;
        // The wish and the seat end here, not after the goodbye.
        drop(self);
        say_goodbye(&mut sink, &mut incoming, leave).await;
    }

    /// For a viewer whose stream was stopped or removed between its request and its socket.
    pub async fn turn_away(self, socket: WebSocket) {
        let why = if self.stream.offer().enabled { End::Removed } else { End::Stopped };
        drop(self);
        let (mut sink, mut incoming) = socket.split();
        say_goodbye(&mut sink, &mut incoming, farewell(why)).await;
    }

    async fn relay(
        &mut self,
        sink: &mut SplitSink<WebSocket, Message>,
        incoming: &mut SplitStream<WebSocket>,
    ) -> Leave {
        let mut heard = Instant::now();
        let mut ping = tokio::time::interval_at(heard + PING, PING);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut views = self.stream.views();
        let mut told: Option<Told> = None;
        let mut last = 0;
        if is_fresh(&self.watching.frames) {
            self.watching.frames.mark_changed();
        }
        loop {
            if self.events {
                let view = views.borrow_and_update().clone();
                if let Some(text) = to_tell(&self.stream, &view, &mut told)
                    && let Err(leave) = self.send(sink, Message::text(text)).await
                {
                    return leave;
                }
            }
            tokio::select! {
                // In this order: behind a slow send there is always a newer frame, and a pong that waits must not look
                // like silence.
                biased;
                () = self.stop.cancelled() => return Leave::Close(GOING_AWAY, "the server is stopping"),
                why = ended(&mut self.watching.end) => return farewell(why),
                message = incoming.next() => match message {
                    Some(Ok(message)) if !message.is_close() => heard = Instant::now(),
                    _ => return Leave::Gone,
                },
                _ = ping.tick() => {
                    if heard.elapsed() > SILENCE {
                        return Leave::Gone;
                    }
                    if let Err(leave) = self.send(sink, Message::ping(Vec::new())).await {
                        return leave;
                    }
                }
                Ok(()) = views.changed(), if self.events => {}
                Ok(()) = self.watching.frames.changed() => {
                    let Some(frame) = self.watching.frames.borrow_and_update().clone() else { continue };
                    if let Err(leave) = self.send(sink, Message::binary(frame.jpeg.clone())).await {
                        return leave;
                    }
                    self.count(&frame, &mut last);
                }
            }
        }
    }

    /// Sends one message; a viewer in the middle of a slow one is still sent away when the stream ends.
    async fn send(&mut self, sink: &mut SplitSink<WebSocket, Message>, message: Message) -> Result<(), Leave> {
        tokio::select! {
            sent = tokio::time::timeout(STALL, sink.send(message)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(Leave::Gone),
            },
            () = self.stop.cancelled() => Err(Leave::Close(GOING_AWAY, "the server is stopping")),
            why = ended(&mut self.watching.end) => Err(farewell(why)),
        }
    }

    fn count(&self, frame: &Frame, last: &mut u64) {
        if *last > 0 {
            self.counts.skipped.inc_by(frame.number.saturating_sub(*last + 1));
        }
        *last = frame.number;
        // The publisher's clock may be ahead of ours.
        let now_us = jiff::Timestamp::now().as_microsecond();
        let published_us = i64::try_from(frame.headers.published_at_us).unwrap_or(i64::MAX);
        let micros = u32::try_from(now_us.saturating_sub(published_us).max(0)).unwrap_or(u32::MAX);
        self.counts.relay_seconds.observe(f64::from(micros) / 1e6);
    }
}

async fn say_goodbye(sink: &mut SplitSink<WebSocket, Message>, incoming: &mut SplitStream<WebSocket>, leave: Leave) {
    let Leave::Close(code, reason) = leave else { return };
    let goodbye = async {
        if sink.send(Message::close_with(code, reason)).await.is_ok() {
            // Until the viewer's own close: an early end of the connection could overtake ours.
            while let Some(Ok(_)) = incoming.next().await {}
        }
    };
    let _ = tokio::time::timeout(GOODBYE, goodbye).await;
}

fn farewell(why: End) -> Leave {
    match why {
        End::Removed => Leave::Close(NORMAL, "stream removed"),
        End::Stopped => Leave::Close(NORMAL, "stream stopped"),
    }
}

fn is_fresh(frames: &watch::Receiver<Option<Arc<Frame>>>) -> bool {
    frames.borrow().as_ref().is_some_and(|frame| frame.received.elapsed() < FRESH)
}

/// The message for a view, unless it says what was told last.
fn to_tell(stream: &Stream, view: &View, told: &mut Option<Told>) -> Option<String> {
    let now = (view.state, view.reason.clone());
    if told.as_ref() == Some(&now) {
        return None;
    }
    *told = Some(now);
    let message = StateMessage {
        kind: "state",
        slug: stream.slug.as_str(),
        state: view.state.as_str(),
        reason: view.reason.as_ref().map(|reason| reason.text.as_str()),
        since: view.since.to_string(),
    };
    serde_json::to_string(&message).ok()
}
