//! The data directory: permissions, file system, free space, and the database in it.

use std::path::{Path, PathBuf};

use nix::sys::statfs::{self, FsType};
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};
use rsm_api::store::inspect::{Inspection, inspect};
use rsm_shared::ops::process;

use super::machine;
use super::patient::{Patient, RoleName};
use super::report::{Check, Status};

/// Most HLS files that are counted; more of them change nothing in the result.
const MAX_FILES: usize = 100_000;
const MB: u64 = 1_000_000;
/// Less room than this is none: the database and NATS write too.
const TIGHT: u64 = 200 * MB;

pub fn look(patient: &Patient) -> Vec<Check> {
    let dir = &patient.config.data_dir;
    let mut checks = vec![writable(dir)];
    if checks[0].status == Status::Failure {
        return checks;
    }
    if let Ok(on) = statfs::statfs(&nearest(dir)) {
        checks.push(filesystem(dir, on.filesystem_type()));
    }
    // Often a disk of its own, or memory.
    let segments = patient.config.hls_root();
    if patient.does(RoleName::Worker)
        && let Ok(on) = statvfs(&nearest(&segments))
    {
        let free = on.blocks_available().saturating_mul(on.fragment_size());
        checks.push(room(free, size_of(&segments), patient.config.hls.disk_budget_mb * MB));
    }
    if patient.does(RoleName::Api) {
        let path = dir.join("rsm.sqlite3");
        match inspect(&path) {
            Ok(found) => {
                checks.push(database(&path, found));
                checks.extend(machine::udp_buffers(found.map_or(0, |found| found.udp_links)));
            }
            // The error's text includes the remedy.
            Err(e) => checks.push(Check::failure("database", e.to_string(), "")),
        }
    }
    checks
}

/// Writes a file where the directory is there; makes none.
fn writable(dir: &Path) -> Check {
    let advice = "give it to the user that runs rsm (chown), or set data_dir to another";
    if dir.is_dir() {
        return match process::writable_dir(dir) {
            Ok(()) => Check::ok("data_dir", format!("{} can be written", dir.display())),
            Err(text) => Check::failure("data_dir", text, advice),
        };
    }
    if dir.exists() {
        let found = format!("{} is not a directory", dir.display());
        return Check::failure("data_dir", found, "set data_dir to a directory");
    }
    let above = nearest(dir);
    match access(&above, AccessFlags::W_OK | AccessFlags::X_OK) {
        Ok(()) if above.is_dir() => Check::ok("data_dir", format!("{} will be made", dir.display())),
        _ => Check::failure("data_dir", format!("{} cannot be made in {}", dir.display(), above.display()), advice),
    }
}

