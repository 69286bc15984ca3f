//! Values that are looked up when Prometheus asks, instead of being counted along the way. Every answer is made anew, so
//! that removed streams leave nothing behind.

use prometheus::Error;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use rsm_shared::ops::metrics::table::Seen;
use rsm_shared::stream::state::StreamState;

use crate::hls::players::Players;
use crate::relay::seats::{Seats, ViewerKind};
use crate::streams::Streams;

/// The kind of players of HLS: they have no seat, as they hold no connection.
const HLS: &str = "hls";

rsm_shared::metrics_table! {
    /// Values that both roles look up. A label `stream` has as many values as there are streams, `api.max_links` at most.
    pub struct ObservedTable {
        /// Registered streams by state. Of auth_failed ones: correct the credentials. Of failed and reconnecting ones: the
        /// status of each tells the remedy.
        pub streams: Seen = "rsm_streams" by ["state"],
        /// 1 for the state that a stream is in; other states have no sample.
        pub stream_state: Seen = "rsm_stream_state" by ["stream", "state"],
        /// Viewers now: mjpeg over WebSocket, multipart, events (server-sent), hls players seen of late.
        pub viewers: Seen = "rsm_viewers" by ["kind"],
        /// Viewers of a stream now, by kind; no sample for none.
        pub stream_viewers: Seen = "rsm_stream_viewers" by ["stream", "kind"],
    }
}

/// Collects from tables that the process keeps anyway.
pub struct Observed {
    streams: Streams,
    seats: Seats,
    players: Players,
    table: ObservedTable,
}

impl Observed {
    /// Reads these when asked.
    ///
    /// # Errors
    /// When a name or label is not valid: a mistake in the program.
    pub fn new(streams: Streams, seats: Seats, players: Players) -> Result<Self, Error> {
        Ok(Self { streams, seats, players, table: ObservedTable::unregistered()? })
    }
}

impl Collector for Observed {
    fn desc(&self) -> Vec<&Desc> {
        let t = &self.table;
        vec![t.streams.desc(), t.stream_state.desc(), t.viewers.desc(), t.stream_viewers.desc()]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let streams: Vec<_> = self.streams.all().into_iter().map(|stream| (stream.view(), stream)).collect();
        // Read once for all families, so that the values of one scrape agree.
        let players = self.players.by_stream();
        let seats = self.seats.by_stream();
        let t = &self.table;

        let states = StreamState::ALL.map(|state| {
            let count = streams.iter().filter(|(view, _)| view.state == state).count();
            ([state.as_str()], number(count))
        });
        let state_of = streams.iter().map(|(view, stream)| ([stream.slug.as_str(), view.state.as_str()], 1.0));

        let by_kind = ViewerKind::ALL.map(|kind| ([kind.as_str()], number(self.seats.taken_by(kind))));
        let players_all = ([HLS], number(players.values().sum()));

        let mut watched = Vec::new();
        for (_, stream) in &streams {
            let slug = stream.slug.as_str();
            for (kind, count) in
                seats.get(&stream.slug).into_iter().flat_map(|kinds| ViewerKind::ALL.into_iter().zip(kinds))
            {
                watched.extend((*count > 0).then(|| ([slug, kind.as_str()], number(*count))));
            }
            watched.extend(players.get(&stream.offer().id).map(|count| ([slug, HLS], number(*count))));
        }

        vec![
            t.streams.family(states),
            t.stream_state.family(state_of),
            t.viewers.family(by_kind.into_iter().chain([players_all])),
            t.stream_viewers.family(watched),
        ]
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn number(count: usize) -> f64 {
    count as f64
}
