//! One encoded picture, or one frame of audio, with its time.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;

use super::parameters::{AudioParameters, VideoParameters};

/// Largest access unit taken, in bytes. A 4K key frame at 50 Mbit/s is about 2 MB; a larger unit is from a
/// broken or hostile camera, and every bound in bytes downstream may be exceeded by one unit.
pub const MAX_UNIT_BYTES: usize = 8 * 1024 * 1024;

/// One picture, or one frame of audio.
#[derive(Clone, Debug)]
pub struct AccessUnit {
    /// H.264 and H.265: NAL units, each behind its length in four bytes; parameter sets are in
    /// [`VideoParameters::codec_data`]. JPEG: the whole file. AAC: one raw frame. G.711: samples.
    pub data: Bytes,
    /// Presentation time since the stream's first picture. Audio and pictures have one time.
    pub pts: Duration,
    /// True when the carrier says that decoding can begin here (docs/glossary.md: key frame); always false for audio.
    pub is_key: bool,
    /// When its last packet reached this process.
    pub arrived: Instant,
    /// When the camera captured it, by the camera's clock when that is credible; else when it arrived.
    pub captured: SystemTime,
    /// The run of continuous time it belongs to. Grows whenever time or parameters break: an output that sees
    /// another number begins anew at the next key frame.
    pub timeline: u64,
    /// Parameters of the picture; for audio, of the pictures that it accompanies.
    pub video: Arc<VideoParameters>,
    /// `Some` for audio, `None` for a picture.
    pub audio: Option<Arc<AudioParameters>>,
}

impl AccessUnit {
    /// True when it is a picture, and not audio.
    pub fn is_picture(&self) -> bool {
        self.audio.is_none()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    pub(crate) use crate::parameters::tests::parameters;

    /// A unit of one byte for tests of other modules.
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
}
