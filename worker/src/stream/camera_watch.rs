//! Watches for the return of cameras that are away: one scheduler for all streams of the process.
//!
//! Probes are paced over all cameras, and all streams of one port share them. While more cameras are away than the pace
//! allows twice a second, each is probed less often. Probes never stand in a line with sessions that are opened.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use rsm_shared::backoff::jittered;
use rsm_shared::stream::camera_link::CameraUrl;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use super::absence::{Absence, Level, Sighting};
use crate::source::error::SourceError;
use crate::source::reach::ReachProbe;

/// Longest time between two probes of a closed port; with jitter 450 ms on average.
const EVERY: Duration = Duration::from_millis(600);
/// Deadline of a connection. A camera that needs longer is found by the tries at the end of each pause.
const CONNECT: Duration = Duration::from_millis(400);
/// Longest time between two probes of an open port: its closing is seen in time, because cameras need longer to restart.
const OPEN_EVERY: Duration = Duration::from_secs(4);
/// An answer that takes longer counts as silence, until it comes.
const SILENT: Duration = Duration::from_millis(400);
/// Longest that an answer is waited for on one connection. Another connection finds a host that went away meanwhile.
const ASK: Duration = Duration::from_secs(4);
/// Probes under way at a time, and so their sockets.
const MAX_PROBES: usize = 256;
/// Probes among them that wait for an answer.
const MAX_ASKING: usize = 64;
/// Probes that begin in a [`TICK`]; 400 a second cost about 1.5 % of a core.
const BATCH: usize = 8;
const TICK: Duration = Duration::from_millis(20);
/// Ports that are watched; streams beyond wait for the ends of their pauses.
const MAX_TARGETS: usize = 8192;
/// Patient connections at a time, see [`CameraWatch::connects`].
const MAX_PATIENT: usize = 64;

/// The port of a camera, and the kind of its return.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Target {
    scheme: String,
    host: String,
    port: u16,
    asks: bool,
}

/// The probes of one port, shared by the streams that wait for it.
#[derive(Clone)]
struct Watched {
    /// Distinguishes it from an earlier one of the same target.
    number: u64,
    url: CameraUrl,
    asks: bool,
    /// `None` until the first result after a stream has joined.
    seen: watch::Sender<Option<Sighting>>,
}

#[derive(Default)]
struct Targets {
    /// At most [`MAX_TARGETS`].
    all: HashMap<Target, Watched>,
    /// The next probe of each that has none under way, and some that are no longer watched, for seconds.
    due: BinaryHeap<Reverse<Due>>,
    numbers: u64,
    running: bool,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Instant,
    number: u64,
    target: Target,
}

/// The watch of a process. Cheap to clone.
#[derive(Clone)]
pub struct CameraWatch(Arc<WatchScheduler>);

struct WatchScheduler {
    /// `None` without real cameras.
    probe: Option<ReachProbe>,
    targets: Mutex<Targets>,
    joined: Notify,
    asking: Semaphore,
    patient: Semaphore,
}

/// A stream that waits for its camera. Dropped, it waits no longer.
pub struct CameraWait {
    seen: watch::Receiver<Option<Sighting>>,
    absence: Absence,
}

impl CameraWatch {
    /// Probes with `probe`; without it no camera is watched.
    pub fn new(probe: Option<ReachProbe>) -> Self {
        let (asking, patient) = (Semaphore::new(MAX_ASKING), Semaphore::new(MAX_PATIENT));
        Self(Arc::new(WatchScheduler { probe, targets: Mutex::default(), joined: Notify::new(), asking, patient }))
    }

    /// Begins to watch for the return of the camera of `url`; `None` when it cannot be watched. Call on the runtime
    /// that probes shall run on.
    pub fn wait_for(&self, url: &CameraUrl, absence: Absence) -> Option<CameraWait> {
        self.0.probe.as_ref()?;
        let asks = absence.silent;
        let target = Target { scheme: url.scheme().into(), host: url.host().into(), port: url.port(), asks };
        let mut targets = self.0.targets.lock();
        if let Some(watched) = targets.all.get(&target) {
            let seen = watched.seen.subscribe();
            // An earlier result is no news for this stream; the next result is, even when it is the same.
            watched.seen.send_if_modified(|seen| {
                *seen = None;
                false
            });
            return Some(CameraWait { seen, absence });
        }
        if targets.all.len() >= MAX_TARGETS {
            return None;
        }
        targets.numbers += 1;
        let number = targets.numbers;
        let (sender, seen) = watch::channel(None);
        targets.all.insert(target.clone(), Watched { number, url: url.clone(), asks, seen: sender });
        targets.due.push(Reverse(Due { at: Instant::now() + jittered(EVERY, rand::random()), number, target }));
        if !std::mem::replace(&mut targets.running, true) {
            tokio::spawn(self.0.clone().run());
        }
        drop(targets);
        self.0.joined.notify_one();
        Some(CameraWait { seen, absence })
    }

