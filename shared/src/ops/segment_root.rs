//! The directory of all HLS segments. It may be a mount (a tmpfs, to spare the disk) or a symbolic link, and other files
//! may lie in it: rsm owns the directories of streams in it, not the entry itself.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::stream::fence::Fence;
use crate::stream::slug::Slug;

/// Removes the segments of an earlier run from `root`, and makes `root` when it is not there.
///
/// # Errors
/// One line that names the directory and what is wrong with it.
pub fn clear(root: &Path) -> Result<(), String> {
    let shown = root.display();
    match fs::create_dir_all(root) {
        // A link whose target is away, such as a disk that is not mounted: segments must not land elsewhere.
        Err(_) if root.is_symlink() => {
            return Err(format!("the HLS directory {shown} is a link to a directory that is not there"));
        }
        Err(e) => return Err(format!("cannot make the HLS directory {shown}: {e}")),
        Ok(()) => {}
    }
    remove_streams(root).map_err(|e| format!("cannot clear the HLS directory {shown}: {e}"))
}

/// Removes `<slug>/<fence>` and leaves everything else. Links in `root` are not followed.
fn remove_streams(root: &Path) -> std::io::Result<()> {
    for stream in fs::read_dir(root)? {
        let stream = stream?;
        let is_slug = stream.file_name().to_str().is_some_and(|name| Slug::parse(name).is_ok());
        if !is_slug || !stream.file_type()?.is_dir() {
            continue;
        }
        for owner in fs::read_dir(stream.path())? {
            let owner = owner?;
            let is_fence = owner.file_name().to_str().is_some_and(|name| Fence::from_dir_name(name).is_some());
            if is_fence && owner.file_type()?.is_dir() {
                gone(fs::remove_dir_all(owner.path()))?;
            }
        }
        // Fails while something else is in it, which stays.
        let _ = fs::remove_dir(stream.path());
    }
    Ok(())
}

/// Another process, such as the API's sweep, may have removed it first.
fn gone(removed: std::io::Result<()>) -> std::io::Result<()> {
    match removed {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn segments_go_and_everything_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("hls");
        clear(&root).unwrap();
        for path in ["yard-ab12/1700000000000-3/source", "gate-cd34/5-1", "lost+found", "gate-cd34/mine"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        fs::write(root.join("yard-ab12/1700000000000-3/source/1.m4s"), "x").unwrap();
        fs::write(root.join("notes.txt"), "mine").unwrap();
        clear(&root).unwrap();
        assert_eq!(names(&root), ["gate-cd34", "lost+found", "notes.txt"]);
        assert_eq!(names(&root.join("gate-cd34")), ["mine"]);
    }

    #[test]
    fn a_link_stays_a_link_and_one_to_nowhere_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (root, disk) = (dir.path().join("hls"), dir.path().join("disk"));
        std::os::unix::fs::symlink(&disk, &root).unwrap();
        assert!(clear(&root).unwrap_err().contains("not there"));
        fs::create_dir_all(disk.join("yard-ab12/5-1")).unwrap();
        clear(&root).unwrap();
        assert!(root.is_symlink() && names(&disk).is_empty());
    }
}
