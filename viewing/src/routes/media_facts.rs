//! Properties of a camera's video and audio, as clients see them.

use rsm_shared::stream::state::{AudioInfo, VideoInfo};
use salvo::oapi::ToSchema;
use serde::Serialize;

/// The camera's picture.
#[derive(Debug, Serialize, ToSchema)]
pub struct Video {
    /// As the camera sends it: `h264`, `h265` or `jpeg`.
    codec: String,
    /// Pixels.
    width: u32,
    /// Pixels.
    height: u32,
    /// Pictures per second; `null` until measured.
    fps: Option<f64>,
    /// Bits per second; `null` until measured.
    bitrate: Option<u64>,
}

/// The camera's audio.
#[derive(Debug, Serialize, ToSchema)]
pub struct Audio {
    /// As the camera sends it: `aac`, `pcma` or `pcmu`.
    codec: String,
    /// Hertz.
    sample_rate: u32,
    channels: u16,
}

impl From<&VideoInfo> for Video {
    fn from(video: &VideoInfo) -> Self {
        let VideoInfo { codec, rfc6381: _, width, height, fps, bitrate } = video.clone();
        Self { codec, width, height, fps, bitrate }
    }
}

impl From<&AudioInfo> for Audio {
    fn from(audio: &AudioInfo) -> Self {
        let AudioInfo { codec, sample_rate, channels } = audio.clone();
        Self { codec, sample_rate, channels }
    }
}
