//! Looks at cameras that are not registered yet: one picture for whoever asks, or why there is none. No claim, no hub.

mod glance;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rsm_shared::bus::BusError;
use rsm_shared::bus::connect::Bus;
use rsm_shared::bus::look::{Look, Looks, PATIENCE};
use rsm_shared::stream::names::{WorkerId, Zone};
use rsm_shared::stream::state::{Reason, ReasonCode, StreamState};
use rsm_shared::wire::messages::{LookReport, VERSION};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
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
/// A camera is let go of this long before whoever asked is answered: with one session only, it shall have it back for
/// what comes next. Within what [`rsm_shared::bus::look::ask`] waits beyond [`PATIENCE`].
const LET_GO: Duration = Duration::from_millis(1200);
/// A subscription that ends gives what it has within this time.
const READ_OUT: Duration = Duration::from_secs(2);
const CROWDED: &str = "The worker is looking at other cameras. Try again in some seconds.";
const ENDING: &str = "The worker that looked at the camera is ending. Try again.";

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
                warn!(repeats = true, error = %e, "requests to look at cameras cannot be heard, trying again");
                let _ = timeout(PAUSE, stop.cancelled()).await;
            }
        }
        while under_way.join_next().await.is_some() {}
        // Nobody else sends on this connection at the end.
        self.bus.flush().await;
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
                () = async { drop(standing.wait_for(|standing| !looks(standing)).await) } => {
                    requests.end().await?;
                    // What comes until the server has heard of it is sent to nobody else.
                    let rest = async {
                        while let Some(request) = requests.next().await {
                            self.take(request, turns, under_way, stop);
                        }
                    };
                    let _ = timeout(READ_OUT, rest).await;
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
            Err(e) => return warn!(repeats = true, error = %e, "a request to look at a camera is not readable"),
        };
        let (began, crowded) = (Instant::now(), under_way.len() >= AT_ONCE + WAITING);
        let (engine, worker, turns, stop) = (self.engine.clone(), self.worker.clone(), turns.clone(), stop.clone());
        under_way.spawn(async move {
            let turn = async { if crowded { None } else { timeout(TURN, turns.acquire()).await.ok()?.ok() } };
            let turn = tokio::select! {
                turn = turn => turn.ok_or(CROWDED),
                () = stop.cancelled() => Err(ENDING),
            };
            let mut glance = Glance::default();
            let seen = match &turn {
                Ok(_) => glance.at(&engine, &look.request, began + PATIENCE, &stop).await,
                Err(text) => {
                    let reason = Reason { code: ReasonCode::NoWorker, text: (*text).into() };
                    Seen::not(StreamState::Reconnecting, reason)
                }
            };
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let Seen { state, reason, video, audio, picture } = seen;
            let report = LookReport { v: VERSION, worker, state, reason, video, audio, took_ms };
            let mut ending = pin!(glance.end());
            let ended = timeout(LET_GO, &mut ending).await.is_ok();
            if let Err(e) = look.answer(&report, picture).await {
                debug!(error = %e, "a look at a camera was not answered");
            }
            if !ended {
                ending.await;
            }
            // The next one waits until nothing is left of this one.
            drop(turn);
        });
    }
}

fn looks(standing: &Standing) -> bool {
    !standing.draining && standing.load.memory <= standing.limits.memory
}
