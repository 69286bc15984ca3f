//! Fragmented MP4 as CMAF (ISO/IEC 23000-19) has it: one track a file, made of access units as they are. Pure.

mod fragment;
mod init;

pub use fragment::{FragmentSample, fragment_header};
pub use init::{BadTrack, Init, init};

/// Ticks per second of pictures: RTP's clock for video (RFC 6184 section 8.2.1), so that no time is rounded.
pub const VIDEO_TIMESCALE: u32 = 90_000;
/// There is one track in a file.
const TRACK_ID: u32 = 1;
