//! Sessions that are no camera's.

use futures_util::future::BoxFuture;

use super::error::SourceError;
use super::unit::SourceUnit;

/// Pictures without a camera. Dropped at the end of the session.
pub trait Synthetic: Send {
    /// The next picture; the session is over after an error, and when none comes for the stall timeout. May be dropped
    /// and called again.
    fn next(&mut self) -> BoxFuture<'_, Result<SourceUnit, SourceError>>;
}
