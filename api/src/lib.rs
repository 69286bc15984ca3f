//! The control API: routes for operators and viewers, the database, the desired state on NATS, the relay of frames.

pub mod app;
pub mod control;
pub mod directory;
pub mod hls;
pub mod metrics;
pub mod problem;
pub mod relay;
pub mod routes;
pub mod serve;
pub mod store;
