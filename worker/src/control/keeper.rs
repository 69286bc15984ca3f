//! The task that owns the streams of this process: it starts and stops them, sends heartbeats, and reports to the API.
//!
//! Heartbeats, offers and the ends of streams wait in tasks of their own. The keeper itself waits for NATS only where it
//! publishes events, which the client queues; a queue that is full delays it by the deadline of one request.

mod parts;
mod streams;

use std::time::{Duration, Instant};

use rsm_control::worker::admission::{WorkerStanding, counts_as_starting};
use rsm_control::worker::contact::{BeatResult, Contact, SilenceEnds};
use rsm_control::worker::drain::{Drain, DrainEnd};
use rsm_shared::bus::connect::Bus;
use rsm_shared::bus::control::{Order, Reply};
use rsm_shared::bus::heartbeat::{self, HeartbeatOutcome};
use rsm_shared::bus::registers;
use rsm_shared::ops::health::Dependency;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::{Heartbeat, HeartbeatReply, Priority, Ticket, VERSION, WorkerState};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use self::streams::OwnedStreams;
pub use parts::{KeeperEnd, KeeperInputs, KeeperParts, OwnedEpochs};

/// Time between two heartbeats.
const BEAT: Duration = Duration::from_secs(1);
/// Demand that has ended, and streams that have, are noticed within this time.
const PRUNE: Duration = Duration::from_millis(500);
/// State changes on their way to the keeper; a stream waits with its next change while there is no room.
const CHANGES: usize = 1024;

struct Keeper {
    p: KeeperParts,
    streams: OwnedStreams,
    contact: Contact,
    /// Set once the process was told to stop, while other workers take over.
    drain: Option<Drain>,
    api_session: String,
    /// Sequence number of the last heartbeat.
    sequence: u64,
}

/// The outcome of one heartbeat.
struct BeatOutcome {
    /// Its sequence number.
    number: u64,
    result: BeatResult,
    reply: Option<HeartbeatReply>,
}

/// Runs until `stop`, waits for other workers to take over, then ends every stream and says goodbye.
pub async fn run(parts: KeeperParts, inputs: KeeperInputs, stop: CancellationToken) -> KeeperEnd {
    let KeeperInputs { mut starts, mut orders, mut demands, mut load } = inputs;
    let (changes, mut changed) = mpsc::channel(CHANGES);
    let mut connects = parts.intake.bus.connects();
    let mut keeper = Keeper::new(parts, changes);
    let (beats, mut beaten) = mpsc::channel(1);
    let mut beating = None;
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut prune = tokio::time::interval(PRUNE);
    prune.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = loop {
        if let Some(ended) = keeper.drained() {
            break ended;
        }
        tokio::select! {
            biased;
            () = stop.cancelled(), if keeper.drain.is_none() => {
                if !keeper.begin_drain() { break KeeperEnd::Stopped; }
                // The next heartbeat reports it at once.
                beat.reset_immediately();
            }
            // A heartbeat waits for its answer in a task of its own; at most one is under way.
            _ = beat.tick() => {
                keeper.beat_pulse();
                if beating.as_ref().is_none_or(tokio::task::JoinHandle::is_finished) {
                    let (bus, message, beats) = (keeper.p.intake.bus.clone(), keeper.heartbeat(), beats.clone());
                    beating = Some(tokio::spawn(async move { let _ = beats.send(send_beat(&bus, &message).await).await; }));
                }
            }
            Some(beaten) = beaten.recv() => {
                if keeper.on_beat(beaten).await { break KeeperEnd::NameTaken; }
            }
            Some(start) = starts.recv() => {
                keeper.streams.start(start);
                keeper.update_standing(|_| {});
            }
            order = orders.next() => match order {
                Some(Ok(Order::Stop(slug, stop))) => keeper.streams.release(&slug, stop.epoch_le, "stopped"),
                // The bus has answered it already.
                Some(Ok(Order::Probe)) => {}
                Some(Ok(Order::Take(ticket, reply))) => keeper.consider(*ticket, reply),
                Some(Err(e)) => warn!(repeats = true, error = %e, "an order of the API is not readable"),
                None => break KeeperEnd::Closed,
            },
            demand = demands.next() => match demand {
                Some(Ok((slug, message))) => keeper.streams.on_demand(&slug, message),
                Some(Err(e)) => warn!(repeats = true, error = %e, "a demand of viewers is not readable"),
                None => break KeeperEnd::Closed,
            },
            Ok(()) = connects.changed() => {
                connects.borrow_and_update();
                keeper.report_all().await;
            }
            Some(slug) = changed.recv() => keeper.on_change(&slug).await,
            Some(ended) = keeper.streams.next_end() => {
                keeper.streams.on_end(ended);
                keeper.update_standing(|_| {});
            }
            Ok(()) = load.changed() => {
                let load = *load.borrow_and_update();
                keeper.update_standing(|standing| standing.load = load);
            }
            _ = prune.tick() => keeper.prune(),
        }
    };
    keeper.end().await;
    ended
}

