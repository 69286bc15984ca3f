//! Chance, as much as viewers need.

use std::hash::{BuildHasher as _, RandomState};

/// From 0 up to and without 1.
pub fn part() -> f64 {
    // Every RandomState differs from the one before it.
    (RandomState::new().hash_one(0_u8) >> 11) as f64 / (1_u64 << 53) as f64
}

/// One of them. Of none it panics.
pub fn one_of<T>(all: &[T]) -> &T {
    &all[(part() * all.len() as f64) as usize]
}
