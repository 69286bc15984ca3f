//! The files of workers that write to this machine's disk. Players that ask for one playlist at a time share one read.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use moka::future::Cache;
use moka::policy::EvictionPolicy;
use rsm_shared::stream::fence::Fence;
use rsm_shared::stream::slug::Slug;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::locate::{self, MediaFile, Playlist};
use super::playlist::PlaylistText;
use crate::http::problem::Problem;

/// A disk that takes longer for one file is as good as absent.
const READ_DEADLINE: Duration = Duration::from_secs(5);
/// Longest playlist read, bytes: 60 segments take 10,000.
const MAX_PLAYLIST: u64 = 256 << 10;
/// One read of a playlist answers all requests of this span.
const READ_AGE: Duration = Duration::from_millis(100);
/// When to try again, seconds.
pub const RETRY_AFTER: u64 = 2;
/// Reads that are kept: one for each rendition that is played.
const MAX_READS: u64 = 4096;

/// Result of one read: a playlist, none, or the error of the disk.
type DiskRead = Result<Option<PlaylistText>, Problem>;

/// Cheap to clone.
#[derive(Clone)]
pub struct Disk {
    /// `None` where no worker writes.
    root: Option<PathBuf>,
    playlists: Cache<(Slug, Fence, Playlist), DiskRead>,
    /// Set once the log has said that the files may not be read.
    denial_logged: Arc<AtomicBool>,
}

impl Disk {
    /// The files under `root`; `None` on a machine where no worker writes: there nothing is ever looked at.
    pub fn new(root: Option<PathBuf>) -> Self {
        let playlists = Cache::builder()
            .max_capacity(MAX_READS)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(READ_AGE)
            .build();
        Self { root, playlists, denial_logged: Arc::default() }
    }

    /// A playlist of an owner as it was at most 100 ms ago; `None` when it is not here.
    ///
    /// # Errors
    /// 503 when the disk does not answer in time, 500 when it fails.
    pub async fn playlist(&self, slug: &Slug, fence: Fence, which: Playlist) -> DiskRead {
        let Some(root) = &self.root else { return Ok(None) };
        let read_file = async {
            let path = locate::playlist(root, slug, fence, which);
            let read = async {
                let mut text = String::new();
                File::open(path).await?.take(MAX_PLAYLIST).read_to_string(&mut text).await?;
                PlaylistText::read(text).ok_or_else(|| ErrorKind::InvalidData.into())
            };
            self.within(read).await
        };
        self.playlists.get_with((slug.clone(), fence, which), read_file).await
    }

    /// A media file of an owner, open for reading, and how long it is in bytes; `None` when it is not here.
    ///
    /// # Errors
    /// As [`Disk::playlist`].
    pub async fn media(&self, slug: &Slug, fence: Fence, file: MediaFile) -> Result<Option<(File, u64)>, Problem> {
        let Some(root) = &self.root else { return Ok(None) };
        let path = locate::media(root, slug, fence, file);
        let open = async {
            let file = File::open(path).await?;
            let len = file.metadata().await?.len();
            Ok((file, len))
        };
        self.within(open).await
    }

    /// Result of `work` if it ends within the deadline; `None` when there is no such file, or this process may not read
    /// it: then its worker is asked.
    async fn within<T>(&self, work: impl Future<Output = std::io::Result<T>>) -> Result<Option<T>, Problem> {
        match tokio::time::timeout(READ_DEADLINE, work).await {
            Ok(Ok(value)) => Ok(Some(value)),
            Ok(Err(e)) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Ok(Err(e)) if e.kind() == ErrorKind::PermissionDenied => {
                if !self.denial_logged.swap(true, Ordering::Relaxed) {
                    let root = self.root.as_deref().unwrap_or("".as_ref()).display();
                    tracing::warn!(%root, error = %e, "HLS files may not be read; workers are asked for them instead");
                }
                Ok(None)
            }
            Ok(Err(e)) => {
                tracing::error!(repeats = true, error = %e, "an HLS file cannot be read");
                Err(Problem::internal())
            }
            Err(_) => Err(Problem::later(RETRY_AFTER, "the disk for HLS segments does not answer in time")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_shared::stream::fence::Epoch;
    use rsm_shared::stream::rendition::Rendition;

    #[tokio::test(flavor = "multi_thread")]
    async fn players_who_ask_for_one_playlist_look_once() {
        let root = tempfile::tempdir().unwrap();
        let (slug, fence) = (Slug::parse("yard").unwrap(), Fence { epoch: Epoch(7), revision: 3 });
        let which = Playlist::Media(Rendition::Source);
        let path = locate::playlist(root.path(), &slug, fence, which);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // A pipe hands its content to one of its readers only.
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let disk = Disk::new(Some(root.path().to_owned()));
        let together = (0..10).map(|_| disk.playlist(&slug, fence, which));
        let writing = tokio::fs::write(&path, "#EXTM3U\n");
        let (looks, written) = tokio::join!(futures_util::future::join_all(together), writing);
        written.unwrap();
        assert!(
            looks.iter().all(|look| look.as_ref().unwrap().as_ref().map(PlaylistText::as_str) == Some("#EXTM3U\n")),
            "{looks:?}"
        );
    }

    #[tokio::test]
    async fn what_is_not_there_or_not_for_us_is_not_here_and_a_broken_disk_is_a_fault() {
        let disk = Disk::new(Some("/".into()));
        for kind in [ErrorKind::NotFound, ErrorKind::NotADirectory, ErrorKind::PermissionDenied] {
            assert_eq!(disk.within::<()>(async { Err(kind.into()) }).await, Ok(None), "{kind}");
        }
        let broken = disk.within::<()>(async { Err(ErrorKind::StorageFull.into()) }).await;
        assert_eq!(broken, Err(Problem::internal()));
    }
}
