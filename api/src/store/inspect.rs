//! Inspection of a database from outside the API: nothing is written, no file is made, and no migration runs.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::BUSY_TIMEOUT;
use super::migrations::MIGRATIONS;
use super::opening::OpenError;

/// Content of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Number of its shape, and of the newest that this version knows.
    pub schema: i64,
    pub newest: i64,
    /// Cameras that are registered, and those of them that insist on UDP.
    pub links: i64,
    pub udp_links: i64,
}

/// Looks at the database at `path`; `None` when there is none yet. Blocks for as long as reading the file takes.
///
/// # Errors
/// [`OpenError`] when it is newer than this version, damaged or not readable.
pub fn inspect(path: &Path) -> Result<Option<Inspection>, OpenError> {
    let name = path.display().to_string();
    let explain = |e: rusqlite::Error| OpenError::explained(&name, &e);
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(OpenError::Unusable(name, e.to_string())),
        Ok(_) => {}
    }
    let mut address = url::Url::from_file_path(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
        .map_err(|()| OpenError::Unusable(name.clone(), "the path cannot be written as an address".into()))?;
    // Without a write-ahead log no process has it open, and it stays as it is; else reading would make one.
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if !Path::new(&log).exists() {
        address.set_query(Some("immutable=1"));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(address.as_str(), flags).map_err(explain)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(explain)?;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(explain);
    let schema = number("PRAGMA user_version")?;
    let pending =
        MIGRATIONS.pending_migrations(&connection).map_err(|e| OpenError::Unusable(name.clone(), e.to_string()))?;
    if pending < 0 {
        return Err(OpenError::Newer(name.clone()));
    }
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(explain)?;
    if verdict != "ok" {
        return Err(OpenError::Damaged(name.clone(), verdict));
    }
    // Left by a first start that was interrupted.
    let (links, udp_links) = match schema {
        0 => (0, 0),
        _ => (number("SELECT count(*) FROM links")?, number("SELECT count(*) FROM links WHERE transport = 'udp'")?),
    };
    Ok(Some(Inspection { schema, newest: schema + i64::from(pending), links, udp_links }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_look_leaves_the_directory_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rsm.sqlite3");
        assert_eq!(inspect(&path).unwrap(), None);
        assert_eq!(names(dir.path()), [""; 0]);
        let owner = super::super::opening::open(&path).unwrap();
        let before = names(dir.path());
        let seen = inspect(&path).unwrap().unwrap();
        assert_eq!((seen.schema, seen.links), (seen.newest, 0));
        assert_eq!(names(dir.path()), before, "while its owner runs");
        drop(owner);
        let before = names(dir.path());
        assert_eq!(inspect(&path).unwrap().unwrap(), seen);
        assert_eq!(names(dir.path()), before, "while nobody has it open");
    }

    #[test]
    fn a_newer_one_and_one_that_is_none_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rsm.sqlite3");
        drop(super::super::opening::open(&path).unwrap());
        Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
        assert!(matches!(inspect(&path), Err(OpenError::Newer(_))));
        std::fs::write(&path, "this is a diary, not a database. ".repeat(100)).unwrap();
        assert!(matches!(inspect(&path), Err(OpenError::Damaged(..))));
    }
}
