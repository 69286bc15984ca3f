//! Failures of HLS, and the pauses after them.

use std::time::Duration;

use rsm_media::mp4::BadTrack;
use rsm_shared::backoff::Backoff;

use crate::hls::disk::DiskError;
use crate::pipeline::PipelineError;

/// First pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause after failures in a row.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

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

/// Pauses after failures of a rendition.
pub(super) fn backoff() -> Backoff {
    Backoff::new(FIRST_PAUSE, LONGEST_PAUSE)
}
