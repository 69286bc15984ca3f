//! Removes the directories that owners which are gone left on a shared disk. Owners remove their own; this is for those
//! that died.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rsm_shared::stream::fence::{Epoch, Fence};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::directory::Directory;

/// Interval of sweeps.
const ROUND: Duration = Duration::from_secs(30);
/// A directory that was written to within this time may still be read by a player: the largest window is 60 segments of 10 s,
/// the usual one 12 s; a player that is further behind has lost its place anyway.
const KEEP: Duration = Duration::from_secs(60);
/// Streams looked at in one round.
const MAX_STREAMS: usize = 100_000;

/// Looks every 30 s until `stop`.
pub async fn run(root: PathBuf, directory: Directory, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ROUND) => {}
        }
        let (root, directory) = (root.clone(), directory.clone());
        let swept = tokio::task::spawn_blocking(move || sweep(&root, &directory, SystemTime::now())).await;
        if let Ok(removed @ 1..) = swept {
            info!(directories = removed, "removed segments of owners that are gone");
        }
    }
}

/// One round; how many directories were removed.
fn sweep(root: &Path, directory: &Directory, now: SystemTime) -> usize {
    let mut removed = 0;
    for (name, stream_dir) in dirs(root).take(MAX_STREAMS) {
        let newest = directory.by_slug(&name).map(|entry| entry.view().epoch.map(Epoch));
        for (fence, dir) in dirs(&stream_dir).filter_map(|(name, dir)| Some((Fence::from_dir_name(&name)?, dir))) {
            if is_left_over(fence, newest) && untouched(&dir, now) {
                match std::fs::remove_dir_all(&dir) {
                    Ok(()) => removed += 1,
                    Err(e) => warn!(repeats = true, stream = name, error = %e, "old segments cannot be removed"),
                }
            }
        }
        // Fails while something is in it.
        let _ = std::fs::remove_dir(&stream_dir);
    }
    removed
}

/// `newest`: `None` when the stream is not registered; inside, its newest placement if it ever had one.
fn is_left_over(fence: Fence, newest: Option<Option<Epoch>>) -> bool {
    match newest {
        None => true,
        Some(newest) => newest.is_some_and(|newest| fence.epoch < newest),
    }
}

fn untouched(dir: &Path, now: SystemTime) -> bool {
    [dir.to_owned(), dir.join("source")].iter().all(|path| {
        let modified = std::fs::metadata(path).and_then(|meta| meta.modified());
        modified.map_or(true, |at| now.duration_since(at).is_ok_and(|age| age > KEEP))
    })
}

fn dirs(of: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    std::fs::read_dir(of)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_older_owners_and_removed_streams_are_left_over() {
        let fence = Fence { epoch: Epoch(5), revision: 1 };
        assert!(is_left_over(fence, None));
        assert!(is_left_over(fence, Some(Some(Epoch(6)))));
        assert!(!is_left_over(fence, Some(Some(Epoch(5)))));
        assert!(!is_left_over(fence, Some(None)), "nothing is known of it yet");
    }

    #[test]
    fn sweeps_what_nobody_touched_for_a_minute() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("gone-cam/5-1/source")).unwrap();
        std::fs::create_dir_all(root.path().join("gone-cam/not-a-fence")).unwrap();
        let directory = Directory::new(Vec::new());
        assert_eq!(sweep(root.path(), &directory, SystemTime::now()), 0);
        assert_eq!(sweep(root.path(), &directory, SystemTime::now() + KEEP * 2), 1);
        assert!(!root.path().join("gone-cam/5-1").exists());
        assert!(root.path().join("gone-cam/not-a-fence").exists());
    }
}