/// Sends one heartbeat, and finds out what silence means.
async fn send_beat(bus: &Bus, message: &Heartbeat) -> BeatOutcome {
    let (result, reply) = match heartbeat::beat(bus, message).await {
        HeartbeatOutcome::Answered(reply) => (BeatResult::Answered, Some(reply)),
        // Behind a leaf node or in a split cluster this answer does not prove that the hub is there.
        HeartbeatOutcome::NoResponders if registers::reachable(bus).await => (BeatResult::ApiAbsent, None),
        HeartbeatOutcome::NoResponders | HeartbeatOutcome::Silence => (BeatResult::Silence, None),
    };
    BeatOutcome { number: message.seq, result, reply }
}

impl Keeper {
    fn new(parts: KeeperParts, changes: mpsc::Sender<Slug>) -> Self {
        let (engine, media, epochs) = (parts.engine.clone(), parts.media.clone(), parts.owned.clone());
        Self {
            streams: OwnedStreams::new(engine, media, epochs, changes),
            contact: Contact::new(parts.hold, Instant::now()),
            drain: None,
            api_session: String::new(),
            sequence: 0,
            p: parts,
        }
    }

    /// Notices what has ended.
    fn prune(&mut self) {
        self.streams.prune();
        self.p.engine.metrics.set_disk_bytes(self.p.engine.disk.used());
        self.update_standing(|_| {});
    }

    /// Beats the pulse, which notices a pause of this process.
    fn beat_pulse(&self) {
        if self.p.pulse.beat(self.sequence + 1) {
            warn!(
                repeats = true,
                "this process was paused; it publishes no frames until the API has confirmed its streams"
            );
        }
    }

    fn heartbeat(&mut self) -> Heartbeat {
        self.sequence += 1;
        let (intake, standing) = (&self.p.intake, *self.p.standing.borrow());
        let room = intake.slots.count();
        self.p.engine.metrics.set_load(room.used());
        Heartbeat {
            v: VERSION,
            session: intake.session.clone(),
            worker: intake.worker.clone(),
            seq: self.sequence,
            state: if self.drain.is_some() { WorkerState::Draining } else { WorkerState::Up },
            zones: intake.zones.to_vec(),
            cap: room.capacity,
            room: standing.room(room),
            load: standing.load,
            http: self.p.http.clone(),
            inv: self.streams.rows(),
        }
    }

    /// Acts on the outcome of a heartbeat; `true` when this worker must end.
    async fn on_beat(&mut self, BeatOutcome { number, result, reply }: BeatOutcome) -> bool {
        self.report_health(result);
        let fleet = reply.as_ref().map(|reply| reply.fleet);
        if let Some(drain) = &mut self.drain {
            drain.on_beat(result, fleet);
        }
        let advice = self.contact.on_beat(result, Instant::now());
        self.update_standing(|standing| (standing.contact, standing.fleet) = (advice.pull, fleet));
        if advice.reconnect {
            let bus = self.p.intake.bus.clone();
            tokio::spawn(async move { bus.reconnect().await });
        }
        self.end_silenced(advice.ends);
        let Some(reply) = reply else { return false };
        if reply.conflict {
            let worker = &self.p.intake.worker;
            error!(%worker, "another live worker has this name; give one of them another worker.name");
            return true;
        }
        for (slug, up_to) in reply.drop {
            self.streams.release(&slug, up_to, "no longer ours");
        }
        // Only now: streams that moved elsewhere are released before frames are published again.
        self.p.pulse.answered(number);
        if reply.api_session != self.api_session {
            // An API that just began has no details yet.
            self.api_session = reply.api_session;
            self.report_all().await;
        }
        false
    }

    /// Ends streams because of silence.
    fn end_silenced(&mut self, ends: SilenceEnds) {
        let ended = match ends {
            SilenceEnds::Nothing => 0,
            SilenceEnds::Exclusive => self.streams.release_exclusive(),
            SilenceEnds::All => {
                let all = self.streams.len();
                self.streams.release_all();
                all
            }
        };
        if ended > 0 {
            warn!(streams = ended, "cut off for too long, stopping streams that may run elsewhere by now");
        }
    }

