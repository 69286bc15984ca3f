//! One viewer: a WebSocket that gets the newest frame it has not been sent, and nothing twice.
//!
//! It waits for three things: its socket, the slot that it shares with the other viewers, and one coarse timer. Nothing
//! is allocated, locked or registered for a frame that the socket takes at once.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use rsm_shared::ops::traces::Span;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::demand_desk::ViewerDemand;
use super::departure::{Departure, ViewerCounts};
use super::frame::{FRESH, Frame};
use super::pace::FramePace;
use super::seats::Seat;
use super::slot::{StreamEnd, Watching};
use super::socket::{Socket, SocketEnd};
use super::state_notices::StateNotices;
use super::ws_frame::{GOING_AWAY, NORMAL, Opcode, PROTOCOL, TOO_BIG, message};
use crate::closing::{Closing, Moment};
use crate::streams::Stream;

/// Interval between two pings.
const PING: Duration = Duration::from_secs(20);
/// A viewer that gave no sign of life for this long is gone. That is checked with each ping, so it is closed within 55 s.
const SILENCE: Duration = Duration::from_secs(35);
/// Time that a viewer may take to answer a close.
pub const GOODBYE: Duration = Duration::from_secs(1);

/// One viewer and all that it holds.
pub struct SocketViewer {
    pub stream: Arc<Stream>,
    pub watching: Watching,
    pub demand: ViewerDemand,
    pub seat: Seat,
    /// True when it wants notices of state changes.
    pub events: bool,
    /// Frames per second at most; `None` for all that come.
    pub fps: Option<u32>,
    /// A viewer that takes nothing at all for this long is closed. A slow one takes a little, and stays.
    pub stall: Duration,
    pub counts: ViewerCounts,
    pub closing: Closing,
    /// Ends with the first frame that it gets, if it has to wait for one.
    pub first: Span,
}

/// End of a viewer's socket: the reason that is counted, and the close frame.
struct Leave {
    why: Departure,
    /// Code and reason; `None` when the peer is gone.
    close: Option<(u16, &'static str)>,
    /// True when the peer sent its close, or cannot be read any more.
    heard_out: bool,
}

/// The event that ended a wait.
enum ViewerStep {
    /// The message under way is with the kernel.
    Sent,
    /// The viewer's side ended.
    Ended(SocketEnd),
    /// The coarse timer.
    Tick,
    /// A frame that was held back is due.
    Due,
    /// Something in the slot.
    News,
}

/// Messages that a viewer has got and is to get.
struct Progress {
    /// The newest frame that it has not been sent.
    next: Option<Arc<Frame>>,
    /// The frame under way.
    under_way: Option<Arc<Frame>>,
    /// Number of the frame sent last; 0 before the first.
    last: u64,
    pace: Option<FramePace>,
    notices: StateNotices,
    moment: Option<Moment>,
    pinged: Instant,
    ping_due: bool,
}

impl SocketViewer {
    /// Serves until the viewer goes, the stream ends, or the process does.
    pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut self, io: S) {
        let mut socket = Socket::new(io);
        let leave = self.relay(&mut socket).await;
        self.go(socket, leave).await;
    }

    /// For a viewer whose stream was stopped or removed between its request and its socket.
    pub async fn turn_away<S: AsyncRead + AsyncWrite + Unpin>(self, io: S) {
        let why = if self.stream.offer().enabled { StreamEnd::Removed } else { StreamEnd::Stopped };
        self.go(Socket::new(io), farewell(why)).await;
    }

    async fn go<S: AsyncRead + AsyncWrite + Unpin>(self, socket: Socket<S>, leave: Leave) {
        self.counts.ended(leave.why);
        let _goodbye = self.closing.goodbye();
        // The demand and the seat end here, not after the goodbye.
        drop(self);
        if let Some((code, reason)) = leave.close {
            let _ = timeout(GOODBYE, socket.say_goodbye(code, reason, leave.heard_out)).await;
        }
    }

    async fn relay<S: AsyncRead + AsyncWrite + Unpin>(&mut self, socket: &mut Socket<S>) -> Leave {
        let begun = Instant::now();
        let mut progress = Progress {
            next: None,
            under_way: None,
            last: 0,
            pace: self.fps.map(FramePace::new),
            notices: StateNotices::new(self.events),
            moment: None,
            pinged: begun,
            ping_due: false,
        };
        let mut clock = pin!(sleep_until(begun + PING.min(self.stall)));
        // Set only for viewers that want fewer frames.
        let mut due: Option<Pin<Box<Sleep>>> = None;
        if let Some(leave) = self.take_news(&mut progress, clock.as_mut()).await {
            return leave;
        }
        progress.next = progress.next.filter(|frame| frame.received.elapsed() < FRESH);
        loop {
            if socket.is_idle()
                && let Some(message) = self.choose(&mut progress, &mut due)
            {
                socket.begin(message);
            }
            let step = next_step(socket, &mut self.watching, clock.as_mut(), &mut due).await;
            match step {
                ViewerStep::Sent => {
                    if let Some(frame) = progress.under_way.take() {
                        self.counts.sent(&frame);
                        frame.ends(&mut self.first);
                    }
                }
                ViewerStep::Ended(ended) => return gone(ended),
                ViewerStep::Due => due = None,
                ViewerStep::Tick => {
                    if let Some(leave) = self.tick(socket, &mut progress) {
                        return leave;
                    }
                    clock.as_mut().reset(self.next_tick(socket, &progress));
                }
                ViewerStep::News => {
                    if let Some(leave) = self.take_news(&mut progress, clock.as_mut()).await {
                        return leave;
                    }
                }
            }
        }
    }

