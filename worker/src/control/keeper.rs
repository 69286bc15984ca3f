//! The task that owns what this process owns: it starts and stops streams, beats, and tells the API.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rsm_shared::bus::connect::Bus;
use rsm_shared::bus::control::{Order, Orders};
use rsm_shared::bus::heartbeat::{self, Beat};
use rsm_shared::bus::{demand, registers};
use rsm_shared::ops::health::Health;
use rsm_shared::stream::fence::{Epoch, Fence};
use rsm_shared::stream::names::{SessionId, WorkerId, Zone};
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::{DemandMessage, Heartbeat, HeartbeatReply, Load, Ticket, VERSION, WorkerState};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::contact::{Contact, Met};
use super::demands::Demands;
use super::held::{Held, Slots};
use super::intake::Start;
use crate::stream::engine::Engine;
use crate::stream::supervisor::{self, StreamContext};

/// One heartbeat each second.
const BEAT: Duration = Duration::from_secs(1);
/// Demand that has ended is noticed within this time.
const PRUNE: Duration = Duration::from_millis(500);
/// State changes on their way to the API; a stream whose change finds no room is told with the next heartbeat.
const CHANGES: usize = 1024;

/// Epochs owned here, for those who pull: one entry for each slot at most.
pub type OwnedEpochs = Arc<Mutex<HashMap<Slug, Epoch>>>;

/// What the keeper is made of.
pub struct Parts {
    pub bus: Bus,
    pub worker: WorkerId,
    pub session: SessionId,
    pub zones: Vec<Zone>,
    pub slots: Slots,
    /// `host:port` of metrics and health.
    pub http: String,
    pub engine: Arc<Engine>,
    /// Where media runs.
    pub media: Handle,
    pub hold: Duration,
    pub may_pull: watch::Sender<bool>,
    pub owned: OwnedEpochs,
    pub starts: mpsc::Receiver<Start>,
    pub orders: Orders,
    pub demands: demand::Demands,
    pub health: Health,
    pub claims: prometheus::IntGauge,
    pub nats_connected: prometheus::IntGauge,
}

/// Why the keeper ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// Another live worker has this name.
    NameTaken,
    /// The connection to NATS was closed for good.
    Closed,
}

struct Keeper {
    p: Shared,
    held: HashMap<Slug, Held>,
    demands: Demands,
    contact: Contact,
    api_session: String,
    sequence: u64,
    /// Streams whose status changed.
    changes: mpsc::Sender<Slug>,
    ending: JoinSet<Slug>,
    /// How many sessions of a stream are ending. A new one waits for the last: many cameras serve one session only, and
    /// the old one's metrics go when it does.
    ending_of: HashMap<Slug, u32>,
    /// Newer placements of streams that are ending; one for each at most.
    next: HashMap<Slug, Start>,
}

/// What does not change while the keeper runs.
struct Shared {
    bus: Bus,
    worker: WorkerId,
    session: SessionId,
    zones: Vec<Zone>,
    slots: Slots,
    http: String,
    engine: Arc<Engine>,
    media: Handle,
    may_pull: watch::Sender<bool>,
    owned: OwnedEpochs,
    health: Health,
    claims: prometheus::IntGauge,
    nats_connected: prometheus::IntGauge,
}

/// Runs until `stop`, then ends every stream and says goodbye.
pub async fn run(parts: Parts, stop: CancellationToken) -> Ended {
    let Parts { mut starts, mut orders, demands: mut wishes, hold, .. } = parts;
    let (changes, mut changed) = mpsc::channel(CHANGES);
    let mut keeper = Keeper {
        p: Shared {
            bus: parts.bus,
            worker: parts.worker,
            session: parts.session,
            zones: parts.zones,
            slots: parts.slots,
            http: parts.http,
            engine: parts.engine,
            media: parts.media,
            may_pull: parts.may_pull,
            owned: parts.owned,
            health: parts.health,
            claims: parts.claims,
            nats_connected: parts.nats_connected,
        },
        held: HashMap::new(),
        demands: Demands::default(),
        contact: Contact::new(hold, Instant::now()),
        api_session: String::new(),
        sequence: 0,
        changes,
        ending: JoinSet::new(),
        ending_of: HashMap::new(),
        next: HashMap::new(),
    };
    let mut connects = keeper.p.bus.connects();
    let (beats, mut beaten) = mpsc::channel(1);
    let mut beating = None;
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut prune = tokio::time::interval(PRUNE);
    prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break Ended::Stopped,
            // A heartbeat waits for its answer in a task of its own; at most one is under way.
            _ = beat.tick() => {
                if beating.as_ref().is_none_or(tokio::task::JoinHandle::is_finished) {
                    let (bus, message, beats) = (keeper.p.bus.clone(), keeper.heartbeat(WorkerState::Up), beats.clone());
                    beating = Some(tokio::spawn(async move { let _ = beats.send(meet(&bus, &message).await).await; }));
                }
            }
            Some((met, reply)) = beaten.recv() => {
                if keeper.met(met, reply).await { break Ended::NameTaken; }
            }
            Some(start) = starts.recv() => keeper.start(start),
            order = orders.next() => match order {
                Some(Ok(Order::Stop(slug, stop))) => keeper.let_go(&slug, stop.epoch_le, "stopped"),
                // The answer was sent by the bus: that it came is all that a probe asks.
                Some(Ok(Order::Probe | Order::Take(..))) => {}
                Some(Err(e)) => warn!("{e}"),
                None => break Ended::Closed,
            },
            wish = wishes.next() => match wish {
                Some(Ok((slug, message))) => keeper.wish(&slug, message),
                Some(Err(e)) => warn!("{e}"),
                None => break Ended::Closed,
            },
            Ok(()) = connects.changed() => {
                connects.borrow_and_update();
                keeper.tell_all().await;
            }
            Some(slug) = changed.recv() => keeper.tell(&slug).await,
            Some(ended) = keeper.ending.join_next() => keeper.ended(ended),
            _ = prune.tick() => keeper.prune(),
        }
    };
    keeper.end().await;
    ended
}

