//! Placements of streams: the epochs. An epoch that is committed here was not used before and never will be again.

use rsm_control::api::assignment::{Assignment, PlacementFloor};
use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::Want;
use rusqlite::OptionalExtension as _;

use super::{Store, StoreError};

impl Store {
    /// Commits a new placement: an epoch larger than any before, and larger than `floor`. On return it is on the
    /// disk.
    ///
    /// # Errors
    /// As the database says; nothing may be published then.
    pub async fn assign(
        &self,
        slug: Slug,
        zone: Zone,
        want: Want,
        spec_rev: i64,
        floor: PlacementFloor,
    ) -> Result<Assignment, StoreError> {
        self.write(move |tx| {
            let old: Option<(i64, i64)> = tx
                .query_row("SELECT epoch, discontinuity FROM assignments WHERE slug = ?1", [slug.as_str()], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let (old_epoch, old_discontinuity) = old.unzip();
            let old_epoch = old_epoch.and_then(|epoch| u64::try_from(epoch).ok()).map(Epoch).max(floor.epoch);
            let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
            let epoch = Epoch::next(old_epoch, now);
            let least_discontinuity = i64::try_from(floor.discontinuity).unwrap_or(0);
            let (state, discontinuity) = match want {
                Want::Run => ("run", old_discontinuity.map_or(0, |old| old + 1).max(least_discontinuity)),
                Want::Stop => ("stop", old_discontinuity.unwrap_or(0).max(least_discontinuity)),
            };
            tx.execute(
                "INSERT INTO assignments (slug, zone, epoch, state, spec_rev, discontinuity)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT (slug) DO UPDATE
                 SET zone = ?2, epoch = ?3, state = ?4, spec_rev = ?5, discontinuity = ?6",
                (
                    slug.as_str(),
                    zone.as_str(),
                    i64::try_from(epoch.0).unwrap_or(i64::MAX),
                    state,
                    spec_rev,
                    discontinuity,
                ),
            )?;
            let discontinuity = u64::try_from(discontinuity).unwrap_or(0);
            Ok(Assignment { slug, zone, epoch, want, spec_rev, discontinuity })
        })
        .await
    }

    /// Removes the placement of a removed link. Its slug has a random part and is not given out again.
    ///
    /// # Errors
    /// As the database says.
    pub async fn forget(&self, slug: Slug) -> Result<(), StoreError> {
        self.write(move |db| {
            db.execute(
                "DELETE FROM assignments WHERE slug = ?1 AND NOT EXISTS (SELECT 1 FROM links WHERE slug = ?1)",
                [slug.as_str()],
            )?;
            Ok(())
        })
        .await
    }

    /// Every placement; also those of removed links, whose stop may not have been told yet.
    ///
    /// # Errors
    /// As the database says.
    pub async fn assignments(&self) -> Result<Vec<Assignment>, StoreError> {
        self.read(|db| {
            let mut query = db.prepare("SELECT slug, zone, epoch, state, spec_rev, discontinuity FROM assignments")?;
            let rows = query.query_map([], |row| {
                let (slug, zone, state): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
                let (epoch, discontinuity): (i64, i64) = (row.get(2)?, row.get(5)?);
                Ok(Some(Assignment {
                    slug: match Slug::parse(&slug) {
                        Ok(slug) => slug,
                        Err(_) => return Ok(None),
                    },
                    zone: match Zone::parse(&zone) {
                        Ok(zone) => zone,
                        Err(_) => return Ok(None),
                    },
                    epoch: Epoch(u64::try_from(epoch).unwrap_or(0)),
                    want: if state == "run" { Want::Run } else { Want::Stop },
                    spec_rev: row.get(4)?,
                    discontinuity: u64::try_from(discontinuity).unwrap_or(0),
                }))
            })?;
            let assignments = rows.filter_map(Result::transpose).collect::<Result<_, _>>()?;
            Ok(assignments)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn epochs_grow_past_the_last_one_the_clock_and_what_was_seen() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("rsm.sqlite3")).unwrap();
        let slug = Slug::parse("yard").unwrap();
        let assign = |epoch, discontinuity| {
            store.assign(slug.clone(), Zone::default_zone(), Want::Run, 1, PlacementFloor { epoch, discontinuity })
        };
        let before = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
        let first = assign(None, 0).await.unwrap().epoch;
        assert!(first.0 >= before);
        let second = assign(None, 0).await.unwrap().epoch;
        assert!(second > first);
        let seen = Epoch(second.0 + 1_000_000_000);
        let third = assign(Some(seen), 7).await.unwrap();
        assert_eq!((third.epoch, third.discontinuity), (Epoch(seen.0 + 1), 7));
        let fourth = assign(None, 0).await.unwrap();
        assert!(fourth.epoch > third.epoch && fourth.discontinuity == 8);
        assert_eq!(store.assignments().await.unwrap().len(), 1);
    }
}
