//! Probes cameras that are not registered yet: answers a request with one picture, or with the reason why there is none.
//! A probe takes no claim and has no hub.

mod probe;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rsm_control::worker::admission::WorkerStanding;
use rsm_shared::bus::BusError;
use rsm_shared::bus::connect::Bus;
use rsm_shared::bus::probe::{PATIENCE, PendingProbe, ProbeRequests};
use rsm_shared::stream::names::{WorkerId, Zone};
use rsm_shared::wire::messages::{ProbeReport, VERSION};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::stream::engine::Engine;
pub use probe::{CameraProbe, ProbeOutcome};

/// Cameras that are probed at a time.
const AT_ONCE: usize = 2;
/// Requests that wait for their turn; further requests are refused at once.
const WAITING: usize = 8;
/// A request waits this long for its turn. The rest of [`PATIENCE`] is enough for most cameras.
const TURN: Duration = Duration::from_secs(10);
/// Pause before the subscription is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// The answer waits at most this long for the end of the camera session: a camera with one session only must have it
/// free for the stream that follows. Shorter than the time that [`rsm_shared::bus::probe::ask`] waits beyond [`PATIENCE`].
const RELEASE: Duration = Duration::from_millis(1200);
/// A subscription that ends yields its remaining requests within this time.
const READ_OUT: Duration = Duration::from_secs(2);
const CROWDED: &str = "The worker is testing other cameras. Try again in some seconds.";

/// Answers requests to probe a camera. Runs on the runtime of media.
pub struct ProbeResponder {
    pub engine: Arc<Engine>,
    pub worker: WorkerId,
    pub zones: Vec<Zone>,
    /// The connection for frames: a picture must not delay a heartbeat.
    pub bus: Bus,
    /// A worker that drains or has no memory takes no requests.
    pub standing: watch::Receiver<WorkerStanding>,
}

impl ProbeResponder {
    /// Runs until `stop`; every session has ended when this returns.
    pub async fn run(mut self, stop: CancellationToken) {
        let (turns, mut under_way) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                stood = self.standing.wait_for(takes_requests) => if stood.is_err() { break },
            }
            let listened = tokio::select! {
                () = stop.cancelled() => break,
                listened = self.listen(&turns, &mut under_way, &stop) => listened,
            };
            if let Err(e) = listened {
                warn!(repeats = true, error = %e, "the subscription to camera probes failed, trying again");
                let _ = timeout(PAUSE, stop.cancelled()).await;
            }
        }
        while under_way.join_next().await.is_some() {}
        // No other task sends on this connection at the end.
        self.bus.flush().await;
    }

    /// Takes requests while this worker may.
    async fn listen(
        &mut self,
        turns: &Arc<Semaphore>,
        under_way: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<(), BusError> {
        let mut requests = ProbeRequests::open(&self.bus, &self.zones).await?;
        let mut standing = self.standing.clone();
        loop {
            let request = tokio::select! {
                biased;
                () = async { drop(standing.wait_for(|standing| !takes_requests(standing)).await) } => {
                    requests.end().await?;
                    // Requests that arrive before the server knows are sent to no other worker.
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
        request: Result<PendingProbe, BusError>,
        turns: &Arc<Semaphore>,
        under_way: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) {
        let pending = match request {
            Ok(pending) => pending,
            Err(e) => return warn!(repeats = true, error = %e, "a request to probe a camera is not readable"),
        };
        let (began, crowded) = (Instant::now(), under_way.len() >= AT_ONCE + WAITING);
        let (engine, worker, turns, stop) = (self.engine.clone(), self.worker.clone(), turns.clone(), stop.clone());
        under_way.spawn(async move {
            let turn = async { if crowded { None } else { timeout(TURN, turns.acquire()).await.ok()?.ok() } };
            let turn = tokio::select! {
                turn = turn => turn.ok_or(CROWDED),
                () = stop.cancelled() => Err(probe::ENDING),
            };
            let mut probe = CameraProbe::default();
            let outcome = match &turn {
                Ok(_) => probe.run(&engine, &pending.request, began + PATIENCE, &stop).await,
                Err(text) => ProbeOutcome::refused(text),
            };
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let ProbeOutcome { state, reason, video, audio, picture } = outcome;
            let report = ProbeReport { v: VERSION, worker, state, reason, video, audio, took_ms };
            let mut ending = pin!(probe.end());
            let ended = timeout(RELEASE, &mut ending).await.is_ok();
            if let Err(e) = pending.answer(&report, picture).await {
                debug!(error = %e, "the answer to a camera probe was not sent");
            }
            if !ended {
                ending.await;
            }
            // The next probe waits until this one has ended.
            drop(turn);
        });
    }
}

fn takes_requests(standing: &WorkerStanding) -> bool {
    !standing.draining && standing.load.memory <= standing.limits.memory
}
