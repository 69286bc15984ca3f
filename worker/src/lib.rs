//! The worker role: claims streams and runs their camera sessions and GStreamer pipelines.

pub mod app;
pub mod control;
pub mod hls;
pub mod look;
pub mod media;
pub mod metrics;
pub mod mp4;
pub mod output;
pub mod pipeline;
pub mod source;
pub mod stream;
