//! The contents of one media playlist: whole segments, and the parts of the newest. Pure.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use super::parts::{ClosedParts, OpenSegment, Opening, Part, PartPlace, PartTarget};

/// Parts are listed while they are this near to the playlist's end, target durations (RFC 8216bis section 6.2.2).
const LISTED_TARGETS: u32 = 3;
/// Parts are available for this long, target durations: three more, and one for slow players.
const KEPT_TARGETS: u32 = 7;
/// Whole segments whose parts are known, some 2 kB each: more than [`KEPT_TARGETS`] needs unless segments are very short.
const MAX_CLOSED: usize = 64;
/// Segments that are kept beyond the wanted number so that a playlist lasts three target durations (RFC 8216bis
/// section 6.2.2): at most this many times the wanted number are listed.
const MAX_STRETCH: usize = 4;
/// A request for a segment this far after the newest whole one waits; further is refused (RFC 8216bis section 6.2.5.2).
const MAX_AHEAD: u64 = 2;

/// A segment as the playlist names it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// Never used twice, never going back, over all owners of a stream.
    pub sequence: u64,
    pub duration: Duration,
    /// Bytes; 0 when there is nothing of that time in this rendition: it is listed as a gap, and has no file.
    pub len: u64,
    /// The run of continuous time it belongs to: its Discontinuity Sequence Number (RFC 8216 section 6.2.1).
    pub discontinuity: u64,
    /// Which init file it needs.
    pub init: u64,
    /// When its first picture was captured, by the clock of the plan: EXT-X-PROGRAM-DATE-TIME.
    pub at: SystemTime,
}

/// The decision about a request that names a segment or a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It comes soon.
    Wait,
    /// It is listed, or something later is.
    Ready,
    /// It is so far ahead that the client must be wrong.
    TooFar,
}

/// The segments and parts that a playlist lists now.
#[derive(Debug)]
pub struct Window {
    /// Numbered without a hole: players count.
    pub(super) listed: VecDeque<Listed>,
    /// At most [`MAX_CLOSED`].
    pub(super) closed: VecDeque<ClosedParts>,
    pub(super) open: Option<OpenSegment>,
    pub(super) max: usize,
    /// Seconds; only ever grows (RFC 8216 section 6.2.1).
    target_duration: u64,
    part_target: Option<PartTarget>,
}

impl Window {
    /// Empty; lists about `max` segments of about `target`, and parts if they are given a length.
    pub fn new(max: usize, target: Duration, part_target: Option<PartTarget>) -> Self {
        let (listed, closed, target_duration) = (VecDeque::new(), VecDeque::new(), ceil_seconds(target));
        Self { listed, closed, open: None, max: max.max(1), target_duration, part_target }
    }

    /// Adds a part to the segment that is being made, and begins it if it is another than before. A part of a segment
    /// that does not come next after the newest listed is not taken: the numbers of players would be wrong.
    pub fn add_part(&mut self, part: Part, opening: Opening) {
        let Some(target) = self.part_target else { return };
        if self.listed.back().is_some_and(|newest| newest.sequence + 1 != opening.sequence) {
            return;
        }
        let open = match self.open.take() {
            Some(open) if open.opening.sequence == opening.sequence => open,
            _ => OpenSegment::new(opening),
        };
        self.open.insert(open).add(part, target);
        self.untag();
    }

