//! The relay process: viewers only, no database. A small control runtime on a thread of its own follows the directory
//! that the API writes; HTTP and frames are on the caller's runtime.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use prometheus::IntGauge;
use rsm_shared::bus::connect::{Bus, Purpose};
use rsm_shared::bus::{directory, relays};
use rsm_shared::config::Config;
use rsm_shared::ops::health::{Dependency, Health};
use rsm_shared::ops::{host, metrics, process};
use rsm_shared::wire::messages::{RelayHello, VERSION};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::control_thread::ControlThread;
use super::directory_follower::DirectoryFollower;
use super::error::ServeError;
use super::listen;
use crate::http::server::{self, DRAIN};
use crate::routes::camera_items::PublicItems;
use crate::routes::table;
use crate::service::service;
use crate::streams::Streams;
use crate::viewing::{Viewing, ViewingParts};

/// Interval of the checks for the connection to NATS.
const CHECK: Duration = Duration::from_millis(250);

/// Runs a relay until `stop`. Call on the runtime that serves viewers.
///
/// # Errors
/// [`ServeError`] when it cannot begin, or must not go on.
pub async fn run(mut config: Config, version: &'static str, stop: CancellationToken) -> Result<(), ServeError> {
    let tcp = listen::listen(&mut config)?;
    let address = config.api.listen;
    let health = Health::default();
    health.fault(Dependency::Nats, "not connected to NATS yet");
    let (registry, nats_connected) = metrics::registry(version, &health)?;

    let run = |follow: Follow, bus, told: CancellationToken| async move {
        told.run_until_cancelled(follow.run(&bus)).await;
    };
    let thread = ControlThread::start(&config.nats, "rsm-relay", stop.clone(), run).await?;
    let control = thread.bus.clone();
    let frames = Bus::connect(&config.nats, Purpose::Frames, "rsm-relay-frames").await?;
    // Everything goes on while viewers are disconnected.
    let over = CancellationToken::new();
    let streams = Streams::default();
    let viewing = Viewing::new(ViewingParts {
        config,
        items: Arc::new(PublicItems(streams.clone())),
        streams,
        // Relays share no disk with workers.
        hls_root: None,
        control,
        frames: frames.clone(),
        health,
        registry,
        stop: over.clone(),
    })?;
    let hello = RelayHello { v: VERSION, relay: process::unique(), http: host::advertised(None, address) };
    let working = thread.give(Follow { viewing: viewing.clone(), frames, nats_connected, hello });

    let demand = viewing.start();
    info!(%address, "relay begins");
    let served = server::serve(tcp, viewing.clone(), service(&viewing, &table::of_relay()), stop, over.clone()).await;
    over.cancel();
    let _ = tokio::time::timeout(DRAIN, demand).await;
    let ended = working.end().await;
    served?;
    ended
}

/// Work of the control thread.
struct Follow {
    viewing: Arc<Viewing>,
    frames: Bus,
    nats_connected: IntGauge,
    hello: RelayHello,
}

impl Follow {
    async fn run(self, bus: &Bus) {
        // Shared by futures of this thread only; never held across an await.
        let follower = Mutex::new(DirectoryFollower::new(&self.viewing));
        let following = directory::follow(bus, |news| {
            follower.lock().take(news, Instant::now());
        });
        let checking = async {
            let mut timer = tokio::time::interval(CHECK);
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                timer.tick().await;
                self.check_nats(bus);
                follower.lock().sweep(Instant::now());
            }
        };
        tokio::join!(following, checking, self.greet(bus));
    }

    fn check_nats(&self, bus: &Bus) {
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
            // Hellos that wait for a connection would go out late and all at once. News of a connect may come a moment
            // before `connected` is true.
            let connected = tokio::select! {
                _ = repeat.tick() => bus.connected(),
                Ok(()) = connects.changed() => true,
            };
            if connected && let Err(e) = relays::hello(bus, &self.hello).await {
                debug!(error = %e, "the hello of this relay was not published");
            }
        }
    }
}
