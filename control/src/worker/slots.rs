//! Slots: how many streams this process may run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::admission::SlotCount;

/// The slots of this process: one for each stream that runs or ends. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Slots {
    used: Arc<AtomicU32>,
    capacity: u32,
}

/// One taken slot; it is free again when this is dropped.
#[derive(Debug)]
pub struct Slot(Arc<AtomicU32>);

impl Slots {
    /// Room for `capacity` streams.
    pub fn new(capacity: u32) -> Self {
        Self { used: Arc::default(), capacity }
    }

    /// Number of slots.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Slots that are free now.
    pub fn free(&self) -> u32 {
        self.capacity.saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// The number of slots, and of free ones.
    pub fn count(&self) -> SlotCount {
        SlotCount { capacity: self.capacity, free: self.free() }
    }

    /// Takes a slot, if one is free.
    pub fn take(&self) -> Option<Slot> {
        self.used
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |used| (used < self.capacity).then_some(used + 1))
            .ok()
            .map(|_| Slot(self.used.clone()))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_bounded_and_come_back() {
        let slots = Slots::new(2);
        let held = (slots.take().unwrap(), slots.take().unwrap());
        assert!(slots.take().is_none());
        drop(held);
        assert_eq!(slots.free(), 2);
    }
}
