//! The files of one owner of one stream: whole or not there, within a budget, gone when they should be.
//!
//! ```text
//! <root>/<slug>/<epoch>-<revision>/index.m3u8               multivariant; there means playable
//!                                  <rendition>.m3u8         media playlist, without parts
//!                                  <rendition>/init-<k>.mp4
//!                                  <rendition>/<media sequence>.m4s
//! ```

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::rendition::Rendition;
use rsm_shared::stream::slug::Slug;

use super::disk::{DiskError, DiskUse, WRITE_DEADLINE};

const INDEX: &str = "index.m3u8";

/// The directory of one owner of one stream. The fence in its path belongs to one claim, so no other worker writes
/// here: there is no lock, and no check at each write.
#[derive(Clone, Debug)]
pub struct SegmentDir {
    path: PathBuf,
    usage: DiskUse,
    /// Bytes of this directory within `usage`.
    own: Arc<AtomicU64>,
    /// Writes of the multivariant playlist.
    files: Arc<Files>,
}

/// The files of one of its renditions. To be made once for each.
#[derive(Clone, Debug)]
pub struct RenditionDir {
    stream: SegmentDir,
    rendition: Rendition,
    files: Arc<Files>,
}

/// Keeps a late write from appearing after it was abandoned or withdrawn.
#[derive(Debug, Default)]
struct Files {
    /// Grows whenever all that is still being written has become worthless.
    generation: AtomicU64,
    /// Writes so far: each gets a name of its own to be written under.
    writes: AtomicU64,
    /// Held by a thread while it checks the generation and renames, and while it removes a playlist. Must not be locked
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

    /// Where the files of a rendition go.
    pub fn rendition(&self, rendition: Rendition) -> RenditionDir {
        RenditionDir { stream: self.clone(), rendition, files: Arc::default() }
    }

    /// Writes the multivariant playlist: its presence means playable.
    ///
    /// # Errors
    /// [`DiskError`].
    pub async fn write_index(&self, text: String) -> Result<(), DiskError> {
        self.write(&self.files, &self.path, INDEX, vec![text.into()]).await
    }

    /// Takes the multivariant playlist away: not playable any more.
    pub async fn remove_index(&self) {
        self.withdraw(&self.files, INDEX.into()).await;
    }

    /// True when any file of it was written; `true` when the disk does not answer.
    pub(super) async fn exists(&self) -> bool {
        let path = self.path.clone();
        self.usage.run(move || path.exists()).await.unwrap_or(true)
    }

    pub(super) async fn remove(self) {
        self.usage.release(self.own.swap(0, Ordering::Relaxed));
        let path = self.path;
        let removed = self.usage.run(move || {
            if let Err(error) = fs::remove_dir_all(&path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(repeats = true, %error, "an HLS directory could not be removed");
            }
            // The stream's directory, unless another owner of it still has files there.
            let _ = path.parent().map(fs::remove_dir);
        });
        if removed.await.is_none() {
            tracing::warn!(
                repeats = true,
                seconds = WRITE_DEADLINE.as_secs(),
                "the disk takes too long to remove an HLS directory"
            );
        }
    }

    /// Nothing that is being written for `files` appears any more, and `name` is removed.
    async fn withdraw(&self, files: &Arc<Files>, name: String) {
        files.abandon();
        let (path, files) = (self.path.join(name), files.clone());
        let removed = self.usage.run(move || {
            let _renaming = files.renaming.lock();
            remove_quietly(&path);
        });
        // Files that stay are removed with the directory.
        let _ = removed.await;
    }

    async fn write(&self, files: &Arc<Files>, dir: &Path, name: &str, parts: Vec<Bytes>) -> Result<(), DiskError> {
        let write = self.begin(files, dir, name, parts);
        match self.usage.run(move || write.run()).await {
            Some(written) => written.map_err(DiskError::from),
            None => {
                // The owner counts it as not written, so it must not appear later.
                files.abandon();
                Err(DiskError::Slow)
            }
        }
    }

    fn begin(&self, files: &Arc<Files>, dir: &Path, name: &str, parts: Vec<Bytes>) -> Write {
        let number = files.writes.fetch_add(1, Ordering::Relaxed);
        Write {
            files: files.clone(),
            generation: files.generation.load(Ordering::Acquire),
            dir: dir.to_owned(),
            aside: dir.join(format!(".{name}.{number}.tmp")),
            path: dir.join(name),
            parts,
        }
    }
}

impl RenditionDir {
    /// Which rendition.
    pub fn rendition(&self) -> Rendition {
        self.rendition
    }

    fn dir(&self) -> PathBuf {
        self.stream.path.join(self.rendition.as_str())
    }

    fn playlist(&self) -> String {
        format!("{}.m3u8", self.rendition.as_str())
    }

    /// Writes a segment; its bytes count against the budget until it is removed.
    ///
    /// # Errors
    /// [`DiskError`]; nothing is left behind then.
    pub async fn write_segment(&self, sequence: u64, parts: Vec<Bytes>) -> Result<(), DiskError> {
        let len = parts.iter().map(|part| part.len() as u64).sum();
        self.stream.usage.take(len)?;
        let written = self.stream.write(&self.files, &self.dir(), &format!("{sequence}.m4s"), parts).await;
        match written {
            Ok(()) => _ = self.stream.own.fetch_add(len, Ordering::Relaxed),
            Err(_) => self.stream.usage.release(len),
        }
        written
    }

