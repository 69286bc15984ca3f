//! Opening the database: its checks, its migrations, its rights.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use rusqlite_migration::MigrationDefinitionError;

use super::migrations::MIGRATIONS;

/// Time that a start waits for another program (a backup, a shell) to release the database.
const OPEN_PATIENCE: Duration = Duration::from_secs(10);

/// The database cannot be used. One line for the person at the terminal; nothing was overwritten.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the database {0} was written by a newer version of rsm; use that version, or another data directory")]
    Newer(String),
    #[error("the database {0} is damaged or not a database: {1}; restore a backup, or move it away to begin anew")]
    Damaged(String, String),
    #[error("the database {0} is held by another program; end it (a backup, a shell), and start again")]
    Locked(String),
    #[error("the database {0} cannot be opened: {1}")]
    Unusable(String, String),
}

impl OpenError {
    /// The error for what SQLite reports about the database `name`.
    pub(super) fn explained(name: &str, error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged(name.into(), error.to_string()),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked(name.into()),
            _ => Self::Unusable(name.into(), error.to_string()),
        }
    }
}

/// Opens or makes the database at `path` and brings it to the newest shape.
///
/// # Errors
/// [`OpenError`] when it is newer, damaged or not accessible; the file is left as it was.
pub(super) fn open(path: &Path) -> Result<Connection, OpenError> {
    let name = path.display().to_string();
    let explain = |e: rusqlite::Error| OpenError::explained(&name, &e);
    let mut connection = Connection::open(path).map_err(explain)?;
    restrict(path).map_err(|e| OpenError::Unusable(name.clone(), e.to_string()))?;
    connection.busy_timeout(OPEN_PATIENCE).map_err(explain)?;
    // Reads the whole file's structure before anything is written to it.
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(explain)?;
    if verdict != "ok" {
        return Err(OpenError::Damaged(name.clone(), verdict));
    }
    // An epoch must be on the disk before anything with it is published: FULL, also with a write-ahead log.
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
        .map_err(explain)?;
    MIGRATIONS.to_latest(&mut connection).map_err(|e| match e {
        rusqlite_migration::Error::MigrationDefinition(MigrationDefinitionError::DatabaseTooFarAhead) => {
            OpenError::Newer(name.clone())
        }
        rusqlite_migration::Error::RusqliteError { err, .. } => explain(err),
        other => OpenError::Unusable(name.clone(), other.to_string()),
    })?;
    Ok(connection)
}

/// The database holds passwords of cameras: for its owner only.
fn restrict(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_database_is_refused_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rsm.sqlite3");
        drop(open(&path).unwrap());
        Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
        assert!(matches!(open(&path), Err(OpenError::Newer(_))));
        let version: i64 =
            Connection::open(&path).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(version, 99);
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rsm.sqlite3");
        let text = "this is a diary, not a database. ".repeat(100);
        std::fs::write(&path, &text).unwrap();
        assert!(matches!(open(&path), Err(OpenError::Damaged(..))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn the_database_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rsm.sqlite3");
        drop(open(&path).unwrap());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
