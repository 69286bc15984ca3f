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
pub mod reconciler;
pub mod roster;
pub mod suspects;
pub mod tracked;
pub mod view;

pub use crate::metrics::control::ControlMetrics;