    /// Connects once within `deadline`, which begins with this stream's turn: at most `MAX_PATIENT` streams connect at a
    /// time, so a turn comes after as many deadlines as there are such groups before it.
    ///
    /// # Errors
    /// [`SourceError`] when the camera cannot be connected to.
    pub async fn connects(&self, url: &CameraUrl, deadline: Duration) -> Result<(), SourceError> {
        let Some(probe) = &self.0.probe else { return Ok(()) };
        // The semaphore is never closed.
        let _permit = self.0.patient.acquire().await;
        probe.connect(url, deadline).await.map(drop)
    }
}

impl CameraWait {
    /// Resolves when the camera has come back. Cancel safe.
    pub async fn returned(&mut self) {
        loop {
            let seen = self.next().await;
            if self.absence.sighted(seen) {
                return;
            }
        }
    }

    /// Resolves when the port is open, which it may be already. Cancel safe.
    pub async fn open(&mut self) {
        while self.absence.is_closed() {
            let seen = self.next().await;
            self.absence.sighted(seen);
        }
    }

    /// True when the newest result, or the failure before, says that the port is not open.
    pub fn is_closed(&self) -> bool {
        self.absence.is_closed()
    }

    /// True when the port was seen closed.
    pub fn was_closed(&self) -> bool {
        self.absence.closed
    }

    async fn next(&mut self) -> Sighting {
        loop {
            if self.seen.changed().await.is_err() {
                // The scheduler has gone, with the runtime.
                std::future::pending::<()>().await;
            }
            if let Some(seen) = *self.seen.borrow_and_update() {
                return seen;
            }
        }
    }
}

impl WatchScheduler {
    /// Probes until no camera is watched.
    async fn run(self: Arc<Self>) {
        let this = &self;
        let mut under_way = FuturesUnordered::new();
        let mut batch_at = Instant::now();
        loop {
            let now = Instant::now();
            if now >= batch_at {
                let taken = self.take_due(now, BATCH.min(MAX_PROBES.saturating_sub(under_way.len())));
                if !taken.is_empty() {
                    batch_at = now + TICK;
                }
                for (target, watched) in taken {
                    under_way.push(async move {
                        let pause = this.probe(&watched).await;
                        (target, watched, pause)
                    });
                }
            }
            let next = {
                let mut targets = self.targets.lock();
                let next = targets.due.peek().map(|Reverse(due)| due.at.max(batch_at));
                if next.is_none() && under_way.is_empty() {
                    targets.running = false;
                    return;
                }
                next
            };
            tokio::select! {
                () = tokio::time::sleep_until(next.unwrap_or(now)), if next.is_some() && under_way.len() < MAX_PROBES => {}
                Some((target, watched, pause)) = under_way.next() => self.again(target, &watched, pause),
                () = self.joined.notified() => {}
            }
        }
    }

    /// Takes the targets that are due, at most `most`.
    fn take_due(&self, now: Instant, most: usize) -> Vec<(Target, Watched)> {
        let mut targets = self.targets.lock();
        let mut taken = Vec::with_capacity(most);
        while taken.len() < most && targets.due.peek().is_some_and(|Reverse(due)| due.at <= now) {
            let Some(Reverse(Due { number, target, .. })) = targets.due.pop() else { break };
            let Some(watched) = targets.all.get(&target).filter(|watched| watched.number == number) else { continue };
            if watched.seen.receiver_count() == 0 {
                targets.all.remove(&target);
                continue;
            }
            let watched = watched.clone();
            taken.push((target, watched));
        }
        taken
    }

    /// Plans the next probe of a target, unless no stream waits for it any more.
    fn again(&self, target: Target, watched: &Watched, pause: Duration) {
        let mut targets = self.targets.lock();
        // Streams join under the same lock, so none is lost.
        if watched.seen.receiver_count() == 0 {
            targets.all.remove(&target);
            return;
        }
        let at = Instant::now() + jittered(pause, rand::random());
        targets.due.push(Reverse(Due { at, number: watched.number, target }));
    }

    /// One probe; gives the pause until the next.
    async fn probe(&self, watched: &Watched) -> Duration {
        let Some(probe) = &self.probe else { return OPEN_EVERY };
        let tell = |level, settled| {
            let seen = Some(Sighting { level, settled });
            watched.seen.send_if_modified(|before| std::mem::replace(before, seen) != seen);
        };
        let begun = Instant::now();
        let Ok(stream) = probe.connect(&watched.url, CONNECT).await else {
            tell(Level::Closed, true);
            return EVERY.saturating_sub(begun.elapsed());
        };
        let permit = if watched.asks { self.asking.try_acquire().ok() } else { None };
        tell(Level::Open, permit.is_none());
        if permit.is_none() {
            return OPEN_EVERY;
        }
        let answer = ReachProbe::answers(&watched.url, stream, ASK);
        tokio::pin!(answer);
        let answered = match tokio::time::timeout(SILENT, &mut answer).await {
            Ok(answered) => answered,
            Err(_) => {
                tell(Level::Open, true);
                tokio::select! {
                    answered = answer => answered,
                    () = watched.seen.closed() => return EVERY,
                }
            }
        };
        tell(if answered { Level::Answers } else { Level::Open }, true);
        // Silence is listened to without a pause; the connection of another probe is in time, whenever it breaks.
        if answered || begun.elapsed() < ASK { OPEN_EVERY } else { Duration::ZERO }
    }
}
