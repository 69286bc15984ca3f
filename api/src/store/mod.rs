//! SQLite: the one durable authority. All SQL of the system is in this folder. One thread owns the connection, so
//! there is one writer and no async thread ever blocks on the disk.

mod adding;
pub mod assignments;
pub mod inspect;
pub mod links;
mod overrides;
pub mod writable;

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite_migration::{M, MigrationDefinitionError, Migrations};
use tokio::sync::{mpsc, oneshot};

/// Calls that wait for the connection; more are refused.
const QUEUE: usize = 256;
/// Time that a caller waits for its turn and the disk.
const DEADLINE: Duration = Duration::from_secs(5);
/// Time that SQLite waits for a lock that another program (a backup, a shell) holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);

static MIGRATIONS: LazyLock<Migrations<'static>> = LazyLock::new(|| {
    Migrations::new(vec![
        M::up(include_str!("../../../migrations/01-streams/up.sql")),
        M::up(include_str!("../../../migrations/02-exclusive/up.sql")),
        M::up(include_str!("../../../migrations/03-tls-insecure/up.sql")),
    ])
});

/// The database cannot be used. One line for the person at the terminal; nothing was overwritten.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the database {0} was written by a newer version of rsm; use that version, or another data directory")]
    Newer(String),
    #[error("the database {0} is damaged or not a database: {1}; restore a backup, or move it away to begin anew")]
    Damaged(String, String),
    #[error("the database {0} cannot be opened: {1}")]
    Unusable(String, String),
}

/// A call to the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database is busy")]
    Busy,
    #[error("the limit of registered links is reached")]
    Full,
    #[error("the limit of different zones is reached")]
    TooManyZones,
    #[error("database: {0}")]
    Sql(#[from] rusqlite::Error),
}

enum Job {
    Work(Box<dyn FnOnce(&mut Connection) + Send>),
    /// Close the database, then say so.
    Close(oneshot::Sender<()>),
}

/// A handle to the thread that owns the database. Cheap to clone; the thread ends with the last handle.
#[derive(Clone)]
pub struct Store {
    jobs: mpsc::Sender<Job>,
}

impl Store {
    /// Opens or makes the database at `path` and brings it to the newest shape.
    ///
    /// # Errors
    /// [`OpenError`] when it is newer, damaged or not accessible; the file is left as it was.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let mut connection = open(path)?;
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                let mut told = None;
                while let Some(job) = queue.blocking_recv() {
                    match job {
                        Job::Work(work) => work(&mut connection),
                        Job::Close(closed) => {
                            told = Some(closed);
                            break;
                        }
                    }
                }
                // Closing moves the write-ahead log into the one file that people copy.
                drop(connection);
                if let Some(closed) = told {
                    let _ = closed.send(());
                }
            })
            .map_err(|e| OpenError::Unusable(path.display().to_string(), e.to_string()))?;
        Ok(Self { jobs })
    }

    /// Ends the work that waits, and closes the database. Calls after this are refused as [`StoreError::Busy`].
    pub async fn close(&self) {
        let (closed, done) = oneshot::channel();
        if self.jobs.send_timeout(Job::Close(closed), DEADLINE).await.is_ok() {
            let _ = tokio::time::timeout(DEADLINE, done).await;
        }
    }

    /// Checks that it can be written: takes the lock that writing takes, and writes nothing.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot.
    pub async fn writable(&self) -> Result<(), StoreError> {
        self.call(|connection| Ok(connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?)).await
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, result) = oneshot::channel();
        let job = Job::Work(Box::new(move |connection| {
            // The caller may have given up; a committed change stays.
            let _ = done.send(work(connection));
        }));
        self.jobs.try_send(job).map_err(|_| StoreError::Busy)?;
        match tokio::time::timeout(DEADLINE, result).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(StoreError::Busy),
        }
    }
}

fn open(path: &Path) -> Result<Connection, OpenError> {
    let name = path.display().to_string();
    let explain = |e: rusqlite::Error| match e.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged(name.clone(), e.to_string())
        }
        _ => OpenError::Unusable(name.clone(), e.to_string()),
    };
    let mut connection = Connection::open(path).map_err(explain)?;
    restrict(path).map_err(|e| OpenError::Unusable(name.clone(), e.to_string()))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(explain)?;
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
    fn migrations_are_valid() {
        MIGRATIONS.validate().unwrap();
    }

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
