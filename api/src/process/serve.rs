//! The API process: a small control runtime on a thread of its own, and HTTP with the relay on the caller's runtime.

use std::net::TcpListener;
use std::time::Duration;

use rsm_control::api::assignment::Assignment;
use rsm_shared::bus::connect::{Bus, Purpose};
use rsm_shared::bus::demand::Demands;
use rsm_shared::bus::heartbeat::WorkerListener;
use rsm_shared::config::Config;
use rsm_shared::ops::health::{Dependency, Health};
use rsm_shared::ops::{disk, metrics, process};
use rsm_viewing::http::server::{self, DRAIN};
use rsm_viewing::process::control_thread::ControlThread;
use rsm_viewing::process::error::ServeError;
use rsm_viewing::process::listen;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::hls_janitor;
use crate::app::{App, AppParts};
use crate::control::execute::Executor;
use crate::control::reconciler::{self, Reconciler};
use crate::directory::Directory;
use crate::directory::publisher::DirectoryPublisher;
use crate::metrics::control::{ControlMetrics, ControlTable};
use crate::routes::table;
use crate::store::opening::OpenError;
use crate::store::{Store, StoreError, writable};

/// The error of an API that cannot serve. One line for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("cannot read the database: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// The database, and the links and placements that were read from it at the start.
struct OpenedStore {
    store: Store,
    directory: Directory,
    assignments: Vec<Assignment>,
}

impl OpenedStore {
    async fn open(config: &Config) -> Result<Self, ApiError> {
        let store = Store::open(&config.data_dir.join("rsm.sqlite3"))?;
        let directory = Directory::new(store.links().await?);
        let assignments = store.assignments().await?;
        Ok(Self { store, directory, assignments })
    }
}

/// Runs the API until `stop`. Call on the runtime that serves viewers.
///
/// # Errors
/// [`ApiError`] when it cannot begin, or must not go on.
pub async fn run(mut config: Config, version: &'static str, stop: CancellationToken) -> Result<(), ApiError> {
    process::writable_dir(&config.data_dir).map_err(ServeError::Environment)?;
    let tcp = listen::listen(&mut config)?;
    let stored = OpenedStore::open(&config).await?;
    let store = stored.store.clone();
    let served = serve(config, version, tcp, stored, stop).await;
    store.close().await;
    Ok(served?)
}

async fn serve(
    config: Config,
    version: &'static str,
    tcp: TcpListener,
    stored: OpenedStore,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let OpenedStore { store, directory, assignments } = stored;
    let health = Health::default();
    health.fault(Dependency::Nats, "not connected to NATS yet");
    let (registry, nats_connected) = metrics::registry(version, &health)?;
    let control_metrics = ControlMetrics::new(ControlTable::registered(&registry)?, nats_connected);
    let (workers_tx, workers) = watch::channel(Vec::new());

    let run = |parts, _: Bus, told| Reconciler::new(parts).run(told);
    let thread = ControlThread::start(&config.nats, "rsm-api", stop.clone(), run).await?;
    let control = thread.bus.clone();
    let frames = Bus::connect(&config.nats, Purpose::Frames, "rsm-api-frames").await?;

    // Everything goes on while viewers are disconnected.
    let over = CancellationToken::new();
    let app = App::new(AppParts {
        config: config.clone(),
        store: store.clone(),
        directory: directory.clone(),
        control: control.clone(),
        frames,
        health: health.clone(),
        registry,
        workers,
        stop: over.clone(),
    })?;
    let working = thread.give(reconciler::ReconcilerParts {
        executor: Executor { store, bus: control.clone(), replicas: config.nats.replicas },
        ear: WorkerListener::open(&control).await?,
        demands: Demands::open_all(&control).await?,
        metrics: control_metrics,
        workers: workers_tx,
        api_session: format!("api-{}", process::unique()),
        assignments,
        health,
        directory,
        config,
    });

    let chores = start_chores(&app, &control, &over);
    info!(address = %app.viewing.config.api.listen, "API begins");
    let served = server::serve(tcp, app.viewing.clone(), table::service(&app), stop, over.clone()).await;
    over.cancel();
    let _ = tokio::time::timeout(DRAIN, futures_util::future::join_all(chores)).await;
    let ended = working.end().await;
    served?;
    ended
}

/// Starts the tasks that run beside HTTP and control, until `over`.
fn start_chores(app: &App, control: &Bus, over: &CancellationToken) -> Vec<JoinHandle<()>> {
    let config = &app.viewing.config;
    let health = &app.viewing.health;
    let settle = Duration::from_secs(config.control.worker_dead_s + 1);
    let publisher = DirectoryPublisher::new(control.clone(), app.directory.streams.clone(), config.mjpeg, settle);
    vec![
        app.viewing.start(),
        tokio::spawn(publisher.run(over.clone())),
        tokio::spawn(app.relays.clone().listen(control.clone(), over.clone())),
        tokio::spawn(writable::watch(app.store.clone(), health.clone(), writable::EVERY, over.clone())),
        tokio::spawn(disk::watch(config.data_dir.clone(), health.clone(), disk::EVERY, over.clone())),
        tokio::spawn(hls_janitor::run(config.hls_root(), app.directory.clone(), over.clone())),
    ]
}
