//! Which streams move from one live worker to another: away from one that is about to end, and to one that has more
//! room. Pure.

use std::collections::HashSet;
use std::time::Duration;

use rsm_shared::stream::names::{SessionId, WorkerId, Zone};
use rsm_shared::stream::slug::Slug;
use rsm_shared::wire::messages::TicketReason;

use super::roster::share;

/// Moves under way at a time to empty workers that are about to end: with pictures of HLS to wait for each takes some
/// seconds, and they have `worker.drain_s`.
const DRAINING_AT_A_TIME: usize = 32;
/// Moves under way at a time to even out: nobody waits for them.
const BALANCING_AT_A_TIME: usize = 4;
/// Streams that one worker is asked to start at a time: as many as it starts at once.
const STARTS_OF_ONE: u32 = 8;
/// A stream that was moved to even out stays for this long.
pub const REST: Duration = Duration::from_secs(60);

/// One whose new owner got no picture from its camera stays for this long: it would be moved in vain again.
pub const LONG_REST: Duration = Duration::from_secs(3600);

/// One live worker process.
#[derive(Clone, Debug)]
pub struct Berth {
    pub worker: WorkerId,
    pub session: SessionId,
    pub zones: Vec<Zone>,
    pub capacity: u32,
    /// Streams that it owns or is about to.
    pub used: usize,
    /// Streams that it would take.
    pub room: u32,
    pub draining: bool,
    /// Moves to it that are under way.
    pub arriving: u32,
}

impl Berth {
    fn used_with(&self, more: usize) -> f32 {
        share(self.used + more, self.capacity)
    }

    fn takes(&self, zone: &Zone) -> bool {
        !self.draining && self.room > 0 && self.arriving < STARTS_OF_ONE && self.zones.contains(zone)
    }
}

/// One stream of a worker that may be moved.
#[derive(Clone, Debug)]
pub struct Movable {
    pub slug: Slug,
    pub zone: Zone,
    /// Index of its owner.
    pub owner: usize,
    /// It runs well, has not moved for [`REST`] and its camera serves two sessions: it may move to even out.
    pub at_ease: bool,
}

/// A move to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    pub slug: Slug,
    pub reason: TicketReason,
    pub worker: WorkerId,
    pub to: SessionId,
}

/// Chooses moves. `under_way` counts those that are not over; `balance` is the difference between the fullest and the
/// emptiest worker from which on streams move, as a share of capacity, `None` for never.
pub fn choose(fleet: &mut [Berth], streams: &[Movable], under_way: usize, balance: Option<f32>) -> Vec<Move> {
    let mut moves = Vec::new();
    let leaving = streams.iter().filter(|s| fleet.get(s.owner).is_some_and(|berth| berth.draining));
    for stream in leaving.collect::<Vec<_>>() {
        if under_way + moves.len() >= DRAINING_AT_A_TIME {
            return moves;
        }
        if let Some(to) = emptiest(fleet, &stream.zone, stream.owner) {
            moves.extend(ship(fleet, stream, to, TicketReason::Drain));
        }
    }
    let Some(balance) = balance.filter(|_| moves.is_empty()) else { return moves };
    let mut candidates: Vec<&Movable> = streams.iter().filter(|s| s.at_ease).collect();
    while under_way + moves.len() < BALANCING_AT_A_TIME {
        let Some((at, to)) = uneven(fleet, &candidates, balance) else { break };
        moves.extend(ship(fleet, candidates.swap_remove(at), to, TicketReason::Rebalance));
    }
    moves
}

/// The worker that is the emptiest of those that would take a stream of `zone`.
fn emptiest(fleet: &[Berth], zone: &Zone, but: usize) -> Option<usize> {
    let takers = fleet.iter().enumerate().filter(|(i, berth)| *i != but && berth.takes(zone));
    takers.min_by(|(_, a), (_, b)| a.used_with(1).total_cmp(&b.used_with(1))).map(|(i, _)| i)
}

/// The stream of the fullest worker that has a much emptier one to go to: its index in `candidates`, and the worker.
fn uneven(fleet: &[Berth], candidates: &[&Movable], balance: f32) -> Option<(usize, usize)> {
    let gain = |(_, stream): &(usize, &&Movable)| {
        let (from, to) = (fleet.get(stream.owner)?, emptiest(fleet, &stream.zone, stream.owner)?);
        let taker = fleet.get(to)?;
        let difference = from.used_with(0) - taker.used_with(0);
        // Moving one must not make the other the fuller one.
        let helps = from.used.saturating_sub(1) as f32 / from.capacity.max(1) as f32 >= taker.used_with(1);
        (difference > balance && helps).then_some((difference, to))
    };
    // One stream of an owner and zone is as good as the next.
    let mut seen = HashSet::new();
    let different = candidates.iter().enumerate().filter(|(_, stream)| seen.insert((stream.owner, &stream.zone)));
    let best = different.filter_map(|c| gain(&c).map(|(difference, to)| (difference, c.0, to)));
    best.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, at, to)| (at, to))
}

