//! Waiting for a condition with a deadline.

use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Repeats `look` until its result `fits`; prints the last result on failure.
pub async fn eventually<T: std::fmt::Debug>(what: &str, mut look: impl FnMut() -> T, fits: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let seen = look();
        if fits(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited for {what}; last seen: {seen:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
