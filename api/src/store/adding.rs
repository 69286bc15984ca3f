//! New links: one, or many at once.

use rsm_shared::stream::slug::Slug;
use rusqlite::Connection;

use super::links::{CameraLink, LinkSettings, check_zones, read_link, write_settings};
use super::{Store, StoreError};

impl Store {
    /// Registers a link, enabled. The slug's random part is drawn again should it be taken.
    ///
    /// # Errors
    /// [`StoreError::Full`] at `max_links`, [`StoreError::TooManyZones`]; else as the database says.
    pub async fn add_link(
        &self,
        slug_label: String,
        settings: LinkSettings,
        max_links: u64,
    ) -> Result<CameraLink, StoreError> {
        self.write(move |tx| {
            if count_links(tx)? >= max_links {
                return Err(StoreError::Full);
            }
            let link = insert_link(tx, &slug_label, &settings)?;
            check_zones(tx)?;
            Ok(link)
        })
        .await
    }

    /// Registers links, each with the text that its slug is made from, enabled, in their order.
    ///
    /// # Errors
    /// As [`Store::add_link`]; then none of them is there.
    pub async fn add_links(
        &self,
        new: Vec<(String, LinkSettings)>,
        max_links: u64,
    ) -> Result<Vec<CameraLink>, StoreError> {
        self.write(move |tx| {
            let count = count_links(tx)?.saturating_add(u64::try_from(new.len()).unwrap_or(u64::MAX));
            if count > max_links {
                return Err(StoreError::Full);
            }
            let links: Vec<CameraLink> = new
                .iter()
                .map(|(slug_label, settings)| insert_link(tx, slug_label, settings))
                .collect::<Result<_, _>>()?;
            check_zones(tx)?;
            Ok(links)
        })
        .await
    }
}

/// Number of links.
fn count_links(db: &Connection) -> Result<u64, StoreError> {
    let count: i64 = db.query_row("SELECT count(*) FROM links", [], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(u64::MAX))
}

/// A new row. Nothing may be committed after an error.
fn insert_link(db: &Connection, slug_label: &str, settings: &LinkSettings) -> Result<CameraLink, StoreError> {
    let slug = free_slug(db, slug_label)?;
    db.execute(
        "INSERT INTO links (slug, name, url, created) VALUES (?1, ?2, ?3, ?4)",
        (slug.as_str(), &settings.name, settings.url.to_string(), jiff::Timestamp::now().to_string()),
    )?;
    let id = db.last_insert_rowid();
    write_settings(db, id, settings)?;
    Ok(read_link(db, id)?)
}

/// Draws until a slug is neither a link's nor was ever placed: epochs of a removed stream live on under its slug.
fn free_slug(db: &Connection, label: &str) -> Result<Slug, rusqlite::Error> {
    loop {
        let slug = Slug::generate(label);
        let taken: bool = db.query_row(
            "SELECT EXISTS (SELECT 1 FROM links WHERE slug = ?1) OR EXISTS (SELECT 1 FROM assignments WHERE slug = ?1)",
            [slug.as_str()],
            |row| row.get(0),
        )?;
        if !taken {
            return Ok(slug);
        }
    }
}

#[cfg(test)]
mod tests {
    use rsm_viewing::streams::JpegOverrides;

    use super::super::links::{HlsOverrides, MAX_ZONES};
    use super::*;
    use rsm_shared::stream::camera_link::CameraUrl;
    use rsm_shared::stream::names::Zone;
    use rsm_shared::stream::spec::Transport;

    fn new(n: usize, zone: &str) -> (String, LinkSettings) {
        let settings = LinkSettings {
            name: format!("Camera {n}"),
            url: CameraUrl::parse(&format!("rtsp://10.0.0.1/{n}")).unwrap().url,
            zone: Zone::parse(zone).unwrap(),
            username: None,
            password: None,
            transport: Transport::Auto,
            tls_insecure: false,
            always_on: false,
            exclusive: n == 1,
            mjpeg: JpegOverrides::default(),
            hls: HlsOverrides::default(),
        };
        ("camera".into(), settings)
    }

    #[tokio::test]
    async fn all_are_there_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("rsm.sqlite3")).unwrap();
        let list: Vec<_> = (0..3).map(|n| new(n, "z")).collect();
        let links = store.add_links(list.clone(), 3).await.unwrap();
        assert_eq!(store.links().await.unwrap(), links);
        assert!(links.iter().zip(&list).all(|(link, (_, settings))| link.settings == *settings && link.enabled));
        assert!(matches!(store.add_links(list, 5).await, Err(StoreError::Full)));
        let zones: Vec<_> = (0..MAX_ZONES).map(|n| new(n, &format!("y{n}"))).collect();
        assert!(matches!(store.add_links(zones, 1000).await, Err(StoreError::TooManyZones)));
        assert_eq!(store.links().await.unwrap(), links, "nothing of it was kept");
        assert!(store.add_links(Vec::new(), 3).await.unwrap().is_empty());
    }
}
