//! Encoded media without I/O: access units and their parameters, time, fragmented MP4, and HLS from segments to
//! playlists. Bytes and times go in and come out; there is no network, no file, no clock and no task here.

// The surface of this crate is what others build on: `pub` says that they may.
#![warn(unreachable_pub)]

pub mod access_unit;
pub mod decoding_times;
pub mod group_queue;
pub mod hls;
mod hvcc;
pub mod jpeg;
pub mod keyless;
pub mod media_time;
pub mod mp4;
pub mod pace;
pub mod parameters;
pub mod rate_limit;