/// One heartbeat, and what silence means.
async fn meet(bus: &Bus, message: &Heartbeat) -> (Met, Option<HeartbeatReply>) {
    match heartbeat::beat(bus, message).await {
        Beat::Answered(reply) => (Met::Api, Some(reply)),
        // Behind a leaf node or in a split cluster this answer does not prove that the hub is there.
        Beat::NobodyListens if registers::reachable(bus).await => (Met::ApiAbsent, None),
        Beat::NobodyListens | Beat::Silence => (Met::Unknown, None),
    }
}

impl Keeper {
    fn heartbeat(&mut self, state: WorkerState) -> Heartbeat {
        self.sequence += 1;
        Heartbeat {
            v: VERSION,
            session: self.p.session.clone(),
            worker: self.p.worker.clone(),
            seq: self.sequence,
            state,
            zones: self.p.zones.clone(),
            cap: self.p.slots.capacity(),
            room: self.p.slots.free(),
            load: Load::default(),
            http: self.p.http.clone(),
            inv: self.held.iter().map(|(slug, held)| held.row(slug)).collect(),
        }
    }

    /// Acts on what a heartbeat met; `true` when this worker must end.
    async fn met(&mut self, met: Met, reply: Option<HeartbeatReply>) -> bool {
        self.p.nats_connected.set(i64::from(self.p.bus.connected()));
        match met {
            Met::Api => self.p.health.well("api"),
            Met::ApiAbsent => self.p.health.fault("api", "the API is away; running streams go on"),
            Met::Unknown => self.p.health.fault("api", "no contact with NATS or the API"),
        }
        match self.p.bus.refusal() {
            Some(refusal) => self.p.health.fault("nats", refusal),
            None => self.p.health.well("nats"),
        }
        let advice = self.contact.met(met, Instant::now());
        self.p.may_pull.send_if_modified(|may| std::mem::replace(may, advice.pull) != advice.pull);
        if advice.reconnect {
            let bus = self.p.bus.clone();
            tokio::spawn(async move { bus.reconnect().await });
        }
        if advice.stop_all && !self.held.is_empty() {
            warn!(streams = self.held.len(), "cut off for too long, stopping what may run elsewhere by now");
            self.let_all_go();
        }
        let Some(reply) = reply else { return false };
        if reply.conflict {
            error!(worker = %self.p.worker, "another live worker has this name; give one of them another worker.name");
            return true;
        }
        for (slug, up_to) in reply.drop {
            self.let_go(&slug, up_to, "no longer ours");
        }
        if reply.api_session != self.api_session {
            // An API that just began knows no details.
            self.api_session = reply.api_session;
            self.tell_all().await;
        }
        false
    }

    fn start(&mut self, start: Start) {
        let Start { ticket, spec, fence, slot } = start;
        let slug = ticket.cam.clone();
        if self.held.get(&slug).is_some_and(|held| held.fence >= fence)
            || self.next.get(&slug).is_some_and(|next| next.fence >= fence)
        {
            return;
        }
        if let Some(older) = self.held.remove(&slug) {
            self.release(&slug, older);
        }
        if self.ending_of.contains_key(&slug) {
            self.next.insert(slug, Start { ticket, spec, fence, slot });
            return;
        }
        let (demand, demand_rx) = watch::channel(self.demands.of(&slug, Instant::now()));
        let (first_media_sequence, first_discontinuity_sequence) = first_sequences(fence, &ticket);
        let context = StreamContext {
            slug: slug.clone(),
            zone: ticket.zone.clone(),
            fence,
            spec,
            first_media_sequence,
            first_discontinuity_sequence,
            demand: demand_rx,
            engine: self.p.engine.clone(),
        };
        info!(stream = %slug, %fence, reason = ?ticket.reason, "claimed");
        let _media = self.p.media.enter();
        let handle = supervisor::spawn(context);
        let status = handle.status();
        self.watch(slug.clone(), fence, status.clone());
        self.p.owned.lock().unwrap_or_else(PoisonError::into_inner).insert(slug.clone(), fence.epoch);
        self.held.insert(slug, Held { fence, handle, status, demand, slot });
        self.p.claims.set(i64::try_from(self.held.len()).unwrap_or(i64::MAX));
    }

