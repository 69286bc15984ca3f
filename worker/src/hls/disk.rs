//! Access to the disk for HLS, and the budget of all segments of a process.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

/// A disk that takes longer for one file is as good as full.
pub(super) const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// Threads of this process that work on the disk at a time: enough for any disk, and a disk that hangs takes no more
/// of them. Waiting for a thread counts within [`WRITE_DEADLINE`].
const MAX_WORKING: usize = 16;

/// Failures of the disk. The sentences go into a stream's status: no path in them.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    #[error("the disk for HLS segments is full")]
    Full,
    #[error("the HLS segments of this worker have reached their budget of {0} bytes")]
    Budget(u64),
    #[error("the HLS directory is not writable")]
    Denied,
    #[error("the disk for HLS segments took longer than {} s for one file", WRITE_DEADLINE.as_secs())]
    Slow,
    #[error("the disk for HLS segments refuses writes")]
    Io(#[source] io::Error),
}

impl From<io::Error> for DiskError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied,
            _ => Self::Io(error),
        }
    }
}

/// Bytes that all HLS files of this process take, and their budget. Clones share it.
#[derive(Clone, Debug)]
pub struct DiskUse {
    used: Arc<AtomicU64>,
    /// Bytes.
    budget: u64,
    working: Arc<Semaphore>,
}

impl DiskUse {
    /// Nothing used of `budget` bytes.
    pub fn new(budget: u64) -> Self {
        Self { used: Arc::default(), budget, working: Arc::new(Semaphore::new(MAX_WORKING)) }
    }

    /// Bytes in segments now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes that segments may take.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Counts `len` bytes.
    ///
    /// # Errors
    /// [`DiskError::Budget`] when they do not fit; nothing is counted then.
    pub(super) fn take(&self, len: u64) -> Result<(), DiskError> {
        let fits = |used: u64| used.checked_add(len).filter(|sum| *sum <= self.budget);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map(drop)
            .map_err(|_| DiskError::Budget(self.budget))
    }

    /// Counts `len` bytes less.
    pub(super) fn release(&self, len: u64) {
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| Some(used.saturating_sub(len)));
    }

    /// Runs `work` on a thread where it may wait for the disk; `None` when it was not done within [`WRITE_DEADLINE`].
    /// A disk that hangs must not hang the stream: the thread is left behind, and keeps its place among
    /// [`MAX_WORKING`] until the disk answers.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let done = async {
            // Never closed.
            let place = self.working.clone().acquire_owned().await.ok()?;
            let task = tokio::task::spawn_blocking(move || {
                let _place = place;
                work()
            });
            // A panic was reported where it happened.
            task.await.ok()
        };
        tokio::time::timeout(WRITE_DEADLINE, done).await.ok().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_is_given_up_and_takes_few_threads() {
        let usage = DiskUse::new(100);
        let places: Vec<_> = (0..MAX_WORKING).map(|_| usage.working.clone().try_acquire_owned().unwrap()).collect();
        assert_eq!(usage.run(|| ()).await, None);
        drop(places);
        assert_eq!(usage.run(|| 5).await, Some(5));
    }

    #[test]
    fn a_full_disk_is_told_from_a_broken_one() {
        for (kind, full) in
            [(io::ErrorKind::StorageFull, true), (io::ErrorKind::QuotaExceeded, true), (io::ErrorKind::Other, false)]
        {
            assert_eq!(matches!(DiskError::from(io::Error::from(kind)), DiskError::Full), full);
        }
    }
}
