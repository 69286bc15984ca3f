//! Checks every few seconds that the database can be written.

use std::time::Duration;

use rsm_shared::ops::health::{Dependency, Health};
use rusqlite::ErrorCode;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Store, StoreError};

/// Interval of the API's checks.
pub const EVERY: Duration = Duration::from_secs(5);

/// Checks until `stop`, and puts the result into `health`.
pub async fn watch(store: Store, health: Health, every: Duration, stop: CancellationToken) {
    let mut look = tokio::time::interval(every);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut well = true;
    while stop.run_until_cancelled(look.tick()).await.is_some() {
        let found = store.writable().await;
        match &found {
            Err(e) if well => {
                warn!(error = %e, "the database cannot be written: nothing can be started, changed or stopped")
            }
            Ok(()) if !well => info!("the database can be written again"),
            _ => {}
        }
        well = found.is_ok();
        health.put(Dependency::Store, found.err().map(|e| sentence(&e).to_owned()));
    }
}

/// The error as clients may read it.
fn sentence(error: &StoreError) -> &'static str {
    match error {
        StoreError::Locked => {
            "another program holds the database; nothing can be started, changed or stopped until it releases the lock"
        }
        StoreError::Moved => {
            "the database was moved, replaced or removed while it was open; nothing can be started, changed or stopped until it is put back and this process is started again"
        }
        StoreError::Sql(e) => match e.sqlite_error_code() {
            Some(ErrorCode::ReadOnly) => "the database is read-only; nothing can be started, changed or stopped",
            Some(ErrorCode::DiskFull) => "the disk of the database is full; nothing can be started, changed or stopped",
            _ => "the database cannot be written, the log has the cause; nothing can be started, changed or stopped",
        },
        _ => "the database does not answer in time; nothing can be started, changed or stopped until it does",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_database_that_another_program_holds_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rsm.sqlite3");
        let store = Store::open(&path).unwrap();
        assert!(store.writable().await.is_ok());
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let (health, stop) = (Health::default(), CancellationToken::new());
        let watching = tokio::spawn(watch(store.clone(), health.clone(), Duration::from_millis(20), stop.clone()));
        let until = async |ready: bool| {
            while health.readiness().ready != ready {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), until(false)).await.expect("a fault");
        assert!(health.readiness().reasons[&Dependency::Store].starts_with("another program holds"));
        other.execute_batch("ROLLBACK").unwrap();
        tokio::time::timeout(Duration::from_secs(20), until(true)).await.expect("well again");
        stop.cancel();
        watching.await.unwrap();
    }
}
