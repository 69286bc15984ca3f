//! Errors of the store as a client sees them. Nothing of the database is in them.

use rsm_shared::ops::telemetry::Causes;
use rsm_viewing::http::problem::Problem;
use salvo::http::StatusCode;

use crate::store::StoreError;
use crate::store::links::MAX_ZONES;

/// Seconds after which a client may try again: another program holds the lock for moments, and 3 s were waited already.
const LOCKED_RETRY_S: u64 = 2;
/// The same for a fault that a person has to mend.
const MOVED_RETRY_S: u64 = 30;

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::later(1, "the database is busy; try again in a moment"),
            StoreError::Locked => Self::later(
                LOCKED_RETRY_S,
                "another program holds the database; nothing was changed, try again in a moment",
            ),
            StoreError::Moved => {
                tracing::error!(repeats = true, "a change is refused: the database was moved, replaced or removed");
                Self::later(
                    MOVED_RETRY_S,
                    "the database was moved, replaced or removed; nothing was changed, an operator has to put it back",
                )
            }
            StoreError::Full => Self::new(
                StatusCode::CONFLICT,
                "the limit of registered cameras is reached; remove one, or raise api.max_links",
            ),
            StoreError::TooManyZones => Self::invalid(
                "zone",
                format!(
                    "zone is a new one, and the cameras are in {MAX_ZONES} different zones already; use one of those"
                ),
            ),
            StoreError::Sql(e) => {
                tracing::error!(repeats = true, error = %Causes(&e), "the database refused a call");
                Self::internal()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_error_shows_nothing_of_the_database() {
        let sql = rusqlite::Error::InvalidColumnName("links.password".into());
        let problem = Problem::from(StoreError::Sql(sql));
        assert_eq!(problem.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!problem.sentence().contains("password"));
        assert_eq!(Problem::from(StoreError::Busy).retry_after(), Some(1));
        for lasting in [StoreError::Locked, StoreError::Moved] {
            let problem = Problem::from(lasting);
            assert_eq!(problem.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(problem.retry_after() > Some(1));
        }
        assert_eq!(Problem::from(StoreError::Full).status(), StatusCode::CONFLICT);
    }
}
