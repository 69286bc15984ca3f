//! Between two camera sessions of a stream: the pause, which ends early when the camera comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rsm_shared::stream::camera_link::CameraUrl;

use super::absence::{Absence, EarlyTries};
use super::backoff::SessionBackoff;
use super::camera_watch::CameraWait;
use super::engine::Engine;
use crate::source::error::SourceError;

/// The tries of one stream.
pub(super) struct Retry {
    engine: Arc<Engine>,
    url: CameraUrl,
    backoff: SessionBackoff,
    early: EarlyTries,
    /// While the camera is away.
    away: Option<CameraWait>,
}

impl Retry {
    pub fn new(engine: Arc<Engine>, url: CameraUrl) -> Self {
        let backoff = SessionBackoff::new(engine.timing);
        Self { engine, url, backoff, early: EarlyTries::default(), away: None }
    }

    /// A session ended with `error` after pictures for `healthy`, or did not begin; gives the longest pause.
    pub fn ended(&mut self, error: &SourceError, healthy: Duration) -> Duration {
        self.early.ended(healthy);
        self.away = Absence::after(error, healthy).and_then(|absence| self.engine.watch.wait_for(&self.url, absence));
        self.backoff.after(error.state(), healthy, rand::random())
    }

    /// Waits for `pause`, or until the camera has come back. Cancel safe.
    pub async fn wait(&mut self, pause: Duration) {
        let over = tokio::time::sleep(pause);
        tokio::pin!(over);
        while let Some(away) = &mut self.away {
            tokio::select! {
                () = &mut over => return,
                () = away.returned() => {}
            }
            let was_closed = away.was_closed();
            if self.returned(was_closed) {
                self.away = None;
                return;
            }
        }
        over.await;
    }

    /// Before a try: waits until a camera that was away can be connected to. Its session would be deaf to a return until
    /// TCP repeats its first packet. Cancel safe, if the stream ends then.
    ///
    /// # Errors
    /// [`SourceError`] when it cannot within the deadline of a connection.
    pub async fn reachable(&mut self) -> Result<(), SourceError> {
        let Some(mut away) = self.away.take().filter(CameraWait::is_closed) else { return Ok(()) };
        let deadline = self.engine.timing.connect_timeout;
        tokio::select! {
            () = away.open() => {}
            connected = self.engine.watch.connects(&self.url, deadline) => connected?,
        }
        self.returned(away.was_closed());
        Ok(())
    }

    /// The camera has come back, its port `was_closed` or not; true when that permits an early try.
    fn returned(&mut self, was_closed: bool) -> bool {
        let (least, longest) = (self.engine.timing.backoff_min, self.engine.timing.backoff_max);
        let allowed = self.early.allow(Instant::now(), least, longest);
        if allowed && was_closed && self.early.are_free() {
            self.backoff.returned();
        }
        allowed
    }
}
