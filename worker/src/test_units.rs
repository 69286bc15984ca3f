//! Access units and parameters for tests.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use rsm_media::access_unit::AccessUnit;
use rsm_media::parameters::{AudioCodec, AudioParameters, VideoParameters};

/// `avcC` of a baseline stream: 320x240, level 1.2.
const BASELINE: [u8; 40] = [
    0x01, 0x42, 0xc0, 0x0c, 0xff, 0xe1, 0x00, 0x18, 0x67, 0x42, 0xc0, 0x0c, 0xd9, 0x01, 0x41, 0xfb, 0x01, 0x10, 0x00,
    0x00, 0x03, 0x00, 0x10, 0x00, 0x00, 0x03, 0x01, 0xe0, 0xf1, 0x42, 0xa4, 0x80, 0x01, 0x00, 0x05, 0x68, 0xcb, 0x83,
    0xcb, 0x20,
];

/// Parameters of H.264 without reordering, 320x240.
pub(crate) fn parameters() -> Arc<VideoParameters> {
    Arc::new(VideoParameters::from_avcc(Bytes::from_static(&BASELINE)).unwrap())
}

/// Parameters of G.711 A-law.
pub(crate) fn audio() -> Arc<AudioParameters> {
    let codec_data = Bytes::new();
    Arc::new(AudioParameters { codec: AudioCodec::Pcma, codec_data, sample_rate: 8000, channels: 1 })
}

/// A picture of one byte.
pub(crate) fn unit(pts_ms: u64, is_key: bool) -> AccessUnit {
    AccessUnit {
        data: Bytes::from_static(&[0]),
        pts: Duration::from_millis(pts_ms),
        is_key,
        arrived: Instant::now(),
        captured: SystemTime::now(),
        timeline: 1,
        video: parameters(),
        audio: None,
    }
}
