//! What the viewers of one stream in one width share: the newest frame, and news of the stream. One place to look at and
//! one thing to wait for, so that a wake-up costs little however many viewers there are.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use rsm_shared::ops::traces::Span;
use rsm_shared::wire::frame_headers::FrameHeaders;
use tokio::sync::watch;
use tokio::time::Instant;

use super::multipart;
use super::ws_frame::{self, Opcode};

/// One JPEG. Shared by all viewers, not copied.
pub struct Frame {
    pub jpeg: Bytes,
    pub headers: FrameHeaders,
    /// When it reached this process.
    pub received: Instant,
    /// Counts the frames of this subscription, from 1: the gap between two shows what was skipped.
    pub number: u64,
    /// As a message of WebSocket; written for the first viewer that wants it.
    message: OnceLock<Bytes>,
    /// As a part of `multipart/x-mixed-replace`; written for the first viewer that wants it.
    part: OnceLock<Bytes>,
}

impl Frame {
    /// One that came just now.
    pub fn new(jpeg: Bytes, headers: FrameHeaders, number: u64) -> Self {
        Self { jpeg, headers, received: Instant::now(), number, message: OnceLock::new(), part: OnceLock::new() }
    }

    /// When the picture was captured, by this process's clock: the worker says how long ago it was when the frame
    /// left, so the clocks of two hosts need not agree.
    pub fn captured(&self) -> Instant {
        let age = self.headers.published_at_us.saturating_sub(self.headers.captured_at_us);
        self.received.checked_sub(Duration::from_micros(age)).unwrap_or(self.received)
    }

    /// When the picture was captured, by the worker's clock; `None` for a time that no calendar has.
    pub fn captured_at(&self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::from_microsecond(i64::try_from(self.headers.captured_at_us).ok()?).ok()
    }

    /// A viewer waited for it: `waiting` ends.
    pub fn ends(&self, waiting: &mut Span) {
        if waiting.is_some() {
            let mut waited = std::mem::take(waiting);
            waited.count("rsm.epoch", self.headers.fence.epoch.0);
            waited.count("rsm.revision", self.headers.fence.revision);
        }
    }

    /// The picture as a message, header and all: one piece costs the system less to take than two.
    pub fn message(&self) -> &Bytes {
        self.message.get_or_init(|| ws_frame::message(Opcode::Binary, &self.jpeg))
    }

    /// The picture as a part, with the boundary that ends it.
    pub fn part(&self) -> &Bytes {
        self.part.get_or_init(|| multipart::part(self))
    }
}

/// Why the viewers of a stream are sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Stopped,
    Removed,
}

/// What is there now.
#[derive(Clone, Default)]
pub struct Slot {
    /// The newest frame.
    pub frame: Option<Arc<Frame>>,
    /// Set once, when the stream is stopped or removed.
    pub end: Option<End>,
    /// Set once, when the process begins to say goodbye.
    pub closing: bool,
    /// Grows when the stream's state or its reason changes.
    pub news: u64,
}

/// Who looks at a slot. While any is there, the stream stays subscribed.
pub type Watching = watch::Receiver<Slot>;

/// The newest frame that `fits`, or why none will come; waits for either.
pub async fn newest(watching: &mut Watching, fits: impl Fn(&Frame) -> bool) -> Result<Arc<Frame>, Option<End>> {
    let there = |slot: &Slot| slot.end.is_some() || slot.frame.as_ref().is_some_and(|frame| fits(frame));
    match watching.wait_for(there).await {
        Ok(slot) => match (&slot.frame, slot.end) {
            (_, Some(end)) => Err(Some(end)),
            (Some(frame), None) => Ok(frame.clone()),
            (None, None) => Err(None),
        },
        // The feed is gone.
        Err(_) => Err(None),
    }
}
