//! Links as users registered them.

use rsm_shared::stream::camera_link::{CameraUrl, Credentials};
use rsm_shared::stream::names::Zone;
use rsm_shared::stream::secret::Secret;
use rsm_shared::stream::slug::Slug;
use rsm_shared::stream::spec::{HlsParams, JpegParams, StreamSpec, Transport};
use rsm_viewing::streams::JpegOverrides;
use rusqlite::{Connection, Row, named_params};
use serde::{Serialize, de::DeserializeOwned};

pub use super::overrides::HlsOverrides;
use super::{Store, StoreError};

/// Different zones of all links: each has two queues on NATS.
pub const MAX_ZONES: usize = 64;

/// One registered camera.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraLink {
    pub id: i64,
    pub slug: Slug,
    /// Grows when a running pipeline must be restarted for the change.
    pub spec_rev: i64,
    pub created: jiff::Timestamp,
    pub settings: LinkSettings,
    /// `false` after an operator's stop.
    pub enabled: bool,
}

impl std::ops::Deref for CameraLink {
    type Target = LinkSettings;
    fn deref(&self) -> &LinkSettings {
        &self.settings
    }
}

/// Settings of a link by its user.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkSettings {
    pub name: String,
    pub url: CameraUrl,
    /// Workers of this zone run it.
    pub zone: Zone,
    pub username: Option<String>,
    pub password: Option<Secret>,
    pub transport: Transport,
    /// Any certificate of the camera is taken, also one that it signed itself. Counts for `rtsps` only.
    pub tls_insecure: bool,
    pub always_on: bool,
    /// The camera serves one session only: never two owners at once, so a stream moves with a gap. Not part of
    /// the specification for workers, so that a change restarts nothing.
    pub exclusive: bool,
    pub mjpeg: JpegOverrides,
    pub hls: HlsOverrides,
}

impl LinkSettings {
    /// The JPEG settings in force.
    pub fn jpeg_params(&self, defaults: JpegParams) -> JpegParams {
        self.mjpeg.over(defaults)
    }

    /// The specification for workers.
    pub fn spec(&self, defaults: HlsParams) -> StreamSpec {
        let credentials = match (&self.username, &self.password) {
            (None, None) => None,
            (username, password) => Some(Credentials {
                username: username.clone().unwrap_or_default(),
                password: password.clone().unwrap_or_else(|| Secret::new("")),
            }),
        };
        StreamSpec {
            url: self.url.clone(),
            credentials,
            transport: self.transport,
            tls_insecure: self.tls_insecure && self.url.scheme() == "rtsps",
            exclusive: self.exclusive,
            hls: self.hls.over(defaults),
        }
    }

    /// True when it runs without viewers: by itself, or because its HLS is always made.
    pub fn runs_unwatched(&self, defaults: HlsParams) -> bool {
        self.always_on || self.hls.over(defaults).always_on
    }

    /// True when a running pipeline must be restarted to get from `self` to `other`: the specification or the zone
    /// differs. A worker learns with the next placement that a camera has become exclusive.
    fn needs_restart(&self, other: &Self, defaults: HlsParams) -> bool {
        let before = StreamSpec { exclusive: other.exclusive, ..self.spec(defaults) };
        self.zone != other.zone || before != other.spec(defaults)
    }
}

impl Store {
    /// Replaces the settings of a link, over the configuration's `defaults`; `None` when the link is gone.
    ///
    /// # Errors
    /// [`StoreError::TooManyZones`]; else as the database says.
    pub async fn change_link(
        &self,
        id: i64,
        settings: LinkSettings,
        defaults: HlsParams,
    ) -> Result<Option<CameraLink>, StoreError> {
        self.write(move |tx| {
            let old = match read_link(tx, id) {
                Err(rusqlite::Error::QueryReturnedNoRows) => return Ok(None),
                other => other?,
            };
            write_settings(tx, id, &settings)?;
            check_zones(tx)?;
            if old.settings.needs_restart(&settings, defaults) {
                tx.execute("UPDATE links SET spec_rev = spec_rev + 1 WHERE id = ?1", [id])?;
            }
            let link = read_link(tx, id)?;
            Ok(Some(link))
        })
        .await
    }

