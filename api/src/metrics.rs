//! Everything the API and relays measure, in one table. The help texts are what an operator reads in Prometheus. No label holds
//! an address or a credential; every label set is closed or bounded by `api.max_links`.

use std::collections::HashMap;
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Error, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use rsm_shared::stream::state::StreamState;
use salvo::http::StatusCode;

use crate::control::ControlMetrics;
use crate::hls::fetch::FetchCounts;
use crate::hls::viewers::Players;
use crate::relay::departure::{Departure, ViewerCounts};
use crate::relay::hub::HubCounts;
use crate::relay::seats::{Kind, Refusal, Seats};
use crate::role::Role;
use crate::streams::Streams;

/// From a request on loopback to one that waits 10 s for media; seconds.
const REQUEST_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// From one machine to a bad network; seconds.
const RELAY_BUCKETS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// The metrics of a role that serves viewers.
pub struct ApiMetrics {
    /// By route and status.
    http_requests: IntCounterVec,
    /// By route.
    http_seconds: HistogramVec,
    /// By status.
    hls_requests: IntCounterVec,
    pub fetches: FetchCounts,
    pub hub: HubCounts,
    /// By reason.
    pub refusals: IntCounterVec,
    pub viewer: ViewerCounts,
    pub control: ControlMetrics,
}

impl ApiMetrics {
    /// Registers those of the role. `nats_connected` is registered already.
    ///
    /// # Errors
    /// When a name is taken: a mistake in the program.
    pub fn new(registry: &Registry, role: Role, nats_connected: IntGauge) -> Result<Self, Error> {
        let metrics = Self {
            http_requests: IntCounterVec::new(
                Opts::new("rsm_http_requests_total", "HTTP requests answered, by route and status"),
                &["route", "status"],
            )?,
            http_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "rsm_http_request_seconds",
                    "Time to answer an HTTP request; requests for media wait up to 10 s for the first of it",
                )
                .buckets(REQUEST_BUCKETS.to_vec()),
                &["route"],
            )?,
            hls_requests: IntCounterVec::new(
                Opts::new("rsm_hls_requests_total", "HLS playlists and segments answered, by status"),
                &["status"],
            )?,
            fetches: FetchCounts(IntCounterVec::new(
                Opts::new(
                    "rsm_hls_fetches_total",
                    "Playlists and segments of workers whose disk this process does not share: hit from the cache, \
                     miss fetched, absent at the worker, error",
                ),
                &["outcome"],
            )?),
            hub: HubCounts {
                stale: IntCounter::new(
                    "rsm_stale_frames_total",
                    "Frames dropped because a newer owner's, or a newer one, was there already",
                )?,
                malformed: IntCounter::new(
                    "rsm_malformed_frames_total",
                    "Frames dropped because their headers were missing or not readable",
                )?,
            },
            refusals: IntCounterVec::new(
                Opts::new(
                    "rsm_viewer_refusals_total",
                    "Viewers that were not let in: all seats taken, the stream's, or those of their address",
                ),
                &["reason"],
            )?,
            viewer: ViewerCounts {
                skipped: IntCounter::new(
                    "rsm_viewer_frames_skipped_total",
                    "Frames that viewers were too slow for and that were replaced by newer ones",
                )?,
                relay_seconds: Histogram::with_opts(
                    HistogramOpts::new(
                        "rsm_frame_relay_seconds",
                        "Time from a frame's publishing to its being sent to one viewer",
                    )
                    .buckets(RELAY_BUCKETS.to_vec()),
                )?,
                sent_bytes: IntCounter::new("rsm_viewer_sent_bytes_total", "Bytes of frames that viewers were sent")?,
                closed: IntCounterVec::new(
                    Opts::new(
                        "rsm_viewers_closed_total",
                        "Viewers of frames whose connection ended: they left, vanished, stalled or broke the protocol, the \
                         camera was stopped or removed, or this process shut down",
                    ),
                    &["reason"],
                )?,
            },
            control: ControlMetrics {
                commands: IntCounterVec::new(
                    Opts::new("rsm_commands_total", "Commands to workers, by kind and outcome"),
                    &["kind", "outcome"],
                )?,
                claims: IntGauge::new("rsm_claims", "Streams that live workers own")?,
                claim_changes: IntCounterVec::new(
                    Opts::new("rsm_claim_changes_total", "Changes of a stream's owner, by reason"),
                    &["reason"],
                )?,
                nats_connected,
            },
        };
        let serving: [Box<dyn Collector>; 11] = [
            Box::new(metrics.http_requests.clone()),
            Box::new(metrics.http_seconds.clone()),
            Box::new(metrics.hls_requests.clone()),
            Box::new(metrics.fetches.0.clone()),
            Box::new(metrics.hub.stale.clone()),
            Box::new(metrics.hub.malformed.clone()),
            Box::new(metrics.refusals.clone()),
            Box::new(metrics.viewer.skipped.clone()),
            Box::new(metrics.viewer.relay_seconds.clone()),
            Box::new(metrics.viewer.sent_bytes.clone()),
            Box::new(metrics.viewer.closed.clone()),
        ];
        for refusal in Refusal::ALL {
            metrics.refusals.with_label_values(&[refusal.as_str()]);
        }
        for departure in Departure::ALL {
            metrics.viewer.closed.with_label_values(&[departure.as_str()]);
        }
        let control: [Box<dyn Collector>; 3] = [
            Box::new(metrics.control.commands.clone()),
            Box::new(metrics.control.claims.clone()),
            Box::new(metrics.control.claim_changes.clone()),
        ];
        serving.into_iter().try_for_each(|collector| registry.register(collector))?;
        // A relay controls nothing, and shows no zeros for it.
        if role == Role::Api {
            control.into_iter().try_for_each(|collector| registry.register(collector))?;
        }
        Ok(metrics)
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

