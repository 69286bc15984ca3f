//! Failures of pipelines.

use std::time::Duration;

/// A pipeline that takes no data for this long is stuck.
pub(super) const FEED_DEADLINE: Duration = Duration::from_secs(10);

/// Why a pipeline cannot be built, or ended.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PipelineError {
    #[error("the pipeline could not be built: {0}")]
    Build(String),
    #[error("{element} failed: {message}")]
    Element { element: String, message: String },
    #[error("the pipeline took no data for {} s", FEED_DEADLINE.as_secs())]
    Stuck,
    #[error("the pipeline ended by itself")]
    Ended,
}

impl PipelineError {
    pub(super) fn build(error: impl std::fmt::Display) -> Self {
        Self::Build(error.to_string())
    }
}
