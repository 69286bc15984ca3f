//! The outputs of a stream: JPEG frames on NATS, HLS segments on disk. Each runs and fails alone.

pub mod demand;
pub mod frames;
pub mod hls;
pub mod jpeg;
