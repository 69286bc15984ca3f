//! SQLite: the one durable authority. All SQL of the system is in this folder. One thread owns the connection, so
//! there is one writer and no async thread ever blocks on the disk.

mod adding;
pub mod assignments;
mod identity;
pub mod inspect;
pub mod links;
mod migrations;
pub mod opening;
mod overrides;
pub mod writable;

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use self::identity::FileIdentity;
use self::opening::OpenError;

/// Calls that wait for the connection; more are refused.
const QUEUE: usize = 256;
/// Time that a caller waits for its turn and the disk.
const DEADLINE: Duration = Duration::from_secs(5);
/// Time that SQLite waits for a lock that another program (a backup, a shell) holds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(3);
/// SQLite stops waiting for a lock this long before the caller's deadline, so that the caller still gets the answer.
const MARGIN: Duration = Duration::from_millis(500);

/// A call to the store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No answer in time; the call was refused, or is carried out later.
    #[error("the database is busy")]
    Busy,
    /// Nothing was changed.
    #[error("another program holds the database locked")]
    Locked,
    /// Nothing was changed.
    #[error("the database's file was moved, replaced or removed while it was open")]
    Moved,
    #[error("the limit of registered links is reached")]
    Full,
    #[error("the limit of different zones is reached")]
    TooManyZones,
    #[error("database: {0}")]
    Sql(#[source] rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            _ => Self::Sql(error),
        }
    }
}

enum Job {
    Work(Box<dyn FnOnce(&mut OpenDatabase) + Send>),
    /// Close the database, then say so.
    Close(oneshot::Sender<()>),
}

/// The connection, and the files that it had when it was opened.
struct OpenDatabase {
    connection: Connection,
    identity: FileIdentity,
}

impl OpenDatabase {
    /// Closing moves the write-ahead log into the one file that people copy, and removes it by its name. When the
    /// database was replaced, that name may belong to another one.
    fn close(self) {
        if !self.identity.holds() {
            let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }
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
        let connection = opening::open(path)?;
        let unusable = |e: std::io::Error| OpenError::Unusable(path.display().to_string(), e.to_string());
        let mut database = OpenDatabase { identity: FileIdentity::of(path).map_err(unusable)?, connection };
        let (jobs, mut queue) = mpsc::channel::<Job>(QUEUE);
        std::thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                let mut told = None;
                while let Some(job) = queue.blocking_recv() {
                    match job {
                        Job::Work(work) => work(&mut database),
                        Job::Close(closed) => {
                            told = Some(closed);
                            break;
                        }
                    }
                }
                database.close();
                if let Some(closed) = told {
                    let _ = closed.send(());
                }
            })
            .map_err(unusable)?;
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
        self.write(|_| Ok(())).await
    }

    /// Changes the database in one transaction, which is committed unless `work` fails. It takes the write lock at its
    /// beginning: one that reads first and then writes fails at once when another program writes, without waiting.
    ///
    /// # Errors
    /// [`StoreError::Moved`], [`StoreError::Locked`] after 3 s, [`StoreError::Busy`], and those of `work`.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.call(move |database| {
            if !database.identity.holds() {
                return Err(StoreError::Moved);
            }
            let tx = database.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&tx)?;
            tx.commit()?;
            Ok(value)
        })
        .await
    }

    /// Reads the database. No lock of a writer delays it.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.call(move |database| work(&database.connection)).await
    }

    async fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut OpenDatabase) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, result) = oneshot::channel();
        let deadline = Instant::now() + DEADLINE;
        let job = Job::Work(Box::new(move |database| {
            // The caller gave up while it waited for its turn.
            if done.is_closed() {
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now()).saturating_sub(MARGIN);
            let waits = database.connection.busy_timeout(BUSY_TIMEOUT.min(left));
            // The caller may give up meanwhile; a committed change stays.
            let _ = done.send(waits.map_err(StoreError::from).and_then(|()| work(database)));
        }));
        self.jobs.try_send(job).map_err(|_| StoreError::Busy)?;
        match tokio::time::timeout(DEADLINE, result).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(StoreError::Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use rsm_control::api::assignment::PlacementFloor;
    use rsm_shared::stream::names::Zone;
    use rsm_shared::stream::slug::Slug;
    use rsm_shared::wire::messages::Want;

    use super::*;

    #[tokio::test]
    async fn a_change_waits_for_a_lock_and_is_refused_when_it_lasts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rsm.sqlite3");
        let store = Store::open(&path).unwrap();
        let assign = || {
            let floor = PlacementFloor { epoch: None, discontinuity: 0 };
            store.assign(Slug::parse("yard").unwrap(), Zone::default_zone(), Want::Run, 1, floor)
        };
        let first = assign().await.unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(matches!(assign().await, Err(StoreError::Locked)), "a lock that lasts");
        assert_eq!(store.assignments().await.unwrap(), [first], "reading goes on, and nothing was changed");
        let waiting = assign();
        let release = async { tokio::task::spawn_blocking(move || other.execute_batch("COMMIT")).await.unwrap() };
        let (waited, released) = tokio::join!(waiting, release);
        released.unwrap();
        waited.unwrap();
    }

    #[tokio::test]
    async fn nothing_is_written_to_a_file_that_is_not_the_database_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let (path, away) = (dir.path().join("rsm.sqlite3"), dir.path().join("away"));
        let store = Store::open(&path).unwrap();
        store.writable().await.unwrap();
        std::fs::rename(&path, &away).unwrap();
        assert!(matches!(store.writable().await, Err(StoreError::Moved)));
        assert!(store.links().await.is_ok(), "reading goes on");
        let wal = dir.path().join("rsm.sqlite3-wal");
        std::fs::write(&wal, "the log of another database").unwrap();
        store.close().await;
        assert!(wal.exists(), "what lies there now is left alone");
    }
}
