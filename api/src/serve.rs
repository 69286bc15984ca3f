//! The API process: a small control runtime on a thread of its own, and HTTP with the relay on the caller's runtime.

use std::time::Duration;

use rsm_shared::bus::connect::{BadServers, Bus, Purpose};
use rsm_shared::bus::demand::Demands;
use rsm_shared::bus::heartbeat::Ear;
use rsm_shared::config::{Config, NatsConfig};
use rsm_shared::ops::health::Health;
use rsm_shared::ops::{metrics, process};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::app::{App, HandlesError, Parts};
use crate::control::execute::Executor;
use crate::control::reconciler::{self, Reconciler};
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
    limits::bound_unsent(&tcp)?;
    let address = tcp.local_addr()?;
    // A passed listener may be another than the configuration names; who may use the API depends on where it listens.
    config.api.listen = address;
    let store = Store::open(&config.data_dir.join("rsm.sqlite3"))?;
    let directory = Directory::new(store.links().await?);
    let health = Health::default();
    health.fault("nats", "not connected to NATS yet");
    let (registry, nats_connected) = metrics::registry(version)?;
    let (workers_tx, workers) = watch::channel(Vec::new());

    let (control, control_ready) = oneshot::channel();
    let (parts_tx, parts_rx) = oneshot::channel();
    // Ends after everything that still has something to say on its connection.
    let control_stop = CancellationToken::new();
    let guard = ControlGuard { told: control_stop.clone(), process: stop.clone() };
    let nats = config.nats.clone();
    let thread = std::thread::Builder::new().name("control".into()).spawn({
        let control_stop = control_stop.clone();
        move || {
            let _guard = guard;
            control_thread(&nats, control, parts_rx, control_stop);
        }
    })?;
    let control = control_ready.await.map_err(|_| ApiError::Environment("the control thread ended".into()))??;
    let frames = Bus::connect(&config.nats, Purpose::Frames, "rsm-api-frames").await?;

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
        stop: stop.clone(),
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
    // The control thread waits for exactly this.
    let _ = parts_tx.send(reconciler);

    let demand = app.start();
    let settle = Duration::from_secs(config.control.worker_dead_s + 1);
    let teller = DirectoryTeller::new(control.clone(), directory.streams.clone(), config.mjpeg, settle);
    let telling = tokio::spawn(teller.run(stop.clone()));
    let listening = tokio::spawn(app.relays.clone().listen(control.clone(), stop.clone()));
    let sweeper = tokio::spawn(janitor::run(config.hls_root(), directory, stop.clone()));
    if !address.ip().is_loopback() {
        warn!(%address, "listening beyond loopback without access control: whoever reaches this address sees all cameras");
    }
    info!(%address, "API begins");
    let served = http::serve(tcp, app.service(), stop.clone()).await;
    stop.cancel();
    let _ = tokio::time::timeout(DRAIN, async { tokio::join!(demand, sweeper, telling, listening) }).await;
    control.flush().await;
    let died = thread.is_finished();
    control_stop.cancel();
    let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    store.close().await;
    served?;
    if died { Err(ApiError::Environment("the control thread ended by itself".into())) } else { Ok(()) }
}

/// Ends the process when the control thread ends without being told to, also by a panic: an API that starts and stops
/// nothing, or a relay that hears nothing, must not look alive.
pub(crate) struct ControlGuard {
    pub told: CancellationToken,
    pub process: CancellationToken,
}

impl Drop for ControlGuard {
    fn drop(&mut self) {
        if !self.told.is_cancelled() {
            self.process.cancel();
        }
    }
}

/// Makes the control connection on this thread, hands it over, then reconciles until `stop`.
fn control_thread(
    nats: &NatsConfig,
    ready: oneshot::Sender<Result<Bus, ApiError>>,
    parts: oneshot::Receiver<reconciler::Parts>,
    stop: CancellationToken,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            let _ = ready.send(Err(ApiError::Environment(format!("cannot make the control runtime: {e}"))));
            return;
        }
    };
    runtime.block_on(async {
        let connected = Bus::connect(nats, Purpose::Control, "rsm-api").await;
        let failed = connected.is_err();
        if ready.send(connected.map_err(ApiError::from)).is_err() || failed {
            return;
        }
        // An error means that the API could not begin; it says why itself.
        if let Ok(parts) = parts.await {
            Reconciler::new(parts).run(stop).await;
        }
    });
}
