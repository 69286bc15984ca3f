//! A link as clients see it. No credential: the address is masked, and of the password only its presence is shown.

use rsm_shared::stream::rendition::Rendition;
use rsm_shared::stream::spec::Transport;
use rsm_viewing::hls::players::Players;
use rsm_viewing::routes::shown::{StateName, Viewers, state, viewers};
use rsm_viewing::streams::JpegOverrides;
use salvo::oapi::{BasicType, Components, Object, RefOr, Schema, ToSchema};
use serde::Serialize;

use super::links::Entry;
use crate::store::links::HlsOverrides;

/// One camera.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(name = "Camera"))]
pub struct ShownLink {
    pub id: i64,
    /// Its name in addresses; never changes.
    pub slug: String,
    pub name: String,
    /// The address; a password in it is shown as `***`.
    pub url: String,
    /// When it was registered, RFC 3339.
    #[salvo(schema(value_type = String, format = DateTime))]
    pub created: String,
    pub state: StateName,
    /// Why it is in that state, for a person.
    pub reason: Option<String>,
    /// Since when it is in that state, RFC 3339.
    #[salvo(schema(value_type = String, format = DateTime))]
    pub since: String,
    pub username: Option<String>,
    /// True when a password is stored; it is never shown.
    pub has_password: bool,
    /// True when it runs without viewers.
    pub always_on: bool,
    /// True when the camera serves one session only.
    pub exclusive: bool,
    pub transport: TransportName,
    /// True when any certificate of an `rtsps` camera is taken.
    pub tls_insecure: bool,
    pub mjpeg: ShownJpeg,
    pub hls: ShownHls,
    /// Workers of this zone run it.
    pub zone: String,
    pub viewers: Viewers,
}

/// Bounds of the JPEG output; `null` where the server's own hold.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(name = "JpegSettings"))]
pub struct ShownJpeg {
    /// Frames per second.
    #[salvo(schema(minimum = 1, maximum = 60))]
    pub max_fps: Option<u32>,
    /// Pixels.
    #[salvo(schema(minimum = 64, maximum = 3840))]
    pub max_width: Option<u32>,
    /// 100 is the finest.
    #[salvo(schema(minimum = 1, maximum = 100))]
    pub quality: Option<u32>,
}

/// Shape of the HLS output; `null` where the server's own holds.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(name = "HlsSettings"))]
pub struct ShownHls {
    /// A segment is cut at the first key frame after this many seconds.
    #[salvo(schema(minimum = 1, maximum = 10))]
    pub segment_seconds: Option<u32>,
    /// Segments in the playlist.
    #[salvo(schema(minimum = 3, maximum = 60))]
    pub window_segments: Option<u32>,
    /// Low latency: length of a part that players may fetch before its segment is whole, milliseconds; 0 for none, else
    /// at least 200.
    #[salvo(schema(minimum = 0, maximum = 1000))]
    pub part_ms: Option<u32>,
    /// True when it is made without viewers; the camera then runs all the time.
    pub always_on: Option<bool>,
    /// Lower renditions that are offered, as far as they have fewer lines than the camera's picture; encoded only while
    /// they are played.
    pub renditions: Option<Vec<RenditionName>>,
}

/// A lower rendition of the pictures, by its lines.
#[derive(Clone, Copy, Debug)]
pub struct RenditionName(pub Rendition);

impl Serialize for RenditionName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl ToSchema for RenditionName {
    fn to_schema(_: &mut Components) -> RefOr<Schema> {
        let offered = Rendition::ALL.into_iter().filter(|rendition| rendition.height().is_some());
        let names: Vec<_> = offered.map(Rendition::as_str).collect();
        Object::with_type(BasicType::String).enum_values(names).description("A rendition, by its lines").into()
    }
}

/// Transport of RTP.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(transparent)]
pub struct TransportName(pub Transport);

impl ToSchema for TransportName {
    fn to_schema(_: &mut Components) -> RefOr<Schema> {
        Object::with_type(BasicType::String)
            .enum_values(["auto", "tcp", "udp"])
            .description("How RTP travels: over the RTSP connection first, over it only, as datagrams only")
            .into()
    }
}