    /// Lists the newest segment, whose file is written: its parts become ranges of that file, and the tags that its first
    /// part was listed with stay. Must be called before the next segment's first part comes. Returns the segments that
    /// are no longer listed; all of them when its number does not follow theirs.
    pub fn push(&mut self, mut segment: Listed) -> Vec<Listed> {
        let follows = self.listed.back().is_none_or(|newest| newest.sequence + 1 == segment.sequence);
        let mut gone = if follows { Vec::new() } else { self.clear_listed() };
        self.target_duration = self.target_duration.max(ceil_seconds(segment.duration));
        let open = self.open.take().filter(|open| open.opening.sequence == segment.sequence);
        if let Some(opening) = open.as_ref().map(|open| open.opening) {
            // Players have read it: lines only come and go.
            (segment.discontinuity, segment.init, segment.at) = (opening.discontinuity, opening.init, opening.at);
        }
        if self.part_target.is_some() {
            let nothing = ClosedParts {
                sequence: segment.sequence,
                duration: segment.duration,
                marks: Vec::new(),
                tagged: false,
            };
            self.closed.push_back(open.map_or(nothing, |open| open.close(segment.len, segment.duration)));
        }
        self.listed.push_back(segment);
        while self.listed.len() > self.max
            && (self.lasts_without_oldest() || self.listed.len() > self.max * MAX_STRETCH)
        {
            gone.extend(self.listed.pop_front());
        }
        self.untag();
        self.forget();
        gone
    }

    /// Takes the oldest out, unless only `least` are left.
    pub fn shorten(&mut self, least: usize) -> Option<Listed> {
        if self.listed.len() > least { self.listed.pop_front() } else { None }
    }

    /// Empties it: nothing is listed any more. The parts of whole segments can still be had.
    pub fn clear(&mut self) -> Vec<Listed> {
        self.open = None;
        self.clear_listed()
    }

    fn clear_listed(&mut self) -> Vec<Listed> {
        self.closed.iter_mut().for_each(|closed| closed.tagged = false);
        self.listed.drain(..).collect()
    }

    /// The init file of the oldest listed segment.
    pub fn first_init(&self) -> Option<u64> {
        self.listed.front().map(|segment| segment.init)
    }

    /// Whole segments that it lists.
    pub fn len(&self) -> usize {
        self.listed.len()
    }

    /// True when no whole segment is listed.
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// True when players can begin. hls.js takes a playlist that lists parts only for an empty one, and gives the
    /// rendition up: one whole segment there must be. More it does not need, and with parts it begins three of them
    /// before the end.
    pub fn is_playable(&self) -> bool {
        self.listed.iter().any(|segment| segment.len > 0)
    }

    /// Its target duration, seconds.
    pub fn target_s(&self) -> u64 {
        self.target_duration
    }

    /// The longest that a part lasts, if it lists parts.
    pub fn part_target(&self) -> Option<PartTarget> {
        self.part_target
    }

    /// Bits per second: the most of one segment, and the mean of all.
    pub fn bandwidth(&self) -> (u64, u64) {
        let rate =
            |bytes: u64, seconds: f64| if seconds > 0.0 { (bytes as f64 * 8.0 / seconds).ceil() as u64 } else { 0 };
        let made = || self.listed.iter().filter(|segment| segment.len > 0);
        let peak = made().map(|s| rate(s.len, s.duration.as_secs_f64())).max().unwrap_or_default();
        let seconds = made().map(|s| s.duration.as_secs_f64()).sum();
        (peak, rate(made().map(|s| s.len).sum(), seconds))
    }

    /// The newest segment of which something is listed, and how many parts of it are.
    pub fn newest(&self) -> Option<(u64, u64)> {
        match &self.open {
            Some(open) if !open.marks.is_empty() => Some((open.opening.sequence, open.marks.len() as u64)),
            _ => self.listed.back().map(|newest| (newest.sequence, self.parts_of(newest.sequence))),
        }
    }

    /// The part that comes next: its segment, and its index in it. `None` when none is known to come.
    pub fn next_part(&self) -> Option<(u64, u64)> {
        self.part_target?;
        match &self.open {
            Some(open) => Some(match open.next_part() {
                Some(index) => (open.opening.sequence, index),
                None => (open.opening.sequence + 1, 0),
            }),
            None => self.listed.back().map(|newest| (newest.sequence + 1, 0)),
        }
    }

