//! The workers as they will be once all moves under way are over: the input of [`super::moves::choose`].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rsm_model::stream::names::SessionId;
use rsm_model::stream::slug::Slug;
use rsm_model::stream::state::StreamState;

use super::in_flight::InFlight;
use super::intent::StreamIntent;
use super::moves::{self, FleetWorker, MovableStream, StreamMove};
use super::placements::Placements;
use super::registered_streams::RegisteredStreams;
use super::roster::{WorkerSession, share};
use super::workers::Workers;

/// Evening out the load is considered this often: it looks at every stream while workers are unevenly used.
const BALANCE_EVERY: Duration = Duration::from_secs(1);
/// Workers are uneven for this long before streams move. Starts, stops and failovers make them so for a moment, and
/// the next starts go to the emptier ones. After an outage of NATS it counts anew: nothing moves while a farm finds together.
const UNEVEN_FOR: Duration = Duration::from_secs(10);

/// Tells when streams are to be moved only to even out the load.
pub struct BalanceWatch {
    next: Instant,
    uneven_since: Option<Instant>,
}

impl BalanceWatch {
    pub fn new(now: Instant) -> Self {
        Self { next: now, uneven_since: None }
    }

    /// True once a second while the fullest and the emptiest worker differ by more than `threshold`, a share of
    /// capacity, and by more than one stream, and have done so for `UNEVEN_FOR` since all workers could be heard.
    pub fn due(&mut self, threshold: f32, workers: &Workers, now: Instant) -> bool {
        if now < self.next {
            return false;
        }
        self.next = now + BALANCE_EVERY;
        if !workers.settled(now) || !uneven(workers, threshold) {
            self.uneven_since = None;
            return false;
        }
        now.saturating_duration_since(*self.uneven_since.get_or_insert(now)) >= UNEVEN_FOR
    }
}

/// A look at the workers alone; [`moves::choose`] decides, with their zones, which stream goes where.
fn uneven(workers: &Workers, threshold: f32) -> bool {
    let sessions = || workers.roster().live().filter(|session| !session.draining);
    let (Some(fullest), Some(emptiest)) = (
        sessions().max_by(|a, b| a.used().total_cmp(&b.used())),
        sessions().filter(|session| session.room > 0).min_by(|a, b| a.used().total_cmp(&b.used())),
    ) else {
        return false;
    };
    let one_less = share(fullest.owned.len().saturating_sub(1), fullest.capacity);
    fullest.used() - emptiest.used() > threshold && one_less >= share(emptiest.owned.len() + 1, emptiest.capacity)
}

/// Moves to be made now. `balance` is the smallest difference in use at which streams move to emptier workers.
pub fn choose_moves(
    streams: &RegisteredStreams,
    workers: &Workers,
    placements: &Placements,
    in_flight: &InFlight,
    balance: Option<f32>,
    now: Instant,
) -> Vec<StreamMove> {
    if !workers.settled(now) {
        return Vec::new();
    }
    let sessions: Vec<&WorkerSession> = workers.roster().live().collect();
    let draining = sessions.iter().any(|s| s.draining && !s.owned.is_empty());
    let balance = balance.filter(|_| placements.none_queued() && !draining && in_flight.is_empty());
    if !draining && balance.is_none() {
        return Vec::new();
    }
    let mut fleet = Fleet::new(&sessions, workers);
    let under_way = fleet.count_moves(workers, placements, in_flight);
    let movable = |intent| movable(intent, &fleet.index, draining, workers, placements, in_flight, now);
    // While workers drain, only their streams move.
    let candidates = sessions.iter().filter(|session| session.draining || !draining).flat_map(|s| s.owned.keys());
    let mut candidates: Vec<&StreamIntent> = candidates.filter_map(|slug| streams.get(slug)).collect();
    candidates.sort_by_key(|intent| intent.id);
    candidates.dedup_by_key(|intent| intent.id);
    let streams: Vec<MovableStream> = candidates.into_iter().filter_map(movable).collect();
    moves::choose(&mut fleet.workers, &streams, under_way, balance)
}

/// The workers, and where each process stands among them.
struct Fleet<'a> {
    workers: Vec<FleetWorker>,
    index: HashMap<&'a SessionId, usize>,
}

