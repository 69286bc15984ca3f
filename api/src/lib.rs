//! The control API: routes for operators and viewers, the database, the desired state on NATS, the relay of frames.
//! And the role that has of all this only what viewers need.

pub mod app;
pub mod changed_streams;
pub mod closing;
pub mod control;
pub mod control_thread;
pub mod directory;
pub mod directory_follower;
pub mod directory_teller;
pub mod hls;
pub mod http;
pub mod metrics;
pub mod problem;
pub mod relay;
pub mod relays;
pub mod request_trace;
pub mod role;
pub mod routes;
pub mod serve;
pub mod serve_relay;
pub mod start_trace;
pub mod store;
pub mod streams;
pub mod wishes;
