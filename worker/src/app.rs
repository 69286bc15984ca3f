//! The worker process: a small control runtime on a thread of its own, and the media runtime that the caller gives.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::IntGauge;
use rsm_control::worker::admission::{LoadLimits, WorkerStanding};
use rsm_control::worker::slots::Slots;
use rsm_shared::bus::connect::{BadServers, Bus, Purpose};
use rsm_shared::bus::control::Orders;
use rsm_shared::bus::demand;
use rsm_shared::bus::frames::FramePublisher;
use rsm_shared::config::{BadConfig, Config};
use rsm_shared::ops::health::{Dependency, Health};
use rsm_shared::ops::{disk, host, listener, metrics, process};
use rsm_shared::stream::names::{NotAToken, SessionId, WorkerId, Zone};
use rsm_shared::wire::messages::{Load, Priority, Ticket};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::camera_probe::ProbeResponder;
use crate::control::gate::{GatedPublisher, SharedPulse};
use crate::control::intake::{self, Intake};
use crate::control::keeper::{self, KeeperEnd, KeeperInputs};
use crate::control::load;
use crate::hls::disk::DiskUse;
use crate::hls::lingering::Lingering;
use crate::hls::live::LiveIndex;
use crate::hls::serve;
use crate::metrics::WorkerMetrics;
use crate::pipeline::elements::{self, MissingElements};
use crate::pipeline::hardware::Hardware;
use crate::source::open::AddressPolicy;
use crate::source::opener::{Cameras, Opener};
use crate::stream::camera_watch::CameraWatch;
use crate::stream::engine::{Engine, FIRST_PICTURE, Timing};
use crate::stream::pacer::StartPacer;

/// Encoders for each core, when the configuration does not say: 360p at 30 pictures per second takes a third of a core
/// with its decoding.
const ENCODERS_PER_CORE: usize = 2;
/// Streams for each core, when the configuration does not say.
const STREAMS_PER_CORE: u32 = 100;
/// Claimed streams on their way to the keeper.
const STARTS: usize = 16;

/// Camera probes end within this time.
const PROBES_END: Duration = Duration::from_secs(3);

/// Failures of the start of a worker. One line each, for the operator.
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

impl WorkerError {
    /// True when the configuration is at fault, rather than the machine.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Config(_) | Self::Name(_))
    }
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
    let hardware = find_hardware(&config).await?;
    let (hls_root, data_dir) = (config.hls_root(), config.data_dir.clone());
    process::writable_dir(&config.data_dir).map_err(WorkerError::Environment)?;
    if config.worker.clear_hls {
        process::clear_dir(&hls_root).map_err(WorkerError::Environment)?;
    }
    let http = process::listen(config.worker.listen).map_err(WorkerError::Environment)?;
    let address = listener::address(&http).unwrap_or(config.worker.listen);
    let health = Health::default();
    health.fault(Dependency::Api, "no contact with the API yet");
    health.fault(Dependency::Nats, "not connected to NATS yet");
    let (registry, nats_connected) = metrics::registry(version, &health)?;

    let frames = Bus::connect(&config.nats, Purpose::Frames, "rsm-worker-frames").await?;
    let timing = timing(&config);
    let pulse = SharedPulse::new(Duration::from_secs(config.control.worker_dead_s));
    let engine = Arc::new(Engine {
        frames: Arc::new(GatedPublisher::new(FramePublisher::new(frames.clone()), pulse.clone())),
        hls_root,
        timing,
        pacer: StartPacer::default(),
        metrics: Arc::new(WorkerMetrics::new(&registry)?),
        hardware,
        watch: CameraWatch::new(opener.reach()),
        opener,
        disk: DiskUse::new(config.hls.disk_budget_mb << 20),
        lingering: Lingering::default(),
        live: LiveIndex::default(),
        encoders: Arc::new(Semaphore::new(encoders(&config))),
    });

    let worker = config.worker.name.as_deref().map_or_else(|| Ok(process::host_worker_name()), WorkerId::parse)?;
    let role = Role {
        zones: config.zones()?,
        slots: Slots::new(capacity(&config)),
        session: SessionId::new(&worker, &process::unique())?,
        worker,
        http: host::advertised(config.worker.advertise.as_deref(), address),
        config,
        engine: engine.clone(),
        frames,
        pulse,
        health: health.clone(),
        nats_connected,
        media: tokio::runtime::Handle::current(),
    };
    engine.metrics.set_bounds(role.slots.capacity(), engine.disk.budget());
    info!(worker = %role.worker, session = %role.session, http = %role.http, capacity = role.slots.capacity(), "worker begins");

    let serving = CancellationToken::new();
    let room = tokio::spawn(disk::watch(data_dir, health.clone(), disk::EVERY, serving.clone()));
    let routes = listener::routes(health, registry).push(serve::routes(engine.hls_root.clone(), engine.live.clone()));
    let served = tokio::spawn(listener::serve(http, routes, serving.clone()));
    let ended = on_control_thread(role, stop).await;
    if let Ok(Some(until)) = ended {
        // Players that have an older playlist fetch the last segments from here.
        let _ = tokio::time::timeout_at(until.into(), engine.lingering.settled()).await;
    }
    engine.lingering.close().await;
    serving.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(1), async { tokio::join!(served, room) }).await;
    ended.map(drop)
}