impl<'a> Fleet<'a> {
    /// A stream counts for its newest owner only: a worker that has just handed one off lists it until its next heartbeat.
    fn new(sessions: &[&'a WorkerSession], workers: &Workers) -> Self {
        let owns = |session: &WorkerSession, slug: &Slug| workers.owner(slug) == Some(&session.id);
        let worker = |session: &&WorkerSession| FleetWorker {
            worker: session.worker.clone(),
            session: session.id.clone(),
            zones: session.zones.clone(),
            capacity: session.capacity,
            used: session.owned.keys().filter(|slug| owns(session, slug)).count(),
            room: session.room,
            draining: session.draining,
            arriving: 0,
        };
        Self {
            workers: sessions.iter().map(worker).collect(),
            index: sessions.iter().enumerate().map(|(at, session)| (&session.id, at)).collect(),
        }
    }

    fn get_mut(&mut self, session: &SessionId) -> Option<&mut FleetWorker> {
        self.workers.get_mut(*self.index.get(session)?)
    }

    /// Counts streams that move for the worker that will have them. Returns the number of moves under way.
    fn count_moves(&mut self, workers: &Workers, placements: &Placements, in_flight: &InFlight) -> usize {
        let mut under_way = in_flight.destinations().len();
        for tracked in placements.handing_off() {
            let Some(from) = tracked.earlier_owner() else { continue };
            under_way += 1;
            if workers.owner(&tracked.assignment().slug) == Some(&from.session) {
                self.leave(&from.session);
            }
            match (tracked.owner(), &from.to) {
                (Some((owner, _)), _) => {
                    if let Some(worker) = self.get_mut(owner) {
                        worker.arriving += 1;
                    }
                }
                (None, Some(to)) => self.expect(to),
                (None, None) => {}
            }
        }
        for (slug, to) in in_flight.destinations() {
            self.expect(to);
            if let Some(owner) = workers.owner(slug) {
                self.leave(owner);
            }
        }
        under_way
    }

    fn leave(&mut self, session: &SessionId) {
        if let Some(worker) = self.get_mut(session) {
            worker.used = worker.used.saturating_sub(1);
        }
    }

    /// A stream is on its way to a process that does not list it yet.
    fn expect(&mut self, session: &SessionId) {
        if let Some(worker) = self.get_mut(session) {
            worker.arriving += 1;
            worker.used += 1;
            worker.room = worker.room.saturating_sub(1);
        }
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
    let (slug, zone) = (intent.slug.clone(), tracked.assignment().zone.clone());
    Some(MovableStream { slug, zone, owner: *index.get(owner)?, may_rebalance })
}

#[cfg(test)]
mod tests {
    use rsm_model::stream::fence::Epoch;
    use rsm_model::stream::names::Zone;
    use rsm_model::wire::messages::Want;

    use super::super::assignment::Assignment;
    use super::super::registered_streams::tests::intent;
    use super::super::roster::tests::beat;
    use super::*;

    const DEAD_AFTER: Duration = Duration::from_secs(4);

    /// The streams that move to even out two workers, which report these streams beside their epochs.
    fn moved(first: &[(&str, u64)], second: &[(&str, u64)]) -> Vec<String> {
        let (begun, zone) = (Instant::now(), Zone::default_zone());
        let now = begun + DEAD_AFTER * 2;
        let mut newest = HashMap::<&str, u64>::new();
        for (name, epoch) in first.iter().chain(second) {
            newest.entry(name).and_modify(|known| *known = (*known).max(*epoch)).or_insert(*epoch);
        }
        let assignment = |(name, epoch): (&&str, &u64)| Assignment {
            slug: Slug::parse(name).unwrap(),
            zone: zone.clone(),
            epoch: Epoch(*epoch),
            want: Want::Run,
            spec_rev: 1,
            discontinuity: 0,
        };
        let placements = Placements::new(newest.iter().map(assignment).collect(), begun);
        let mut streams = RegisteredStreams::default();
        for (id, name) in (1..).zip(newest.keys()) {
            streams.insert(intent(name, id));
        }
        let mut workers = Workers::new(DEAD_AFTER, begun);
        workers.on_heartbeat(&beat("w1", "w1-a", first), now);
        workers.on_heartbeat(&beat("w2", "w2-a", second), now);
        let moves = choose_moves(&streams, &workers, &placements, &InFlight::default(), Some(0.0), now);
        moves.into_iter().map(|m| m.worker.to_string()).collect()
    }

    #[test]
    fn streams_move_until_workers_differ_by_one() {
        assert_eq!(moved(&[("a", 1), ("b", 1), ("c", 1)], &[]), ["w2"]);
        assert!(moved(&[("a", 1), ("b", 1)], &[("c", 1)]).is_empty());
    }

    #[test]
    fn a_stream_that_its_former_owner_still_reports_counts_for_the_new_owner_only() {
        assert!(moved(&[("a", 1), ("b", 1), ("c", 1)], &[("c", 2)]).is_empty());
        assert_eq!(moved(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)], &[("c", 2)]), ["w2"]);
    }

    #[test]
    fn an_unevenness_has_to_last() {
        let begun = Instant::now();
        let mut workers = Workers::new(DEAD_AFTER, begun);
        let mut watch = BalanceWatch::new(begun);
        let mut due = |workers: &Workers, second: u64| watch.due(0.0, workers, begun + Duration::from_secs(second));
        workers.on_heartbeat(&beat("w1", "w1-a", &[("a", 1), ("b", 1), ("c", 1)]), begun);
        workers.on_heartbeat(&beat("w2", "w2-a", &[("d", 1)]), begun);
        // Nothing counts before every worker had time to be heard.
        assert_eq!([0, 4, 5, 14, 15, 16].map(|second| due(&workers, second)), [false, false, false, false, true, true]);
        // Once a second at most.
        assert!(!due(&workers, 16));
        workers.on_heartbeat(&beat("w2", "w2-a", &[("d", 1), ("e", 1)]), begun);
        assert!(!due(&workers, 17));
        workers.on_heartbeat(&beat("w2", "w2-a", &[("d", 1)]), begun);
        assert_eq!([18, 27, 28].map(|second| due(&workers, second)), [false, false, true]);
        // NATS was away.
        workers.unsettle(begun + Duration::from_secs(60));
        assert_eq!([61, 65, 74, 75].map(|second| due(&workers, second)), [false, false, false, true]);
    }
}
