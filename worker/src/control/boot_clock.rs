//! The clock that goes on while the machine sleeps, which `std::time::Instant` does not.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Time since the machine began. Zero on kernels without this clock, on which this program does not run.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}