/// Off the async threads: a driver may take its time.
async fn find_hardware(config: &Config) -> Result<Hardware, WorkerError> {
    let wanted = config.worker.clone();
    let found = tokio::task::spawn_blocking(move || Hardware::find(&wanted)).await;
    let hardware = found.map_err(|e| WorkerError::Environment(format!("cannot try the codecs: {e}")))??;
    hardware.log();
    Ok(hardware)
}

/// The handles that the control thread gets.
struct Role {
    config: Config,
    worker: WorkerId,
    session: SessionId,
    zones: Vec<Zone>,
    slots: Slots,
    http: String,
    engine: Arc<Engine>,
    /// The connection for frames.
    frames: Bus,
    pulse: SharedPulse,
    health: Health,
    nats_connected: IntGauge,
    media: tokio::runtime::Handle,
}

async fn on_control_thread(role: Role, stop: CancellationToken) -> Result<Option<Instant>, WorkerError> {
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

/// Until the end; until when files may stay, if others took all streams over.
async fn control(role: Role, stop: CancellationToken) -> Result<Option<Instant>, WorkerError> {
    let bus = Bus::connect(&role.config.nats, Purpose::Control, &format!("rsm-worker-{}", role.worker)).await?;
    let limits = limits(&role.config);
    let (standing, stands) = watch::channel(WorkerStanding::new(limits));
    let (sampled, load) = watch::channel(Load::default());
    tokio::spawn(load::sample(sampled));
    let (starts_tx, starts) = mpsc::channel(STARTS);
    let owned: keeper::OwnedEpochs = Arc::new(Mutex::new(HashMap::new()));
    let orders = Orders::open(&bus, &role.worker, &role.session, &role.zones).await?;
    let demands = demand::Demands::open(&bus, &role.zones).await?;
    let seen = owned.clone();
    let intake = Intake {
        bus: bus.clone(),
        worker: role.worker.clone(),
        session: role.session.clone(),
        zones: role.zones.clone().into(),
        slots: role.slots,
        standing: stands,
        owned: Arc::new(move |ticket: &Ticket| seen.lock().get(&ticket.cam) == Some(&ticket.epoch)),
        starts: starts_tx,
    };
    for zone in &role.zones {
        for priority in Priority::ALL {
            tokio::spawn(intake::run(intake.clone(), zone.clone(), priority, stop.child_token()));
        }
    }
    let probes = ProbeResponder {
        engine: role.engine.clone(),
        worker: role.worker.clone(),
        zones: role.zones.clone(),
        bus: role.frames,
        standing: intake.standing.clone(),
    };
    let stop_probes = CancellationToken::new();
    let probing = role.media.spawn(probes.run(stop_probes.clone()));
    let worker = role.worker;
    let inputs = KeeperInputs { starts, orders, demands, load };
    let parts = keeper::KeeperParts {
        intake,
        http: role.http,
        engine: role.engine,
        media: role.media,
        hold: Duration::from_secs(role.config.control.hold_s),
        drain: Duration::from_secs(role.config.worker.drain_s),
        pulse: role.pulse,
        standing,
        owned,
        health: role.health,
        nats_connected: role.nats_connected,
    };
    let ended = keeper::run(parts, inputs, stop).await;
    stop_probes.cancel();
    // Sessions that were open are closed within a second or so; a panic was reported where it happened.
    let _ = tokio::time::timeout(PROBES_END, probing).await;
    bus.flush().await;
    match ended {
        KeeperEnd::Stopped => Ok(None),
        KeeperEnd::HandedOver { until } => Ok(Some(until)),
        KeeperEnd::NameTaken => Err(WorkerError::NameTaken(worker)),
        KeeperEnd::Closed => Err(WorkerError::Closed),
    }
}

fn limits(config: &Config) -> LoadLimits {
    let share = |percent: u32| percent as f32 / 100.0;
    LoadLimits { memory: share(config.worker.max_memory_percent), cpu: share(config.worker.max_cpu_percent) }
}

fn timing(config: &Config) -> Timing {
    let c = &config.camera;
    Timing {
        stall_timeout: Duration::from_secs(c.stall_timeout_s),
        first_picture: FIRST_PICTURE.max(Duration::from_secs(c.stall_timeout_s)),
        connect_timeout: Duration::from_secs(c.connect_timeout_s),
        backoff_min: Duration::from_secs(c.backoff_min_s),
        backoff_max: Duration::from_secs(c.backoff_max_s),
        auth_retry: Duration::from_secs(c.auth_retry_s),
        ..Timing::default()
    }
}

fn encoders(config: &Config) -> usize {
    match config.worker.max_encoders {
        0 => std::thread::available_parallelism().map_or(1, usize::from) * ENCODERS_PER_CORE,
        n => usize::try_from(n).unwrap_or(usize::MAX),
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
