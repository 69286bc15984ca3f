//! The limit of cameras that are probed at the same time.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Probes that run at the same time: each opens a camera and may take 20 s of a worker.
pub const AT_ONCE: usize = 4;

/// Permits for probes.
pub struct ProbeSlots(Semaphore);

impl Default for ProbeSlots {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl ProbeSlots {
    /// A slot, if one is free; released when dropped.
    pub fn try_take(&self) -> Option<SemaphorePermit<'_>> {
        self.0.try_acquire().ok()
    }
}