/// A link as operators see it now.
pub fn show(entry: &Entry, players: &Players) -> ShownLink {
    let (link, view) = (entry.link(), entry.view());
    let JpegOverrides { max_fps, max_width, quality } = link.mjpeg;
    let HlsOverrides { segment_seconds, window_segments, part_ms, always_on, renditions } = link.hls;
    let renditions = renditions.map(|set| set.iter().map(RenditionName).collect());
    ShownLink {
        id: link.id,
        slug: link.slug.to_string(),
        name: link.name.clone(),
        url: link.url.masked(link.username.as_deref(), link.password.is_some()),
        created: link.created.to_string(),
        state: StateName(state(&entry.offer(), &view)),
        reason: view.reason.as_ref().map(|reason| reason.text.clone()),
        since: view.since.to_string(),
        username: link.username.clone(),
        has_password: link.password.is_some(),
        always_on: link.always_on,
        exclusive: link.exclusive,
        transport: TransportName(link.transport),
        tls_insecure: link.tls_insecure,
        mjpeg: ShownJpeg { max_fps, max_width, quality },
        hls: ShownHls { segment_seconds, window_segments, part_ms, always_on, renditions },
        zone: link.zone.to_string(),
        viewers: viewers(entry, link.id, players),
    }
}

#[cfg(test)]
mod tests {
    use super::super::links::Directory;
    use super::*;
    use crate::store::links::{CameraLink, LinkSettings};
    use rsm_shared::stream::camera_link::CameraUrl;
    use rsm_shared::stream::names::Zone;
    use rsm_shared::stream::secret::Secret;
    use rsm_shared::stream::slug::Slug;
    use rsm_shared::stream::state::StreamState;
    use rsm_viewing::routes::shown::Filter;

    fn link() -> CameraLink {
        CameraLink {
            id: 1,
            slug: Slug::parse("yard-x1").unwrap(),
            spec_rev: 1,
            created: "2026-01-02T03:04:05Z".parse().unwrap(),
            enabled: true,
            settings: LinkSettings {
                name: "Küche Nord".into(),
                url: CameraUrl::parse("rtsp://10.0.0.1/Live").unwrap().url,
                zone: Zone::default_zone(),
                username: Some("operator".into()),
                password: Some(Secret::new("hunter2")),
                transport: Transport::Auto,
                tls_insecure: false,
                always_on: false,
                exclusive: false,
                mjpeg: JpegOverrides::default(),
                hls: HlsOverrides::default(),
            },
        }
    }

    #[test]
    fn filters_by_state_and_text() {
        let directory = Directory::new(vec![link()]);
        let entry = directory.by_id(1).unwrap();
        for (state, text, want) in [
            (None, None, true),
            (None, Some("küche"), true),
            (None, Some("x1"), true),
            (None, Some("10.0.0.1/live"), true),
            (None, Some("operator"), false),
            (None, Some("hunter2"), false),
            (Some(StreamState::Idle), None, true),
            (Some(StreamState::Running), None, false),
            (Some(StreamState::Running), Some("küche"), false),
        ] {
            let filter = Filter { state, text: text.map(str::to_owned) };
            assert_eq!(filter.admits_address(&entry, entry.link().url.as_url().as_str()), want, "{filter:?}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let directory = Directory::new(vec![link()]);
        let shown = serde_json::to_value(show(&directory.by_id(1).unwrap(), &Players::default())).unwrap();
        assert_eq!(shown["url"], "rtsp://operator:***@10.0.0.1/Live");
        assert_eq!(shown["has_password"], true);
        assert_eq!(shown["created"], "2026-01-02T03:04:05Z");
        assert!(!shown.to_string().contains("hunter2"));
    }

    #[test]
    fn a_stop_shows_at_once() {
        let directory = Directory::new(vec![link()]);
        let entry = directory.put(CameraLink { enabled: false, ..link() });
        assert_eq!(entry.view().state, StreamState::Idle);
        assert_eq!(state(&entry.offer(), &entry.view()), StreamState::Stopped);
    }
}
