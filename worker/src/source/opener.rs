//! Opens camera sessions: the edge of the worker towards cameras.
//!
//! A load test gives [`crate::app::run_with`] an [`Opener`] of its own, whose [`Synthetic`](super::Synthetic) sources make access units
//! without a camera. All else, from the ticket to the heartbeat, then runs as it does with cameras.

use futures_util::future::BoxFuture;
use rsm_shared::stream::spec::StreamSpec;
use tokio_util::sync::CancellationToken;

use super::carrier::{Carrier, OpenTiming};
use super::error::SourceError;
use super::open::{AddressPolicy, open};
use super::reach::ReachProbe;
use super::session::Source;

/// Opens sessions, for every stream of a process.
pub trait Opener: Send + Sync + 'static {
    /// Finds out whether cameras can be reached; `None` when there are none to reach.
    fn reach(&self) -> Option<ReachProbe> {
        None
    }

    /// Opens one session; `None` when `cancel` comes first. Callers do not cancel it, so it must end by itself, in
    /// time or once `cancel` comes, and leave nothing open unless it gives a session.
    fn open<'a>(
        &'a self,
        spec: &'a StreamSpec,
        carrier: Carrier,
        timing: OpenTiming,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Option<Result<Source, SourceError>>>;
}

/// Opens real cameras.
pub struct Cameras {
    /// Which addresses may be connected to.
    pub addresses: AddressPolicy,
}

impl Opener for Cameras {
    fn reach(&self) -> Option<ReachProbe> {
        Some(ReachProbe::new(self.addresses.clone()))
    }

    fn open<'a>(
        &'a self,
        spec: &'a StreamSpec,
        carrier: Carrier,
        timing: OpenTiming,
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Option<Result<Source, SourceError>>> {
        Box::pin(open(spec, carrier, &self.addresses, timing, Box::pin(cancel.cancelled())))
    }
}