fn ship(fleet: &mut [Berth], stream: &Movable, to: usize, reason: TicketReason) -> Option<Move> {
    if let Some(from) = fleet.get_mut(stream.owner) {
        from.used = from.used.saturating_sub(1);
    }
    let berth = fleet.get_mut(to)?;
    berth.used += 1;
    berth.room = berth.room.saturating_sub(1);
    berth.arriving += 1;
    Some(Move { slug: stream.slug.clone(), reason, worker: berth.worker.clone(), to: berth.session.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn berth(name: &str, used: usize, draining: bool) -> Berth {
        Berth {
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

    fn streams(of: &[Berth]) -> Vec<Movable> {
        let each = |(owner, berth): (usize, &Berth)| {
            (0..berth.used)
                .map(|n| Movable {
                    slug: Slug::parse(&format!("s{owner}-{n}")).unwrap(),
                    zone: Zone::default_zone(),
                    owner,
                    at_ease: true,
                })
                .collect::<Vec<_>>()
        };
        of.iter().enumerate().flat_map(each).collect()
    }

    #[test]
    fn a_draining_worker_is_emptied_to_the_emptiest_others() {
        let mut fleet = [berth("w1", 3, true), berth("w2", 2, false), berth("w3", 0, false)];
        let streams = streams(&fleet);
        let moves = choose(&mut fleet, &streams, 0, Some(0.1));
        let to: Vec<&str> = moves.iter().map(|m| m.worker.as_str()).collect();
        assert_eq!(to, ["w3", "w3", "w2"]);
        assert!(moves.iter().all(|m| m.reason == TicketReason::Drain));
    }

    #[test]
    fn nobody_with_room_means_no_move() {
        let mut fleet = [berth("w1", 3, true), Berth { room: 0, ..berth("w2", 2, false) }];
        let streams = streams(&fleet);
        assert!(choose(&mut fleet, &streams, 0, Some(0.1)).is_empty());
        let elsewhere = Berth { zones: vec![Zone::parse("other").unwrap()], ..berth("w2", 0, false) };
        assert!(choose(&mut [berth("w1", 3, true), elsewhere], &streams, 0, Some(0.1)).is_empty());
    }

    #[test]
    fn a_worker_that_joins_is_filled_a_few_at_a_time() {
        let mut fleet = [berth("w1", 40, false), berth("w2", 40, false), berth("w3", 0, false)];
        let streams = streams(&fleet);
        let moves = choose(&mut fleet.clone(), &streams, 0, Some(0.1));
        assert_eq!(moves.len(), BALANCING_AT_A_TIME);
        assert!(moves.iter().all(|m| m.worker.as_str() == "w3" && m.reason == TicketReason::Rebalance));
        assert!(choose(&mut fleet.clone(), &streams, BALANCING_AT_A_TIME, Some(0.1)).is_empty());
        assert!(choose(&mut fleet, &streams, 0, None).is_empty());
    }

    #[test]
    fn a_small_difference_is_left_alone() {
        let mut fleet = [berth("w1", 10, false), berth("w2", 1, false)];
        let streams = streams(&fleet);
        assert!(choose(&mut fleet, &streams, 0, Some(0.1)).is_empty());
    }

    proptest! {
        #[test]
        fn evening_out_ends(used in proptest::collection::vec(0_usize..100, 2..6)) {
            let mut fleet: Vec<Berth> = used.iter().enumerate().map(|(n, u)| berth(&format!("w{n}"), *u, false)).collect();
            let mut rounds = 0;
            loop {
                let streams = streams(&fleet);
                fleet.iter_mut().for_each(|b| b.arriving = 0);
                if choose(&mut fleet, &streams, 0, Some(0.1)).is_empty() {
                    break;
                }
                rounds += 1;
                prop_assert!(rounds < 200, "it goes on and on");
            }
            let shares: Vec<f32> = fleet.iter().map(|b| b.used_with(0)).collect();
            let spread = shares.iter().copied().fold(0.0, f32::max) - shares.iter().copied().fold(1.0, f32::min);
            prop_assert!(spread <= 0.11, "{shares:?}");
        }
    }
}
