//! The worker process: a small control runtime on a thread of its own, and the media runtime that the caller gives.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::{IntGauge, Registry};
use rsm_shared::bus::connect::{BadServers, Bus, Purpose};
use rsm_shared::bus::control::Orders;
use rsm_shared::bus::demand;
use rsm_shared::bus::frames::FramePublisher;
use rsm_shared::config::{BadConfig, Config};
use rsm_shared::ops::health::Health;
use rsm_shared::ops::{listener, metrics, process};
use rsm_shared::stream::names::{NotAToken, SessionId, WorkerId, Zone};
use rsm_shared::wire::messages::{Priority, Ticket};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::control::held::Slots;
use crate::control::intake::{self, Intake};
use crate::control::keeper::{self, Ended};
use crate::hls::disk::{DiskUse, Lingering};
use crate::metrics::StreamMetrics;
use crate::pipeline::elements::{self, MissingElements};
use crate::source::open::AddressPolicy;
use crate::source::opener::{Cameras, Opener};
use crate::stream::engine::{Engine, Timing};
use crate::stream::pacer::StartPacer;

/// Streams for each core, when the configuration does not say.
const STREAMS_PER_CORE: u32 = 100;
/// Claimed streams on their way to the keeper.
const STARTS: usize = 16;

/// Why a worker does not run. One line for the person who starts it.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Config(#[from] BadConfig),
    #[error(transparent)]
    Elements(#[from] MissingElements),
    #[error(transparent)]
    Servers(#[from] BadServers),
    #[error("{0}")]
    Environment(String),
    #[error("worker.name: {0}")]
    Name(#[from] NotAToken),
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("NATS: {0}")]
    Bus(#[from] rsm_shared::bus::BusError),
    #[error("another live worker has the name {0}; give one of them another worker.name")]
    NameTaken(WorkerId),
    #[error("the connection to NATS was closed")]
    Closed,
}

/// Runs a worker until `stop`; every stream has ended when this returns. Call on the media runtime.
///
/// # Errors
/// [`WorkerError`] when it cannot begin, or must not go on.
pub async fn run(config: Config, version: &'static str, stop: CancellationToken) -> Result<(), WorkerError> {
    run_with(config, version, stop, Arc::new(Cameras { addresses: AddressPolicy::any() })).await
}

/// The same with another opener of camera sessions: load tests run streams without cameras.
///
/// # Errors
/// [`WorkerError`] when it cannot begin, or must not go on.
pub async fn run_with(
    config: Config,
    version: &'static str,
    stop: CancellationToken,
    opener: Arc<dyn Opener>,
) -> Result<(), WorkerError> {
    elements::init()?;
    let hls_root = config.hls_root();
    process::writable_dir(&config.data_dir).map_err(WorkerError::Environment)?;
    if config.worker.clear_hls {
        process::clear_dir(&hls_root).map_err(WorkerError::Environment)?;
    }
    let http = process::listen(config.worker.listen).map_err(WorkerError::Environment)?;
    let address = listener::address(&http).unwrap_or(config.worker.listen);
    let (registry, nats_connected) = metrics::registry(version)?;
    let gauges = Gauges::new(&registry)?;
    let health = Health::default();
    health.fault("api", "no contact with the API yet");

    let frames = Bus::connect(&config.nats, Purpose::Frames, "rsm-worker-frames").await?;
    let timing = timing(&config);
    let engine = Arc::new(Engine {
        frames: Arc::new(FramePublisher::new(frames)),
        hls_root,
        timing,
        pacer: StartPacer::default(),
        metrics: Arc::new(StreamMetrics::new(&registry)?),
        opener,
        disk: DiskUse::new(config.hls.disk_budget_mb << 20),
        lingering: Lingering::default(),
    });

    let worker = config.worker.name.as_deref().map_or_else(|| Ok(process::host_worker_name()), WorkerId::parse)?;
    let role = Role {
        zones: config.zones()?,
        slots: Slots::new(capacity(&config)),
        session: SessionId::new(&worker, &process::unique())?,
        worker,
        config,
        http: address,
        engine: engine.clone(),
        health: health.clone(),
        claims: gauges.claims,
        nats_connected,
        media: tokio::runtime::Handle::current(),
    };
    gauges.capacity.set(i64::from(role.slots.capacity()));
    info!(worker = %role.worker, session = %role.session, http = %address, capacity = role.slots.capacity(), "worker begins");

    let serving = CancellationToken::new();
    let served = tokio::spawn(listener::serve(http, listener::routes(health, registry), serving.clone()));
    let ended = on_control_thread(role, stop).await;
    engine.lingering.close().await;
    serving.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(1), served).await;
    ended
}

struct Gauges {
    claims: IntGauge,
    capacity: IntGauge,
}

impl Gauges {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let claims = IntGauge::new("rsm_claims", "Streams that this worker owns")?;
        let capacity = IntGauge::new(
            "rsm_worker_capacity",
            "Streams that this worker runs at most; raise worker.capacity when rsm_claims stays near it",
        )?;
        registry.register(Box::new(claims.clone()))?;
        registry.register(Box::new(capacity.clone()))?;
        Ok(Self { claims, capacity })
    }
}

