//! The control API: routes for operators and viewers, the database, the desired state on NATS, the relay of frames.

pub mod app;
pub mod control;
pub mod directory;
pub mod store;
pub mod serve;
