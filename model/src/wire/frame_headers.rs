//! Headers of a frame on NATS. The public contract of any consumer of frames.

use crate::stream::fence::Fence;

/// `<epoch>.<revision>` of the owner's claim.
pub const FENCE: &str = "Rsm-Fence";
/// From 1 within a fence.
pub const SEQ: &str = "Rsm-Seq";
/// Time at which the picture reached the worker, microseconds since the Unix epoch.
pub const CAPTURED_AT: &str = "Rsm-Captured-At";
/// Time at which the frame was handed to NATS, microseconds since the Unix epoch.
pub const PUBLISHED_AT: &str = "Rsm-Published-At";
/// Pixels.
pub const WIDTH: &str = "Rsm-Width";
/// Pixels.
pub const HEIGHT: &str = "Rsm-Height";

/// The headers of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeaders {
    pub fence: Fence,
    pub seq: u64,
    /// Microseconds since the Unix epoch.
    pub captured_at_us: u64,
    /// Microseconds since the Unix epoch.
    pub published_at_us: u64,
    pub width: u32,
    pub height: u32,
}

impl FrameHeaders {
    /// Names and values, in the order of the contract.
    pub fn to_pairs(&self) -> [(&'static str, String); 6] {
        [
            (FENCE, self.fence.to_string()),
            (SEQ, self.seq.to_string()),
            (CAPTURED_AT, self.captured_at_us.to_string()),
            (PUBLISHED_AT, self.published_at_us.to_string()),
            (WIDTH, self.width.to_string()),
            (HEIGHT, self.height.to_string()),
        ]
    }

    /// Reads headers through `get`; `None` when one is missing or not a number.
    pub fn read<'a>(get: impl Fn(&'static str) -> Option<&'a str>) -> Option<Self> {
        Some(Self {
            fence: get(FENCE)?.parse().ok()?,
            seq: get(SEQ)?.parse().ok()?,
            captured_at_us: get(CAPTURED_AT)?.parse().ok()?,
            published_at_us: get(PUBLISHED_AT)?.parse().ok()?,
            width: get(WIDTH)?.parse().ok()?,
            height: get(HEIGHT)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::fence::Epoch;

    #[test]
    fn reads_what_it_wrote_and_refuses_a_gap() {
        let headers = FrameHeaders {
            fence: Fence { epoch: Epoch(1795350214855), revision: 7 },
            seq: 3,
            captured_at_us: 1,
            published_at_us: 2,
            width: 1280,
            height: 720,
        };
        let pairs = headers.to_pairs();
        let get = |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| v.as_str());
        assert_eq!(FrameHeaders::read(get), Some(headers));
        for missing in [FENCE, SEQ, CAPTURED_AT, PUBLISHED_AT, WIDTH, HEIGHT] {
            assert_eq!(FrameHeaders::read(|name| get(name).filter(|_| name != missing)), None);
        }
        assert_eq!(FrameHeaders::read(|name| if name == SEQ { Some("-1") } else { get(name) }), None);
    }
}