    /// Starts or stops a link; `None` when it is gone.
    ///
    /// # Errors
    /// As the database says.
    pub async fn enable_link(&self, id: i64, enabled: bool) -> Result<Option<CameraLink>, StoreError> {
        self.write(move |db| {
            db.execute("UPDATE links SET enabled = ?2 WHERE id = ?1", (id, enabled))?;
            match read_link(db, id) {
                Ok(link) => Ok(Some(link)),
                Err(rusqlite::Error::QueryReturnedNoRows) => Ok(None),
                Err(e) => Err(e.into()),
            }
        })
        .await
    }

    /// Removes a link; whether it was there.
    ///
    /// # Errors
    /// As the database says.
    pub async fn remove_link(&self, id: i64) -> Result<bool, StoreError> {
        self.write(move |db| Ok(db.execute("DELETE FROM links WHERE id = ?1", [id])? > 0)).await
    }

    /// Every link, by id.
    ///
    /// # Errors
    /// As the database says.
    pub async fn links(&self) -> Result<Vec<CameraLink>, StoreError> {
        self.read(|db| {
            let mut query = db.prepare("SELECT * FROM links ORDER BY id")?;
            let links = query.query_map([], from_row)?.collect::<Result<_, _>>()?;
            Ok(links)
        })
        .await
    }
}

/// Everything that a user sets, into the row of `id`. Check the zones before it is committed.
pub(super) fn write_settings(db: &Connection, id: i64, settings: &LinkSettings) -> Result<(), StoreError> {
    db.execute(
        "UPDATE links SET name = :name, url = :url, zone = :zone, username = :username, password = :password,
                transport = :transport, tls_insecure = :tls_insecure, always_on = :always_on, exclusive = :exclusive,
                mjpeg = :mjpeg, hls = :hls
         WHERE id = :id",
        named_params! {
            ":id": id,
            ":name": settings.name,
            ":url": settings.url.to_string(),
            ":zone": settings.zone.as_str(),
            ":username": settings.username,
            ":password": settings.password.as_ref().map(Secret::expose),
            ":transport": to_text(&settings.transport),
            ":tls_insecure": settings.tls_insecure,
            ":always_on": settings.always_on,
            ":exclusive": settings.exclusive,
            ":mjpeg": to_json(&settings.mjpeg),
            ":hls": to_json(&settings.hls),
        },
    )?;
    Ok(())
}

/// Refuses links in too many zones. Nothing may be committed after an error.
pub(super) fn check_zones(db: &Connection) -> Result<(), StoreError> {
    let zones: i64 = db.query_row("SELECT count(DISTINCT zone) FROM links", [], |row| row.get(0))?;
    if usize::try_from(zones).unwrap_or(usize::MAX) > MAX_ZONES {
        return Err(StoreError::TooManyZones);
    }
    Ok(())
}

pub(super) fn read_link(db: &Connection, id: i64) -> Result<CameraLink, rusqlite::Error> {
    db.query_row("SELECT * FROM links WHERE id = ?1", [id], from_row)
}

fn from_row(row: &Row<'_>) -> Result<CameraLink, rusqlite::Error> {
    Ok(CameraLink {
        id: row.get("id")?,
        slug: parsed(row, "slug", |text| Slug::parse(text).ok())?,
        spec_rev: row.get("spec_rev")?,
        created: parsed(row, "created", |text| text.parse().ok())?,
        enabled: row.get("enabled")?,
        settings: LinkSettings {
            name: row.get("name")?,
            url: parsed(row, "url", |text| CameraUrl::parse(text).ok().map(|parsed| parsed.url))?,
            zone: parsed(row, "zone", |text| Zone::parse(text).ok())?,
            username: row.get("username")?,
            password: row.get::<_, Option<String>>("password")?.map(Secret::new),
            transport: parsed(row, "transport", from_text)?,
            tls_insecure: row.get("tls_insecure")?,
            always_on: row.get("always_on")?,
            exclusive: row.get("exclusive")?,
            mjpeg: parsed(row, "mjpeg", |text| serde_json::from_str(text).ok())?,
            hls: parsed(row, "hls", |text| serde_json::from_str(text).ok())?,
        },
    })
}

