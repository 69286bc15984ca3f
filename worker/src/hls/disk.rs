//! The files of HLS: whole or not there, within a budget, gone when they should be.
//!
//! ```text
//! <root>/<slug>/<epoch>-<revision>/index.m3u8          multivariant; there means playable
//!                                  source.m3u8         media playlist
//!                                  source/init-<k>.mp4
//!                                  source/<media sequence>.m4s
//! ```

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::slug::Slug;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the files of a stream that ended stay for players in the middle of a fetch, and for a hand-off.
const LINGER: Duration = Duration::from_secs(10);
/// A disk that takes longer for one file is as good as full.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);
/// Threads of this process that work on the disk at a time: enough for any disk, and a disk that hangs takes no more
/// of them. Who waits for one does so under [`WRITE_DEADLINE`].
const MAX_WORKING: usize = 16;
const INDEX: &str = "index.m3u8";
const SOURCE: &str = "source.m3u8";

/// Why HLS stops. The sentences go into a stream's status: no path in them.
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

/// What all HLS files of this process take, and may take. Clones share it.
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

    fn take(&self, len: u64) -> Result<(), DiskError> {
        let fits = |used: u64| used.checked_add(len).filter(|sum| *sum <= self.budget);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .map(drop)
            .map_err(|_| DiskError::Budget(self.budget))
    }

    fn give_back(&self, len: u64) {
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| Some(used.saturating_sub(len)));
    }

    /// Runs `work` on a thread where it may wait for the disk; `None` when it was not done within [`WRITE_DEADLINE`].
    /// A disk that hangs must not hang the stream: the thread is left behind, and keeps its place among
    /// [`MAX_WORKING`] until the disk answers.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
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