    /// Writes an initialisation section: some 800 bytes, not counted.
    ///
    /// # Errors
    /// [`DiskError`].
    pub async fn write_init(&self, number: u64, bytes: Bytes) -> Result<(), DiskError> {
        self.stream.write(&self.files, &self.dir(), &format!("init-{number}.mp4"), vec![bytes]).await
    }

    /// Writes the media playlist.
    ///
    /// # Errors
    /// [`DiskError`].
    pub async fn write_playlist(&self, text: String) -> Result<(), DiskError> {
        self.stream.write(&self.files, &self.stream.path, &self.playlist(), vec![text.into()]).await
    }

    /// Takes the media playlist away.
    pub async fn remove_playlist(&self) {
        self.stream.withdraw(&self.files, self.playlist()).await;
    }

    /// Removes segments: sequence number and length in bytes of each.
    pub async fn remove_segments(&self, segments: Vec<(u64, u64)>) {
        let (path, usage, own) = (self.dir(), self.stream.usage.clone(), self.stream.own.clone());
        let removed = self.stream.usage.run(move || {
            for (sequence, len) in segments {
                remove_quietly(&path.join(format!("{sequence}.m4s")));
                // Nothing is left of it when the whole directory was returned meanwhile.
                let less = |own: u64| Some(own.saturating_sub(len));
                let before = own.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).unwrap_or_default();
                usage.release(len.min(before));
            }
        });
        // Files that stay are removed with the directory.
        let _ = removed.await;
    }

    /// Removes initialisation sections that no segment needs.
    pub async fn remove_inits(&self, numbers: Vec<u64>) {
        let path = self.dir();
        let removed = self
            .stream
            .usage
            .run(move || numbers.iter().for_each(|k| remove_quietly(&path.join(format!("init-{k}.mp4")))));
        // Files that stay are removed with the directory.
        let _ = removed.await;
    }
}

impl Files {
    /// Files that are being written now do not appear any more.
    fn abandon(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }
}

impl Write {
    fn run(self) -> io::Result<()> {
        // Also before: it must not make a directory anew that was removed.
        self.still_wanted()?;
        let written = write_aside(&self.dir, &self.aside, &self.parts).and_then(|()| {
            let _renaming = self.files.renaming.lock();
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
    use crate::hls::lingering::Lingering;
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
        let source = dir.rendition(Rendition::Source);
        source.write_init(0, Bytes::from_static(b"init")).await.unwrap();
        source
            .write_segment(7, vec![Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"cde")])
            .await
            .unwrap();
        source.write_playlist("media".into()).await.unwrap();
        dir.write_index("index".into()).await.unwrap();
        assert_eq!(names(&here), ["index.m3u8", "source", "source.m3u8"]);
        assert_eq!(fs::read(here.join("source/7.m4s")).unwrap(), b"abcde");
        assert_eq!(dir.usage.used(), 5);
        let refused = source.write_segment(8, vec![Bytes::from_static(b"123456")]).await;
        assert!(matches!(refused, Err(DiskError::Budget(10))));
        source.remove_segments(vec![(7, 5)]).await;
        source.write_segment(8, vec![Bytes::from_static(b"123456")]).await.unwrap();
        assert_eq!(names(&here.join("source")), ["8.m4s", "init-0.mp4"]);

        let lingering = Lingering::default();
        source.remove_playlist().await;
        dir.remove_index().await;
        lingering.retire(dir.clone()).await;
        assert_eq!(names(&here), ["source"]);
        lingering.close().await;
        assert_eq!((names(root.path()), dir.usage.used()), (vec![], 0));
    }

    #[tokio::test]
    async fn a_write_that_ends_late_does_not_bring_a_withdrawn_playlist_back() {
        let root = tempfile::tempdir().unwrap();
        let dir = dir(root.path(), 100);
        let source = dir.rendition(Rendition::Source);
        source.write_playlist("old".into()).await.unwrap();
        let begin = |text: &'static str| {
            dir.begin(&source.files, &dir.path, &source.playlist(), vec![Bytes::from_static(text.as_bytes())])
        };
        let (late, other) = (begin("late"), begin(""));
        assert_ne!(late.aside, other.aside);
        // Written aside before the withdrawal, renamed after it.
        write_aside(&late.dir, &late.aside, &late.parts).unwrap();
        source.remove_playlist().await;
        assert!(late.run().is_err() && other.run().is_err());
        let playlist = root.path().join("door/12-3/source.m3u8");
        assert!(!playlist.exists());
        // Another rendition does not mind.
        let low = dir.rendition(Rendition::P360);
        low.write_playlist("low".into()).await.unwrap();
        source.write_playlist("new".into()).await.unwrap();
        assert_eq!(fs::read(playlist).unwrap(), b"new");
    }

    #[tokio::test]
    async fn a_refused_write_leaves_nothing_and_says_why() {
        let root = tempfile::tempdir().unwrap();
        // A file where a directory is needed.
        fs::write(root.path().join("door"), b"").unwrap();
        let dir = dir(root.path(), 100);
        let error = dir.rendition(Rendition::Audio).write_segment(1, vec![Bytes::from_static(b"x")]).await.unwrap_err();
        assert!(!error.to_string().contains("door"), "{error}");
        assert_eq!(dir.usage.used(), 0);
    }
}
