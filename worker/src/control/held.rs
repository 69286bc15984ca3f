//! What this process owns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::names::SessionId;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::state::StreamState;
use rsm_shared::wire::messages::{Event, Owned, VERSION};
use tokio::sync::watch;

use super::admission::Room;
use crate::stream::supervisor::{StreamHandle, StreamStatus};
use crate::stream_trace::StreamTrace;

/// Segments that a viewer's player can go on with, and from which target duration on one will do; seconds. A player
/// that begins wants three (RFC 8216 section 6.3.3), but one that watches has those of the earlier owner.
const PLAYABLE: usize = 2;
const LONG_S: u64 = 5;

/// One owned stream.
pub struct Held {
    pub handle: StreamHandle,
    pub started: Instant,
    pub status: watch::Receiver<StreamStatus>,
    pub demand: watch::Sender<Demand>,
    pub trace: StreamTrace,
    /// Gives the slot back when the stream has ended.
    pub slot: Slot,
}

impl Held {
    /// The row in a heartbeat.
    pub fn row(&self, slug: &Slug, fence: Fence) -> Owned {
        let status = self.status.borrow();
        let shown = Shown {
            frame: status.frame_shown(),
            segments: status.segments_listed(),
            target_s: status.target_s(),
            hls_failed: status.hls_error.is_some(),
        };
        Owned {
            cam: slug.clone(),
            epoch: fence.epoch,
            revision: fence.revision,
            state: status.state,
            media_age_ms: status.last_media_age().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            media_sequence: status.media_sequence(),
            discontinuity_sequence: status.discontinuity_sequence(),
            ready: ready(status.state, *self.demand.borrow(), shown),
        }
    }

    /// What is told of it when something changed.
    pub fn event(&self, slug: &Slug, fence: Fence, session: &SessionId) -> Event {
        let status = self.status.borrow();
        let since = status.since.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Event {
            v: VERSION,
            session: session.clone(),
            cam: slug.clone(),
            epoch: fence.epoch,
            revision: fence.revision,
            state: status.state,
            reason: status.reason.clone(),
            since_ms: u64::try_from(since.as_millis()).unwrap_or(0),
            video: status.video.clone(),
            audio: status.audio.clone(),
            restarts: status.restarts,
            hls_error: status.hls_error.clone(),
        }
    }
}

impl Held {
    /// Whether it has been without a picture since it was started, less than `young` ago.
    pub fn is_starting(&self, young: Duration) -> bool {
        self.status.borrow().state == StreamState::Starting && self.started.elapsed() < young
    }
}

/// What viewers can see of an owner.
#[derive(Clone, Copy, Debug)]
struct Shown {
    /// A frame was published.
    frame: bool,
    /// Segments in the playlist.
    segments: usize,
    /// Its target duration, seconds.
    target_s: u64,
    /// HLS cannot be made, which waiting does not change.
    hls_failed: bool,
}

/// Whether every output that is wanted has something to show, or never will, so that an earlier owner may end.
fn ready(state: StreamState, demand: Demand, shown: Shown) -> bool {
    let playable = if shown.target_s >= LONG_S { 1 } else { PLAYABLE };
    state == StreamState::Running
        && (!demand.frames() || shown.frame)
        && (!demand.hls || shown.hls_failed || shown.segments >= playable)
}

/// How many streams this process has room for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Slots {
    used: Arc<AtomicU32>,
    capacity: u32,
}

/// One taken slot; free again when dropped.
#[derive(Debug)]
pub struct Slot(Arc<AtomicU32>);

impl Slots {
    /// Room for `capacity` streams.
    pub fn new(capacity: u32) -> Self {
        Self { used: Arc::default(), capacity }
    }

    /// Streams at most.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Slots that are free now.
    pub fn free(&self) -> u32 {
        self.capacity.saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// All of them and those that are free.
    pub fn room(&self) -> Room {
        Room { capacity: self.capacity, free: self.free() }
    }

    /// Takes a slot, if one is free.
    pub fn take(&self) -> Option<Slot> {
        self.used
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |used| (used < self.capacity).then_some(used + 1))
            .ok()
            .map(|_| Slot(self.used.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_shared::stream::spec::JpegParams;

    #[test]
    fn an_owner_is_ready_when_all_that_is_wanted_can_be_seen() {
        let wanted = |jpeg: bool, hls| Demand {
            jpeg: jpeg.then_some(JpegParams { max_fps: 5, max_width: 640, quality: 80 }),
            hls,
            ..Demand::default()
        };
        for (demand, frame, segments, target_s, want) in [
            (wanted(false, false), false, 0, 2, true),
            (wanted(true, false), false, 6, 2, false),
            (wanted(true, false), true, 0, 2, true),
            (wanted(false, true), true, 1, 2, false),
            (wanted(false, true), false, 2, 2, true),
            (wanted(false, true), false, 1, 4, false),
            (wanted(false, true), false, 0, 5, false),
            (wanted(false, true), false, 1, 5, true),
            (wanted(true, true), true, 1, 2, false),
            (wanted(true, true), false, 2, 2, false),
            (wanted(true, true), true, 2, 2, true),
        ] {
            let shown = Shown { frame, segments, target_s, hls_failed: false };
            assert_eq!(ready(StreamState::Running, demand, shown), want, "{demand:?} {shown:?}");
            assert!(!ready(StreamState::Reconnecting, demand, shown));
        }
    }

    #[test]
    fn hls_that_cannot_be_made_is_not_waited_for() {
        let jpeg = Some(JpegParams { max_fps: 5, max_width: 640, quality: 80 });
        for (jpeg, frame, want) in [(None, false, true), (jpeg, false, false), (jpeg, true, true)] {
            let shown = Shown { frame, segments: 0, target_s: 0, hls_failed: true };
            assert_eq!(
                ready(StreamState::Running, Demand { jpeg, hls: true, ..Demand::default() }, shown),
                want,
                "{jpeg:?} {shown:?}"
            );
        }
    }

    #[test]
    fn slots_are_bounded_and_come_back() {
        let slots = Slots::new(2);
        let held = (slots.take().unwrap(), slots.take().unwrap());
        assert!(slots.take().is_none());
        drop(held);
        assert_eq!(slots.free(), 2);
    }
}
