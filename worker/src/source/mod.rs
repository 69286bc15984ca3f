//! From a camera to access units. Two carriers behind one face. What is public and hidden is so for fuzzing only.

#[doc(hidden)]
pub mod answers;
pub mod camera_clock;
mod connect;
pub mod error;
mod in_a_row;
#[doc(hidden)]
pub mod offer;
pub mod open;
pub mod opener;
mod received;
#[doc(hidden)]
pub mod redact;
#[doc(hidden)]
pub mod redirect;
mod resolve;
mod retina;
mod rtspsrc;
#[cfg(test)]
mod tests;
mod tls;
mod tunnel;
#[doc(hidden)]
pub mod whole;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;

use crate::media::parameters::{AudioParameters, VideoParameters};
use error::SourceError;

/// One picture, or one frame of sound, as a camera sent it, in the camera's time.
#[derive(Debug)]
pub struct SourceUnit {
    /// As [`crate::media::access_unit::AccessUnit::data`].
    pub data: Bytes,
    /// Nanoseconds, beginning anywhere; may jump. Sound and pictures of a session have one time.
    pub time_ns: i64,
    pub is_key: bool,
    pub arrived: Instant,
    /// When the camera took it, by the camera's clock when that is credible; else when it arrived.
    pub captured: SystemTime,
    /// Of the picture; for sound, of the newest picture: sound before the first one is left out.
    pub video: Arc<VideoParameters>,
    /// `Some` for sound.
    pub sound: Option<Arc<AudioParameters>>,
}

/// An open camera session.
pub enum Source {
    Retina(Box<retina::RetinaSource>),
    Rtspsrc(Box<rtspsrc::RtspsrcSource>),
    /// Not a camera: what an [`opener::Opener`] of another program gives.
    Synthetic(Box<dyn opener::Synthetic>),
}

impl Source {
    /// The next picture or frame of sound. Safe to drop and call again. Waits for ever when the camera falls silent:
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
    /// silent then; [`Self::next`] gives up by itself when no key picture mends it.
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
            // Nothing outside this process is to be told.
            Self::Synthetic(source) => drop(source),
        }
    }
}
