//! The shapes that the database has had, one migration for each. Migrations are append-only: a database that exists has
//! run the earlier ones, and is not changed by an edit of them. The tests hold a checksum of each, and upgrade a
//! database of every shape with data in it.

use std::sync::LazyLock;

use rusqlite::Transaction;
use rusqlite_migration::{HookResult, M, Migrations};

/// SQL of the migrations, oldest first. `PRAGMA user_version` is the number of those that a database has run.
const FILES: [&str; 4] = [
    include_str!("../../../migrations/01-streams/up.sql"),
    include_str!("../../../migrations/02-exclusive/up.sql"),
    include_str!("../../../migrations/03-tls-insecure/up.sql"),
    include_str!("../../../migrations/04-first-schema/up.sql"),
];

/// All migrations.
pub(super) static MIGRATIONS: LazyLock<Migrations<'static>> = LazyLock::new(|| {
    let [streams, exclusive, tls_insecure, first_schema] = FILES;
    Migrations::new(vec![
        M::up(streams),
        M::up(exclusive),
        M::up(tls_insecure),
        M::up_with_hook(first_schema, add_discontinuity),
    ])
});

/// Adds the column that databases of the very first schema lack.
fn add_discontinuity(tx: &Transaction<'_>) -> HookResult {
    let there: bool = tx.query_row(
        "SELECT EXISTS (SELECT 1 FROM pragma_table_info('assignments') WHERE name = 'discontinuity')",
        [],
        |row| row.get(0),
    )?;
    if !there {
        tx.execute_batch("ALTER TABLE assignments ADD COLUMN discontinuity INTEGER NOT NULL DEFAULT 0")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use rusqlite::Connection;

    use super::*;
    use crate::store::Store;

    /// A database of every schema that was ever released, with data in it. `first`: made before the column
    /// `discontinuity`, with the later migrations run on it.
    const SCHEMAS: [(&str, &str); 7] = [
        ("1 first", include_str!("schemas/1-first.sql")),
        ("1", include_str!("schemas/1.sql")),
        ("2 first", include_str!("schemas/2-first.sql")),
        ("2", include_str!("schemas/2.sql")),
        ("3 first", include_str!("schemas/3-first.sql")),
        ("3", include_str!("schemas/3.sql")),
        ("4", include_str!("schemas/4.sql")),
    ];

    /// Length and sum (FNV-1a, 64 bits) of each file in [`FILES`]. A line may be added here, none may change: write a
    /// further migration instead.
    const CHECKSUMS: [(usize, u64); 4] = [
        (1428, 0x2e13_94cd_0542_bfdd),
        (163, 0x73b1_e617_1cfb_a51e),
        (173, 0x6dc1_1bf4_e194_2f90),
        (292, 0x68d1_f692_80af_afd9),
    ];

    fn checksum(text: &str) -> (usize, u64) {
        let sum = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |sum: u64, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        (text.len(), sum)
    }

    /// Every column of every table: table, name, type, whether it is never null, and its default.
    fn columns(path: &Path) -> BTreeSet<(String, String, String, bool, Option<String>)> {
        let db = Connection::open(path).unwrap();
        let sql = "SELECT t.name, c.name, c.type, c.\"notnull\", c.dflt_value
                   FROM sqlite_schema AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table'";
        let mut query = db.prepare(sql).unwrap();
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)));
        rows.unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn migrations_are_valid() {
        MIGRATIONS.validate().unwrap();
    }

    #[test]
    fn no_migration_is_edited_in_place() {
        for (n, (file, want)) in FILES.iter().zip(CHECKSUMS).enumerate() {
            let number = n + 1;
            assert_eq!(
                checksum(file),
                want,
                "migration {number} was edited; databases that exist have run the earlier text: add a further migration"
            );
        }
    }

    #[tokio::test]
    async fn a_database_of_every_schema_comes_up_with_its_data() {
        let dir = tempfile::tempdir().unwrap();
        let fresh = dir.path().join("fresh.sqlite3");
        Store::open(&fresh).unwrap().close().await;
        let newest = format!("{}", FILES.len());
        assert!(SCHEMAS.iter().any(|(name, _)| *name == newest), "add a dump of schema {newest} to schemas/");
        for (name, dump) in SCHEMAS {
            let path = dir.path().join(format!("{name}.sqlite3"));
            Connection::open(&path).unwrap().execute_batch(dump).unwrap();
            let store = Store::open(&path).unwrap_or_else(|e| panic!("schema {name}: {e}"));
            let links = store.links().await.unwrap_or_else(|e| panic!("schema {name}: {e}"));
            let of: Vec<_> = links.iter().map(|link| (link.id, link.slug.as_str(), link.enabled)).collect();
            assert_eq!(of, [(1, "yard-ab12", true), (7, "gate-cd34", false)], "schema {name}");
            let (yard, gate) = (&links[0], &links[1]);
            assert_eq!(yard.settings.mjpeg.max_fps, Some(5), "schema {name}");
            assert_eq!(gate.settings.password.as_ref().map(|secret| secret.expose()), Some("it's; a -- secret"));
            assert_eq!((gate.settings.zone.as_str(), gate.spec_rev), ("north", 4), "schema {name}");
            let assignments = store.assignments().await.unwrap();
            let of: Vec<_> = assignments.iter().map(|a| (a.slug.as_str(), a.epoch.0)).collect();
            assert_eq!(of, [("gate-cd34", 1_790_000_000_001), ("yard-ab12", 1_790_000_000_000)], "schema {name}");
            let want = if name.ends_with("first") { 0 } else { 6 };
            assert_eq!(assignments[1].discontinuity, want, "schema {name}");
            store.close().await;
            assert_eq!(columns(&path), columns(&fresh), "schema {name} ends in another shape than a new database");
        }
    }
}
