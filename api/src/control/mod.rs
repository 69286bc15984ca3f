//! From what should run to commands on NATS, and from what workers say to what clients see.
//!
//! [`arbiter`] owns all state and decides, without a clock or a network of its own, by pure functions ([`plan`] for one
//! stream, [`detector`] for who lives, [`moves`] for who goes where, [`suspects`] for what must not start). One task
//! runs it ([`reconciler`]) and leaves everything that waits to short tasks ([`execute`]), so that a heartbeat is
//! always answered at once.

pub mod arbiter;
pub mod command;
pub mod detector;
pub mod execute;
mod fleet;
pub mod moves;
mod nats_watch;
pub mod outcomes;
mod passes;
pub mod plan;
mod queue_watch;
pub mod reconciler;
pub mod roster;
pub mod suspects;
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

impl ControlMetrics {
    /// Counted for nobody: for whoever runs the [`arbiter`] without a registry.
    ///
    /// # Errors
    /// Never: the names are well formed.
    pub fn unregistered() -> Result<Self, prometheus::Error> {
        let by = |name: &str, labels: &[&str]| IntCounterVec::new(prometheus::Opts::new(name, name), labels);
        Ok(Self {
            commands: by("commands", &["kind", "outcome"])?,
            claims: IntGauge::new("claims", "claims")?,
            claim_changes: by("claim_changes", &["reason"])?,
            nats_connected: IntGauge::new("nats_connected", "nats_connected")?,
        })
    }
}
