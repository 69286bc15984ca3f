//! Paces camera starts of a process: unpaced, 31 of 200 sessions that began together hung; 50 ms apart all ran.
//! First tries and retries have a line each, so that a new stream never stands behind cameras that do not answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Starts in progress at a time, in each line.
pub const MAX_STARTING: usize = 8;
/// Between two starts of a line.
pub const SPACING: Duration = Duration::from_millis(50);
/// A start counts as in progress for this long at most: cameras that never answer must not keep the others waiting.
/// So short that eight of them let a start through every 37 ms: the spacing alone decides how long a line takes.
const HOLD: Duration = Duration::from_millis(300);

/// Which line a start stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try {
    /// The first try of a stream that was just claimed.
    First,
    /// After a session that failed or ended.
    Again,
}

/// Gives the starts out, in each line in the order they are asked for.
#[derive(Debug)]
pub struct StartPacer {
    first: Line,
    again: Line,
}

/// A start in progress; to be dropped when the session is open, or is known not to open.
#[derive(Debug)]
pub struct Start {
    _ended: Option<DropGuard>,
}

#[derive(Debug)]
struct Line {
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
    /// Lines with at most `starting` at a time, `spacing` apart.
    pub fn new(starting: usize, spacing: Duration) -> Self {
        Self { first: Line::new(starting, spacing), again: Line::new(starting, spacing) }
    }

    /// Waits for a start. Cancel safe.
    pub async fn wait(&self, which: Try) -> Start {
        match which {
            Try::First => self.first.wait().await,
            Try::Again => self.again.wait().await,
        }
    }
}

impl Line {
    fn new(starting: usize, spacing: Duration) -> Self {
        Self { slots: Arc::new(Semaphore::new(starting.max(1))), next: Mutex::new(Instant::now()), spacing }
    }

    async fn wait(&self) -> Start {
        let permit = self.slots.clone().acquire_owned().await;
        {
            let mut next = self.next.lock().await;
            tokio::time::sleep_until(*next).await;
            *next = Instant::now() + self.spacing;
        }
        // The semaphore is never closed; were it, starting unpaced would be right.
        Start { _ended: permit.ok().map(release_later) }
    }
}

/// When the guard is dropped, or after [`HOLD`]. One small task per start, for that long at most.
fn release_later(permit: OwnedSemaphorePermit) -> DropGuard {
    let ended = CancellationToken::new();
    let guard = ended.clone().drop_guard();
    tokio::spawn(async move {
        // Either way it is time.
        let _ = tokio::time::timeout(HOLD, ended.cancelled()).await;
        drop(permit);
    });
    guard
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn starts_are_apart_and_few_at_a_time() {
        tokio::time::pause();
        let pacer = Arc::new(StartPacer::default());
        let begin = Instant::now();
        let (mut starts, mut held) = (Vec::new(), Vec::new());
        for _ in 0..40 {
            // No camera answers.
            held.push(pacer.wait(Try::Again).await);
            starts.push(begin.elapsed());
        }
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= SPACING));
        // At no moment are more than eight in progress.
        for start in &starts {
            let within = starts.iter().filter(|other| **other >= *start && **other < *start + HOLD).count();
            assert!(within <= MAX_STARTING, "{starts:?}");
        }
    }

    #[tokio::test]
    async fn dead_cameras_hold_up_neither_new_streams_nor_each_other_for_long() {
        tokio::time::pause();
        let pacer = Arc::new(StartPacer::default());
        let begin = Instant::now();
        let dead: Vec<_> = (0..100)
            .map(|_| {
                let pacer = pacer.clone();
                tokio::spawn(async move {
                    let _start = pacer.wait(Try::Again).await;
                    tokio::time::sleep(Duration::from_secs(5)).await;
                })
            })
            .collect();
        tokio::task::yield_now().await;
        drop(pacer.wait(Try::First).await);
        assert!(begin.elapsed() < SPACING * 2, "{:?}", begin.elapsed());
        for task in dead {
            task.await.unwrap();
        }
        let all = begin.elapsed() - Duration::from_secs(5);
        assert!(all < SPACING * 110, "{all:?}");
    }

    #[tokio::test]
    async fn a_start_that_ended_makes_room_at_once() {
        tokio::time::pause();
        let pacer = StartPacer::new(1, Duration::from_millis(1));
        let begin = Instant::now();
        for _ in 0..10 {
            drop(pacer.wait(Try::First).await);
        }
        assert!(begin.elapsed() < HOLD, "{:?}", begin.elapsed());
    }
}