    /// Where a part's bytes are; `None` when there is no such part, or its time is over.
    pub fn part(&self, sequence: u64, index: u64) -> Option<PartPlace> {
        let at = usize::try_from(index).ok()?;
        if let Some(open) = self.open.as_ref().filter(|open| open.opening.sequence == sequence) {
            return open.bytes(at).cloned().map(PartPlace::Memory);
        }
        let mark = self.closed.iter().rev().find(|closed| closed.sequence == sequence)?.marks.get(at)?;
        Some(PartPlace::Range { sequence, offset: mark.offset, len: mark.len })
    }

    /// The decision about a request for a playlist that lists segment `msn`, or part `part` of it (RFC 8216bis section
    /// 6.2.5.2). Without parts no playlist invites requests to wait, so none waits.
    pub fn answers(&self, msn: u64, part: Option<u64>) -> Answer {
        let Some(target) = self.part_target else { return Answer::Ready };
        let open = self.open.as_ref();
        let newest = self.listed.back().map(|newest| newest.sequence);
        let Some(whole) = newest.or_else(|| open.map(|open| open.opening.sequence.saturating_sub(1))) else {
            return Answer::Wait;
        };
        if msn > whole.saturating_add(MAX_AHEAD) {
            return Answer::TooFar;
        }
        let listed = newest.is_some_and(|newest| msn <= newest);
        let Some(part) = part else { return if listed { Answer::Ready } else { Answer::Wait } };
        // A part after the last of a segment is the first of the next.
        let (msn, part) = if listed && part >= self.parts_of(msn) { (msn + 1, 0) } else { (msn, part) };
        if newest.is_some_and(|newest| msn <= newest) {
            return Answer::Ready;
        }
        let there = open.filter(|open| open.opening.sequence == msn).map_or(0, |open| open.marks.len() as u64);
        match part {
            part if part < there => Answer::Ready,
            part if part > there.saturating_add(target.advance_limit()) => Answer::TooFar,
            _ => Answer::Wait,
        }
    }

    fn parts_of(&self, sequence: u64) -> u64 {
        let closed = self.closed.iter().rev().find(|closed| closed.sequence == sequence);
        closed.map_or(0, |closed| closed.marks.len() as u64)
    }

    /// True when three target durations are left without the oldest.
    fn lasts_without_oldest(&self) -> bool {
        let left: Duration = self.listed.iter().skip(1).map(|segment| segment.duration).sum();
        left >= self.targets(3)
    }

    /// Takes the parts out of the playlist that are far from its end, and those before parts that are not listed.
    fn untag(&mut self) {
        let nearest = self.targets(LISTED_TARGETS);
        let mut behind = self.open.as_ref().map_or(Duration::ZERO, OpenSegment::duration);
        let mut tagged = true;
        for closed in self.closed.iter_mut().rev() {
            behind += closed.duration;
            tagged = tagged && closed.tagged && behind <= nearest;
            closed.tagged = tagged;
        }
    }

    /// Removes the parts that players may no longer request.
    fn forget(&mut self) {
        let kept = self.targets(KEPT_TARGETS);
        let mut behind: Duration = self.closed.iter().map(|closed| closed.duration).sum();
        while let Some(oldest) = self.closed.front() {
            behind -= oldest.duration;
            if behind <= kept && self.closed.len() <= MAX_CLOSED {
                break;
            }
            self.closed.pop_front();
        }
    }

    fn targets(&self, count: u32) -> Duration {
        Duration::from_secs(self.target_duration) * count
    }
}

/// EXTINF rounded to the nearest integer must not be above the target duration; rounding up leaves room for the
/// next segment to be a little longer without changing it.
fn ceil_seconds(duration: Duration) -> u64 {
    // A few milliseconds over a whole second are jitter, and round down to it.
    let seconds = (duration.as_secs_f64() - 0.05).ceil().max(1.0);
    seconds as u64
}

#[cfg(test)]
mod tests;
