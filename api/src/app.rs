//! The API as a set of handles, and how they are put together.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntGauge, Registry};
use rand::RngExt as _;
use rsm_shared::bus::connect::Bus;
use rsm_shared::config::Config;
use rsm_shared::ops::health::Health;
use salvo::Service;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::directory::Directory;
use crate::hls::serve::Hls;
use crate::metrics::{ApiMetrics, Observed};
use crate::relay::demand::DemandTeller;
use crate::relay::hub::Hub;
use crate::relay::limits::Seats;
use crate::relay::wishes::WishDesk;
use crate::routes::change::Changes;
use crate::routes::snapshot::Snapshots;
use crate::routes::table;
use crate::store::Store;

/// A live worker, for Prometheus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerInfo {
    pub worker: String,
    /// Where its metrics are: `host:port`.
    pub http: String,
}

/// Everything that a request may need. Handles, no state of its own.
pub struct App {
    pub config: Config,
    pub store: Store,
    pub directory: Directory,
    pub changes: Changes,
    pub hub: Hub,
    pub seats: Seats,
    pub desk: WishDesk,
    pub hls: Hls,
    pub snapshots: Snapshots,
    pub health: Health,
    pub registry: Registry,
    pub metrics: Arc<ApiMetrics>,
    pub workers: watch::Receiver<Vec<WorkerInfo>>,
    /// Viewers are sent away when it is cancelled.
    pub stop: CancellationToken,
    control: Bus,
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
    /// When a metric is registered twice: a mistake in the program.
    pub fn new(parts: Parts) -> Result<Arc<Self>, prometheus::Error> {
        let Parts { config, store, directory, control, frames, health, registry, nats_connected, workers, stop } =
            parts;
        let metrics = Arc::new(ApiMetrics::new(&registry, nats_connected)?);
        let seats = Seats::new(config.api.max_viewers);
        let desk = WishDesk::new(directory.clone());
        let wish_ttl = Duration::from_secs(config.hls.wish_ttl_s);
        let hls = Hls::new(config.hls_root(), wish_ttl, directory.clone(), desk.clone());
        registry.register(Box::new(Observed::new(directory.clone(), seats.clone(), hls.players.clone())?))?;
        Ok(Arc::new(Self {
            hub: Hub::new(frames, config.api.max_links, metrics.hub.clone()),
            changes: Changes::default(),
            snapshots: Snapshots::default(),
            config,
            store,
            directory,
            seats,
            desk,
            hls,
            health,
            registry,
            metrics,
            workers,
            stop,
            control,
        }))
    }

    /// Starts telling workers what viewers want, until `stop`. Call inside the runtime that relays.
    pub fn start(&self) -> JoinHandle<()> {
        let teller = DemandTeller {
            directory: self.directory.clone(),
            bus: self.control.clone(),
            from: format!("{:016x}", rand::rng().random::<u64>()),
            defaults: self.config.mjpeg,
            changed: self.desk.changed(),
        };
        tokio::spawn(teller.run(self.stop.clone()))
    }

    /// Everything that is served over HTTP.
    pub fn service(self: &Arc<Self>) -> Service {
        table::service(self.clone())
    }
}
