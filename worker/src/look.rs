//! Looks at cameras that are not registered yet: one picture for whoever asks, or why there is none. No claim, no hub.

mod glance;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use rsm_shared::bus::BusError;
use rsm_shared::bus::connect::Bus;
use rsm_shared::bus::look::{Look, Looks, PATIENCE};
use rsm_shared::stream::names::{WorkerId, Zone};
use rsm_shared::stream::state::{Reason, ReasonCode, StreamState};
use rsm_shared::wire::messages::{LookReport, VERSION};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::control::admission::Standing;
use crate::stream::engine::Engine;
pub use glance::{Glance, Seen};

/// Cameras that are looked at at a time.
const AT_ONCE: usize = 2;
/// Requests that wait for their turn; further ones are answered at once.
const WAITING: usize = 8;
/// A request waits this long for its turn. What is left of [`PATIENCE`] is enough for most cameras.
const TURN: Duration = Duration::from_secs(10);
/// Pause before the subscription is tried again.
const PAUSE: Duration = Duration::from_secs(1);
const CROWDED: &str = "The worker is looking at other cameras. Try again in some seconds.";

/// What answers requests to look. Runs where media runs.
pub struct Looking {
    pub engine: Arc<Engine>,
    pub worker: WorkerId,
    pub zones: Vec<Zone>,
    /// The connection for frames: a picture must not delay a heartbeat.
    pub bus: Bus,
    /// While this worker drains, or has no memory, others are asked.
    pub standing: watch::Receiver<Standing>,
}

impl Looking {
    /// Until `stop`; every session has ended when this returns.
    pub async fn run(mut self, stop: CancellationToken) {
        let (turns, mut under_way) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                stood = self.standing.wait_for(looks) => if stood.is_err() { break },
            }
            let listened = tokio::select! {
                () = stop.cancelled() => break,
                listened = self.listen(&turns, &mut under_way, &stop) => listened,
            };
            if let Err(e) = listened {
                warn!("{e}");
                let _ = tokio::time::timeout(PAUSE, stop.cancelled()).await;
            }
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Takes requests while this worker looks.
    async fn listen(
        &mut self,
        turns: &Arc<Semaphore>,
        under_way: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<(), BusError> {
        let mut requests = Looks::open(&self.bus, &self.zones).await?;
        let mut standing = self.standing.clone();
        loop {
            let request = tokio::select! {
                biased;
                stood = standing.wait_for(|standing| !looks(standing)) => {
                    drop(stood);
                    // What had come by now was sent to nobody else.
                    while let Some(Some(request)) = requests.next().now_or_never() {
                        self.take(request, turns, under_way, stop);
                    }
                    return Ok(());
                }
                Some(_) = under_way.join_next() => continue,
                request = requests.next() => request,
            };
            match request {
                Some(request) => self.take(request, turns, under_way, stop),
                // The connection is closed for good; the process ends.
                None => return std::future::pending().await,
            }
        }
    }

    fn take(
        &self,
        request: Result<Look, BusError>,
        turns: &Arc<Semaphore>,
        under_way: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) {
        let look = match request {
            Ok(look) => look,
            Err(e) => return warn!("{e}"),
        };
        let (began, crowded) = (Instant::now(), under_way.len() >= AT_ONCE + WAITING);
        let (engine, worker, turns, stop) = (self.engine.clone(), self.worker.clone(), turns.clone(), stop.clone());
        under_way.spawn(async move {
            let turn =
                async { if crowded { None } else { tokio::time::timeout(TURN, turns.acquire()).await.ok()?.ok() } };
            let mut glance = Glance::default();
            let turn = turn.await;
            let seen = match turn {
                Some(_) => glance.at(&engine, &look.request, began + PATIENCE, &stop).await,
                None => {
                    Seen::not(StreamState::Reconnecting, Reason { code: ReasonCode::NoWorker, text: CROWDED.into() })
                }
            };
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let Seen { state, reason, video, audio, picture } = seen;
            let report = LookReport { v: VERSION, worker, state, reason, video, audio, took_ms };
            if let Err(e) = look.answer(&report, picture).await {
                debug!("{e}");
            }
            // The next one waits until nothing is left of this one.
            glance.end().await;
            drop(turn);
        });
    }
}

fn looks(standing: &Standing) -> bool {
    !standing.draining && standing.load.memory <= standing.limits.memory
}
