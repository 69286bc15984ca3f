//! One claimed stream: its camera sessions one after the other, and its outputs beside them.

pub mod absence;
pub mod backoff;
mod camera_log;
pub mod camera_watch;
pub mod engine;
pub mod meter;
pub mod pacer;
mod retry;
mod session;
pub mod status;
pub mod supervisor;
