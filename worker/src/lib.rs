//! The worker role: claims streams and runs their camera sessions and GStreamer pipelines.

pub mod app;
pub mod camera_probe;
pub mod control;
pub mod hls;
pub mod hub;
pub mod metrics;
pub mod output;
pub mod pipeline;
pub mod source;
pub mod stream;
pub mod stream_trace;
#[cfg(test)]
mod test_units;
