//! What this process owns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rsm_shared::stream::demand::Demand;
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::names::SessionId;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::state::StreamState;
use rsm_shared::wire::messages::{Event, Owned, VERSION};
use tokio::sync::watch;

use crate::stream::supervisor::{StreamHandle, StreamStatus};

/// One owned stream.
pub struct Held {
    pub fence: Fence,
    pub handle: StreamHandle,
    pub status: watch::Receiver<StreamStatus>,
    pub demand: watch::Sender<Demand>,
    /// Gives the slot back when the stream has ended.
    pub slot: Slot,
}

impl Held {
    /// The row in a heartbeat.
    pub fn row(&self, slug: &Slug) -> Owned {
        let status = self.status.borrow();
        Owned {
            cam: slug.clone(),
            epoch: self.fence.epoch,
            revision: self.fence.revision,
            state: status.state,
            media_age_ms: status.last_media_age().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            media_sequence: status.media_sequence(),
            discontinuity_sequence: status.discontinuity_sequence(),
            ready: status.state == StreamState::Running,
        }
    }

    /// What is told of it when something changed.
    pub fn event(&self, slug: &Slug, session: &SessionId) -> Event {
        let status = self.status.borrow();
        let since = status.since.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Event {
            v: VERSION,
            session: session.clone(),
            cam: slug.clone(),
            epoch: self.fence.epoch,
            revision: self.fence.revision,
            state: status.state,
            reason: status.reason.clone(),
            since_ms: u64::try_from(since.as_millis()).unwrap_or(0),
            video: status.video.clone(),
            restarts: status.restarts,
            hls_error: status.hls_error.clone(),
        }
    }
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

    #[test]
    fn slots_are_bounded_and_come_back() {
        let slots = Slots::new(2);
        let held = (slots.take().unwrap(), slots.take().unwrap());
        assert!(slots.take().is_none());
        drop(held);
        assert_eq!(slots.free(), 2);
    }
}
