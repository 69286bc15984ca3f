//! The log of one camera: its first failure at once, then the number of failures, then the recovery.

use std::time::{Duration, Instant};

use rsm_shared::ops::logs::repeated::{Failed, Recovered, Repeated};
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::state::{Reason, ReasonCode, StreamState};
use tracing::{info, warn};

/// The lines of one stream, while this worker owns it.
pub(super) struct CameraLog {
    slug: Slug,
    fence: Fence,
    failures: Repeated<ReasonCode>,
}

impl CameraLog {
    pub fn new(slug: Slug, fence: Fence) -> Self {
        Self { slug, fence, failures: Repeated::default() }
    }

    /// A session ended, or did not begin; the next try is after `wait`.
    pub fn failed(&mut self, state: StreamState, reason: &Reason, wait: Duration) {
        let Some(Failed { times, lasting }) = self.failures.failed(reason.code, Instant::now()) else { return };
        let (state, code, error) = (state.as_str(), reason.code.as_str(), reason.text.as_str());
        let (next_try_s, lasting_s) = (wait.as_secs_f64().round(), lasting.as_secs());
        let Self { slug, fence, .. } = self;
        if times == 1 {
            warn!(stream = %slug, %fence, state, reason = code, error, next_try_s, "no pictures from the camera");
        } else {
            warn!(
                stream = %slug, %fence, state, reason = code, error, next_try_s, times, lasting_s,
                "still no pictures from the camera"
            );
        }
    }

    /// Pictures come.
    pub fn well(&mut self) {
        let Some(Recovered { away, failures }) = self.failures.well(Instant::now()) else { return };
        let Self { slug, fence, .. } = self;
        info!(stream = %slug, %fence, away_s = away.as_secs(), tries = failures, "pictures from the camera again");
    }
}
