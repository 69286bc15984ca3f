//! Reasons why a viewer's connection ended.

use prometheus::{Histogram, IntCounter, IntCounterVec};

use super::frame::Frame;
use super::slot::StreamEnd;

/// A closed set: it is a metrics label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Departure {
    /// It went.
    Left,
    /// It gave no sign of life.
    Vanished,
    /// It took nothing for `api.viewer_stall_s`.
    Stalled,
    /// An operator stopped the stream.
    Stopped,
    /// The camera was removed.
    Removed,
    /// The process was told to stop.
    Shutdown,
    /// It sent bytes that no client may send.
    Protocol,
}

impl Departure {
    pub const ALL: [Self; 7] =
        [Self::Left, Self::Vanished, Self::Stalled, Self::Stopped, Self::Removed, Self::Shutdown, Self::Protocol];

    /// The name that stands in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Vanished => "vanished",
            Self::Stalled => "stalled",
            Self::Stopped => "stopped",
            Self::Removed => "removed",
            Self::Shutdown => "shutdown",
            Self::Protocol => "protocol",
        }
    }
}

impl From<StreamEnd> for Departure {
    fn from(end: StreamEnd) -> Self {
        match end {
            StreamEnd::Stopped => Self::Stopped,
            StreamEnd::Removed => Self::Removed,
        }
    }
}

/// Counters of viewers; the metrics themselves are declared in `metrics::serving`.
#[derive(Clone)]
pub struct ViewerCounts {
    /// Frames that a viewer was too slow for.
    pub skipped: IntCounter,
    /// From published to sent, seconds.
    pub relay_seconds: Histogram,
    /// Bytes of frames.
    pub sent_bytes: IntCounter,
    /// By [`Departure::as_str`].
    pub closed: IntCounterVec,
}

impl ViewerCounts {
    /// A viewer has got a frame.
    pub fn sent(&self, frame: &Frame) {
        self.sent_bytes.inc_by(frame.jpeg.len() as u64);
        // The publisher's clock may be ahead of ours.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let published = std::time::Duration::from_micros(frame.headers.published_at_us);
        self.relay_seconds.observe(now.saturating_sub(published).as_secs_f64());
    }

    /// A viewer that was sent frame `last` gets frame `next` now; 0 for none before. It was too slow for those between.
    pub fn skipped_between(&self, last: u64, next: u64) {
        if last > 0 && next > last + 1 {
            self.skipped.inc_by(next - last - 1);
        }
    }

    /// A viewer's connection ended.
    pub fn ended(&self, why: Departure) {
        self.closed.with_label_values(&[why.as_str()]).inc();
    }
}
