//! Why a camera gave no session: for the next try, and for the log.

use rsm_shared::stream::spec::StreamSpec;

use super::answers::Stop;
use super::error::SourceError;
use super::redact;
use super::tunnel::Over;

/// Why one address gave no session.
pub(super) struct Failure {
    pub error: SourceError,
    /// Where the camera wants to be asked, if it said so.
    pub location: Option<String>,
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self { error, location: None }
    }
}

impl Failure {
    /// A carrier failed with `error` behind a tunnel that is `over`, or not.
    pub(super) fn behind(error: SourceError, over: Option<Over>) -> Self {
        match over {
            Some(Over::Stopped(Stop::Moved(status, location))) => Self { error: SourceError::Moved(status), location },
            Some(Over::Stopped(Stop::NotRtsp)) => SourceError::NotRtsp.into(),
            Some(Over::Stopped(Stop::Broken)) => SourceError::Protocol.into(),
            Some(Over::Failed(reason)) => reason.into(),
            None => error.into(),
        }
    }
}

/// Logs the words of a library for the operator; a viewer never sees them.
pub(super) fn log_detail(spec: &StreamSpec, step: &'static str, text: &str) {
    if tracing::enabled!(tracing::Level::DEBUG) {
        let detail = redact::redact(text, spec.credentials.as_ref());
        tracing::debug!(camera = spec.url.host(), step, detail, "the camera session failed");
    }
}
