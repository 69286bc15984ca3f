//! Which other processes live, for Prometheus. Nothing else depends on it.

pub mod relays;
pub mod workers;
