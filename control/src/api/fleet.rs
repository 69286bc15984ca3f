//! The workers as the arbiter sees them when it chooses moves: what is on its way counts.

use std::collections::HashMap;
use std::time::Instant;

use rsm_shared::stream::names::SessionId;
use rsm_shared::stream::state::StreamState;

use super::arbiter::{Arbiter, Wish};
use super::moves::{self, Berth, Movable, Move};
use super::roster::Session;

impl Arbiter {
    /// Moves to be made now.
    pub(super) fn choose_moves(&self, wishes: &[Wish], now: Instant) -> Vec<Move> {
        if !self.detector.settled(now) {
            return Vec::new();
        }
        let sessions: Vec<&Session> = self.roster.live().collect();
        let mut fleet: Vec<Berth> = sessions.iter().map(|s| berth(s)).collect();
        let draining = fleet.iter().any(|b| b.draining && b.used > 0);
        let balance = self.settings.balance.filter(|_| self.queued.is_empty() && !draining && self.busy.is_empty());
        let shares = || sessions.iter().filter(|s| !s.draining).map(|s| s.used());
        let spread = shares().fold(0.0, f32::max) - shares().fold(1.0, f32::min);
        if !draining && balance.is_none_or(|balance| spread <= balance) {
            return Vec::new();
        }
        let index: HashMap<&SessionId, usize> = sessions.iter().enumerate().map(|(i, s)| (&s.id, i)).collect();
        let mut under_way = 0;
        for tracked in self.placements.values() {
            let Some(from) = tracked.handed_from() else { continue };
            under_way += 1;
            // Both own it for now: it counts for the one that shall have it.
            if let Some(berth) = index.get(&from.session).and_then(|at| fleet.get_mut(*at)) {
                berth.used = berth.used.saturating_sub(1);
            }
            match (tracked.owner(), &from.to) {
                (Some((owner, _)), _) => {
                    if let Some(berth) = index.get(owner).and_then(|at| fleet.get_mut(*at)) {
                        berth.arriving += 1;
                    }
                }
                (None, Some(to)) => expect(&mut fleet, index.get(to)),
                (None, None) => {}
            }
        }
        for (slug, to) in &self.moving {
            under_way += 1;
            expect(&mut fleet, index.get(to));
            let from = self.owners.get(slug).and_then(|owner| fleet.get_mut(*index.get(owner)?));
            if let Some(berth) = from {
                berth.used = berth.used.saturating_sub(1);
            }
        }
        let streams: Vec<Movable> =
            wishes.iter().filter_map(|wish| self.movable(wish, &index, draining, now)).collect();
        moves::choose(&mut fleet, &streams, under_way, balance)
    }

    fn movable(&self, wish: &Wish, index: &HashMap<&SessionId, usize>, drains: bool, now: Instant) -> Option<Movable> {
        let tracked = self.placements.get(&wish.slug)?;
        let owner = self.owners.get(&wish.slug)?;
        let owned = self.roster.get(owner)?.owned.get(&wish.slug)?;
        let unmoved = tracked.handed_from().is_none() && !self.busy.contains(&wish.slug);
        if owned.epoch != tracked.assignment.epoch || !unmoved || !wish.enabled {
            return None;
        }
        let rested = tracked.moved.is_none_or(|at| now.saturating_duration_since(at) >= moves::REST);
        let at_ease = !drains && owned.state == StreamState::Running && owned.ready && rested && !wish.exclusive;
        let owner = *index.get(owner)?;
        Some(Movable { slug: wish.slug.clone(), zone: tracked.assignment.zone.clone(), owner, at_ease })
    }
}

/// A stream is on its way to the worker of that index, which does not know of it yet.
fn expect(fleet: &mut [Berth], at: Option<&usize>) {
    if let Some(berth) = at.and_then(|at| fleet.get_mut(*at)) {
        berth.arriving += 1;
        berth.used += 1;
        berth.room = berth.room.saturating_sub(1);
    }
}

fn berth(session: &Session) -> Berth {
    Berth {
        worker: session.worker.clone(),
        session: session.id.clone(),
        zones: session.zones.clone(),
        capacity: session.capacity,
        used: session.owned.len(),
        room: session.room,
        draining: session.draining,
        arriving: 0,
    }
}