/// What the control thread is given.
struct Role {
    config: Config,
    worker: WorkerId,
    session: SessionId,
    zones: Vec<Zone>,
    slots: Slots,
    http: SocketAddr,
    engine: Arc<Engine>,
    health: Health,
    claims: IntGauge,
    nats_connected: IntGauge,
    media: tokio::runtime::Handle,
}

async fn on_control_thread(role: Role, stop: CancellationToken) -> Result<(), WorkerError> {
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("control".into())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let ended = match runtime {
                Ok(runtime) => runtime.block_on(control(role, stop)),
                Err(e) => Err(WorkerError::Environment(format!("cannot make the control runtime: {e}"))),
            };
            let _ = done.send(ended);
        })
        .map_err(|e| WorkerError::Environment(format!("cannot make the control thread: {e}")))?;
    result.await.unwrap_or(Err(WorkerError::Closed))
}

async fn control(role: Role, stop: CancellationToken) -> Result<(), WorkerError> {
    let bus = Bus::connect(&role.config.nats, Purpose::Control, &format!("rsm-worker-{}", role.worker)).await?;
    let (may_pull, pulling) = watch::channel(false);
    let (starts_tx, starts) = mpsc::channel(STARTS);
    let owned: keeper::OwnedEpochs = Arc::new(Mutex::new(HashMap::new()));
    let orders = Orders::open(&bus, &role.worker, &role.session, &role.zones).await?;
    let demands = demand::Demands::open(&bus, &role.zones).await?;
    let seen = owned.clone();
    let intake = Intake {
        bus: bus.clone(),
        worker: role.worker.clone(),
        session: role.session.clone(),
        slots: role.slots.clone(),
        may_pull: pulling,
        owned: Arc::new(move |ticket: &Ticket| {
            seen.lock().unwrap_or_else(PoisonError::into_inner).get(&ticket.cam) == Some(&ticket.epoch)
        }),
        starts: starts_tx,
    };
    for zone in &role.zones {
        for priority in Priority::ALL {
            tokio::spawn(intake::run(intake.clone(), zone.clone(), priority, stop.child_token()));
        }
    }
    let worker = role.worker.clone();
    let parts = keeper::Parts {
        bus: bus.clone(),
        worker: role.worker,
        session: role.session,
        zones: role.zones,
        slots: role.slots,
        http: role.http.to_string(),
        engine: role.engine,
        media: role.media,
        hold: Duration::from_secs(role.config.control.hold_s),
        may_pull,
        owned,
        starts,
        orders,
        demands,
        health: role.health,
        claims: role.claims,
        nats_connected: role.nats_connected,
    };
    let ended = keeper::run(parts, stop).await;
    bus.flush().await;
    match ended {
        Ended::Stopped => Ok(()),
        Ended::NameTaken => Err(WorkerError::NameTaken(worker)),
        Ended::Closed => Err(WorkerError::Closed),
    }
}

fn timing(config: &Config) -> Timing {
    let c = &config.camera;
    Timing {
        stall_timeout: Duration::from_secs(c.stall_timeout_s),
        connect_timeout: Duration::from_secs(c.connect_timeout_s),
        backoff_min: Duration::from_secs(c.backoff_min_s),
        backoff_max: Duration::from_secs(c.backoff_max_s),
        auth_retry: Duration::from_secs(c.auth_retry_s),
        ..Timing::default()
    }
}

fn capacity(config: &Config) -> u32 {
    match config.worker.capacity {
        0 => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            STREAMS_PER_CORE.saturating_mul(u32::try_from(cores).unwrap_or(1))
        }
        n => n,
    }
}
