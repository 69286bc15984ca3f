//! The choice of streams that move from one live worker to another: away from one that is about to end, and to one that
//! has more room.

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
    /// Streams that it owns or is about to own.
    pub used: usize,
    /// Streams that it would take.
    pub room: u32,
    pub draining: bool,
    /// Moves to it under way.
    pub arriving: u32,
}

impl FleetWorker {
    fn used_with(&self, more: usize) -> f32 {
        share(self.used + more, self.capacity)
    }

    fn takes(&self, zone: &Zone) -> bool {
        !self.draining && self.room > 0 && self.arriving < STARTS_OF_ONE && self.zones.contains(zone)
    }
}

/// One stream of a worker that may be moved.
#[derive(Clone, Debug)]
pub struct MovableStream {
    pub slug: Slug,
    pub zone: Zone,
    /// Index of its owner in the fleet.
    pub owner: usize,
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

/// Chooses moves. `under_way` counts those that are not over; `balance` is the smallest difference between the fullest and
/// the emptiest worker at which streams move, as a share of capacity, `None` for never.
pub fn choose(
    fleet: &mut [FleetWorker],
    streams: &[MovableStream],
    under_way: usize,
    balance: Option<f32>,
) -> Vec<StreamMove> {
    let mut moves = Vec::new();
    let leaving = streams.iter().filter(|s| fleet.get(s.owner).is_some_and(|worker| worker.draining));
    for stream in leaving.collect::<Vec<_>>() {
        if under_way + moves.len() >= DRAINING_AT_A_TIME {
            return moves;
        }
        if let Some(to) = emptiest(fleet, &stream.zone, stream.owner) {
            moves.extend(begin_move(fleet, stream, to, TicketReason::Drain));
        }
    }
    let Some(balance) = balance.filter(|_| moves.is_empty()) else { return moves };
    let mut candidates: Vec<&MovableStream> = streams.iter().filter(|s| s.may_rebalance).collect();
    while under_way + moves.len() < BALANCING_AT_A_TIME {
        let Some((at, to)) = uneven(fleet, &candidates, balance) else { break };
        moves.extend(begin_move(fleet, candidates.swap_remove(at), to, TicketReason::Rebalance));
    }
    moves
}

/// The emptiest worker of those that would take a stream of `zone`.
fn emptiest(fleet: &[FleetWorker], zone: &Zone, but: usize) -> Option<usize> {
    let takers = fleet.iter().enumerate().filter(|(i, worker)| *i != but && worker.takes(zone));
    takers.min_by(|(_, a), (_, b)| a.used_with(1).total_cmp(&b.used_with(1))).map(|(i, _)| i)
}

/// A stream of the fullest worker that has a much emptier one to go to: its index in `candidates`, and that worker.
fn uneven(fleet: &[FleetWorker], candidates: &[&MovableStream], balance: f32) -> Option<(usize, usize)> {
    let gain = |(_, stream): &(usize, &&MovableStream)| {
        let (from, to) = (fleet.get(stream.owner)?, emptiest(fleet, &stream.zone, stream.owner)?);
        let taker = fleet.get(to)?;
        let difference = from.used_with(0) - taker.used_with(0);
        // Moving one must not make the other the fuller one.
        let helps = from.used.saturating_sub(1) as f32 / from.capacity.max(1) as f32 >= taker.used_with(1);
        (difference > balance && helps).then_some((difference, to))
    };
    // All streams of one owner and zone gain the same.
    let mut considered = HashSet::new();
    let different = candidates.iter().enumerate().filter(|(_, stream)| considered.insert((stream.owner, &stream.zone)));
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
        from.used = from.used.saturating_sub(1);
    }
    let target = fleet.get_mut(to)?;
    target.used += 1;
    target.room = target.room.saturating_sub(1);
    target.arriving += 1;
    Some(StreamMove { slug: stream.slug.clone(), reason, worker: target.worker.clone(), to: target.session.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn worker(name: &str, used: usize, draining: bool) -> FleetWorker {
        FleetWorker {
            worker: WorkerId::parse(name).unwrap(),
            session: SessionId::parse(&format!("{name}-a")).unwrap(),
            zones: vec![Zone::default_zone()],
            capacity: 100,
            used,
            room: 100 - u32::try_from(used).unwrap(),
            draining,
            arriving: 0,
        }
    }

    fn streams(of: &[FleetWorker]) -> Vec<MovableStream> {
        let each = |(owner, worker): (usize, &FleetWorker)| {
            (0..worker.used)
                .map(|n| MovableStream {
                    slug: Slug::parse(&format!("s{owner}-{n}")).unwrap(),
                    zone: Zone::default_zone(),
                    owner,
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
        let moves = choose(&mut fleet, &streams, 0, Some(0.1));
        let to: Vec<&str> = moves.iter().map(|m| m.worker.as_str()).collect();
        assert_eq!(to, ["w3", "w3", "w2"]);
        assert!(moves.iter().all(|m| m.reason == TicketReason::Drain));
    }

    #[test]
    fn without_a_worker_with_room_nothing_moves() {
        let mut fleet = [worker("w1", 3, true), FleetWorker { room: 0, ..worker("w2", 2, false) }];
        let streams = streams(&fleet);
        assert!(choose(&mut fleet, &streams, 0, Some(0.1)).is_empty());
        let elsewhere = FleetWorker { zones: vec![Zone::parse("other").unwrap()], ..worker("w2", 0, false) };
        assert!(choose(&mut [worker("w1", 3, true), elsewhere], &streams, 0, Some(0.1)).is_empty());
    }

    #[test]
    fn a_worker_that_joins_is_filled_a_few_at_a_time() {
        let mut fleet = [worker("w1", 40, false), worker("w2", 40, false), worker("w3", 0, false)];
        let streams = streams(&fleet);
        let moves = choose(&mut fleet.clone(), &streams, 0, Some(0.1));
        assert_eq!(moves.len(), BALANCING_AT_A_TIME);
        assert!(moves.iter().all(|m| m.worker.as_str() == "w3" && m.reason == TicketReason::Rebalance));
        assert!(choose(&mut fleet.clone(), &streams, BALANCING_AT_A_TIME, Some(0.1)).is_empty());
        assert!(choose(&mut fleet, &streams, 0, None).is_empty());
    }

    #[test]
    fn a_small_difference_is_left_alone() {
        let mut fleet = [worker("w1", 10, false), worker("w2", 1, false)];
        let streams = streams(&fleet);
        assert!(choose(&mut fleet, &streams, 0, Some(0.1)).is_empty());
    }

    proptest! {
        #[test]
        fn evening_out_ends(used in proptest::collection::vec(0_usize..100, 2..6), percent in 0_u8..20) {
            let threshold = f32::from(percent) / 100.0;
            let mut fleet: Vec<FleetWorker> = used.iter().enumerate().map(|(n, u)| worker(&format!("w{n}"), *u, false)).collect();
            let mut rounds = 0;
            loop {
                let streams = streams(&fleet);
                fleet.iter_mut().for_each(|b| b.arriving = 0);
                if choose(&mut fleet, &streams, 0, Some(threshold)).is_empty() {
                    break;
                }
                rounds += 1;
                prop_assert!(rounds < 200, "it does not end");
            }
            let shares: Vec<f32> = fleet.iter().map(|b| b.used_with(0)).collect();
            let spread = shares.iter().copied().fold(0.0, f32::max) - shares.iter().copied().fold(1.0, f32::min);
            // Each worker has 100 slots, so one stream is a share of 0.01, and no threshold evens out further.
            prop_assert!(spread <= threshold.max(0.01) + 0.001, "{shares:?}");
        }
    }
}
