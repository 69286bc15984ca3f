//! An open camera session, whichever carrier holds it.

use std::time::Instant;

use super::error::SourceError;
use super::retina::RetinaSource;
use super::rtspsrc::RtspsrcSource;
use super::synthetic::Synthetic;
use super::unit::SourceUnit;

/// An open camera session.
pub enum Source {
    Retina(Box<RetinaSource>),
    Rtspsrc(Box<RtspsrcSource>),
    /// Not a camera: a source that an [`Opener`](super::opener::Opener) of another program gives.
    Synthetic(Box<dyn Synthetic>),
}

impl Source {
    /// The next picture or frame of audio. Cancel safe. Waits for ever when the camera falls silent:
    /// the caller watches the time.
    ///
    /// # Errors
    /// [`SourceError`] when the session is over; nothing comes after it.
    pub async fn next(&mut self) -> Result<SourceUnit, SourceError> {
        match self {
            Self::Retina(source) => source.next().await,
            Self::Rtspsrc(source) => source.next().await,
            Self::Synthetic(source) => source.next().await,
        }
    }

    /// When the newest picture came that was left out: torn, or with nothing yet to decode it by. The camera is not
    /// silent then; [`Self::next`] gives up by itself when no key frame mends it.
    pub fn left_out(&self) -> Option<Instant> {
        match self {
            Self::Retina(source) => source.left_out(),
            Self::Rtspsrc(source) => source.left_out(),
            Self::Synthetic(_) => None,
        }
    }

    /// Ends the session: TEARDOWN is sent, socket and threads are gone, within a second or so.
    pub async fn close(self) {
        match self {
            Self::Retina(source) => source.close().await,
            Self::Rtspsrc(source) => source.close().await,
            // No peer outside this process needs to know.
            Self::Synthetic(source) => drop(source),
        }
    }
}
