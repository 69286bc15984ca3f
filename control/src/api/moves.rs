//! The choice of the worker for a stream that starts, and of streams that move from one live worker to another: away from
//! one that is about to end, and to one that has less to do.

use std::collections::HashSet;
use std::time::Duration;

use rsm_model::stream::names::{SessionId, WorkerId, Zone};
use rsm_model::stream::slug::Slug;
use rsm_model::wire::messages::TicketReason;

use super::roster::share;

/// Most moves under way at a time away from workers that are about to end. Each takes some seconds, as it waits until the
/// new owner has HLS segments, and all must be over within `worker.drain_s`.
const DRAINING_AT_A_TIME: usize = 32;
/// Most moves under way at a time that only even out the load: no viewer waits for them.
const BALANCING_AT_A_TIME: usize = 4;
/// Most moves under way to one worker: as many streams as it starts at once.
const STARTS_OF_ONE: u32 = 8;
/// A stream that was moved stays where it is for this long.
pub const MOVE_REST: Duration = Duration::from_secs(60);

/// A stream whose new owner got no picture from the camera stays for this long: the next move would fail too.
pub const FAILED_MOVE_REST: Duration = Duration::from_secs(3600);

/// One live worker process, counted as it will be once the moves under way are over.
#[derive(Clone, Debug)]
pub struct FleetWorker {
    pub worker: WorkerId,
    pub session: SessionId,
    pub zones: Vec<Zone>,
    pub capacity: u32,
    /// Cost of the streams that it owns or is about to own.
    pub units: u32,
    /// Streams that it would take.
    pub room: u32,
    pub draining: bool,
    /// It missed a heartbeat, and may be gone.
    pub silent: bool,
    /// Its machine has hardly any processor time left.
    pub busy: bool,
    /// Moves to it under way.
    pub arriving: u32,
}

impl FleetWorker {
    fn used_with(&self, more: u32) -> f32 {
        share(self.units.saturating_add(more), self.capacity)
    }

    fn used_without(&self, less: u32) -> f32 {
        share(self.units.saturating_sub(less), self.capacity)
    }

    fn takes(&self, zone: &Zone) -> bool {
        !self.draining && !self.silent && self.room > 0 && self.zones.contains(zone)
    }

    /// A stream of that cost is on its way to it.
    fn expect(&mut self, cost: u32) {
        self.units = self.units.saturating_add(cost);
        self.room = self.room.saturating_sub(1);
        self.arriving += 1;
    }
}

/// One stream of a worker that may be moved.
#[derive(Clone, Debug)]
pub struct MovableStream {
    pub slug: Slug,
    pub zone: Zone,
    /// Index of its owner in the fleet.
    pub owner: usize,
    /// See [`super::cost`].
    pub cost: u32,
    /// It may move to even out the load: it runs well, has not moved for [`MOVE_REST`], and its camera serves two sessions.
    pub may_rebalance: bool,
}

/// A move to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamMove {
    pub slug: Slug,
    pub reason: TicketReason,
    pub worker: WorkerId,
    pub to: SessionId,
}

/// Chooses the worker for a stream that starts in `zone`, and counts the stream for it. `None` when none has room. The last
/// place of a worker is kept for a stream that a viewer waits for (`demanded`), as it is where workers pull tickets.
pub fn direct(fleet: &mut [FleetWorker], zone: &Zone, cost: u32, demanded: bool) -> Option<(WorkerId, SessionId)> {
    let has_room = |worker: &FleetWorker| worker.room > u32::from(!demanded && worker.capacity > 1);
    let worker = fleet.get_mut(emptiest(fleet, zone, cost, has_room)?)?;
    worker.expect(cost);
    Some((worker.worker.clone(), worker.session.clone()))
}

/// Returns whether the load is so uneven that streams should begin to move: the emptiest worker has less than the fullest
/// one by more than that share of the fullest one's load.
pub fn is_uneven(fleet: &[FleetWorker], balance: f32) -> bool {
    let shares = || fleet.iter().filter(|worker| !worker.draining).map(|worker| worker.used_with(0));
    let most = shares().fold(0.0, f32::max);
    most - shares().fold(most, f32::min) > balance * most
}

/// Chooses moves. `under_way` counts those that are not over; with `even` streams move until no move makes the fleet more
/// even.
pub fn choose(fleet: &mut [FleetWorker], streams: &[MovableStream], under_way: usize, even: bool) -> Vec<StreamMove> {
    let mut moves = Vec::new();
    let leaving = streams.iter().filter(|s| fleet.get(s.owner).is_some_and(|worker| worker.draining));
    for stream in leaving.collect::<Vec<_>>() {
        if under_way + moves.len() >= DRAINING_AT_A_TIME {
            return moves;
        }
        if let Some(to) = taker(fleet, stream) {
            moves.extend(begin_move(fleet, stream, to, TicketReason::Drain));
        }
    }
    if !even || !moves.is_empty() {
        return moves;
    }
    let mut candidates: Vec<&MovableStream> = streams.iter().filter(|s| s.may_rebalance).collect();
    while under_way + moves.len() < BALANCING_AT_A_TIME {
        let Some((at, to)) = uneven(fleet, &candidates) else { break };
        moves.extend(begin_move(fleet, candidates.swap_remove(at), to, TicketReason::Rebalance));
    }
    moves
}

