//! A stream as clients see it, and the filter of lists.

use rsm_shared::stream::state::StreamState;
use salvo::oapi::{BasicType, Components, Object, RefOr, Schema, ToSchema};
use serde::Serialize;

use crate::hls::players::Players;
use crate::streams::{Offer, Stream, View};

/// One camera, as a relay shows it: without its address and settings.
#[derive(Debug, Serialize, ToSchema)]
#[salvo(schema(name = "CameraForViewers"))]
pub struct ShownStream {
    pub id: i64,
    /// Its name in addresses; never changes.
    pub slug: String,
    pub name: String,
    /// When it was registered, RFC 3339.
    #[salvo(schema(value_type = String, format = DateTime))]
    pub created: String,
    pub state: StateName,
    /// Why it is in that state, for a person.
    pub reason: Option<String>,
    /// Since when it is in that state, RFC 3339.
    #[salvo(schema(value_type = String, format = DateTime))]
    pub since: String,
    /// True when it runs without viewers.
    pub always_on: bool,
    /// Workers of this zone run it.
    pub zone: String,
    pub viewers: Viewers,
}

/// Numbers of viewers now.
#[derive(Debug, Serialize, ToSchema)]
pub struct Viewers {
    /// Over WebSocket, through this process.
    pub mjpeg: u32,
    /// Players that fetched the playlist within the last 15 s.
    pub hls: usize,
}

/// State of a stream.
#[derive(Clone, Copy, Debug)]
pub struct StateName(pub StreamState);

impl Serialize for StateName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl ToSchema for StateName {
    fn to_schema(_: &mut Components) -> RefOr<Schema> {
        let names = StreamState::ALL.map(StreamState::as_str);
        Object::with_type(BasicType::String).enum_values(names).description("What the stream is doing").into()
    }
}

/// A stream as a relay shows it now.
pub fn show_stream(stream: &Stream, players: &Players) -> ShownStream {
    let (offer, view) = (stream.offer(), stream.view());
    ShownStream {
        id: offer.id,
        slug: stream.slug.to_string(),
        name: offer.name.clone(),
        created: offer.created.to_string(),
        state: StateName(state(&offer, &view)),
        reason: view.reason.as_ref().map(|reason| reason.text.clone()),
        since: view.since.to_string(),
        always_on: offer.always_on,
        zone: offer.zone.to_string(),
        viewers: viewers(stream, offer.id, players),
    }
}

/// Numbers of viewers of a stream now.
pub fn viewers(stream: &Stream, id: i64, players: &Players) -> Viewers {
    Viewers { mjpeg: stream.demand.jpeg_viewers(), hls: players.of(id) }
}

/// The state as clients see it: a stop shows at once, before the stream has ended behind it.
pub fn state(offer: &Offer, view: &View) -> StreamState {
    if offer.enabled { view.state } else { StreamState::Stopped }
}

/// Which streams a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub state: Option<StreamState>,
    /// In lower case.
    pub text: Option<String>,
}

impl Filter {
    /// True for a stream that fits, by its name and slug.
    pub fn admits(&self, stream: &Stream) -> bool {
        self.fits(stream, None)
    }

    /// As [`Filter::admits`], and by an address of the camera.
    pub fn admits_address(&self, stream: &Stream, address: &str) -> bool {
        self.fits(stream, Some(address))
    }

    fn fits(&self, stream: &Stream, address: Option<&str>) -> bool {
        let offer = stream.offer();
        let state_fits = self.state.is_none_or(|wanted| state(&offer, &stream.view()) == wanted);
        let text_fits = self.text.as_ref().is_none_or(|text| {
            offer.name.to_lowercase().contains(text)
                || stream.slug.as_str().contains(text.as_str())
                || address.is_some_and(|address| address.to_lowercase().contains(text))
        });
        state_fits && text_fits
    }
}