    fn report_health(&self, result: BeatResult) {
        let connected = self.p.intake.bus.connected();
        self.p.nats_connected.set(i64::from(connected));
        let away = || (!connected).then(|| "not connected to NATS; streams go on for a while".to_owned());
        self.p.health.put(Dependency::Nats, self.p.intake.bus.refusal().or_else(away));
        let api = match result {
            BeatResult::Answered => None,
            BeatResult::ApiAbsent => Some("the API is away; running streams go on".to_owned()),
            BeatResult::Silence => Some("no contact with NATS or the API".to_owned()),
        };
        self.p.health.put(Dependency::Api, api);
    }

    /// Changes the standing of this worker, which the tasks that pull tickets read.
    fn update_standing(&self, change: impl FnOnce(&mut WorkerStanding)) {
        let starting = Priority::ALL.map(|priority| self.streams.starting(counts_as_starting(priority)));
        self.p.standing.send_if_modified(|standing| {
            let before = *standing;
            standing.starting = starting;
            change(standing);
            *standing != before
        });
    }

    /// Answers an offer at once, and carries it out, in a task of its own: one for each slot at most.
    fn consider(&self, ticket: Ticket, reply: Reply) {
        let intake = self.p.intake.clone();
        let slot = intake.accept(&ticket);
        tokio::spawn(async move {
            if let Err(e) = reply.send(slot.is_some()).await {
                debug!(stream = %ticket.cam, error = %e, "an offer was not answered");
            }
            if let Some(slot) = slot {
                intake.offered(ticket, slot).await;
            }
        });
    }

    async fn report_all(&mut self) {
        for slug in self.streams.slugs() {
            self.report(&slug).await;
        }
    }

    async fn on_change(&mut self, slug: &Slug) {
        if self.p.standing.borrow().starting != [0; 2] {
            self.update_standing(|_| {});
        }
        self.report(slug).await;
    }

    async fn report(&mut self, slug: &Slug) {
        let (bus, session) = (&self.p.intake.bus, &self.p.intake.session);
        let Some(event) = self.streams.event(slug, session) else { return };
        // Without a connection nothing is queued; everything is reported again at the next connect.
        if !bus.connected() {
            return;
        }
        if let Err(e) = heartbeat::tell(bus, &self.p.intake.worker, &event).await {
            warn!(repeats = true, stream = %slug, error = %e, "a change of a stream was not reported to the API");
        }
    }

    /// From now on no stream is taken, and the running ones go on until other workers have them. `false` when there is
    /// nothing to wait for.
    fn begin_drain(&mut self) -> bool {
        let fleet = self.p.standing.borrow().fleet;
        let drain = Drain::new(self.p.drain, fleet, Instant::now());
        self.take_nothing_new();
        if drain.end(self.streams.is_idle(), Instant::now()).is_some() {
            return false;
        }
        let (streams, drain_s) = (self.streams.len(), self.p.drain.as_secs());
        info!(streams, drain_s, "draining: streams go on until other workers have taken them over");
        self.drain = Some(drain);
        true
    }

    fn take_nothing_new(&self) {
        self.update_standing(|standing| standing.draining = true);
        self.p.engine.metrics.set_draining();
        self.p.health.fault(Dependency::Shutdown, "the process was told to stop; others take its streams over");
    }

    /// The end of the drain, once it is over.
    fn drained(&self) -> Option<KeeperEnd> {
        let drain = self.drain.as_ref()?;
        let end = drain.end(self.streams.is_idle(), Instant::now())?;
        info!(streams = self.streams.len(), why = end.as_str(), "drained");
        Some(match end {
            DrainEnd::NothingLeft => KeeperEnd::HandedOver { until: drain.until() },
            DrainEnd::TimeUp | DrainEnd::Alone | DrainEnd::NoApi => KeeperEnd::Stopped,
        })
    }

    /// Stops pulling, ends every stream, and says goodbye, so that the API need not wait until this worker counts as
    /// dead.
    async fn end(&mut self) {
        self.take_nothing_new();
        self.streams.release_all();
        while self.streams.next_end().await.is_some() {}
        let goodbye = Heartbeat { state: WorkerState::Draining, ..self.heartbeat() };
        let _ = heartbeat::beat(&self.p.intake.bus, &goodbye).await;
    }
}