    /// Takes a new frame and events out of the slot.
    async fn take_news(&mut self, progress: &mut Progress, clock: Pin<&mut Sleep>) -> Option<Leave> {
        let (end, closing) = {
            let slot = self.watching.borrow_and_update();
            progress.notices.hear(slot.news);
            if let Some(frame) = slot.frame.as_ref().filter(|frame| frame.number > progress.last) {
                progress.next = Some(frame.clone());
            }
            (slot.end, slot.closing)
        };
        if let Some(end) = end {
            return Some(farewell(end));
        }
        if closing && progress.moment.is_none() {
            let moment = self.closing.moment().await;
            progress.moment = Some(moment);
            progress.notices.closing(moment);
            if moment.at < clock.deadline() {
                clock.reset(moment.at);
            }
        }
        None
    }

    /// The next message: notices go before pictures.
    fn choose(&self, progress: &mut Progress, due: &mut Option<Pin<Box<Sleep>>>) -> Option<Bytes> {
        if let Some(text) = progress.notices.next(&self.stream) {
            return Some(message(Opcode::Text, text.as_bytes()));
        }
        if std::mem::take(&mut progress.ping_due) {
            return Some(message(Opcode::Ping, &[]));
        }
        progress.next.as_ref()?;
        if let Some(pace) = &mut progress.pace {
            let now = Instant::now();
            if let Some(at) = pace.due().filter(|at| *at > now) {
                due.get_or_insert_with(|| Box::pin(sleep_until(at)));
                return None;
            }
            pace.sent(now);
            *due = None;
        }
        let frame = progress.next.take()?;
        if progress.pace.is_none() {
            self.counts.skipped_between(progress.last, frame.number);
        }
        progress.last = frame.number;
        let message = frame.message().clone();
        progress.under_way = Some(frame);
        Some(message)
    }

    fn tick<S: AsyncRead + AsyncWrite + Unpin>(&self, socket: &Socket<S>, progress: &mut Progress) -> Option<Leave> {
        let now = Instant::now();
        if progress.moment.is_some_and(|moment| moment.at <= now) {
            let close = Some((GOING_AWAY, "the server is stopping"));
            return Some(Leave { why: Departure::Shutdown, close, heard_out: false });
        }
        match socket.blocked() {
            // A pong that waits behind a picture is no silence.
            Some(since) if now.duration_since(since) >= self.stall => return Some(Leave::from(Departure::Stalled)),
            None if now.duration_since(socket.heard()) >= SILENCE => return Some(Leave::from(Departure::Vanished)),
            _ => {}
        }
        if now.duration_since(progress.pinged) >= PING {
            (progress.pinged, progress.ping_due) = (now, true);
        }
        None
    }

    /// When to look again: for the ping, and so often that no stall is overlooked.
    fn next_tick<S: AsyncRead + AsyncWrite + Unpin>(&self, socket: &Socket<S>, progress: &Progress) -> Instant {
        let stalled = match socket.blocked() {
            Some(since) => since + self.stall,
            None => Instant::now() + self.stall * 2 / 3,
        };
        let next = (progress.pinged + PING).min(stalled);
        progress.moment.map_or(next, |moment| next.min(moment.at))
    }
}

/// Waits for the next event: of the socket, the pace, the slot or the timer.
async fn next_step<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    watching: &mut Watching,
    mut clock: Pin<&mut Sleep>,
    due: &mut Option<Pin<Box<Sleep>>>,
) -> ViewerStep {
    let mut news = pin!(watching.changed());
    poll_fn(|cx| {
        let busy = !socket.is_idle();
        match socket.poll_send(cx) {
            Poll::Ready(Err(_)) => return Poll::Ready(ViewerStep::Ended(SocketEnd::Gone)),
            Poll::Ready(Ok(())) if busy => return Poll::Ready(ViewerStep::Sent),
            _ => {}
        }
        if let Poll::Ready(ended) = socket.poll_hear(cx) {
            return Poll::Ready(ViewerStep::Ended(ended));
        }
        // A ping that was just heard is answered.
        if socket.is_idle()
            && let Poll::Ready(Err(_)) = socket.poll_send(cx)
        {
            return Poll::Ready(ViewerStep::Ended(SocketEnd::Gone));
        }
        if clock.as_mut().poll(cx).is_ready() {
            return Poll::Ready(ViewerStep::Tick);
        }
        if due.as_mut().is_some_and(|due| due.as_mut().poll(cx).is_ready()) {
            return Poll::Ready(ViewerStep::Due);
        }
        // Never an error before the stream's end: the feed is there while it is watched.
        news.as_mut().poll(cx).map(|_| ViewerStep::News)
    })
    .await
}

impl From<Departure> for Leave {
    /// The peer is gone, so there is no close.
    fn from(why: Departure) -> Self {
        Self { why, close: None, heard_out: true }
    }
}

fn gone(ended: SocketEnd) -> Leave {
    match ended {
        SocketEnd::Gone => Leave::from(Departure::Left),
        SocketEnd::Closed(code) => Leave { why: Departure::Left, close: Some((code, "")), heard_out: true },
        SocketEnd::Violated(code) => {
            let reason = if code == TOO_BIG { "the message is too long" } else { "not a frame that a client may send" };
            debug_assert!(code == TOO_BIG || code == PROTOCOL);
            Leave { why: Departure::Protocol, close: Some((code, reason)), heard_out: true }
        }
    }
}

fn farewell(end: StreamEnd) -> Leave {
    let reason = match end {
        StreamEnd::Removed => "stream removed",
        StreamEnd::Stopped => "stream stopped",
    };
    Leave { why: end.into(), close: Some((NORMAL, reason)), heard_out: false }
}

#[cfg(test)]
#[path = "viewer_tests.rs"]
mod tests;