/// Removes directories some time after their stream ended; at the end of the process at once.
#[derive(Clone, Debug, Default)]
pub struct Lingering {
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Lingering {
    /// Removes every directory that still lingers, now.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Waits until none lingers; a few seconds, when no stream ends any more.
    pub async fn settled(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// One waiting task per ended stream, for [`LINGER`] at most.
    fn remove_later(&self, dir: SegmentDir) {
        let closing = self.closing.clone();
        self.tasks.spawn(async move {
            // Either way it is time.
            let _ = tokio::time::timeout(LINGER, closing.cancelled()).await;
            dir.remove().await;
        });
    }
}

/// The directory of one owner of one stream.
#[derive(Clone, Debug)]
pub struct SegmentDir {
    path: PathBuf,
    usage: DiskUse,
    /// Bytes of this directory within `usage`.
    own: Arc<AtomicU64>,
    files: Arc<Files>,
}

/// Keeps a file that comes late from appearing after it was given up or withdrawn.
#[derive(Debug, Default)]
struct Files {
    /// Grows whenever all that is still being written has become worthless.
    generation: AtomicU64,
    /// Writes so far: each gets a name of its own to be written under.
    writes: AtomicU64,
    /// Held by a thread while it looks at the generation and renames, and while it removes playlists. Not to be taken
    /// on an async thread: its holder may wait for the disk.
    renaming: Mutex<()>,
}

/// A file on its way.
struct Write {
    files: Arc<Files>,
    generation: u64,
    dir: PathBuf,
    aside: PathBuf,
    path: PathBuf,
    parts: Vec<Bytes>,
}

impl SegmentDir {
    /// Not yet made: the first file makes it.
    pub fn new(root: &Path, slug: &Slug, fence: Fence, usage: DiskUse) -> Self {
        // Both names are safe by type: no separator, no dot.
        let path = root.join(slug.as_str()).join(fence.dir_name());
        Self { path, usage, own: Arc::default(), files: Arc::default() }
    }

    /// Writes a segment; its bytes count against the budget until it is removed.
    ///
    /// # Errors
    /// [`DiskError`]; nothing is left behind then.
    pub async fn write_segment(&self, sequence: u64, parts: Vec<Bytes>) -> Result<(), DiskError> {
        let len = parts.iter().map(|part| part.len() as u64).sum();
        self.usage.take(len)?;
        let written = self.write(format!("source/{sequence}.m4s"), parts).await;
        match written {
            Ok(()) => _ = self.own.fetch_add(len, Ordering::Relaxed),
            Err(_) => self.usage.give_back(len),
        }
        written
    }

    /// Writes an initialisation section: some 800 bytes, not counted.
    ///
    /// # Errors
    /// [`DiskError`].
    pub async fn write_init(&self, number: u64, parts: Vec<Bytes>) -> Result<(), DiskError> {
        self.write(format!("source/init-{number}.mp4"), parts).await
    }

    /// Writes the media playlist, then the multivariant one when it changed: its presence means playable.
    ///
    /// # Errors
    /// [`DiskError`].
    pub async fn write_playlists(&self, media: String, multivariant: Option<String>) -> Result<(), DiskError> {
        self.write(SOURCE.into(), vec![media.into()]).await?;
        match multivariant {
            Some(text) => self.write(INDEX.into(), vec![text.into()]).await,
            None => Ok(()),
        }
    }

    /// Takes the playlists away: not playable any more. `false` when there is not even a directory.
    pub async fn remove_playlists(&self) -> bool {
        self.files.abandon();
        let (path, files) = (self.path.clone(), self.files.clone());
        let there = self.usage.run(move || {
            let _renaming = files.renaming.lock().unwrap_or_else(PoisonError::into_inner);
            for name in [INDEX, SOURCE] {
                remove_quietly(&path.join(name));
            }
            path.exists()
        });
        there.await.unwrap_or(true)
    }

    /// Removes segments: sequence number and length in bytes of each.
    pub async fn remove_segments(&self, segments: Vec<(u64, u64)>) {
        let (path, usage, own) = (self.path.join("source"), self.usage.clone(), self.own.clone());
        let removed = self.usage.run(move || {
            for (sequence, len) in segments {
                remove_quietly(&path.join(format!("{sequence}.m4s")));
                // Nothing is left of it when the whole directory was given back meanwhile.
                let less = |own: u64| Some(own.saturating_sub(len));
                let before = own.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).unwrap_or_default();
                usage.give_back(len.min(before));
            }
        });
        // Late or never, what stays goes with the directory.
        let _ = removed.await;
    }

    /// Removes initialisation sections that no segment needs.
    pub async fn remove_inits(&self, numbers: Vec<u64>) {
        let path = self.path.join("source");
        let removed =
            self.usage.run(move || numbers.iter().for_each(|k| remove_quietly(&path.join(format!("init-{k}.mp4")))));
        // Late or never, what stays goes with the directory.
        let _ = removed.await;
    }

    /// Takes the playlists away now and the rest after a while.
    pub async fn retire(self, lingering: &Lingering) {
        if self.remove_playlists().await {
            lingering.remove_later(self);
        }
    }

    async fn remove(self) {
        self.usage.give_back(self.own.swap(0, Ordering::Relaxed));
        let path = self.path;
        let removed = self.usage.run(move || {
            if let Err(error) = fs::remove_dir_all(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "an HLS directory could not be removed");
            }
            // The stream's directory, unless another owner of it still has files there.
            let _ = path.parent().map(fs::remove_dir);
        });
        if removed.await.is_none() {
            tracing::warn!(seconds = WRITE_DEADLINE.as_secs(), "the disk takes too long to remove an HLS directory");
        }
    }

    async fn write(&self, name: String, parts: Vec<Bytes>) -> Result<(), DiskError> {
        let write = self.begin(&name, parts);
        match self.usage.run(move || write.run()).await {
            Some(written) => written.map_err(DiskError::from),
            None => {
                // The owner counts it as not written, so it must not appear later.
                self.files.abandon();
                Err(DiskError::Slow)
            }
        }
    }

    fn begin(&self, name: &str, parts: Vec<Bytes>) -> Write {
        let number = self.files.writes.fetch_add(1, Ordering::Relaxed);
        Write {
            files: self.files.clone(),
            generation: self.files.generation.load(Ordering::Acquire),
            dir: self.path.join("source"),
            aside: self.path.join(format!(".{}.{number}.tmp", name.replace('/', "-"))),
            path: self.path.join(name),
            parts,
        }
    }
}

impl Files {
    /// What is being written now shall not appear any more.
    fn abandon(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }
}

impl Write {
    fn run(self) -> io::Result<()> {
        // Also before: it must not make a directory anew that was removed.
        self.still_wanted()?;
        let written = write_aside(&self.dir, &self.aside, &self.parts).and_then(|()| {
            let _renaming = self.files.renaming.lock().unwrap_or_else(PoisonError::into_inner);
            self.still_wanted()?;
            // Not synced: after a crash of the machine the directory is cleared anyway.
            fs::rename(&self.aside, &self.path)
        });
        if written.is_err() {
            remove_quietly(&self.aside);
        }
        written
    }