/// The worker that would be the emptiest with a stream of that cost more, of those that are `fit`. One with processor time
/// left goes before one without.
fn emptiest(fleet: &[FleetWorker], zone: &Zone, cost: u32, fit: impl Fn(&FleetWorker) -> bool) -> Option<usize> {
    let takers = fleet.iter().enumerate().filter(|(_, worker)| worker.takes(zone) && fit(worker));
    let with = |worker: &FleetWorker| worker.used_with(cost);
    takers.min_by(|(_, a), (_, b)| a.busy.cmp(&b.busy).then(with(a).total_cmp(&with(b)))).map(|(i, _)| i)
}

/// The worker that a stream would move to.
fn taker(fleet: &[FleetWorker], stream: &MovableStream) -> Option<usize> {
    let owner = fleet.get(stream.owner).map(|worker| &worker.session);
    let fit = |worker: &FleetWorker| worker.arriving < STARTS_OF_ONE && Some(&worker.session) != owner;
    emptiest(fleet, &stream.zone, stream.cost, fit)
}

/// A stream of the fullest worker that has an emptier one to go to: its index in `candidates`, and that worker.
fn uneven(fleet: &[FleetWorker], candidates: &[&MovableStream]) -> Option<(usize, usize)> {
    let gain = |(_, stream): &(usize, &&MovableStream)| {
        let (from, to) = (fleet.get(stream.owner)?, taker(fleet, stream)?);
        let taker = fleet.get(to)?;
        // Moving one must not make the other the fuller one: so each move leaves the fleet more even, and moves end.
        let helps = from.used_without(stream.cost) >= taker.used_with(stream.cost) && (from.busy || !taker.busy);
        helps.then(|| (from.used_with(0) - taker.used_with(0), to))
    };
    // All streams of one owner, zone and cost gain the same.
    let mut considered = HashSet::new();
    let different = candidates.iter().enumerate().filter(|(_, s)| considered.insert((s.owner, &s.zone, s.cost)));
    let best = different.filter_map(|c| gain(&c).map(|(difference, to)| (difference, c.0, to)));
    best.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, at, to)| (at, to))
}

