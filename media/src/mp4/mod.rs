//! Fragmented MP4 as CMAF (ISO/IEC 23000-19) has it: one track a file, made of access units as they are. Pure.

mod fragment;
mod init;
mod track;

pub use fragment::{FragmentSample, fragment_header};
pub use init::{BadTrack, Init, init};
pub use track::VIDEO_TIMESCALE;
