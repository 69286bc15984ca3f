//! The parts of segments (RFC 8216bis section 4.4.4.9): in memory while their segment is being made, ranges of its file
//! afterwards. Pure.
//!
//! Every part that is listed lasts [`PartTarget`] at most. One that is neither independent nor its segment's last lasts
//! 85 % of it at least: a shorter one waits here for the next and is listed as one with it, or at the segment's end.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

/// Parts of one segment; beyond it no more are listed until the next segment. Ten seconds of 200 ms are 50.
pub const MAX_PARTS: usize = 64;
/// Bytes in memory of one segment that is being made, so of one rendition; beyond it no more parts are listed until the
/// next segment. Two seconds at 64 Mbit/s.
pub const MAX_OPEN_BYTES: u64 = 16 << 20;

/// A part as it was made: one or more whole `moof` and `mdat`.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub duration: Duration,
    /// True when it holds a picture that can be decoded without others; always so for audio.
    pub independent: bool,
    pub bytes: Vec<Bytes>,
}

impl Part {
    /// Bytes.
    pub fn len(&self) -> u64 {
        self.bytes.iter().map(|piece| piece.len() as u64).sum()
    }

    /// True when it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn and(mut self, next: Self) -> Self {
        self.duration += next.duration;
        self.independent |= next.independent;
        self.bytes.extend(next.bytes);
        self
    }
}

/// The part of a segment's description that is known when its first part comes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Opening {
    /// As in [`super::window::Listed`], which it becomes.
    pub sequence: u64,
    pub discontinuity: u64,
    pub init: u64,
    pub at: SystemTime,
}

/// The place of a part's bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum PartPlace {
    /// Its segment is being made.
    Memory(Vec<Bytes>),
    /// Bytes of the file of segment `sequence`.
    Range { sequence: u64, offset: u64, len: u64 },
}

/// The longest that a part lasts (EXT-X-PART-INF's PART-TARGET). In steps of 10 microseconds, so that playlists name it
/// exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartTarget(Duration);

impl PartTarget {
    /// Rounds `longest` up.
    pub fn new(longest: Duration) -> Self {
        let steps = longest.as_micros().div_ceil(10).max(1);
        Self(Duration::from_micros(u64::try_from(steps * 10).unwrap_or(u64::MAX)))
    }

    /// One that whole pictures of `frame` fill, about `wanted` long or a little longer: pictures that do not fill 85 %
    /// of it would not be allowed to be parts. A twentieth of it is room for cameras whose clock is not even. `None`
    /// when it were longer than half a `segment`: then parts are of no use.
    pub fn for_pictures(wanted: Duration, frame: Duration, segment: Duration) -> Option<Self> {
        if wanted.is_zero() || frame.is_zero() {
            return None;
        }
        let pictures = u32::try_from(wanted.as_micros().div_ceil(frame.as_micros())).ok()?;
        let target = frame.checked_mul(pictures)?.mul_f64(1.05);
        (target * 2 <= segment).then(|| Self::new(target))
    }

    /// The duration.
    pub fn duration(self) -> Duration {
        self.0
    }

    fn least(self) -> Duration {
        self.0 * 85 / 100
    }

    /// Largest number of parts ahead of the newest that a request may wait for (RFC 8216bis section 6.2.5.2).
    pub(super) fn advance_limit(self) -> u64 {
        (3.0 / self.0.as_secs_f64().min(1.0)).ceil() as u64
    }
}

/// A part that playlists list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mark {
    pub duration: Duration,
    pub independent: bool,
    pub offset: u64,
    pub len: u64,
}

/// The segment that is being made.
#[derive(Debug)]
pub(super) struct OpenSegment {
    pub opening: Opening,
    /// At most [`MAX_PARTS`].
    pub marks: Vec<Mark>,
    /// Bytes of each of `marks`; together at most [`MAX_OPEN_BYTES`].
    bytes: Vec<Vec<Bytes>>,
    /// Too short to be listed yet.
    waiting: Option<Part>,
    /// No more parts of this segment are listed: one was too long, or there are too many.
    sealed: bool,
}

impl OpenSegment {
    pub(crate) fn new(opening: Opening) -> Self {
        Self { opening, marks: Vec::new(), bytes: Vec::new(), waiting: None, sealed: false }
    }

    pub(crate) fn add(&mut self, part: Part, target: PartTarget) {
        if self.sealed {
            return;
        }
        let part = match self.waiting.take() {
            Some(waiting) => waiting.and(part),
            None => part,
        };
        if part.duration > target.0 || self.marks.len() >= MAX_PARTS || self.len() + part.len() > MAX_OPEN_BYTES {
            self.sealed = true;
        } else if part.duration.is_zero() || (!part.independent && part.duration < target.least()) {
            self.waiting = Some(part);
        } else {
            self.list(part);
        }
    }

    fn list(&mut self, part: Part) {
        let (offset, len) = (self.len(), part.len());
        self.marks.push(Mark { duration: part.duration, independent: part.independent, offset, len });
        self.bytes.push(part.bytes);
    }

    /// Bytes of the parts that are listed.
    fn len(&self) -> u64 {
        self.marks.last().map_or(0, |last| last.offset + last.len)
    }

    /// Duration of the parts that are listed.
    pub(crate) fn duration(&self) -> Duration {
        self.marks.iter().map(|mark| mark.duration).sum()
    }

    pub(crate) fn bytes(&self, index: usize) -> Option<&Vec<Bytes>> {
        self.bytes.get(index)
    }

    /// The part that comes next, unless none does.
    pub(crate) fn next_part(&self) -> Option<u64> {
        (!self.sealed && self.marks.len() < MAX_PARTS).then_some(self.marks.len() as u64)
    }

    /// Its parts, now that its file of `len` bytes is there; `duration` is that of the segment.
    pub(crate) fn close(mut self, len: u64, duration: Duration) -> ClosedParts {
        if let Some(last) = self.waiting.take().filter(|last| !last.duration.is_zero()) {
            self.list(last);
        }
        // A gap has no parts.
        let (whole, fits) = (!self.sealed && len > 0 && self.len() == len, self.len() <= len);
        let marks = if fits { self.marks } else { Vec::new() };
        ClosedParts { sequence: self.opening.sequence, duration, marks, tagged: whole }
    }
}

/// The parts of a segment that is whole.
#[derive(Debug)]
pub(super) struct ClosedParts {
    pub sequence: u64,
    /// Duration of the segment.
    pub duration: Duration,
    pub marks: Vec<Mark>,
    /// True when the playlist lists them; false when they are not all of the segment.
    pub tagged: bool,
}
