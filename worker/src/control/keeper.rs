//! The task that owns what this process owns: it starts and stops streams, beats, and tells the API.

mod parts;
mod streams;

use std::time::{Duration, Instant};

use rsm_shared::bus::connect::Bus;
use rsm_shared::bus::control::{Order, Reply};
use rsm_shared::bus::heartbeat::{self, Beat};
use rsm_shared::bus::registers;
use rsm_shared::ops::health::Dependency;
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::{Heartbeat, HeartbeatReply, Priority, Ticket, VERSION, WorkerState};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::admission::{Standing, counts_as_starting};
use super::contact::{Contact, Met};
use super::demands::Demands;
use super::drain::{Drain, Over};
use super::held::Held;
use super::holding::Holding;
use super::intake::Start;
pub use parts::{Ears, Ended, OwnedEpochs, Parts};

/// One heartbeat each second.
const BEAT: Duration = Duration::from_secs(1);
/// Demand that has ended is noticed within this time.
const PRUNE: Duration = Duration::from_millis(500);
/// State changes on their way to the API; a stream whose change finds no room is told with the next heartbeat.
const CHANGES: usize = 1024;

struct Keeper {
    p: Parts,
    holding: Holding<Held, Start>,
    demands: Demands,
    contact: Contact,
    /// Told to end, and others are to take over first.
    drain: Option<Drain>,
    api_session: String,
    /// Number of the last heartbeat.
    sequence: u64,
    /// Streams whose status changed.
    changes: mpsc::Sender<Slug>,
    ending: JoinSet<Slug>,
}

/// What a heartbeat led to.
struct Beaten {
    number: u64,
    met: Met,
    reply: Option<HeartbeatReply>,
}

/// Runs until `stop`, lets others take over, then ends every stream and says goodbye.
pub async fn run(parts: Parts, ears: Ears, stop: CancellationToken) -> Ended {
    let Ears { mut starts, mut orders, demands: mut wishes, mut load } = ears;
    let (changes, mut changed) = mpsc::channel(CHANGES);
    let mut connects = parts.intake.bus.connects();
    let mut keeper = Keeper {
        holding: Holding::default(),
        demands: Demands::default(),
        contact: Contact::new(parts.hold, Instant::now()),
        drain: None,
        api_session: String::new(),
        sequence: 0,
        changes,
        ending: JoinSet::new(),
        p: parts,
    };
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
                if !keeper.begin_drain() { break Ended::Stopped; }
                // The API hears of it at once.
                beat.reset_immediately();
            }
            // A heartbeat waits for its answer in a task of its own; at most one is under way.
            _ = beat.tick() => {
                keeper.feel_pulse();
                if beating.as_ref().is_none_or(tokio::task::JoinHandle::is_finished) {
                    let (bus, message, beats) = (keeper.p.intake.bus.clone(), keeper.heartbeat(), beats.clone());
                    beating = Some(tokio::spawn(async move { let _ = beats.send(meet(&bus, &message).await).await; }));
                }
            }
            Some(beaten) = beaten.recv() => {
                if keeper.met(beaten).await { break Ended::NameTaken; }
            }
            Some(start) = starts.recv() => keeper.start(start),
            order = orders.next() => match order {
                Some(Ok(Order::Stop(slug, stop))) => keeper.let_go(&slug, stop.epoch_le, "stopped"),
                // The answer was sent by the bus: that it came is all that a probe asks.
                Some(Ok(Order::Probe)) => {}
                Some(Ok(Order::Take(ticket, reply))) => keeper.consider(*ticket, reply),
                Some(Err(e)) => warn!(repeats = true, error = %e, "an order of the API is not readable"),
                None => break Ended::Closed,
            },
            wish = wishes.next() => match wish {
                Some(Ok((slug, message))) => keeper.wish(&slug, message),
                Some(Err(e)) => warn!(repeats = true, error = %e, "a demand of viewers is not readable"),
                None => break Ended::Closed,
            },
            Ok(()) = connects.changed() => {
                connects.borrow_and_update();
                keeper.tell_all().await;
            }
            Some(slug) = changed.recv() => keeper.changed(&slug).await,
            Some(ended) = keeper.ending.join_next() => keeper.ended(ended),
            Ok(()) = load.changed() => {
                let load = *load.borrow_and_update();
                keeper.stand(|standing| standing.load = load);
            }
            _ = prune.tick() => keeper.prune(),
        }
    };
    keeper.end().await;
    ended
}

/// One heartbeat, and what silence means.
async fn meet(bus: &Bus, message: &Heartbeat) -> Beaten {
    let (met, reply) = match heartbeat::beat(bus, message).await {
        Beat::Answered(reply) => (Met::Api, Some(reply)),
        // Behind a leaf node or in a split cluster this answer does not prove that the hub is there.
        Beat::NobodyListens if registers::reachable(bus).await => (Met::ApiAbsent, None),
        Beat::NobodyListens | Beat::Silence => (Met::Unknown, None),
    };
    Beaten { number: message.seq, met, reply }
}

impl Keeper {
    /// Takes note of a pause of this process.
    fn feel_pulse(&self) {
        if self.p.pulse.beat(self.sequence + 1) {
            warn!(
                repeats = true,
                "this process stood still; it shows no frames until the API says what is still its own"
            );
        }
    }

