//! Parts that tests are made from: processes that end with the test, and waiting for conditions instead of time.

// The bench uses it too, and not all of it.
#![allow(dead_code, reason = "each test program and each bench uses a part")]

pub mod camera;
pub mod chaos;
pub mod cluster;
pub mod farm;
pub mod frames;
pub mod nats;
pub mod netns;
pub mod process;
pub mod prometheus;
pub mod role;
pub mod script;
pub mod service;
pub mod sse;
pub mod system;
pub mod viewer;
pub mod wall_clock;
pub mod watch;

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Time that a condition may take to come true. Far beyond the expected, as machines are busy with other tests: it
/// bounds a test that fails.
pub const DEADLINE: Duration = Duration::from_secs(180);
/// Interval between two probes of a condition. No test passes because of it: one ends with its condition or at its
/// deadline.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until the result of `look` `fits`; prints the last result on failure.
pub async fn eventually<T: Debug>(what: &str, look: impl AsyncFnMut() -> T, fits: impl Fn(&T) -> bool) -> T {
    eventually_in(DEADLINE, what, look, fits).await
}

/// The same with another deadline.
pub async fn eventually_in<T: Debug>(
    deadline: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> T,
    fits: impl Fn(&T) -> bool,
) -> T {
    let end = Instant::now() + deadline;
    loop {
        let seen = look().await;
        if fits(&seen) {
            return seen;
        }
        assert!(Instant::now() < end, "waited {} s for: {what}; saw last: {seen:?}", deadline.as_secs());
        tokio::time::sleep(LOOK).await;
    }
}

/// Puts a deadline on `work`.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(value) => value,
        Err(_) => panic!("waited {} s for: {what}", DEADLINE.as_secs()),
    }
}
