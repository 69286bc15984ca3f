//! The windows over which a bench measures.

use std::time::Duration;

/// Number and length of the windows of each side and case.
#[derive(Clone, Copy)]
pub struct Windows {
    pub count: u64,
    pub length: Duration,
}
