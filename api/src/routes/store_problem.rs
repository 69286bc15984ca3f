//! Errors of the store as a client sees them. Nothing of the database is in them.

use rsm_shared::ops::telemetry::Causes;
use rsm_viewing::http::problem::Problem;
use salvo::http::StatusCode;

use crate::store::StoreError;
use crate::store::links::MAX_ZONES;

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::later(1, "the database is busy; try again in a moment"),
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
        assert_eq!(Problem::from(StoreError::Full).status(), StatusCode::CONFLICT);
    }
}
