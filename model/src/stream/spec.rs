//! All that a worker needs to run a stream.

use serde::{Deserialize, Serialize};

use super::camera_link::{CameraUrl, Credentials};
use super::rendition::RenditionSet;

/// The transport of RTP from the camera.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Interleaved in the RTSP connection first: passes every NAT and firewall, loses nothing.
    #[default]
    Auto,
    /// Interleaved in the RTSP connection only.
    Tcp,
    /// Datagrams only.
    Udp,
}

/// Bounds of the JPEG output. `max_fps` 1 to 60, `max_width` 64 to 3840 pixels, `quality` 1 to 100 as jpegenc
/// counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JpegParams {
    pub max_fps: u32,
    pub max_width: u32,
    pub quality: u32,
}

/// Shape of the HLS output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HlsParams {
    /// A segment is cut at the first key frame after this many seconds; 1 to 10. Not less than 1: media sequence
    /// numbers start at the epoch's seconds and must not outrun the clock.
    pub segment_seconds: u32,
    /// Segments listed in the playlist; 3 to 60.
    pub window_segments: u32,
    /// Length of a part of a segment that players may fetch before the segment is whole, milliseconds; 200 to 1000,
    /// or 0 for none: then latency is that of whole segments.
    #[serde(default)]
    pub part_ms: u32,
    /// Segments are made from the first picture on, with or without viewers.
    #[serde(default)]
    pub always_on: bool,
    /// Renditions with a height that are offered beside the source, as far as they have fewer lines than it.
    #[serde(default)]
    pub renditions: RenditionSet,
}

/// All that a worker needs to run one stream. Carries the camera's password: goes into the desired record and
/// nowhere else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamSpec {
    pub url: CameraUrl,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    #[serde(default)]
    pub transport: Transport,
    /// True when any certificate of an `rtsps` camera is taken: most cameras sign their own.
    #[serde(default)]
    pub tls_insecure: bool,
    /// The camera serves one session only: a worker that is cut off ends it early, so that another may open one.
    #[serde(default)]
    pub exclusive: bool,
    pub hls: HlsParams,
}
