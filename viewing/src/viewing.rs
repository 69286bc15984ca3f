//! The handles that serve viewers, and how they are put together.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use prometheus::Registry;
use rand::RngExt as _;
use rsm_shared::bus::connect::Bus;
use rsm_shared::config::Config;
use rsm_shared::ops::health::Health;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::closing::Closing;
use crate::hls::remote::Remote;
use crate::hls::serve::Hls;
use crate::metrics::observed::Observed;
use crate::metrics::serving::ServingMetrics;
use crate::relay::demand_desk::DemandDesk;
use crate::relay::demand_publisher::DemandPublisher;
use crate::relay::hub::Hub;
use crate::relay::proxies::Proxies;
use crate::relay::seats::{SeatBounds, Seats};
use crate::relay::snapshots::Snapshots;
use crate::relay::viewer_threads::ViewerThreads;
use crate::routes::camera_items::CameraItems;
use crate::streams::Streams;
use crate::streams::ages::AgesCache;

/// Everything that a viewer's request may need. Handles, no state of its own.
pub struct Viewing {
    pub config: Config,
    pub streams: Streams,
    /// Descriptions of streams for clients that list or follow them.
    pub items: Arc<dyn CameraItems>,
    pub hub: Hub,
    pub threads: ViewerThreads,
    pub seats: Seats,
    /// Proxies that are believed when they name a viewer's address.
    pub proxies: Proxies,
    /// Says goodbye to viewers when the process is told to stop.
    pub closing: Closing,
    pub desk: DemandDesk,
    pub hls: Hls,
    pub snapshots: Snapshots,
    pub ages: AgesCache,
    pub health: Health,
    pub registry: Registry,
    pub metrics: ServingMetrics,
    /// The OpenAPI document; written with the routes.
    pub openapi: OnceLock<Bytes>,
    /// Tasks that work for viewers end when it is cancelled: after all viewers are disconnected, see `closing`.
    pub stop: CancellationToken,
    control: Bus,
}

/// Parts of a [`Viewing`].
pub struct ViewingParts {
    pub config: Config,
    pub streams: Streams,
    pub items: Arc<dyn CameraItems>,
    /// Directory of HLS files; `None` in a process that shares no disk with workers.
    pub hls_root: Option<PathBuf>,
    /// Connection for control: demand goes over it.
    pub control: Bus,
    /// Connection for frames.
    pub frames: Bus,
    pub health: Health,
    /// With the metrics that every role has.
    pub registry: Registry,
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
        let ViewingParts { config, streams, items, hls_root, control, frames, health, registry, stop } = parts;
        let metrics = ServingMetrics::new(&registry, config.api.max_viewers)?;
        let seats = Seats::new(SeatBounds::of(&config.api), metrics.refusals.clone());
        let closing = Closing::new(&config);
        let desk = DemandDesk::new(streams.clone());
        let remote = Remote::new(config.hls.cache_mb << 20, metrics.fetches.clone())?;
        let wish_ttl = Duration::from_secs(config.hls.wish_ttl_s);
        let hls = Hls::new(hls_root, wish_ttl, streams.clone(), desk.clone(), remote);
        registry.register(Box::new(Observed::new(streams.clone(), seats.clone(), hls.players.clone())?))?;
        Ok(Arc::new(Self {
            hub: Hub::new(frames, config.api.max_links, closing.clone(), metrics.hub.clone()),
            proxies: Proxies::new(&config.api.trusted_proxies),
            closing,
            threads: ViewerThreads::new()?,
            snapshots: Snapshots::default(),
            ages: AgesCache::default(),
            openapi: OnceLock::new(),
            config,
            streams,
            items,
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

    /// Starts publishing the demand of viewers to workers, until `stop`. Call inside the runtime that relays.
    pub fn start(&self) -> JoinHandle<()> {
        let publisher = DemandPublisher {
            streams: self.streams.clone(),
            bus: self.control.clone(),
            from: format!("{:016x}", rand::rng().random::<u64>()),
            defaults: self.config.mjpeg,
            changed: self.desk.changed(),
        };
        tokio::spawn(publisher.run(self.stop.clone()))
    }
}
