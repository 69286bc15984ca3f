//! One stream that this process owns and runs.

use std::time::{Duration, Instant};

use rsm_control::worker::readiness::{OutputProgress, is_ready};
use rsm_control::worker::slots::Slot;
use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::names::SessionId;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::state::StreamState;
use rsm_shared::wire::messages::{Event, Owned, VERSION};
use tokio::sync::watch;

use crate::stream::supervisor::{StreamHandle, StreamStatus};
use crate::stream_trace::StreamTrace;

/// Handles of one running stream.
pub struct RunningStream {
    pub handle: StreamHandle,
    pub started: Instant,
    /// Its camera serves one session only.
    pub exclusive: bool,
    pub status: watch::Receiver<StreamStatus>,
    pub demand: watch::Sender<Demand>,
    pub trace: StreamTrace,
    /// Freed when the stream has ended.
    pub slot: Slot,
}

impl RunningStream {
    /// The row of the stream in a heartbeat.
    pub fn row(&self, slug: &Slug, fence: Fence) -> Owned {
        let status = self.status.borrow();
        let shown = OutputProgress {
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
            ready: is_ready(status.state, *self.demand.borrow(), shown),
        }
    }

    /// The event that reports the state of the stream to the API.
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

    /// Returns whether it has been without a picture since it was started, less than `young` ago.
    pub fn is_starting(&self, young: Duration) -> bool {
        self.status.borrow().state == StreamState::Starting && self.started.elapsed() < young
    }
}