    fn heartbeat(&mut self) -> Heartbeat {
        self.sequence += 1;
        let (intake, standing) = (&self.p.intake, *self.p.standing.borrow());
        let room = intake.slots.room();
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
            inv: self.holding.inventory().map(|(slug, kept)| kept.handle.row(slug, kept.fence)).collect(),
        }
    }

    /// Acts on what a heartbeat met; `true` when this worker must end.
    async fn met(&mut self, Beaten { number, met, reply }: Beaten) -> bool {
        self.tell_health(met);
        let fleet = reply.as_ref().map(|reply| reply.fleet);
        if let Some(drain) = &mut self.drain {
            drain.met(met, fleet);
        }
        let advice = self.contact.met(met, Instant::now());
        self.stand(|standing| (standing.contact, standing.fleet) = (advice.pull, fleet));
        if advice.reconnect {
            let bus = self.p.intake.bus.clone();
            tokio::spawn(async move { bus.reconnect().await });
        }
        if advice.stop_all && !self.holding.is_empty() {
            warn!(streams = self.holding.len(), "cut off for too long, stopping what may run elsewhere by now");
            self.let_all_go();
        }
        let Some(reply) = reply else { return false };
        if reply.conflict {
            let worker = &self.p.intake.worker;
            error!(%worker, "another live worker has this name; give one of them another worker.name");
            return true;
        }
        for (slug, up_to) in reply.drop {
            self.let_go(&slug, up_to, "no longer ours");
        }
        // Not before what moved was let go.
        self.p.pulse.answered(number);
        if reply.api_session != self.api_session {
            // An API that just began knows no details.
            self.api_session = reply.api_session;
            self.tell_all().await;
        }
        false
    }

    fn tell_health(&self, met: Met) {
        let connected = self.p.intake.bus.connected();
        self.p.nats_connected.set(i64::from(connected));
        let away = || (!connected).then(|| "not connected to NATS; streams go on for a while".to_owned());
        self.p.health.put(Dependency::Nats, self.p.intake.bus.refusal().or_else(away));
        let api = match met {
            Met::Api => None,
            Met::ApiAbsent => Some("the API is away; running streams go on".to_owned()),
            Met::Unknown => Some("no contact with NATS or the API".to_owned()),
        };
        self.p.health.put(Dependency::Api, api);
    }

    /// Changes how this worker stands, for those who pull.
    fn stand(&self, change: impl FnOnce(&mut Standing)) {
        let starting = Priority::ALL
            .map(counts_as_starting)
            .map(|young| self.holding.inventory().filter(|(_, kept)| kept.handle.is_starting(young)).count());
        self.p.standing.send_if_modified(|standing| {
            let before = *standing;
            standing.starting = starting;
            change(standing);
            *standing != before
        });
    }

    /// Answers an offer at once, and carries it out in a task of its own: one for each slot at most.
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

    async fn tell_all(&mut self) {
        let all: Vec<Slug> = self.holding.inventory().map(|(slug, _)| slug.clone()).collect();
        for slug in all {
            self.tell(&slug).await;
        }
    }

    async fn changed(&mut self, slug: &Slug) {
        if self.p.standing.borrow().starting != [0; 2] {
            self.stand(|_| {});
        }
        self.tell(slug).await;
    }

    async fn tell(&mut self, slug: &Slug) {
        let Some(kept) = self.holding.get_mut(slug) else { return };
        kept.handle.status.mark_unchanged();
        let (bus, session) = (&self.p.intake.bus, &self.p.intake.session);
        // While the connection is away nothing is queued; everything is told again at the next connect.
        if !bus.connected() {
            return;
        }
        let event = kept.handle.event(slug, kept.fence, session);
        if let Err(e) = heartbeat::tell(bus, &self.p.intake.worker, &event).await {
            warn!(repeats = true, stream = %slug, error = %e, "a change of a stream was not told to the API");
        }
    }

    /// From now on nothing new is taken, and what there is goes on until others have it; `false` when it need not.
    fn begin_drain(&mut self) -> bool {
        let fleet = self.p.standing.borrow().fleet;
        let drain = Drain::new(self.p.drain, fleet, Instant::now());
        self.take_nothing_new();
        if drain.over(self.holding.is_idle(), Instant::now()).is_some() {
            return false;
        }
        let (streams, drain_s) = (self.holding.len(), self.p.drain.as_secs());
        info!(streams, drain_s, "draining: streams go on until other workers have taken them over");
        self.drain = Some(drain);
        true
    }

    fn take_nothing_new(&self) {
        self.stand(|standing| standing.draining = true);
        self.p.engine.metrics.set_draining();
        self.p.health.fault(Dependency::Shutdown, "the process was told to stop; others take its streams over");
    }

    /// How a drain ended, once it has.
    fn drained(&self) -> Option<Ended> {
        let drain = self.drain.as_ref()?;
        let over = drain.over(self.holding.is_idle(), Instant::now())?;
        info!(streams = self.holding.len(), why = over.as_str(), "drained");
        Some(match over {
            Over::NothingLeft => Ended::HandedOver { until: drain.until() },
            Over::TimeUp | Over::Alone | Over::NoApi => Ended::Stopped,
        })
    }

    /// Stops pulling, ends every stream, says goodbye so that nobody waits for our silence.
    async fn end(&mut self) {
        self.take_nothing_new();
        self.let_all_go();
        while self.ending.join_next().await.is_some() {}
        let goodbye = Heartbeat { state: WorkerState::Draining, ..self.heartbeat() };
        let _ = heartbeat::beat(&self.p.intake.bus, &goodbye).await;
    }
}
