//! Placements of streams: the epochs. What is committed here was not used before and never will be again.

use rsm_shared::stream::fence::Epoch;
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::Want;
use rusqlite::OptionalExtension as _;

use super::{Store, StoreError};

/// The last placement of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub slug: Slug,
    pub zone: Zone,
    pub epoch: Epoch,
    pub want: Want,
    /// The link's `spec_rev` that it was made for.
    pub spec_rev: i64,
}

impl Store {
    /// Commits a new placement: an epoch larger than any before, and larger than `floor` (an epoch seen elsewhere).
    /// On return it is on the disk.
    ///
    /// # Errors
    /// As the database says; nothing may be published then.
    pub async fn assign(
        &self,
        slug: Slug,
        zone: Zone,
        want: Want,
        spec_rev: i64,
        floor: Option<Epoch>,
    ) -> Result<Assignment, StoreError> {
        self.call(move |db| {
            let tx = db.transaction()?;
            let old: Option<i64> = tx
                .query_row("SELECT epoch FROM assignments WHERE slug = ?1", [slug.as_str()], |row| row.get(0))
                .optional()?;
            let old = old.and_then(|epoch| u64::try_from(epoch).ok()).map(Epoch).max(floor);
            let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0);
            let epoch = Epoch::next(old, now);
            let state = match want {
                Want::Run => "run",
                Want::Stop => "stop",
            };
            tx.execute(
                "INSERT INTO assignments (slug, zone, epoch, state, spec_rev) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (slug) DO UPDATE SET zone = ?2, epoch = ?3, state = ?4, spec_rev = ?5",
                (slug.as_str(), zone.as_str(), i64::try_from(epoch.0).unwrap_or(i64::MAX), state, spec_rev),
            )?;
            tx.commit()?;
            Ok(Assignment { slug, zone, epoch, want, spec_rev })
        })
        .await
    }

    /// Removes the placement of a removed link. Its slug has a random part and is not given out again.
    ///
    /// # Errors
    /// As the database says.
    pub async fn forget(&self, slug: Slug) -> Result<(), StoreError> {
        self.call(move |db| {
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
        self.call(|db| {
            let mut query = db.prepare("SELECT slug, zone, epoch, state, spec_rev FROM assignments")?;
            let rows = query.query_map([], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, String>(1)?,
                    row.get::<_, i64>(2)?,
                    row.get::<_, String>(3)?,
                    row.get(4)?,
                ))
            })?;
            let mut assignments = Vec::new();
            for row in rows {
                let (slug, zone, epoch, state, spec_rev) = row?;
                let (Ok(slug), Ok(zone), Ok(epoch)) = (Slug::parse(&slug), Zone::parse(&zone), u64::try_from(epoch))
                else {
                    continue;
                };
                let want = if state == "run" { Want::Run } else { Want::Stop };
                assignments.push(Assignment { slug, zone, epoch: Epoch(epoch), want, spec_rev });
            }
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
        let assign = |floor| store.assign(slug.clone(), Zone::default_zone(), Want::Run, 1, floor);
        let before = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
        let first = assign(None).await.unwrap().epoch;
        assert!(first.0 >= before);
        let second = assign(None).await.unwrap().epoch;
        assert!(second > first);
        let seen = Epoch(second.0 + 1_000_000_000);
        let third = assign(Some(seen)).await.unwrap();
        assert_eq!(third.epoch, Epoch(seen.0 + 1));
        assert!(assign(None).await.unwrap().epoch > third.epoch);
        assert_eq!(store.assignments().await.unwrap().len(), 1);
    }
}
