//! What every role of `rsm` must agree on: ids, camera links, commands, claims, frame headers, names on NATS,
//! configuration, telemetry. No SQL and no GStreamer; `async_nats` appears only under [`bus`].

pub mod bus;
pub mod config;
pub mod ops;
pub mod stream;
pub mod wire;