    /// Has every status change told.
    fn watch(&self, slug: Slug, fence: Fence, mut status: watch::Receiver<supervisor::StreamStatus>) {
        let changes = self.changes.clone();
        tokio::spawn(async move {
            // The first status is told too. Ends when the stream does.
            loop {
                if changes.send(slug.clone()).await.is_err() || status.changed().await.is_err() {
                    return;
                }
                tracing::trace!(stream = %slug, %fence, "status changed");
            }
        });
    }

    async fn tell_all(&mut self) {
        let all: Vec<Slug> = self.held.keys().cloned().collect();
        for slug in all {
            self.tell(&slug).await;
        }
    }

    async fn tell(&mut self, slug: &Slug) {
        let Some(held) = self.held.get_mut(slug) else { return };
        held.status.mark_unchanged();
        // While the connection is away nothing is queued; everything is told again at the next connect.
        if !self.p.bus.connected() {
            return;
        }
        let event = held.event(slug, &self.p.session);
        if let Err(e) = heartbeat::tell(&self.p.bus, &self.p.worker, &event).await {
            warn!(stream = %slug, "{e}");
        }
    }

    fn wish(&mut self, slug: &Slug, message: DemandMessage) {
        let sum = self.demands.hear(slug, message, Instant::now());
        if let Some(held) = self.held.get(slug) {
            held.demand.send_if_modified(|now| std::mem::replace(now, sum) != sum);
        }
    }

    fn prune(&mut self) {
        let now = Instant::now();
        // A stream that ended by itself has a fault of ours; let go, the API places it again.
        let ended: Vec<Slug> =
            self.held.iter().filter(|(_, held)| held.handle.is_finished()).map(|(slug, _)| slug.clone()).collect();
        for slug in ended {
            if let Some(held) = self.held.remove(&slug) {
                error!(stream = %slug, fence = %held.fence, "the stream ended by itself, letting it go");
                self.release(&slug, held);
            }
        }
        for (slug, held) in &self.held {
            let sum = self.demands.of(slug, now);
            held.demand.send_if_modified(|now| std::mem::replace(now, sum) != sum);
        }
        self.demands.prune(now);
        self.p.engine.metrics.set_disk_bytes(self.p.engine.disk.used());
    }

    /// Ends a stream that is owned under `up_to` or an older epoch.
    fn let_go(&mut self, slug: &Slug, up_to: Epoch, why: &str) {
        if self.next.get(slug).is_some_and(|next| next.fence.epoch <= up_to) {
            self.next.remove(slug);
        }
        if self.held.get(slug).is_some_and(|held| held.fence.epoch <= up_to)
            && let Some(held) = self.held.remove(slug)
        {
            info!(stream = %slug, fence = %held.fence, "{why}");
            self.release(slug, held);
        }
    }

    fn let_all_go(&mut self) {
        self.next.clear();
        let all: Vec<(Slug, Held)> = self.held.drain().collect();
        for (slug, held) in all {
            self.release(&slug, held);
        }
    }

    fn release(&mut self, slug: &Slug, held: Held) {
        self.p.owned.lock().unwrap_or_else(PoisonError::into_inner).remove(slug);
        self.p.claims.set(i64::try_from(self.held.len()).unwrap_or(i64::MAX));
        held.handle.stop();
        *self.ending_of.entry(slug.clone()).or_default() += 1;
        let (Held { handle, slot, .. }, slug) = (held, slug.clone());
        self.ending.spawn_on(
            async move {
                handle.stopped().await;
                drop(slot);
                slug
            },
            &self.p.media,
        );
    }

    fn ended(&mut self, ended: Result<Slug, tokio::task::JoinError>) {
        match ended {
            Ok(slug) => {
                if let Some(count) = self.ending_of.get_mut(&slug) {
                    *count -= 1;
                    if *count > 0 {
                        return;
                    }
                    self.ending_of.remove(&slug);
                }
                if let Some(start) = self.next.remove(&slug) {
                    self.start(start);
                }
            }
            Err(e) => error!("a stream did not end in order: {e}"),
        }
    }

    /// Stops pulling, ends every stream, says goodbye so that nobody waits for our silence.
    async fn end(&mut self) {
        self.p.may_pull.send_replace(false);
        self.let_all_go();
        while self.ending.join_next().await.is_some() {}
        let goodbye = self.heartbeat(WorkerState::Draining);
        let _ = heartbeat::beat(&self.p.bus, &goodbye).await;
    }
}

/// Where the playlist of a new owner begins. A segment lasts a second at least, and so does each pause that makes a
/// discontinuity, so the epoch's seconds are past whatever media sequence number an earlier owner reached; the
/// ticket's number covers an epoch that was not taken from the clock. Discontinuity sequence numbers are counted by
/// the API and stay small: players use them as indices (hls.js 1.7 hangs on one of ten digits).
fn first_sequences(fence: Fence, ticket: &Ticket) -> (u64, u64) {
    ((fence.epoch.0 / 1000).max(ticket.media_sequence), ticket.discontinuity_sequence)
}