/// A column whose text must mean something. The error names the column, not the text.
fn parsed<T>(row: &Row<'_>, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T, rusqlite::Error> {
    let text: String = row.get(column)?;
    parse(&text).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(
            0,
            rusqlite::types::Type::Text,
            format!("links.{column} is not valid").into(),
        )
    })
}

fn to_text<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn from_text<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(text.into()).ok()
}

fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "{}".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_shared::stream::rendition::{Rendition, RenditionSet};

    const DEFAULTS: HlsParams = HlsParams {
        segment_seconds: 2,
        window_segments: 6,
        part_ms: 333,
        always_on: false,
        renditions: RenditionSet::NONE,
    };

    fn settings() -> LinkSettings {
        let parsed = CameraUrl::parse("rtsp://10.0.0.1/h264").unwrap();
        LinkSettings {
            name: "Yard".into(),
            url: parsed.url,
            zone: Zone::default_zone(),
            username: Some("admin".into()),
            password: Some(Secret::new("s3cret")),
            transport: Transport::Tcp,
            tls_insecure: false,
            always_on: true,
            exclusive: false,
            mjpeg: JpegOverrides { max_fps: Some(5), ..JpegOverrides::default() },
            hls: HlsOverrides::default(),
        }
    }

    async fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("rsm.sqlite3")).unwrap();
        (dir, store)
    }

    #[tokio::test]
    async fn a_link_survives_reopening() {
        let (dir, store) = store().await;
        let link = store.add_link("yard".into(), settings(), 10).await.unwrap();
        assert_eq!(link.settings, settings());
        drop(store);
        let again = Store::open(&dir.path().join("rsm.sqlite3")).unwrap();
        assert_eq!(again.links().await.unwrap(), [link]);
    }

    #[tokio::test]
    async fn only_what_a_pipeline_depends_on_raises_the_revision() {
        let (_dir, store) = store().await;
        let link = store.add_link("yard".into(), settings(), 10).await.unwrap();
        let renamed = LinkSettings { name: "Garden".into(), always_on: false, exclusive: true, ..settings() };
        let link = store.change_link(link.id, renamed, DEFAULTS).await.unwrap().unwrap();
        assert_eq!((link.spec_rev, link.exclusive), (1, true));
        let changed = LinkSettings { password: Some(Secret::new("other")), ..settings() };
        assert_eq!(store.change_link(link.id, changed.clone(), DEFAULTS).await.unwrap().unwrap().spec_rev, 2);
        let moved = LinkSettings { zone: Zone::parse("north").unwrap(), ..changed };
        assert_eq!(store.change_link(link.id, moved, DEFAULTS).await.unwrap().unwrap().spec_rev, 3);
        assert_eq!(store.change_link(999, settings(), DEFAULTS).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_change_that_a_worker_is_not_told_restarts_nothing() {
        let (_dir, store) = store().await;
        let mut rev = store.add_link("yard".into(), settings(), 10).await.unwrap().spec_rev;
        let none = HlsOverrides::default();
        let small = Some(RenditionSet::NONE.with(Rendition::P360));
        let of = |hls| LinkSettings { hls, ..settings() };
        let tls = LinkSettings { tls_insecure: true, ..settings() };
        let secure = LinkSettings { url: CameraUrl::parse("rtsps://10.0.0.1/h264").unwrap().url, ..settings() };
        for (what, to, restarts) in [
            ("the same shape, said", of(HlsOverrides { part_ms: Some(333), ..none }), false),
            ("no parts", of(HlsOverrides { part_ms: Some(0), ..none }), true),
            ("as configured", settings(), true),
            ("a rendition", of(HlsOverrides { renditions: small, ..none }), true),
            ("always made", of(HlsOverrides { always_on: Some(true), ..none }), true),
            ("as configured", settings(), true),
            ("any certificate of no TLS", tls.clone(), false),
            ("TLS", secure.clone(), true),
            ("any certificate", LinkSettings { tls_insecure: true, ..secure }, true),
        ] {
            let link = store.change_link(1, to.clone(), DEFAULTS).await.unwrap().unwrap();
            assert_eq!((link.spec_rev > rev, &link.settings), (restarts, &to), "{what}");
            rev = link.spec_rev;
        }
        assert!(!tls.spec(DEFAULTS).tls_insecure, "there is no certificate");
    }

    #[test]
    fn a_stream_whose_hls_is_always_made_runs_unwatched() {
        let by = |always_on, hls| {
            let hls = HlsOverrides { always_on: hls, ..HlsOverrides::default() };
            LinkSettings { always_on, hls, ..settings() }
        };
        let configured = HlsParams { always_on: true, ..DEFAULTS };
        assert!(by(true, None).runs_unwatched(DEFAULTS) && by(false, Some(true)).runs_unwatched(DEFAULTS));
        assert!(by(false, None).runs_unwatched(configured));
        assert!(!by(false, None).runs_unwatched(DEFAULTS) && !by(false, Some(false)).runs_unwatched(configured));
    }

    #[tokio::test]
    async fn a_login_of_any_characters_reaches_the_worker_as_it_is() {
        let (_dir, store) = store().await;
        for login in ["p@ss:w/rd?#%& ü", "%40", "***x", "\"'$(id)`;--", " lead", "密码"] {
            let settings =
                LinkSettings { username: Some(login.into()), password: Some(Secret::new(login)), ..settings() };
            let link = store.add_link("yard".into(), settings, 100).await.unwrap();
            let told = link.spec(DEFAULTS).credentials.unwrap();
            assert_eq!((told.username.as_str(), told.password.expose()), (login, login));
        }
    }

    #[tokio::test]
    async fn there_are_so_many_zones_and_no_more() {
        let (_dir, store) = store().await;
        let of = |n: usize| LinkSettings { zone: Zone::parse(&format!("z{n}")).unwrap(), ..settings() };
        let mut links = Vec::new();
        for n in 0..MAX_ZONES {
            links.push(store.add_link("a".into(), of(n), 1000).await.unwrap());
        }
        assert!(matches!(store.add_link("b".into(), of(MAX_ZONES), 1000).await, Err(StoreError::TooManyZones)));
        assert_eq!(store.links().await.unwrap(), links, "nothing of it was kept");
        let second = store.add_link("b".into(), of(0), 1000).await.unwrap();
        let one_more = store.change_link(second.id, of(MAX_ZONES), DEFAULTS).await;
        assert!(matches!(one_more, Err(StoreError::TooManyZones)));
        assert_eq!(store.links().await.unwrap().last(), Some(&second));
        assert!(
            store.change_link(links[1].id, of(MAX_ZONES), DEFAULTS).await.unwrap().is_some(),
            "its own zone is free then"
        );
    }

    #[tokio::test]
    async fn the_limit_is_kept() {
        let (_dir, store) = store().await;
        store.add_link("a".into(), settings(), 1).await.unwrap();
        assert!(matches!(store.add_link("b".into(), settings(), 1).await, Err(StoreError::Full)));
    }

    #[tokio::test]
    async fn stop_and_remove() {
        let (_dir, store) = store().await;
        let link = store.add_link("a".into(), settings(), 1).await.unwrap();
        assert!(!store.enable_link(link.id, false).await.unwrap().unwrap().enabled);
        assert!(store.remove_link(link.id).await.unwrap());
        assert!(!store.remove_link(link.id).await.unwrap());
        assert_eq!(store.enable_link(link.id, true).await.unwrap(), None);
    }
}
