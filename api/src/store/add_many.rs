//! Many links at once: all of them, or none.

use super::links::{CameraLink, LinkSettings, check_zones, count_links, insert_link};
use super::{Store, StoreError};

impl Store {
    /// Registers links, each with what its slug is made from, enabled, in their order.
    ///
    /// # Errors
    /// As [`Store::add_link`]; then none of them is there.
    pub async fn add_links(
        &self,
        new: Vec<(String, LinkSettings)>,
        max_links: u64,
    ) -> Result<Vec<CameraLink>, StoreError> {
        self.call(move |db| {
            let tx = db.transaction()?;
            let count = count_links(&tx)?.saturating_add(u64::try_from(new.len()).unwrap_or(u64::MAX));
            if count > max_links {
                return Err(StoreError::Full);
            }
            let links: Vec<CameraLink> = new
                .iter()
                .map(|(slug_label, settings)| insert_link(&tx, slug_label, settings))
                .collect::<Result<_, _>>()?;
            check_zones(&tx)?;
            tx.commit()?;
            Ok(links)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::super::links::{HlsOverrides, JpegOverrides, MAX_ZONES};
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
