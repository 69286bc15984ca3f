//! Running a role: logs, metrics, health, ordered end.

pub mod descriptors;
pub mod disk;
pub mod health;
pub mod host;
pub mod listener;
pub mod logs;
pub mod metrics;
pub mod process;
pub mod segment_root;
pub mod shutdown;
pub mod telemetry;
pub mod traces;
