//! The relay process: viewers only, no database. A small control runtime on a thread of its own follows the directory
//! that the API writes; HTTP and frames are on the caller's runtime.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::IntGauge;
use rsm_shared::bus::connect::{Bus, Purpose};
use rsm_shared::bus::{directory, relays};
use rsm_shared::config::Config;
use rsm_shared::ops::health::{Dependency, Health};
use rsm_shared::ops::{metrics, process};
use rsm_shared::wire::messages::{RelayHello, VERSION};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::app::{Viewing, ViewingParts};
use crate::control_thread::ControlThread;
use crate::directory_follower::Follower;
use crate::http::{self, DRAIN};
use crate::relay::limits;
use crate::role::Role;
use crate::serve::ApiError;
use crate::streams::Streams;

/// How often it is looked whether NATS is there.
const LOOK: Duration = Duration::from_millis(250);

/// Runs a relay until `stop`. Call on the runtime that serves viewers.
///
/// # Errors
/// [`ApiError`] when it cannot begin, or must not go on.
pub async fn run(mut config: Config, version: &'static str, stop: CancellationToken) -> Result<(), ApiError> {
    let tcp = process::listen(config.api.listen).map_err(ApiError::Environment)?;
    limits::crowd_may_wait(&tcp)?;
    limits::send_at_once(&tcp, Duration::from_secs(config.api.viewer_stall_s))?;
    let address = tcp.local_addr()?;
    config.api.listen = address;
    let health = Health::default();
    health.fault(Dependency::Nats, "not connected to NATS yet");
    let (registry, nats_connected) = metrics::registry(version, &health)?;

    let run = |follow: Follow, bus, told: CancellationToken| async move {
        told.run_until_cancelled(follow.run(&bus)).await;
    };
    let thread = ControlThread::start(&config.nats, "rsm-relay", stop.clone(), run).await?;
    let control = thread.bus.clone();
    let frames = Bus::connect(&config.nats, Purpose::Frames, "rsm-relay-frames").await?;
    // Everything goes on while viewers are sent away.
    let over = CancellationToken::new();
    let viewing = Viewing::new(ViewingParts {
        role: Role::Relay,
        config,
        streams: Streams::default(),
        control,
        frames: frames.clone(),
        health,
        registry,
        nats_connected: nats_connected.clone(),
        stop: over.clone(),
    })?;
    let hello = RelayHello { v: VERSION, relay: process::unique(), http: advertised(address) };
    let working = thread.give(Follow { viewing: viewing.clone(), frames, nats_connected, hello });

    let demand = viewing.start();
    if !address.ip().is_loopback() {
        warn!(%address, "listening beyond loopback without access control: whoever reaches this address sees all cameras");
    }
    info!(%address, "relay begins");
    let served = http::serve(tcp, viewing.clone(), viewing.service(), stop, over.clone()).await;
    over.cancel();
    let _ = tokio::time::timeout(DRAIN, demand).await;
    let ended = working.end().await;
    served?;
    ended
}

/// What the control thread works on.
struct Follow {
    viewing: Arc<Viewing>,
    frames: Bus,
    nats_connected: IntGauge,
    hello: RelayHello,
}

impl Follow {
    async fn run(self, bus: &Bus) {
        // Of this thread only; never held across an await.
        let follower = Mutex::new(Follower::new(&self.viewing));
        let following = directory::follow(bus, |news| {
            follower.lock().take(news, Instant::now());
        });
        let looking = async {
            let mut look = tokio::time::interval(LOOK);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                look.tick().await;
                self.look(bus);
                follower.lock().sweep(Instant::now());
            }
        };
        tokio::join!(following, looking, self.greet(bus));
    }

    fn look(&self, bus: &Bus) {
        let connected = bus.connected() && self.frames.connected();
        self.nats_connected.set(i64::from(connected));
        if let Some(refusal) = bus.refusal() {
            self.viewing.health.fault(Dependency::Nats, refusal);
        } else if connected {
            self.viewing.health.well(Dependency::Nats);
        } else {
            let why = "not connected to NATS; no frames arrive, and no stream can be started";
            self.viewing.health.fault(Dependency::Nats, why);
        }
    }

    async fn greet(&self, bus: &Bus) {
        let mut repeat = tokio::time::interval(relays::REPEAT);
        repeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut connects = bus.connects();
        loop {
            // What waits for a connection would be said late, and all at once. That it was made is told a moment before
            // it shows.
            let connected = tokio::select! {
                _ = repeat.tick() => bus.connected(),
                Ok(()) = connects.changed() => true,
            };
            if connected && let Err(e) = relays::hello(bus, &self.hello).await {
                debug!(error = %e, "this relay was not told of");
            }
        }
    }
}

/// Where others reach a listener: the host's name stands for "every address of this host".
pub(crate) fn advertised(address: SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return address.to_string();
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => address.to_string(),
        name => format!("{name}:{}", address.port()),
    }
}
