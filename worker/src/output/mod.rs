//! What is made of a stream: JPEG frames on NATS, HLS segments on disk. Each stands and fails alone.

pub mod demand;
pub mod frames;
pub mod hls;
pub mod jpeg;