/// What is looked up when Prometheus asks, instead of being counted along the way.
pub struct Observed {
    streams: Streams,
    seats: Seats,
    players: Players,
    by_state: IntGaugeVec,
    stream_state: Desc,
    frame_age: Desc,
    viewers: IntGaugeVec,
}

impl Observed {
    /// Reads these when asked.
    ///
    /// # Errors
    /// When a name or label is not valid: a mistake in the program.
    pub fn new(streams: Streams, seats: Seats, players: Players) -> Result<Self, Error> {
        Ok(Self {
            streams,
            seats,
            players,
            by_state: IntGaugeVec::new(Opts::new("rsm_streams", "Registered streams by state"), &["state"])?,
            stream_state: only(stream_state()?.desc())?,
            frame_age: only(frame_age()?.desc())?,
            viewers: IntGaugeVec::new(
                Opts::new(
                    "rsm_viewers",
                    "Viewers now: mjpeg over WebSocket, multipart, events (server-sent), hls players seen of late",
                ),
                &["kind"],
            )?,
        })
    }
}

/// Made anew for every answer, so that removed streams leave nothing behind.
fn stream_state() -> Result<IntGaugeVec, Error> {
    IntGaugeVec::new(
        Opts::new("rsm_stream_state", "1 for the state that a stream is in; other states have no sample"),
        &["stream", "state"],
    )
}

/// As [`stream_state`].
fn frame_age() -> Result<GaugeVec, Error> {
    GaugeVec::new(
        Opts::new(
            "rsm_stream_last_frame_age_seconds",
            "Since the last picture came from the camera, to a second; no sample while nobody owns the stream",
        ),
        &["stream"],
    )
}

fn only(descriptions: Vec<&Desc>) -> Result<Desc, Error> {
    descriptions.into_iter().next().cloned().ok_or(Error::AlreadyReg)
}

impl Collector for Observed {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.by_state.desc();
        all.push(&self.stream_state);
        all.push(&self.frame_age);
        all.extend(self.viewers.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut counts: HashMap<StreamState, i64> = StreamState::ALL.into_iter().map(|state| (state, 0)).collect();
        let (states, ages) = (stream_state(), frame_age());
        for stream in self.streams.all() {
            let view = stream.view();
            let state = view.state;
            if let (Ok(ages), Some(at)) = (&ages, view.last_media) {
                ages.with_label_values(&[stream.slug.as_str()]).set(at.elapsed().as_secs_f64());
            }
            *counts.entry(state).or_default() += 1;
            if let Ok(states) = &states {
                states.with_label_values(&[stream.slug.as_str(), state.as_str()]).set(1);
            }
        }
        for (state, count) in counts {
            self.by_state.with_label_values(&[state.as_str()]).set(count);
        }
        for kind in Kind::ALL {
            let taken = i64::try_from(self.seats.taken_by(kind)).unwrap_or(i64::MAX);
            self.viewers.with_label_values(&[kind.as_str()]).set(taken);
        }
        self.viewers.with_label_values(&["hls"]).set(i64::try_from(self.players.all()).unwrap_or(i64::MAX));
        let mut families = self.by_state.collect();
        families.extend(states.map(|states| states.collect()).unwrap_or_default());
        families.extend(ages.map(|ages| ages.collect()).unwrap_or_default());
        families.extend(self.viewers.collect());
        families
    }
}
