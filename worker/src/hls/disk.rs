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
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::slug::Slug;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the files of a stream that ended stay for players in the middle of a fetch, and for a hand-off.
const LINGER: Duration = Duration::from_secs(10);
/// A disk that takes longer for one file is as good as full.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);
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
}

impl DiskUse {
    /// Nothing used of `budget` bytes.
    pub fn new(budget: u64) -> Self {
        Self { used: Arc::default(), budget }
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
}

impl SegmentDir {
    /// Not yet made: the first file makes it.
    pub fn new(root: &Path, slug: &Slug, fence: Fence, usage: DiskUse) -> Self {
        // Both names are safe by type: no separator, no dot.
        Self { path: root.join(slug.as_str()).join(fence.dir_name()), usage, own: Arc::default() }
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

    /// Takes the playlists away: not playable any more.
    pub async fn remove_playlists(&self) {
        let path = self.path.clone();
        blocking(move || {
            for name in [INDEX, SOURCE] {
                remove_quietly(&path.join(name));
            }
        })
        .await;
    }

    /// Removes segments: sequence number and length in bytes of each.
    pub async fn remove_segments(&self, segments: Vec<(u64, u64)>) {
        let (path, usage, own) = (self.path.join("source"), self.usage.clone(), self.own.clone());
        blocking(move || {
            for (sequence, len) in segments {
                remove_quietly(&path.join(format!("{sequence}.m4s")));
                usage.give_back(len);
                own.fetch_sub(len, Ordering::Relaxed);
            }
        })
        .await;
    }

    /// Removes initialisation sections that no segment needs.
    pub async fn remove_inits(&self, numbers: Vec<u64>) {
        let path = self.path.join("source");
        blocking(move || numbers.iter().for_each(|k| remove_quietly(&path.join(format!("init-{k}.mp4"))))).await;
    }

    /// Takes the playlists away now and the rest after a while.
    pub async fn retire(self, lingering: &Lingering) {
        self.remove_playlists().await;
        if self.path.exists() {
            lingering.remove_later(self);
        }
    }

    async fn remove(self) {
        self.usage.give_back(self.own.swap(0, Ordering::Relaxed));
        blocking(move || {
            if let Err(error) = fs::remove_dir_all(&self.path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, "an HLS directory could not be removed");
            }
            // The stream's directory, unless another owner of it still has files there.
            let _ = self.path.parent().map(fs::remove_dir);
        })
        .await;
    }

    async fn write(&self, name: String, parts: Vec<Bytes>) -> Result<(), DiskError> {
        let path = self.path.join(&name);
        let aside = self.path.join(format!(".{}.tmp", name.replace('/', "-")));
        let dir = self.path.join("source");
        let task = tokio::task::spawn_blocking(move || {
            let written = write_aside(&dir, &aside, &path, &parts);
            if written.is_err() {
                remove_quietly(&aside);
            }
            written
        });
        match tokio::time::timeout(WRITE_DEADLINE, task).await {
            Ok(Ok(written)) => written.map_err(DiskError::from),
            Ok(Err(_)) => Err(DiskError::Io(io::Error::other("the writing thread failed"))),
            Err(_) => Err(DiskError::Slow),
        }
    }
}

fn write_aside(dir: &Path, aside: &Path, path: &Path, parts: &[Bytes]) -> io::Result<()> {
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
    // Not synced: after a crash of the machine the directory is cleared anyway.
    fs::rename(aside, path)
}

fn remove_quietly(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(%error, "an HLS file could not be removed");
    }
}

async fn blocking(work: impl FnOnce() + Send + 'static) {
    // A disk that hangs must not hang the stream: the thread is left behind.
    let _ = tokio::time::timeout(WRITE_DEADLINE, tokio::task::spawn_blocking(work)).await;
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
