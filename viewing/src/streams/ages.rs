//! The ages of all streams' pictures as one text, made once for all clients within half a second.

use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

/// A text is sent for this long before it is made anew.
const KEPT: Duration = Duration::from_millis(500);

/// The newest text and when it was made.
#[derive(Default)]
pub struct AgesCache(Mutex<Option<(Instant, Bytes)>>);

impl AgesCache {
    /// The kept text, or the one that `make` makes now.
    pub fn get_or_make(&self, make: impl FnOnce() -> Bytes) -> Bytes {
        let mut kept = self.0.lock();
        match &*kept {
            Some((at, text)) if at.elapsed() < KEPT => text.clone(),
            _ => kept.insert((Instant::now(), make())).1.clone(),
        }
    }
}