/// The directory itself, or the one that it would be made in.
fn nearest(dir: &Path) -> PathBuf {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    dir.ancestors().find(|above| above.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// Judges the kind of file system for the data. Pure.
#[allow(clippy::useless_conversion, reason = "the type of these numbers differs between platforms")]
fn filesystem(dir: &Path, kind: FsType) -> Check {
    // A constant of linux/magic.h that nix does not name.
    const CIFS: i64 = 0xff53_4d42;
    const SMB2: i64 = 0xfe53_4d42;
    const OVERLAY: i64 = 0x794c_7630;
    const V9FS: i64 = 0x0102_1997;
    let number = i64::from(kind.0) & 0xffff_ffff;
    let dir = dir.display();
    let network = "SQLite needs a disk of this machine; set data_dir to one";
    match number {
        n if n == i64::from(statfs::NFS_SUPER_MAGIC.0) => {
            Check::warning("filesystem", format!("{dir} is on NFS"), network)
        }
        CIFS | SMB2 => Check::warning("filesystem", format!("{dir} is on a share (SMB)"), network),
        V9FS => Check::warning("filesystem", format!("{dir} is on a share (9p)"), network),
        n if n == i64::from(statfs::TMPFS_MAGIC.0) => {
            let found = format!("{dir} is in memory (tmpfs): cameras are forgotten at the next start of the machine");
            Check::warning("filesystem", found, "set data_dir to a directory on a disk")
        }
        OVERLAY => Check::warning(
            "filesystem",
            format!("{dir} is in a container's own layer (overlay): cameras are forgotten with the container"),
            "mount a volume there",
        ),
        n if n == i64::from(statfs::EXT4_SUPER_MAGIC.0) => Check::ok("filesystem", "ext4"),
        n if n == i64::from(statfs::XFS_SUPER_MAGIC.0) => Check::ok("filesystem", "xfs"),
        n if n == i64::from(statfs::BTRFS_SUPER_MAGIC.0) => Check::ok("filesystem", "btrfs"),
        n => Check::ok("filesystem", format!("kind {n:#x}")),
    }
}

/// Pure: whether the segments of one worker fit; `used` by segments now, bytes.
fn room(free: u64, used: u64, budget: u64) -> Check {
    let found = format!("{} MB free, {} MB of segments, hls.disk_budget_mb is {}", free / MB, used / MB, budget / MB);
    if free < TIGHT {
        return Check::failure("disk", found, "make room, or set data_dir to a larger disk");
    }
    if free.saturating_add(used) < budget {
        return Check::warning("disk", found, "lower hls.disk_budget_mb, or make room; it holds for each worker");
    }
    Check::ok("disk", found)
}

fn database(path: &Path, found: Option<Inspection>) -> Check {
    let path = path.display();
    match found {
        None => Check::ok("database", format!("{path} will be made")),
        Some(Inspection { schema, newest, links, .. }) if schema < newest => Check::ok(
            "database",
            format!("{path}: {links} cameras; shape {schema}, brought to {newest} at the next start"),
        ),
        Some(Inspection { schema, links, .. }) => {
            Check::ok("database", format!("{path}: {links} cameras; shape {schema}, the newest"))
        }
    }
}

/// Bytes of files in `dir` and below, as far as they can be seen.
fn size_of(dir: &Path) -> u64 {
    let (mut waiting, mut seen, mut size) = (vec![dir.to_owned()], 0, 0);
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            seen += 1;
            if seen > MAX_FILES {
                return size;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => waiting.push(entry.path()),
                _ => size += entry.metadata().map_or(0, |file| file.len()),
            }
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_judged_with_what_segments_already_take() {
        for (free, used, want) in [
            (3000, 0, Status::Ok),
            (1500, 600, Status::Ok),
            (1500, 500, Status::Warning),
            (100, 2048, Status::Failure),
            (u64::MAX / MB, 1, Status::Ok),
        ] {
            assert_eq!(room(free * MB, used * MB, 2048 * MB).status, want, "{free} {used}");
        }
    }

    #[test]
    fn a_directory_is_well_when_it_is_there_or_can_be_made() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(writable(dir.path()).status, Status::Ok);
        let missing = dir.path().join("a/b");
        let check = writable(&missing);
        assert!(check.status == Status::Ok && check.found.ends_with("will be made"), "{check:?}");
        assert!(!missing.exists(), "a look makes nothing");
        let file = dir.path().join("file");
        std::fs::write(&file, "12345").unwrap();
        assert_eq!(writable(&file).status, Status::Failure);
        assert_eq!(writable(&file.join("below")).status, Status::Failure);
        assert_eq!(size_of(dir.path()), 5);
    }

    #[test]
    fn file_systems_that_forget_or_lie_are_warned_of() {
        for (kind, want) in [
            (statfs::NFS_SUPER_MAGIC, Status::Warning),
            (statfs::TMPFS_MAGIC, Status::Warning),
            (statfs::EXT4_SUPER_MAGIC, Status::Ok),
        ] {
            assert_eq!(filesystem(Path::new("/data"), kind).status, want, "{kind:?}");
        }
    }
}
