//! One JPEG, in the shapes that viewers get it in. Each shape is written once, for the first viewer that wants it.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use rsm_shared::ops::traces::Span;
use rsm_shared::wire::frame_headers::FrameHeaders;
use tokio::time::Instant;

use super::ws_frame::{self, Opcode};

/// A frame of this age is still worth being the first one shown.
pub const FRESH: Duration = Duration::from_secs(1);
/// Ends a part of `multipart/x-mixed-replace` (RFC 2046 section 5.1.1).
const BOUNDARY: &[u8] = b"\r\n--rsm-frame\r\n";

/// One JPEG. Shared by all viewers, not copied.
pub struct Frame {
    pub jpeg: Bytes,
    pub headers: FrameHeaders,
    /// When it reached this process.
    pub received: Instant,
    /// Number of the frame in this subscription, from 1: the gap between two numbers is the number of skipped frames.
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

    /// A viewer waited for this frame: ends the span `waiting`.
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
        self.part.get_or_init(|| part(self))
    }
}

/// A frame with its headers and the boundary after it.
fn part(frame: &Frame) -> Bytes {
    let captured = frame.headers.captured_at_us;
    let at = frame.captured_at().map(|at| at.to_string()).unwrap_or_default();
    let head = format!(
        "Content-Type: image/jpeg\r\nContent-Length: {}\r\nX-Timestamp: {}.{:06}\r\nX-Captured-At: {at}\r\n\r\n",
        frame.jpeg.len(),
        captured / 1_000_000,
        captured % 1_000_000
    );
    let mut part = BytesMut::with_capacity(head.len() + frame.jpeg.len() + BOUNDARY.len());
    part.put_slice(head.as_bytes());
    part.put_slice(&frame.jpeg);
    part.put_slice(BOUNDARY);
    part.freeze()
}
