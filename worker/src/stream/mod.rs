//! One claimed stream: its camera sessions one after the other, and its outputs beside them.

pub mod backoff;
mod camera_log;
pub mod engine;
pub mod meter;
pub mod pacer;
mod session;
pub mod status;
pub mod supervisor;