    fn still_wanted(&self) -> io::Result<()> {
        match self.files.generation.load(Ordering::Acquire) == self.generation {
            true => Ok(()),
            false => Err(io::Error::other("given up meanwhile")),
        }
    }
}

fn write_aside(dir: &Path, aside: &Path, parts: &[Bytes]) -> io::Result<()> {
    let mut file = match fs::File::create(aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(dir)?;
            fs::File::create(aside)?
        }
        opened => opened?,
    };
    let mut slices: Vec<_> = parts.iter().map(|part| io::IoSlice::new(part)).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => io::IoSlice::advance_slices(&mut rest, n),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn remove_quietly(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(%error, "an HLS file could not be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_shared::stream::fence::Epoch;

    fn dir(root: &Path, budget: u64) -> SegmentDir {
        let fence = Fence { epoch: Epoch(12), revision: 3 };
        SegmentDir::new(root, &Slug::parse("door").unwrap(), fence, DiskUse::new(budget))
    }

    fn names(root: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn files_are_whole_counted_and_removed() {
        let root = tempfile::tempdir().unwrap();
        let dir = dir(root.path(), 10);
        let here = root.path().join("door/12-3");
        dir.write_init(0, vec![Bytes::from_static(b"init")]).await.unwrap();
        dir.write_segment(7, vec![Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"cde")]).await.unwrap();
        dir.write_playlists("media".into(), Some("index".into())).await.unwrap();
        assert_eq!(names(&here), ["index.m3u8", "source", "source.m3u8"]);
        assert_eq!(fs::read(here.join("source/7.m4s")).unwrap(), b"abcde");
        assert_eq!(dir.usage.used(), 5);
        let refused = dir.write_segment(8, vec![Bytes::from_static(b"123456")]).await;
        assert!(matches!(refused, Err(DiskError::Budget(10))));
        dir.remove_segments(vec![(7, 5)]).await;
        dir.write_segment(8, vec![Bytes::from_static(b"123456")]).await.unwrap();
        assert_eq!(names(&here.join("source")), ["8.m4s", "init-0.mp4"]);

        let lingering = Lingering::default();
        dir.clone().retire(&lingering).await;
        assert_eq!(names(&here), ["source"]);
        lingering.close().await;
        assert_eq!((names(root.path()), dir.usage.used()), (vec![], 0));
    }

    #[tokio::test]
    async fn a_write_that_ends_late_does_not_bring_a_withdrawn_playlist_back() {
        let root = tempfile::tempdir().unwrap();
        let dir = dir(root.path(), 100);
        dir.write_playlists("old".into(), Some("index".into())).await.unwrap();
        let late = dir.begin(SOURCE, vec![Bytes::from_static(b"late")]);
        let other = dir.begin(SOURCE, vec![]);
        assert_ne!(late.aside, other.aside);
        // Written aside before the withdrawal, renamed after it.
        write_aside(&late.dir, &late.aside, &late.parts).unwrap();
        assert!(dir.remove_playlists().await);
        assert!(late.run().is_err() && other.run().is_err());
        assert!(!root.path().join("door/12-3").join(SOURCE).exists());
        dir.write_playlists("new".into(), None).await.unwrap();
        assert_eq!(fs::read(root.path().join("door/12-3").join(SOURCE)).unwrap(), b"new");
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_hangs_is_given_up_and_takes_few_threads() {
        let usage = DiskUse::new(100);
        let places: Vec<_> = (0..MAX_WORKING).map(|_| usage.working.clone().try_acquire_owned().unwrap()).collect();
        assert_eq!(usage.run(|| ()).await, None);
        drop(places);
        assert_eq!(usage.run(|| 5).await, Some(5));
    }

    #[tokio::test]
    async fn a_refused_write_leaves_nothing_and_says_why() {
        let root = tempfile::tempdir().unwrap();
        // A file where a directory is needed.
        fs::write(root.path().join("door"), b"").unwrap();
        let dir = dir(root.path(), 100);
        let error = dir.write_segment(1, vec![Bytes::from_static(b"x")]).await.unwrap_err();
        assert!(!error.to_string().contains("door"), "{error}");
        assert_eq!(dir.usage.used(), 0);
        assert!(matches!(DiskError::from(io::Error::from(io::ErrorKind::StorageFull)), DiskError::Full));
    }
}
