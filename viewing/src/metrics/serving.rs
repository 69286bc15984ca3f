//! Counters of serving viewers, in the API and in relays.

use std::time::Duration;

use prometheus::{Error, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry};
use salvo::http::StatusCode;

use super::samples::show_all;
use crate::hls::fetch::FetchCounts;
use crate::relay::departure::{Departure, ViewerCounts};
use crate::relay::hub::HubCounts;
use crate::relay::seats::SeatRefusal;

/// From a request on loopback to one that waits 10 s for media; seconds.
const REQUEST_BUCKETS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// From one machine to a bad network; seconds.
const RELAY_BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// Statuses of answers to players of HLS, shown from the beginning.
const HLS_STATUSES: [StatusCode; 4] =
    [StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE];
/// Outcomes of a fetch.
const FETCH_OUTCOMES: [&str; 4] = ["hit", "miss", "absent", "error"];

rsm_shared::metrics_table! {
    /// Counters of serving viewers, in the API and in relays.
    pub struct ServingTable {
        /// HTTP requests answered, by route and status. Of 5xx the log of this process has the cause.
        pub http_requests: IntCounterVec = "rsm_http_requests_total" by ["route", "status"],
        /// Time to answer an HTTP request. Requests for media wait up to 10 s for the first of it, and connections of
        /// viewers count until they are made; where others take long, this process or its disk is overloaded.
        pub http_seconds: HistogramVec = "rsm_http_request_seconds" by ["route"] in REQUEST_BUCKETS,
        /// HLS playlists and segments answered, by status. Many 503: streams do not start in time; many 404: players are
        /// further behind than segments are kept.
        pub hls_requests: IntCounterVec = "rsm_hls_requests_total" by ["status"],
        /// Playlists and segments of workers whose disk this process does not share: hit from the cache, miss fetched,
        /// absent at the worker, error. Of errors: see whether the workers' addresses can be reached from here.
        pub hls_fetches: IntCounterVec = "rsm_hls_fetches_total" by ["outcome"],
        /// Frames dropped because a newer owner's, or a newer one, was there already. Some at each move of a stream; for
        /// long: a worker goes on with a stream that is not its own any more.
        pub stale_frames: IntCounter = "rsm_stale_frames_total",
        /// Frames dropped because their headers were missing or not readable: another program publishes on these subjects.
        pub malformed_frames: IntCounter = "rsm_malformed_frames_total",
        /// Viewers that may be connected at one time (api.max_viewers).
        pub viewer_seats: IntGauge = "rsm_viewer_seats",
        /// Viewers that were not let in: all seats taken (all), the stream's (stream), or those of their address (address).
        /// Add a relay, or raise the bound that is named.
        pub viewer_refusals: IntCounterVec = "rsm_viewer_refusals_total" by ["reason"],
        /// Viewers of frames whose connection ended: they left, vanished, stalled or broke the protocol, the camera was
        /// stopped or removed, or this process shut down. Of many stalled: look at the network to the viewers.
        pub viewers_closed: IntCounterVec = "rsm_viewers_closed_total" by ["reason"],
        /// Frames that viewers were too slow for and that were replaced by newer ones. Compare with the frames sent: a large
        /// share means that viewers have too little bandwidth for this size and rate.
        pub frames_skipped: IntCounter = "rsm_viewer_frames_skipped_total",
        /// Bytes of frames that viewers were sent.
        pub sent_bytes: IntCounter = "rsm_viewer_sent_bytes_total",
        /// Time from a frame's publishing to its being sent to one viewer. Clocks of the hosts must agree for this; if they
        /// do and it grows, NATS or this process is overloaded.
        pub relay_seconds: Histogram = "rsm_frame_relay_seconds" in RELAY_BUCKETS,
    }
}

/// Counters of serving viewers, ready for the parts of the program that count.
pub struct ServingMetrics {
    http_requests: IntCounterVec,
    http_seconds: HistogramVec,
    hls_requests: IntCounterVec,
    pub fetches: FetchCounts,
    pub hub: HubCounts,
    /// By [`SeatRefusal::as_str`].
    pub refusals: IntCounterVec,
    pub viewer: ViewerCounts,
}

impl ServingMetrics {
    /// Registers them, for at most `seats` viewers.
    ///
    /// # Errors
    /// When a name is taken: a mistake in the program.
    pub fn new(registry: &Registry, seats: u64) -> Result<Self, Error> {
        let table = ServingTable::registered(registry)?;
        table.viewer_seats.set(i64::try_from(seats).unwrap_or(i64::MAX));
        show_all(&table.viewer_refusals, SeatRefusal::ALL.map(|refusal| [refusal.as_str()]));
        show_all(&table.viewers_closed, Departure::ALL.map(|departure| [departure.as_str()]));
        for status in HLS_STATUSES {
            show_all(&table.hls_requests, [[status.as_str()]]);
        }
        show_all(&table.hls_fetches, FETCH_OUTCOMES.map(|outcome| [outcome]));
        Ok(Self {
            http_requests: table.http_requests,
            http_seconds: table.http_seconds,
            hls_requests: table.hls_requests,
            fetches: FetchCounts(table.hls_fetches),
            hub: HubCounts { stale: table.stale_frames, malformed: table.malformed_frames },
            refusals: table.viewer_refusals,
            viewer: ViewerCounts {
                skipped: table.frames_skipped,
                relay_seconds: table.relay_seconds,
                sent_bytes: table.sent_bytes,
                closed: table.viewers_closed,
            },
        })
    }

    /// One request was answered. `route` is a pattern of the table of routes, never a path as it came.
    pub fn request(&self, route: &str, status: StatusCode, took: Duration) {
        self.http_requests.with_label_values(&[route, status.as_str()]).inc();
        self.http_seconds.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    /// One playlist or segment was answered.
    pub fn hls_request(&self, status: StatusCode) {
        self.hls_requests.with_label_values(&[status.as_str()]).inc();
    }
}
