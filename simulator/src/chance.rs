//! Random numbers for jitter and for the values that RFC 3550 wants unpredictable. Nothing here guards a secret.

use std::hash::{BuildHasher, RandomState};

/// 32 bits, another on every call.
pub fn number() -> u32 {
    // Each RandomState differs from the one before it, and the first is seeded by the system.
    RandomState::new().hash_one(0_u8) as u32
}
