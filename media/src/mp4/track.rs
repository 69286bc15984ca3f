//! Numbers that all boxes of a track share.

/// Ticks per second of pictures: RTP's clock for video (RFC 6184 section 8.2.1), so that no time is rounded.
pub const VIDEO_TIMESCALE: u32 = 90_000;
/// There is one track in a file.
pub(super) const TRACK_ID: u32 = 1;
