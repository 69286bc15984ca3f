//! The program as a set of handles, and how they are put together: those that serve viewers, which both roles have, and
//! around them those of the API.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use prometheus::{IntGauge, Registry};
use rand::RngExt as _;
use rsm_shared::bus::connect::Bus;
use rsm_shared::config::Config;
use rsm_shared::ops::health::Health;
use salvo::Service;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::closing::Closing;
use crate::directory::Directory;
use crate::hls::remote::Remote;
use crate::hls::serve::Hls;
use crate::metrics::ApiMetrics;
use crate::metrics::observed::Observed;
use crate::relay::crowd::Crowd;
use crate::relay::demand::DemandTeller;
use crate::relay::hub::Hub;
use crate::relay::proxies::Proxies;
use crate::relay::seats::{Bounds, Seats};
use crate::relay::snapshots::Snapshots;
use crate::relay::wishes::WishDesk;
use crate::relays::Relays;
use crate::role::Role;
use crate::routes::change::Changes;
use crate::routes::events::AgesTold;
use crate::routes::look::Looks;
use crate::routes::table;
use crate::store::Store;
use crate::streams::Streams;

/// A live worker, for Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerInfo {
    pub worker: String,
    /// Where its metrics are: `host:port`.
    pub http: String,
}

/// Everything that a viewer's request may need. Handles, no state of its own.
pub struct Viewing {
    pub role: Role,
    pub config: Config,
    pub streams: Streams,
    pub hub: Hub,
    pub crowd: Crowd,
    pub seats: Seats,
    /// Who is believed to speak for viewers.
    pub proxies: Proxies,
    /// Says goodbye to viewers when the process is told to stop.
    pub closing: Closing,
    pub desk: WishDesk,
    pub hls: Hls,
    pub snapshots: Snapshots,
    pub ages: AgesTold,
    pub health: Health,
    pub registry: Registry,
    pub metrics: Arc<ApiMetrics>,
    /// The OpenAPI document; written with the routes.
    pub openapi: OnceLock<Bytes>,
    /// What works for viewers ends when it is cancelled: after they were sent away, see `closing`.
    pub stop: CancellationToken,
    control: Bus,
}

/// What a [`Viewing`] is made of.
pub struct ViewingParts {
    pub role: Role,
    pub config: Config,
    pub streams: Streams,
    /// Connection for control: demand goes over it.
    pub control: Bus,
    /// Connection for frames.
    pub frames: Bus,
    pub health: Health,
    /// With the metrics that every role has.
    pub registry: Registry,
    pub nats_connected: IntGauge,
    pub stop: CancellationToken,
}

/// Handles that cannot be made: a mistake in the program, or in the system around it.
#[derive(Debug, thiserror::Error)]
pub enum HandlesError {
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("the threads of viewers: {0}")]
    Threads(#[from] std::io::Error),
    #[error("HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

impl Viewing {
    /// Puts the handles together and registers the metrics; nothing runs yet.
    ///
    /// # Errors
    /// When a metric is registered twice, the HTTP client cannot be made, or the system gives no threads.
    pub fn new(parts: ViewingParts) -> Result<Arc<Self>, HandlesError> {
        let ViewingParts { role, config, streams, control, frames, health, registry, nats_connected, stop } = parts;
        let metrics = Arc::new(ApiMetrics::new(&registry, role, config.api.max_viewers, nats_connected)?);
        let seats = Seats::new(Bounds::of(&config.api), metrics.refusals.clone());
        let closing = Closing::new(&config);
        let desk = WishDesk::new(streams.clone());
        let remote = Remote::new(config.hls.cache_mb << 20, metrics.fetches.clone())?;
        let wish_ttl = Duration::from_secs(config.hls.wish_ttl_s);
        // Relays share no disk with workers.
        let root = (role == Role::Api).then(|| config.hls_root());
        let hls = Hls::new(root, wish_ttl, streams.clone(), desk.clone(), remote);
        registry.register(Box::new(Observed::new(role, streams.clone(), seats.clone(), hls.players.clone())?))?;
        Ok(Arc::new(Self {
            hub: Hub::new(frames, config.api.max_links, closing.clone(), metrics.hub.clone()),
            proxies: Proxies::new(&config.api.trusted_proxies),
            closing,
            crowd: Crowd::new()?,
            snapshots: Snapshots::default(),
            ages: AgesTold::default(),
            openapi: OnceLock::new(),
            role,
            config,
            streams,
            seats,
            desk,
            hls,
            health,
            registry,
            metrics,
            stop,
            control,
        }))
    }

    /// Starts telling workers what viewers want, until `stop`. Call inside the runtime that relays.
    pub fn start(&self) -> JoinHandle<()> {
        let teller = DemandTeller {
            streams: self.streams.clone(),
            bus: self.control.clone(),
            from: format!("{:016x}", rand::rng().random::<u64>()),
            defaults: self.config.mjpeg,
            changed: self.desk.changed(),
        };
        tokio::spawn(teller.run(self.stop.clone()))
    }

    /// What a relay serves over HTTP.
    pub fn service(self: &Arc<Self>) -> Service {
        table::service(self.clone(), None)
    }
}

/// Everything that a request to the API may need. Handles, no state of its own.
pub struct App {
    viewing: Arc<Viewing>,
    pub store: Store,
    pub directory: Directory,
    pub changes: Changes,
    pub workers: watch::Receiver<Vec<WorkerInfo>>,
    pub relays: Relays,
    pub looks: Looks,
    /// Connection for frames: a worker that looks at a camera takes its time, and control does not wait behind it.
    pub frames: Bus,
}

/// What an [`App`] is made of.
pub struct Parts {
    pub config: Config,
    pub store: Store,
    pub directory: Directory,
    /// Connection for control: demand goes over it.
    pub control: Bus,
    /// Connection for frames.
    pub frames: Bus,
    pub health: Health,
    /// With the metrics that every role has.
    pub registry: Registry,
    pub nats_connected: IntGauge,
    pub workers: watch::Receiver<Vec<WorkerInfo>>,
    pub stop: CancellationToken,
}

impl App {
    /// Puts the handles together and registers the metrics; nothing runs yet.
    ///
    /// # Errors
    /// As [`Viewing::new`].
    pub fn new(parts: Parts) -> Result<Arc<Self>, HandlesError> {
        let Parts { config, store, directory, control, frames, health, registry, nats_connected, workers, stop } =
            parts;
        let streams = directory.streams.clone();
        let viewing = ViewingParts {
            role: Role::Api,
            config,
            streams,
            control,
            frames: frames.clone(),
            health,
            registry,
            nats_connected,
            stop,
        };
        let viewing = Viewing::new(viewing)?;
        let (changes, relays, looks) = (Changes::default(), Relays::default(), Looks::default());
        Ok(Arc::new(Self { viewing, store, directory, changes, workers, relays, looks, frames }))
    }

    /// The handles that serve viewers.
    pub fn viewing(&self) -> Arc<Viewing> {
        self.viewing.clone()
    }

    /// Everything that is served over HTTP.
    pub fn service(self: &Arc<Self>) -> Service {
        table::service(self.viewing.clone(), Some(self.clone()))
    }
}

impl Deref for App {
    type Target = Viewing;
    fn deref(&self) -> &Viewing {
        &self.viewing
    }
}
