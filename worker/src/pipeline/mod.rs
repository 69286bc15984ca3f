//! The one place that talks to GStreamer. Nothing outside needs its types: bytes and times go in and come out.

pub mod caps;
mod decoder;
pub mod elements;
mod encoder;
mod error;
mod feed;
pub mod form;
pub mod from_rtsp;
pub mod hardware;
mod job;
mod levels;
mod log;
mod run;
mod sink;
#[cfg(test)]
pub(crate) mod test_clip;
pub mod to_aac;
pub mod to_h264;
pub mod to_jpeg;
mod trial;

pub use error::PipelineError;
