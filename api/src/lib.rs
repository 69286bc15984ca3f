//! The control API: routes for operators, the database, the desired state on NATS. Everything that it serves to viewers
//! is in the crate that it shares with relays.

pub mod app;
pub mod control;
pub mod directory;
pub mod discovery;
pub mod metrics;
pub mod operators;
pub mod process;
pub mod routes;
pub mod store;
