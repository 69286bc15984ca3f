//! Failures of HLS, and the pauses after them.

use std::time::Duration;

use rsm_media::mp4::BadTrack;

use crate::hls::disk::DiskError;
use crate::pipeline::PipelineError;

/// Pause after a failure: doubled each time from the first to the second.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Why HLS, or a rendition of it, ended. The sentences go into a stream's status.
#[derive(Debug, thiserror::Error)]
pub(super) enum HlsError {
    #[error("HLS cannot be encoded")]
    Pipeline(#[from] PipelineError),
    #[error("HLS cannot be made of this camera's stream")]
    Track(#[from] BadTrack),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("the camera sends key frames too rarely for HLS; set its key frame interval to 1 to 4 seconds")]
    NoKeyFrame,
    #[error("the camera sends another codec than before; HLS begins anew")]
    AnotherCodec,
    #[error("this worker encodes as many streams as it may (worker.max_encoders)")]
    NoEncoder,
}

impl HlsError {
    /// The cause, for the log: the sentence for viewers does not name it.
    pub fn detail(&self) -> Option<String> {
        std::error::Error::source(self).map(ToString::to_string)
    }
}

/// The pause after a failure.
pub(super) struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(RETRY.0)
    }
}

impl Backoff {
    pub fn next(&mut self) -> Duration {
        let wait = self.0;
        self.0 = (wait * 2).min(RETRY.1);
        wait
    }
}
