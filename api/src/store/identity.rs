//! The identity of the database's files: whether the names still lead to what is open.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Endings that SQLite appends to the database's name for the write-ahead log and its index.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// Device and inode of the database and of the files that SQLite keeps beside it, as they were when it was opened.
/// Something else there, or nothing, means that changes reach a file that no later start will read.
#[derive(Debug)]
pub(super) struct FileIdentity {
    files: Vec<(PathBuf, (u64, u64))>,
}

impl FileIdentity {
    /// The identity of the database at `path`, which must be open: only then do the files beside it exist.
    ///
    /// # Errors
    /// When it is gone already.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        // SQLite follows a link, and puts its files beside the target.
        let real = path.canonicalize()?;
        let mut files = vec![(path.to_owned(), inode(path)?)];
        for end in BESIDE {
            let mut name = real.clone().into_os_string();
            name.push(end);
            let name = PathBuf::from(name);
            if let Ok(inode) = inode(&name) {
                files.push((name, inode));
            }
        }
        Ok(Self { files })
    }

    /// True while every name leads to the file that is open.
    pub fn holds(&self) -> bool {
        self.files.iter().all(|(path, was)| inode(path).is_ok_and(|is| is == *was))
    }
}

fn inode(path: &Path) -> std::io::Result<(u64, u64)> {
    let file = std::fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_replaced_moved_or_removed_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("db"), dir.path().join("other"));
        let wal = dir.path().join("db-wal");
        type Fault<'a> = &'a dyn Fn();
        let faults: [(&str, Fault<'_>); 4] = [
            ("replaced", &|| std::fs::rename(&other, &path).unwrap()),
            ("moved", &|| std::fs::rename(&path, dir.path().join("away")).unwrap()),
            ("removed", &|| std::fs::remove_file(&path).unwrap()),
            ("without its log", &|| std::fs::remove_file(&wal).unwrap()),
        ];
        for (what, fault) in faults {
            for file in [&path, &other, &wal] {
                std::fs::write(file, "x").unwrap();
            }
            let identity = FileIdentity::of(&path).unwrap();
            std::fs::write(&path, "a change of its content").unwrap();
            assert!(identity.holds(), "not yet {what}");
            fault();
            assert!(!identity.holds(), "{what}");
        }
    }
}
