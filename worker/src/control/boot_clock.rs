//! The clock that goes on while the machine sleeps, which `std::time::Instant` does not.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Since the machine began. Zero on kernels without this clock; none that this runs on.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default()
}
