//! The workers as they will be once all starts and moves under way are over: the input of [`super::moves`].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rsm_model::stream::names::{SessionId, WorkerId};
use rsm_model::stream::state::StreamState;

use super::in_flight::InFlight;
use super::intent::StreamIntent;
use super::moves::{self, FleetWorker, MovableStream, StreamMove};
use super::placements::Placements;
use super::roster::WorkerSession;
use super::workers::Workers;

/// An uneven load has to last for this long before streams move: a viewer who looks at a camera for a moment makes one
/// worker the fuller one, and moves nothing.
const LASTING: Duration = Duration::from_secs(10);
/// The loads of workers are compared this often.
const COMPARE: Duration = Duration::from_secs(1);
/// Streams start at a worker that missed a heartbeat only when no other is there. Heartbeats come each second.
const SILENT: Duration = Duration::from_secs(2);
/// Machines above this processor load get further streams last, 0 to 1.
const BUSY: f32 = 0.9;

/// The workers, and where each process stands among them.
pub struct Fleet<'a> {
    workers: Vec<FleetWorker>,
    index: HashMap<&'a SessionId, usize>,
    /// Moves that are not over.
    under_way: usize,
}

impl<'a> Fleet<'a> {
    /// Counts each stream for the worker that has it or will have it.
    pub fn new(
        intents: &[StreamIntent],
        workers: &'a Workers,
        placements: &Placements,
        in_flight: &InFlight,
        now: Instant,
    ) -> Self {
        let sessions: Vec<&WorkerSession> = workers.roster().live().collect();
        let worker = |session: &&WorkerSession| FleetWorker {
            worker: session.worker.clone(),
            session: session.id.clone(),
            zones: session.zones.clone(),
            capacity: session.capacity,
            units: 0,
            room: session.room,
            draining: session.draining,
            silent: now.saturating_duration_since(session.last_heard) >= SILENT,
            busy: session.load.cpu > BUSY,
            arriving: 0,
        };
        let mut fleet = Self {
            workers: sessions.iter().map(worker).collect(),
            index: sessions.iter().enumerate().map(|(at, session)| (&session.id, at)).collect(),
            under_way: 0,
        };
        for intent in intents {
            let (tracked, destination) = (placements.get(&intent.slug), in_flight.destination(&intent.slug));
            let moving = tracked.is_some_and(|t| t.earlier_owner().is_some());
            let host = destination.or_else(|| tracked?.host()).or_else(|| workers.owner(&intent.slug));
            fleet.under_way += usize::from(moving || (destination.is_some() && workers.owner(&intent.slug).is_some()));
            let Some(at) = host.and_then(|host| fleet.index.get(host)) else { continue };
            let (Some(worker), Some(session)) = (fleet.workers.get_mut(*at), sessions.get(*at)) else { continue };
            worker.units = worker.units.saturating_add(intent.cost);
            let listed = session.owned.contains_key(&intent.slug);
            worker.room = worker.room.saturating_sub(u32::from(!listed));
            worker.arriving += u32::from(moving || !listed);
        }
        fleet
    }

    /// The worker for a stream that starts; `None` leaves it to the first that pulls the ticket.
    pub fn direct(&mut self, intent: &StreamIntent) -> Option<(WorkerId, SessionId)> {
        moves::direct(&mut self.workers, &intent.zone, intent.cost, intent.demanded)
    }
}

/// The evening out of the load. It begins at a difference that is worth it and goes on until the fleet is even, so that
/// neither a small farm stays lopsided nor a large one moves streams all the time.
#[derive(Debug)]
pub struct Balancer {
    /// Smallest difference at which it begins, as a share of the fullest worker's load; `None` for never.
    begins_at: Option<f32>,
    /// Since when it is uneven by so much.
    uneven_since: Option<Instant>,
    under_way: bool,
    next: Instant,
}

impl Balancer {
    /// Begins at that difference.
    pub fn new(begins_at: Option<f32>, now: Instant) -> Self {
        Self { begins_at, uneven_since: None, under_way: false, next: now }
    }

    /// Moves to be made now.
    pub fn choose_moves(
        &mut self,
        intents: &[StreamIntent],
        workers: &Workers,
        placements: &Placements,
        in_flight: &InFlight,
        now: Instant,
    ) -> Vec<StreamMove> {
        if !workers.settled(now) {
            return Vec::new();
        }
        let draining = workers.roster().live().any(|s| s.draining && !s.owned.is_empty());
        let calm = placements.none_queued() && !draining && in_flight.is_empty();
        let begins_at = self.begins_at.filter(|_| calm && now >= self.next);
        if !draining && begins_at.is_none() {
            return Vec::new();
        }
        self.next = now + COMPARE;
        let mut fleet = Fleet::new(intents, workers, placements, in_flight, now);
        let uneven = begins_at.is_some_and(|difference| moves::is_uneven(&fleet.workers, difference));
        let since = uneven.then(|| *self.uneven_since.get_or_insert(now));
        self.uneven_since = since;
        let begins = since.is_some_and(|since| now.saturating_duration_since(since) >= LASTING);
        let even = begins_at.is_some() && (self.under_way || begins);
        if !draining && !even {
            return Vec::new();
        }
        let movable = |intent| movable(intent, &fleet.index, draining, workers, placements, in_flight, now);
        let streams: Vec<MovableStream> = intents.iter().filter_map(movable).collect();
        let chosen = moves::choose(&mut fleet.workers, &streams, fleet.under_way, even);
        self.under_way = even && (!chosen.is_empty() || fleet.under_way > 0);
        chosen
    }
}

fn movable(
    intent: &StreamIntent,
    index: &HashMap<&SessionId, usize>,
    draining: bool,
    workers: &Workers,
    placements: &Placements,
    in_flight: &InFlight,
    now: Instant,
) -> Option<MovableStream> {
    let tracked = placements.get(&intent.slug)?;
    let owner = workers.owner(&intent.slug)?;
    let owned = workers.roster().get(owner)?.owned.get(&intent.slug)?;
    let unmoved = tracked.earlier_owner().is_none() && !in_flight.contains(&intent.slug);
    if owned.epoch != tracked.assignment().epoch || !unmoved || !intent.enabled {
        return None;
    }
    let well = owned.state == StreamState::Running && owned.ready;
    let may_rebalance = !draining && well && tracked.has_rested(now) && !intent.exclusive;
    let (slug, zone, cost) = (intent.slug.clone(), tracked.assignment().zone.clone(), intent.cost);
    Some(MovableStream { slug, zone, owner: *index.get(owner)?, cost, may_rebalance })
}