fn begin_move(
    fleet: &mut [FleetWorker],
    stream: &MovableStream,
    to: usize,
    reason: TicketReason,
) -> Option<StreamMove> {
    if let Some(from) = fleet.get_mut(stream.owner) {
        from.units = from.units.saturating_sub(stream.cost);
    }
    let target = fleet.get_mut(to)?;
    target.expect(stream.cost);
    Some(StreamMove { slug: stream.slug.clone(), reason, worker: target.worker.clone(), to: target.session.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn worker(name: &str, used: u32, draining: bool) -> FleetWorker {
        FleetWorker {
            worker: WorkerId::parse(name).unwrap(),
            session: SessionId::parse(&format!("{name}-a")).unwrap(),
            zones: vec![Zone::default_zone()],
            capacity: 100,
            units: used,
            room: 100 - used,
            draining,
            silent: false,
            busy: false,
            arriving: 0,
        }
    }

    fn streams(of: &[FleetWorker]) -> Vec<MovableStream> {
        let each = |(owner, worker): (usize, &FleetWorker)| {
            (0..worker.units)
                .map(|n| MovableStream {
                    slug: Slug::parse(&format!("s{owner}-{n}")).unwrap(),
                    zone: Zone::default_zone(),
                    owner,
                    cost: 1,
                    may_rebalance: true,
                })
                .collect::<Vec<_>>()
        };
        of.iter().enumerate().flat_map(each).collect()
    }

    #[test]
    fn a_draining_worker_is_emptied_to_the_emptiest_others() {
        let mut fleet = [worker("w1", 3, true), worker("w2", 2, false), worker("w3", 0, false)];
        let streams = streams(&fleet);
        let moves = choose(&mut fleet, &streams, 0, true);
        let to: Vec<&str> = moves.iter().map(|m| m.worker.as_str()).collect();
        assert_eq!(to, ["w3", "w3", "w2"]);
        assert!(moves.iter().all(|m| m.reason == TicketReason::Drain));
    }

    #[test]
    fn without_a_worker_with_room_nothing_moves() {
        let mut fleet = [worker("w1", 3, true), FleetWorker { room: 0, ..worker("w2", 2, false) }];
        let streams = streams(&fleet);
        assert!(choose(&mut fleet, &streams, 0, true).is_empty());
        let elsewhere = FleetWorker { zones: vec![Zone::parse("other").unwrap()], ..worker("w2", 0, false) };
        assert!(choose(&mut [worker("w1", 3, true), elsewhere], &streams, 0, true).is_empty());
    }

    #[test]
    fn a_worker_that_joins_is_filled_a_few_at_a_time() {
        let mut fleet = [worker("w1", 40, false), worker("w2", 40, false), worker("w3", 0, false)];
        let streams = streams(&fleet);
        let moves = choose(&mut fleet.clone(), &streams, 0, true);
        assert_eq!(moves.len(), BALANCING_AT_A_TIME);
        assert!(moves.iter().all(|m| m.worker.as_str() == "w3" && m.reason == TicketReason::Rebalance));
        assert!(choose(&mut fleet.clone(), &streams, BALANCING_AT_A_TIME, true).is_empty());
        assert!(choose(&mut fleet, &streams, 0, false).is_empty());
    }

    #[test]
    fn small_farms_are_uneven_early_and_large_ones_late() {
        for (loads, want) in [
            (&[12, 0, 0][..], true),
            (&[1, 0], true),
            (&[5, 4, 3], true),
            (&[4, 4, 4], false),
            (&[0, 0, 0], false),
            (&[175, 163, 162], false),
            (&[250, 250, 0], true),
        ] {
            let worker = |load: &u32| FleetWorker { capacity: 200, room: 1, ..worker("w", (*load).min(100), false) };
            let fleet: Vec<FleetWorker> =
                loads.iter().map(|load| FleetWorker { units: *load, ..worker(load) }).collect();
            assert_eq!(is_uneven(&fleet, 0.1), want, "{loads:?}");
        }
    }

    #[test]
    fn costly_streams_and_busy_or_silent_machines_are_weighed() {
        let zone = Zone::default_zone();
        let mut fleet = [worker("w1", 0, false), worker("w2", 0, false)];
        let costs = [11, 1, 1, 1, 11, 1];
        let to: Vec<String> =
            costs.iter().map(|cost| direct(&mut fleet, &zone, *cost, true).unwrap().0.to_string()).collect();
        assert_eq!(to, ["w1", "w2", "w2", "w2", "w2", "w1"]);
        let busy = FleetWorker { busy: true, ..worker("w1", 0, false) };
        let silent = FleetWorker { silent: true, ..worker("w3", 0, false) };
        let mut fleet = [busy.clone(), worker("w2", 50, false), silent.clone()];
        assert_eq!(direct(&mut fleet, &zone, 1, true).unwrap().0.as_str(), "w2", "it has processor time left");
        assert_eq!(direct(&mut [busy, silent.clone()], &zone, 1, true).unwrap().0.as_str(), "w1", "no other is there");
        assert!(direct(&mut [silent, worker("w4", 1, true)], &zone, 1, true).is_none());
        let last = FleetWorker { room: 1, ..worker("w5", 99, false) };
        assert!(direct(&mut [last.clone()], &zone, 1, false).is_none(), "the last place is kept");
        assert!(direct(&mut [last.clone()], &zone, 1, true).is_some(), "for a stream with a viewer");
        assert!(
            direct(&mut [FleetWorker { capacity: 1, ..last }], &zone, 1, false).is_some(),
            "there is no other place"
        );
    }

    proptest! {
        #[test]
        fn equal_streams_spread_within_one(workers in 1_usize..9, count in prop::sample::select(vec![3_u32, 12, 80])) {
            let mut fleet: Vec<FleetWorker> = (0..workers).map(|n| worker(&format!("w{n}"), 0, false)).collect();
            for _ in 0..count {
                prop_assert!(direct(&mut fleet, &Zone::default_zone(), 1, true).is_some());
            }
            let (least, most) = (fleet.iter().map(|w| w.units).min(), fleet.iter().map(|w| w.units).max());
            prop_assert!(most <= least.map(|least| least + 1), "{least:?} {most:?}");
        }

        #[test]
        fn evening_out_ends(used in proptest::collection::vec(0_u32..100, 2..6)) {
            let mut fleet: Vec<FleetWorker> = used.iter().enumerate().map(|(n, u)| worker(&format!("w{n}"), *u, false)).collect();
            let mut rounds = 0;
            loop {
                let streams = streams(&fleet);
                fleet.iter_mut().for_each(|b| b.arriving = 0);
                if choose(&mut fleet, &streams, 0, true).is_empty() {
                    break;
                }
                rounds += 1;
                prop_assert!(rounds < 200, "it does not end");
            }
            let shares: Vec<f32> = fleet.iter().map(|b| b.used_with(0)).collect();
            let spread = shares.iter().copied().fold(0.0, f32::max) - shares.iter().copied().fold(1.0, f32::min);
            prop_assert!(spread <= 0.0101, "{shares:?}");
        }
    }
}
