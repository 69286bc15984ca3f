//! The one place that talks to GStreamer. Nothing outside needs its types: bytes and times go in and come out.

pub mod caps;
mod decoder;
pub mod elements;
mod encoder;
mod feed;
pub mod form;
pub mod from_rtsp;
pub mod hardware;
mod levels;
mod log;
mod run;
#[cfg(test)]
pub(crate) mod test_clip;
pub mod to_aac;
pub mod to_h264;
pub mod to_jpeg;
mod trial;

/// Why a pipeline cannot be built, or ended.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PipelineError {
    #[error("the pipeline could not be built: {0}")]
    Build(String),
    #[error("{element} failed: {message}")]
    Element { element: String, message: String },
    #[error("the pipeline took no data for {} s", feed::FEED_DEADLINE.as_secs())]
    Stuck,
    #[error("the pipeline ended by itself")]
    Ended,
}

impl PipelineError {
    fn build(error: impl std::fmt::Display) -> Self {
        Self::Build(error.to_string())
    }
}
