//! The API process: a small control runtime on a thread of its own, and HTTP with the relay on the caller's runtime.

use std::time::Duration;

use rsm_shared::bus::connect::{BadServers, Bus, Purpose};
use rsm_shared::bus::demand::Demands;
use rsm_shared::bus::heartbeat::Ear;
use rsm_shared::config::Config;
use rsm_shared::ops::health::{Dependency, Health};
use rsm_shared::ops::{metrics, process};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::app::{App, HandlesError, Parts};
use crate::control::execute::Executor;
use crate::control::reconciler::{self, Reconciler};
use crate::control_thread::ControlThread;
use crate::directory::Directory;
use crate::directory_teller::DirectoryTeller;
use crate::hls::janitor;
use crate::http::{self, DRAIN};
use crate::relay::limits;
use crate::store::{OpenError, Store, StoreError};

/// Why the API does not run. One line for the person who starts it.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("cannot read the database: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Servers(#[from] BadServers),
    #[error("NATS: {0}")]
    Bus(#[from] rsm_shared::bus::BusError),
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error(transparent)]
    Handles(#[from] HandlesError),
    #[error("{0}")]
    Environment(String),
    #[error("HTTP: {0}")]
    Http(#[from] std::io::Error),
}

/// Runs the API until `stop`. Call on the runtime that serves viewers.
///
/// # Errors
/// [`ApiError`] when it cannot begin, or must not go on.
pub async fn run(mut config: Config, version: &'static str, stop: CancellationToken) -> Result<(), ApiError> {
    process::writable_dir(&config.data_dir).map_err(ApiError::Environment)?;
    let tcp = process::listen(config.api.listen).map_err(ApiError::Environment)?;
    limits::crowd_may_wait(&tcp)?;
    limits::send_at_once(&tcp, Duration::from_secs(config.api.viewer_stall_s))?;
    let address = tcp.local_addr()?;
    // A passed listener may be another than the configuration names; who may use the API depends on where it listens.
    config.api.listen = address;
    let store = Store::open(&config.data_dir.join("rsm.sqlite3"))?;
    let directory = Directory::new(store.links().await?);
    let health = Health::default();
    health.fault(Dependency::Nats, "not connected to NATS yet");
    let (registry, nats_connected) = metrics::registry(version, &health)?;
    let (workers_tx, workers) = watch::channel(Vec::new());

    let run = |parts, _: Bus, told| Reconciler::new(parts).run(told);
    let thread = ControlThread::start(&config.nats, "rsm-api", stop.clone(), run).await?;
    let control = thread.bus.clone();
    let frames = Bus::connect(&config.nats, Purpose::Frames, "rsm-api-frames").await?;

    // Everything goes on while viewers are sent away.
    let over = CancellationToken::new();
    let app = App::new(Parts {
        config: config.clone(),
        store: store.clone(),
        directory: directory.clone(),
        control: control.clone(),
        frames,
        health: health.clone(),
        registry,
        nats_connected,
        workers,
        stop: over.clone(),
    })?;
    let reconciler = reconciler::Parts {
        executor: Executor { store: store.clone(), bus: control.clone(), replicas: config.nats.replicas },
        ear: Ear::open(&control).await?,
        demands: Demands::open_all(&control).await?,
        metrics: app.metrics.control.clone(),
        workers: workers_tx,
        api_session: format!("api-{}", process::unique()),
        assignments: store.assignments().await?,
        health,
        directory: directory.clone(),
        config: config.clone(),
    };
    let working = thread.give(reconciler);

    let demand = app.start();
    let settle = Duration::from_secs(config.control.worker_dead_s + 1);
    let teller = DirectoryTeller::new(control.clone(), directory.streams.clone(), config.mjpeg, settle);
    let telling = tokio::spawn(teller.run(over.clone()));
    let listening = tokio::spawn(app.relays.clone().listen(control.clone(), over.clone()));
    let sweeper = tokio::spawn(janitor::run(config.hls_root(), directory, over.clone()));
    if !address.ip().is_loopback() {
        warn!(%address, "listening beyond loopback without access control: whoever reaches this address sees all cameras");
    }
    info!(%address, "API begins");
    let served = http::serve(tcp, app.viewing(), app.service(), stop, over.clone()).await;
    over.cancel();
    let _ = tokio::time::timeout(DRAIN, async { tokio::join!(demand, sweeper, telling, listening) }).await;
    let ended = working.end().await;
    store.close().await;
    served?;
    ended
}
