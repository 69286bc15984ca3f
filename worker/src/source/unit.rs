//! Pictures and audio as cameras send them, in the camera's time.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;

use rsm_media::parameters::{AudioParameters, VideoParameters};

/// One picture, or one frame of audio, as a camera sent it, in the camera's time.
#[derive(Debug)]
pub struct SourceUnit {
    /// As [`rsm_media::access_unit::AccessUnit::data`].
    pub data: Bytes,
    /// Nanoseconds, beginning anywhere; may jump. Audio and pictures of a session have one time.
    pub time_ns: i64,
    /// Decoding can begin here, according to the carrier's library; see [`rsm_media::access_unit::AccessUnit::is_key`].
    pub is_key: bool,
    pub arrived: Instant,
    /// When the camera took it, by the camera's clock when that is credible; else when it arrived.
    pub captured: SystemTime,
    /// Parameters of the picture; for audio, of the newest picture: audio before the first one is dropped.
    pub video: Arc<VideoParameters>,
    /// `Some` for audio.
    pub audio: Option<Arc<AudioParameters>>,
}
