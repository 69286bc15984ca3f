//! From what should run to commands on NATS, and from what workers say to what clients see.
//!
//! One task owns all state here ([`reconciler`]); it decides by pure functions ([`plan`], [`view`], [`roster`]) and
//! leaves everything that waits to short tasks ([`execute`]), so that a heartbeat is always answered at once.

pub mod execute;
mod nats_watch;
mod outcomes;
pub mod plan;
pub mod reconciler;
pub mod roster;
pub mod tracked;
pub mod view;

use prometheus::{IntCounterVec, IntGauge};

/// What control counts; the metrics themselves stand in the API's table.
#[derive(Clone)]
pub struct ControlMetrics {
    /// By kind and outcome.
    pub commands: IntCounterVec,
    /// Streams that live workers own.
    pub claims: IntGauge,
    /// By reason.
    pub claim_changes: IntCounterVec,
    pub nats_connected: IntGauge,
}
