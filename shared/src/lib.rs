//! Everything that all roles of `rsm` must agree on: ids, camera links, commands, claims, frame headers, names on NATS,
//! configuration, telemetry. No SQL and no GStreamer; `async_nats` appears only under [`bus`]. The nouns and the
//! messages are a crate of their own, `rsm-model`, for crates that do no I/O.

pub mod bus;
pub mod config;
pub mod ops;

pub use rsm_model::{backoff, stream, wire};
