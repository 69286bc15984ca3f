//! Frames as `multipart/x-mixed-replace`, for `<img>` and for recorders. A part is written once for all viewers, with the
//! boundary that ends it: Chromium draws a picture only when it has seen that.
//!
//! The HTTP library queues up to 16 pieces or 400 kB of a body. So that a slow viewer gets the newest picture, and not
//! those, the next part is given out only when the library has released the one before: when the kernel has it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream as Body;
use rsm_shared::ops::traces::Span;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

use super::demand_desk::ViewerDemand;
use super::departure::{Departure, ViewerCounts};
use super::frame::{FRESH, Frame};
use super::pace::FramePace;
use super::seats::Seat;
use super::slot::Watching;
use crate::closing::{Closing, Moment};

/// The media type, and in it the boundary between parts.
pub const CONTENT_TYPE: &str = "multipart/x-mixed-replace; boundary=rsm-frame";
/// The boundary before the first part.
const OPENING: &[u8] = b"--rsm-frame\r\n";

/// One viewer and all that it holds.
pub struct Multipart {
    pub watching: Watching,
    pub demand: ViewerDemand,
    pub seat: Seat,
    /// Frames per second at most; `None` for all that come.
    pub fps: Option<u32>,
    /// A connection that takes nothing for this long is ended by the HTTP server.
    pub stall: Duration,
    pub counts: ViewerCounts,
    pub closing: Closing,
    /// Ends with the first frame that it gets, if it has to wait for one.
    pub first: Span,
}

/// A viewer while it is served. Dropped when the connection ends, however it does.
struct Serving {
    viewer: Multipart,
    begun: bool,
    pace: Option<FramePace>,
    /// Number of the frame given out last; 0 before the first.
    last: u64,
    under_way: Option<PartUnderWay>,
    moment: Option<Moment>,
    /// `None` while it goes on.
    departure: Option<Departure>,
}

/// The part that is not yet with the kernel.
struct PartUnderWay {
    frame: Arc<Frame>,
    since: Instant,
    done: Arc<Notify>,
}

/// A part on its way through the HTTP library; says when that releases it.
struct Piece {
    part: Bytes,
    done: Arc<Notify>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.part
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.done.notify_one();
    }
}

impl Multipart {
    /// The body of the answer: ends with the stream, at this viewer's moment of the server's goodbye, or never.
    pub fn body(self) -> impl Body<Item = std::io::Result<Bytes>> {
        let pace = self.fps.map(FramePace::new);
        let serving =
            Serving { viewer: self, begun: false, pace, last: 0, under_way: None, moment: None, departure: None };
        futures_util::stream::unfold(serving, |mut serving| async move {
            let piece = serving.next().await?;
            Some((Ok(piece), serving))
        })
    }
}

impl Serving {
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.begun, true) {
            return Some(Bytes::from_static(OPENING));
        }
        let mut due: Option<Pin<Box<Sleep>>> = None;
        self.viewer.watching.mark_changed();
        let mut newest = None;
        loop {
            let waits = due.is_some();
            tokio::select! {
                () = done(self.under_way.as_ref()), if self.under_way.is_some() => {
                    if let Some(under_way) = self.under_way.take() {
                        self.viewer.counts.sent(&under_way.frame);
                        under_way.frame.ends(&mut self.viewer.first);
                    }
                }
                () = moment(self.moment) => return self.end(Departure::Shutdown),
                () = passed(due.as_mut()), if waits => due = None,
                changed = self.viewer.watching.changed() => {
                    let slot = changed.ok().map(|()| self.viewer.watching.borrow_and_update().clone())?;
                    if let Some(end) = slot.end {
                        return self.end(end.into());
                    }
                    if slot.closing && self.moment.is_none() {
                        self.moment = Some(self.viewer.closing.moment().await);
                    }
                    let worth = |frame: &Arc<Frame>| {
                        frame.number > self.last && (self.last > 0 || frame.received.elapsed() < FRESH)
                    };
                    newest = slot.frame.filter(worth);
                }
            }
            if self.under_way.is_none()
                && due.is_none()
                && let Some(frame) = newest.take()
            {
                let now = Instant::now();
                if let Some(at) = self.pace.and_then(|pace| pace.due()).filter(|at| *at > now) {
                    due = Some(Box::pin(sleep_until(at)));
                    newest = Some(frame);
                    continue;
                }
                return Some(self.give(frame, now));
            }
        }
    }

    fn give(&mut self, frame: Arc<Frame>, now: Instant) -> Bytes {
        match &mut self.pace {
            Some(pace) => pace.sent(now),
            None => self.viewer.counts.skipped_between(self.last, frame.number),
        }
        self.last = frame.number;
        let done = Arc::new(Notify::new());
        let piece = Piece { part: frame.part().clone(), done: done.clone() };
        self.under_way = Some(PartUnderWay { frame, since: now, done });
        Bytes::from_owner(piece)
    }

    fn end(&mut self, why: Departure) -> Option<Bytes> {
        self.departure = Some(why);
        None
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let stalled = self.under_way.as_ref().is_some_and(|part| part.since.elapsed() >= self.viewer.stall);
        let why = if stalled { Departure::Stalled } else { Departure::Left };
        self.viewer.counts.ended(self.departure.unwrap_or(why));
    }
}

async fn done(under_way: Option<&PartUnderWay>) {
    match under_way {
        Some(under_way) => under_way.done.notified().await,
        None => std::future::pending().await,
    }
}

async fn moment(moment: Option<Moment>) {
    match moment {
        Some(moment) => sleep_until(moment.at).await,
        None => std::future::pending().await,
    }
}

async fn passed(due: Option<&mut Pin<Box<Sleep>>>) {
    match due {
        Some(due) => due.as_mut().await,
        None => std::future::pending().await,
    }
}
