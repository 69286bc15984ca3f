//! Encoded pictures of one size.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::watch;

/// One encoded picture.
#[derive(Clone, Debug)]
pub struct JpegFrame {
    pub data: Bytes,
    /// PTS of the unit it came from.
    pub pts: Duration,
    /// Capture time of that unit; `None` when it is not known any more.
    pub captured: Option<SystemTime>,
    /// Pixels.
    pub width: u32,
    pub height: u32,
    /// Time from decoded to encoded, without the work for other sizes: scaling and encoding.
    pub encode: Duration,
    /// Counts the frames of this size; a gap means that the newest replaced one that was not taken.
    pub number: u64,
}

/// The newest frame of a size; `None` until there is one. Holds one frame, never a queue. Closed once the size is not
/// made any more.
pub type NewestJpeg = watch::Receiver<Option<JpegFrame>>;
