//! Checks every few seconds, off the async threads, that the data directory can be written and has room.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::health::{Dependency, Health};

/// Interval between two checks of a role.
pub const EVERY: Duration = Duration::from_secs(5);
/// A disk that takes longer for an empty file does not answer.
const DEADLINE: Duration = Duration::from_secs(4);
/// Less room than this is none: some seconds of HLS of a few cameras.
const LEAST_FREE: u64 = 64 << 20;
/// On small disks this share of the whole instead.
const LEAST_PERCENT: u64 = 1;

/// Room of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes, for users other than root.
    pub free: u64,
    /// Bytes.
    pub total: u64,
    /// Files that may still be made; `None` where there is no bound.
    pub files: Option<u64>,
}

/// The fault of a directory; a sentence without its path, as everybody may read it.
pub fn fault(found: Result<Room, ErrorKind>) -> Option<String> {
    let room = match found {
        Ok(room) => room,
        Err(ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => return Some("the data directory is full".into()),
        Err(ErrorKind::TimedOut) => return Some("the disk of the data directory does not answer".into()),
        Err(ErrorKind::NotFound) => return Some("the data directory is gone".into()),
        Err(kind) => return Some(format!("the data directory cannot be written: {kind}")),
    };
    if room.free < LEAST_FREE.min(room.total / 100 * LEAST_PERCENT) {
        let (free, total) = (room.free >> 20, room.total >> 20);
        return Some(format!("the disk of the data directory is nearly full: {free} MB of {total} MB are left"));
    }
    (room.files == Some(0)).then(|| "the disk of the data directory takes no further files".into())
}

/// Checks `dir` until `stop`, and reports each result to `health`.
pub async fn watch(dir: PathBuf, health: Health, every: Duration, stop: CancellationToken) {
    let mut timer = tokio::time::interval(every);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // At most one look is under way: a disk that hangs keeps one thread, not one more each time.
    let mut looking: Option<JoinHandle<Result<Room, ErrorKind>>> = None;
    let mut before = None;
    while stop.run_until_cancelled(timer.tick()).await.is_some() {
        let dir = dir.clone();
        let look = looking.get_or_insert_with(|| tokio::task::spawn_blocking(move || look(&dir)));
        let found = match tokio::time::timeout(DEADLINE, look).await {
            Ok(found) => {
                looking = None;
                // A panic was reported where it happened.
                found.unwrap_or(Err(ErrorKind::Other))
            }
            Err(_) => Err(ErrorKind::TimedOut),
        };
        let now = fault(found);
        match (&before, &now) {
            (None, Some(why)) => warn!(why, "the data directory is full or cannot be written"),
            (Some(_), None) => info!("the data directory has room and can be written again"),
            _ => {}
        }
        health.put(Dependency::Disk, now.clone());
        before = now;
    }
}

fn look(dir: &Path) -> Result<Room, ErrorKind> {
    let probe = dir.join(format!(".write-test-{}", std::process::id()));
    std::fs::write(&probe, b"").and_then(|()| std::fs::remove_file(&probe)).map_err(|e| e.kind())?;
    let disk = statvfs(dir).map_err(|e| std::io::Error::from(e).kind())?;
    let size = disk.fragment_size();
    Ok(Room {
        free: disk.blocks_available().saturating_mul(size),
        total: disk.blocks().saturating_mul(size),
        files: (disk.files() > 0).then(|| disk.files_available()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_judged_by_what_is_left() {
        let room =
            |free_mb: u64, total_mb: u64| Ok(Room { free: free_mb << 20, total: total_mb << 20, files: Some(9) });
        for (what, found, want) in [
            ("plenty", room(500, 1000), None),
            ("a large disk needs no whole percent", room(65, 10_000_000), None),
            ("a large disk", room(63, 10_000_000), Some("63 MB of 10000000 MB")),
            ("a small disk needs no 64 MB", room(2, 100), None),
            ("a small disk", room(0, 100), Some("nearly full")),
            ("no bound of files", Ok(Room { files: None, ..room(500, 1000).unwrap() }), None),
            ("no files left", Ok(Room { files: Some(0), ..room(500, 1000).unwrap() }), Some("no further files")),
            ("full", Err(ErrorKind::StorageFull), Some("full")),
            ("read-only", Err(ErrorKind::ReadOnlyFilesystem), Some("cannot be written")),
            ("hangs", Err(ErrorKind::TimedOut), Some("does not answer")),
        ] {
            let told = fault(found);
            assert_eq!(told.is_some(), want.is_some(), "{what}: {told:?}");
            assert!(told.unwrap_or_default().contains(want.unwrap_or_default()), "{what}");
        }
    }

    #[tokio::test]
    async fn a_directory_that_goes_and_comes_is_told() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("data");
        std::fs::create_dir(&dir).unwrap();
        let (health, stop) = (Health::default(), CancellationToken::new());
        let watching = tokio::spawn(watch(dir.clone(), health.clone(), Duration::from_millis(10), stop.clone()));
        let until = async |gone: bool| {
            while health.readiness().reasons.contains_key(&Dependency::Disk) != gone {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        std::fs::remove_dir(&dir).unwrap();
        tokio::time::timeout(Duration::from_secs(20), until(true)).await.expect("a fault");
        std::fs::create_dir(&dir).unwrap();
        tokio::time::timeout(Duration::from_secs(20), until(false)).await.expect("well again");
        stop.cancel();
        watching.await.unwrap();
        assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0, "nothing is left behind");
    }
}
